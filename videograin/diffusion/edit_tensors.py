"""An edit's request as tensors: everything that inversion and denoising follow from."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from videograin.diffusion.attention.layout import Layout
from videograin.diffusion.attention.step import AttentionStep, LayoutModulation, modulate_layout
from videograin.diffusion.denoiser import Conditioning, Control
from videograin.diffusion.prompt_embeds import PromptEmbeds
from videograin.diffusion.smoothing import PathMean
from videograin.region import EditSettings


@dataclass(frozen=True, eq=False)
class EditTensors:
    """What some frames of a request come to on the device of the edit.

    Attributes:
        settings: those of the request.
        prompts: embeddings, and whose phrase each token is.
        latents: (F, C, h, w) float32, the source's.
        kept: (F, C, h, w) float32, what stays where nothing is edited: the source's, but for what they show of objects
            that are edited beside.
        layout: the regions of frames and anchors at every resolution of the UNet.
        edited: (F, 1, h, w) bool, the latent cells that may differ from the source.
        fresh: (F, 1, h, w) float32, the share of fresh noise in place of the inversion's; None is none.
        controls: for each ControlNet what it is given.
        step: an unmodulated forward, with the trajectories that attention follows.
        path_mean: what temporal smoothing draws to; None where it is off.
    """

    settings: EditSettings
    prompts: PromptEmbeds
    latents: Tensor
    kept: Tensor
    layout: Layout
    edited: Tensor
    fresh: Tensor | None
    controls: Sequence[Control]
    step: AttentionStep
    path_mean: PathMean | None

    @property
    def halves(self) -> int:
        """Copies of the clip in one batch: 2 with classifier-free guidance, else 1."""
        return len(self.prompts.target)

    @property
    def source(self) -> Conditioning:
        """Both halves of the source prompt: unconditional, conditional."""
        return self._condition(self.prompts.source, self.prompts.source)

    @property
    def target(self) -> Conditioning:
        """The halves of the target prompt."""
        return self._condition(self.prompts.target, self.prompts.plain_target)

    @property
    def modulation(self) -> LayoutModulation:
        """The layout's modulation of attention."""
        return modulate_layout(self.layout, self.prompts.token_regions, self.settings, self.halves)

    def _condition(self, unet_embeds: Tensor, controlnet_embeds: Tensor) -> Conditioning:
        return Conditioning(unet_embeds, controlnet_embeds, self.controls)
