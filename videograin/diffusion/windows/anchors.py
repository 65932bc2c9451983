"""Anchors: frames that all windows of a shot see, denoised once, on their own, before the windows."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from videograin.diffusion.attention.step import AttentionStep, Forward, ForwardKind
from videograin.diffusion.denoising import Denoising
from videograin.diffusion.inversion import deep_cached
from videograin.diffusion.shortcuts.deep_cache import DeepFeatures
from videograin.diffusion.windows.anchor_bank import AnchorBank


@dataclass(frozen=True, eq=False)
class Anchors:
    """The anchors of a shot as its windows see them.

    Attributes:
        frames: their numbers in the clip.
        denoising: of the anchors alone.
        latents: (K, A, 4, h, w), where each of its steps begins.
        bank: what its forwards gave to self-attention; of those that it lacks, the forward is run again.
    """

    frames: tuple[int, ...]
    denoising: Denoising
    latents: Tensor
    bank: AnchorBank

    @property
    def determinants(self) -> list[Tensor]:
        """All that inversion follows from and that differs from anchors to anchors: latents and control images."""
        return [self.denoising.path[0], *(control.images for control in self.denoising.conditioning.controls)]

    def beside(self, forward: Forward, step: AttentionStep) -> AttentionStep:
        """Return a window's step that sees the anchors as they were in the same forward; a `PrepareStep`."""
        inputs = self.bank.get(forward)
        if inputs is None:
            inputs = self._run(forward)
            self.bank.add(forward, inputs)
        return replace(step, anchor_states=inputs)

    @torch.no_grad()
    def _run(self, forward: Forward) -> dict[str, Tensor]:
        """Run a forward of the anchors again; returns what it gave to self-attention by layer."""
        inputs: dict[str, Tensor] = {}

        def keep(each: Forward, step: AttentionStep) -> AttentionStep:
            return replace(step, keep_states=inputs.__setitem__) if each == forward else step

        again, settings = replace(self.denoising, prepare=keep, deep=DeepFeatures()), self.denoising.settings
        if forward.kind == ForwardKind.INVERT:
            for index in dict.fromkeys((settings.deep_inversion_step(forward.index), forward.index)):
                step = deep_cached(again.step, index, settings.cache_interval, again.deep)
                conditioning, level = again.source_conditioning.last_halves(1), again.schedule.levels[index]
                step = keep(replace(forward, index=index), step)
                again.denoiser.predict_noise(again.path[index], level, conditioning, step)
        elif forward.kind == ForwardKind.SOURCE:
            again.source_features(forward.index)
        else:
            for index in dict.fromkeys((settings.deep_step(forward.index), forward.index)):
                timestep = again.schedule.timesteps[index]
                again.guided_noise(timestep, self.latents[index], again.attention_step(index, timestep))
        return inputs
