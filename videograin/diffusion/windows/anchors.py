"""Anchors: frames that all windows of a shot see, denoised once, on their own, before the windows."""

from collections.abc import Mapping
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
    """Anchors of a shot as its windows see them.

    Attributes:
        frames: their numbers in the clip, without those of the landmarks.
        denoising: of the anchors alone.
        latents: (K, A, C, h, w), where each of its steps begins.
        bank: what its forwards gave to self-attention; of those that it lacks, the forward is run again.
        landmarks: anchors that these see besides one another, and windows with them; None where there are none.
    """

    frames: tuple[int, ...]
    denoising: Denoising
    latents: Tensor
    bank: AnchorBank
    landmarks: "Anchors | None" = None

    @property
    def shown(self) -> tuple[int, ...]:
        """The frames that a window sees: landmarks, then these."""
        return (*(self.landmarks.frames if self.landmarks else ()), *self.frames)

    @property
    def determinants(self) -> list[Tensor]:
        """All that inversion follows from and that differs from anchors to anchors: latents and control images."""
        own = [self.denoising.path[0], *(control.images for control in self.denoising.conditioning.controls)]
        return [*(self.landmarks.determinants if self.landmarks else ()), *own]

    def beside(self, forward: Forward, step: AttentionStep) -> AttentionStep:
        """Return a window's step that sees the anchors as they were in the same forward; a `PrepareStep`."""
        return replace(step, anchor_states=self._inputs(forward))

    def _inputs(self, forward: Forward) -> Mapping[str, Tensor]:
        """Return what a forward gave to self-attention by layer, (halves, A·n, C), for all frames that are shown."""
        inputs = self.bank.get(forward)
        if inputs is None:
            inputs = self._run(forward)
            self.bank.add(forward, inputs)
        if self.landmarks is None:
            return inputs
        common = self.landmarks._inputs(forward)
        return {layer: torch.cat([states, inputs[layer].to(states.device)], 1) for layer, states in common.items()}

    @torch.no_grad()
    def _run(self, forward: Forward) -> dict[str, Tensor]:
        """Run a forward of the anchors again; returns what it gave to self-attention by layer."""
        inputs: dict[str, Tensor] = {}

        def keep(each: Forward, step: AttentionStep) -> AttentionStep:
            seeing = self.landmarks.beside(each, step) if self.landmarks else step
            return replace(seeing, keep_states=inputs.__setitem__) if each == forward else seeing

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
