"""The recorded setting of the authors' code, rebuilt from our own classes: networks, layout, trajectories."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Self, cast

import torch
import torch.nn.functional as F
from diffusers import ControlNetModel, DDIMScheduler, UNet2DConditionModel
from einops import rearrange
from torch import Tensor

from videograin.diffusion.attention.layout import Layout, build_layout, nearest_cells, span_regions
from videograin.diffusion.attention.modulation import timestep_weight
from videograin.diffusion.attention.processors import install_layout_attention
from videograin.diffusion.attention.step import AttentionStep, LayoutModulation, modulate_layout
from videograin.diffusion.attention.trajectories import Trajectories
from videograin.diffusion.denoiser import Conditioning, Control, Denoiser
from videograin.diffusion.prompt import TokenSpan
from videograin.region import Convention, EditSettings

RELEASE = EditSettings(convention=Convention.RELEASE, joint_group_norm=True)
SETS = ("cover4", "overlap2_gap", "absent3")
LEVELS = 4

Load = Callable[[str], dict[str, Tensor]]


@dataclass(frozen=True)
class GoldenClip:
    """What all recorded forwards have in common.

    Attributes:
        denoiser: the recorded networks, fp32.
        frames: of the clip.
        modulation: of the recorded regions.
        trajectories: of flow_a at the largest resolution.
        control_image: (F, 3, H, W).
    """

    denoiser: Denoiser
    frames: int
    modulation: LayoutModulation
    trajectories: dict[int, Trajectories]
    control_image: Tensor

    @classmethod
    def load(cls, load: Load, config: Callable[[str], dict]) -> Self:
        forward = load("unet_forward")
        frames, side = forward["latents"].shape[2], forward["latents"].shape[-1]
        control = rearrange(forward["control_16"], "1 c f h w -> f c h w")
        paths = golden_trajectories(load("trajectories"), "flow_a", side)
        return cls(
            golden_denoiser(load, config),
            frames,
            golden_modulation(load("layouts"), "overlap2_gap"),
            {side * side: paths},
            F.interpolate(control, scale_factor=8, mode="nearest"),
        )

    def conditioning(self, unet_embeds: Tensor, controlnet_embeds: Tensor, scale: float) -> Conditioning:
        return Conditioning(unet_embeds, controlnet_embeds, [Control(self.control_image, scale)])

    @property
    def plain_step(self) -> AttentionStep:
        return AttentionStep(self.frames, trajectories=self.trajectories)

    def step(self, timestep: int) -> AttentionStep:
        return golden_step(self.modulation, timestep, trajectories=self.trajectories)


def golden_denoiser(load: Load, config: Callable[[str], dict]) -> Denoiser:
    """The recorded UNet and ControlNet in the ordinary diffusers classes, fp32."""
    unet = cast(UNet2DConditionModel, UNet2DConditionModel.from_config(config("unet_config")))
    unet.load_state_dict({name: value.float() for name, value in load("unet_weights").items()})
    controlnet = cast(ControlNetModel, ControlNetModel.from_config(config("controlnet_config")))
    controlnet.load_state_dict({name: value.float() for name, value in load("controlnet_weights").items()})
    install_layout_attention(unet)
    return Denoiser(unet.eval(), controlnet.eval(), joint_norm=True)


def golden_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule, as the pipeline makes it."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
    )


def golden_layout(layouts: dict[str, Tensor], name: str) -> Layout:
    """One recorded set of regions at all four resolutions, without our rule for vanishing regions."""
    masks = layouts[f"{name}.layouts"][:, :, 0].bool().transpose(0, 1)
    grid, strengths = (masks.shape[-2], masks.shape[-1]), [1.0] * len(masks)
    return build_layout(masks, grid, LEVELS, strengths, partial(nearest_cells, keep_small=False))


def golden_spans(layouts: dict[str, Tensor], name: str) -> tuple[TokenSpan | None, ...]:
    """The recorded spans; the release skips a phrase that is absent."""
    spans = layouts[f"{name}.spans"].tolist()
    return tuple((start, start + width) if start > 0 and width > 0 else None for start, width in spans)


def golden_token_regions(layouts: dict[str, Tensor], name: str) -> Tensor:
    """(77, R) bool from the recorded spans."""
    return span_regions(golden_spans(layouts, name), torch.device("cpu"))


def golden_modulation(layouts: dict[str, Tensor], name: str) -> LayoutModulation:
    """The modulation of the release's convention."""
    return modulate_layout(golden_layout(layouts, name), golden_token_regions(layouts, name), RELEASE, halves=2)


def half_precision_strength(sizes: Tensor, timestep: int, strength: float = 0.3) -> Tensor:
    """a_i as the release rounds it even in a run in fp32: fp16(fp16(fp16(1 − size)·λ)·((t−1)/1000)⁵)."""
    return ((1 - sizes).half() * strength * timestep_weight(timestep)).float()


def golden_step(modulation: LayoutModulation, timestep: int, **changes: object) -> AttentionStep:
    """A modulated step whose self-attention strengths are rounded as the release rounds them."""
    levels = {}
    for (tokens, level), full in zip(modulation.at(timestep).items(), modulation.full_strength.values(), strict=True):
        sizes = 1 - full.self_strength / RELEASE.self_strength
        levels[tokens] = replace(level, self_strength=half_precision_strength(sizes, timestep))
    frames = next(iter(levels.values())).cross_strength.shape[0]
    step = AttentionStep(frames, modulations=levels, modulated_self=(True, False), modulated_cross=(False, True))
    return replace(step, **changes)  # pyright: ignore[reportArgumentType]


def golden_trajectories(recorded: dict[str, Tensor], flow: str, side: int) -> Trajectories:
    """A recorded table of trajectories, so that its own choice among conflicting paths is kept."""
    frames = len(recorded[flow]) + 1
    window = 5 if side == largest_side(recorded, flow) else 3
    table, valid = recorded[f"{flow}.traj{side}"].long(), recorded[f"{flow}.mask{side}"].bool()
    path = slice(window * window, None)
    tokens = (table[:, path, 0] * side + table[:, path, 1]) * side + table[:, path, 2]
    return Trajectories((frames, side, side), window, tokens.int(), valid[:, path])


def largest_side(recorded: dict[str, Tensor], flow: str) -> int:
    prefix = f"{flow}.traj"
    return max(int(name.removeprefix(prefix)) for name in recorded if name.startswith(prefix))


def close(result: Tensor, recorded: Tensor, tolerance: float = 2e-5) -> bool:
    """Whether fp32 results agree: absolutely where numbers are small, relatively where they exceed 1."""
    return torch.allclose(result, recorded, rtol=tolerance, atol=tolerance)


def close_forward(result: Tensor, recorded: Tensor, tolerance: float = 2e-5) -> bool:
    """Whether results of whole networks in fp32 agree, relative to their largest number.

    Networks add up roundings: against our own forward in float64 the recordings are off by up to 2.2e-5 in outputs
    of up to 3.2, and by 7e-5 in residuals of up to 16; ours in fp32 differ by as much with the number of threads.
    """
    return bool((result - recorded).abs().max() <= tolerance * recorded.abs().max().clamp(min=1))
