"""The denoising loop of an edit: guidance, modulated steps, injected features, the source kept outside the regions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from videograin.diffusion.attention.phrase_maps import PhraseMaps
from videograin.diffusion.attention.recorder import Features
from videograin.diffusion.attention.reference import PlacedReference
from videograin.diffusion.attention.step import (
    AttentionStep,
    Forward,
    ForwardKind,
    LayoutModulation,
    PrepareStep,
    unprepared,
)
from videograin.diffusion.denoiser import Conditioning, Denoiser
from videograin.diffusion.schedule import NoiseSchedule
from videograin.diffusion.shortcuts.deep_cache import DeepFeatures
from videograin.diffusion.shortcuts.samplers import Prediction, sampler_step
from videograin.diffusion.smoothing import PathMean
from videograin.diffusion.windows.noise import Noise, draw_noise, frame_generators
from videograin.progress import Phase, Report, track
from videograin.settings import Convention, EditSettings, Sampler

FRESH_NOISE = -1
"""In place of a frame's number, where the source of fresh noise is made: no frame has it."""

StepHook = Callable[[int, int, dict[str, Tensor]], dict[str, Tensor]]
"""Called after each step: (step index, timestep, tensors) → the tensors to replace.

The tensors, (F, C, h, w) each: "latents", and "pred_original_sample", the clean latents that the step predicted.
"""


def noised_path(latents: Tensor, schedule: NoiseSchedule, seed: int) -> Tensor:
    """Return a path (2, F, C, h, w) that leads from clean latents straight to its last level, by a seed's noise."""
    noise = clip_noise(latents, seed, FRESH_NOISE)
    return torch.stack([latents, schedule.noised(latents, noise.expand_as(latents), schedule.levels[-1])])


def clip_noise(latents: Tensor, seed: int, number: int) -> Tensor:
    """Return noise (1, C, h, w) in the place of a frame's number: one picture, so that objects look alike in all."""
    (generator,) = frame_generators(seed, [number])
    return draw_noise(latents[:1].shape, generator, latents.device, latents.dtype)


@dataclass(frozen=True)
class Denoising:
    """Everything that an edit's denoising follows from.

    Attributes:
        denoiser: predicts the noise.
        schedule: the noise levels of the path, and the step between them.
        settings: guidance, smoothing and how many steps are modulated or injected.
        conditioning: embeddings of the target prompt, and the control images.
        source_conditioning: of the source prompt with as many halves, for the injected features.
        step: what the attention layers do in every step, unmodulated.
        modulation: the layout modulation of the first `settings.modulated_steps` steps.
        path: (K, F, C, h, w) from inversion; path[0] is the source, path[-1] where denoising starts.
        edited: (F, 1, h, w) bool, where the result may differ from the source.
        kept: (F, C, h, w), the clean latents of all that is not edited.
        generator: source of the noise in which the kept part is drowned, or one for each frame.
        fresh: (F, 1, h, w) float in [0, 1], the share of fresh noise in which cells start; None is none.
        path_mean: what the predicted clean latents are drawn to; None leaves them.
        phrase_maps: adds up how much each phrase is attended to; None records nothing.
        references: pictures that regions are drawn after.
        prepare: adds to a step what only one forward is told, such as which frames elsewhere it sees.
        deep: what the UNet's deep part has left for later steps.
    """

    denoiser: Denoiser
    schedule: NoiseSchedule
    settings: EditSettings
    conditioning: Conditioning
    source_conditioning: Conditioning
    step: AttentionStep
    modulation: LayoutModulation
    path: Tensor
    edited: Tensor
    kept: Tensor
    generator: Noise
    path_mean: PathMean | None = None
    phrase_maps: PhraseMaps | None = None
    references: Sequence[PlacedReference] = ()
    prepare: PrepareStep = unprepared
    fresh: Tensor | None = None
    deep: DeepFeatures = field(default_factory=DeepFeatures)

    @cached_property
    def is_all_edited(self) -> bool:
        """Whether nothing is kept; asked once, for the answer waits until a GPU is idle."""
        return bool(self.edited.all())

    @cached_property
    def start(self) -> Tensor:
        """Where denoising starts, (F, C, h, w): the end of the path, with its share of fresh noise."""
        latents = self.path[-1]
        if self.fresh is None:
            return latents
        noise = clip_noise(latents, self.settings.seed, FRESH_NOISE)
        return self.schedule.renoised(latents, self.path[0], noise, self.fresh)

    def run(self, report: Report, on_step_end: StepHook | None = None) -> Tensor:
        """Denoise from the end of the path; returns clean latents (F, C, h, w)."""
        latents, before = self.start, None
        for index, timestep in enumerate(track(Phase.EDIT, self.schedule.timesteps, report)):
            latents, clean = self.advance(index, timestep, latents, before)
            before = Prediction(timestep, clean)
            if on_step_end is not None:
                values = {"latents": latents, "pred_original_sample": clean}
                latents = on_step_end(index, timestep, values).get("latents", latents)
        return latents

    def advance(
        self, index: int, timestep: int, latents: Tensor, before: Prediction | None = None
    ) -> tuple[Tensor, Tensor]:
        """Go one step, from the noise level of `timestep` to the next lower one.

        Args:
            index: of the step.
            timestep: where it begins.
            latents: (F, C, h, w) there.
            before: of the step before, for samplers that look back; None in the first one.

        Returns:
            The latents there, and the clean latents to which the step points; where the source is kept, the source's.
        """
        noise_pred = self.guided_noise(timestep, latents, self.attention_step(index, timestep))
        target = self.schedule.below(timestep)
        ddim, clean = self.schedule.step(noise_pred, timestep, target, latents)
        if self.settings.sampler == Sampler.DDIM:
            latents, slope = ddim, self.schedule.slope(timestep, target)
        else:
            now, noise = Prediction(timestep, clean), clip_noise(latents, self.settings.seed, FRESH_NOISE - 1 - index)
            step = sampler_step(self.settings.sampler, self.schedule, latents, now, before, noise)
            latents, slope = step.latents.to(latents.dtype), step.slope
        if self.path_mean is not None:
            latents, clean = self.smooth(timestep, latents, clean, self.path_mean(clean), slope)
        if self.settings.blend_background:
            clean = torch.where(self.edited, clean, self.kept)
        return self.keep_source(timestep, latents), clean

    def guided_noise(self, timestep: int, latents: Tensor, step: AttentionStep) -> Tensor:
        """Predict the noise (F, C, h, w) with classifier-free guidance (arXiv 2207.12598, eq. 6).

        Where the step is told of one half alone, or there is but one, that is the conditional prediction.
        """
        conditioning = self.conditioning.conditional if step.is_conditional else self.conditioning
        noise_pred = self.denoiser.predict_noise(latents, timestep, conditioning, step)
        if len(noise_pred) == 1:
            return noise_pred[0]
        unconditional, conditional = noise_pred[0], noise_pred[-1]
        return unconditional + self.settings.guidance_scale * (conditional - unconditional)

    def attention_step(self, index: int, timestep: int) -> AttentionStep:
        """Return what the attention layers do in the step of this index."""
        halves = min(self.settings.halves_at(index), self.conditioning.halves)
        step = replace(
            self.step,
            phrase_maps=self.phrase_maps,
            references=self.references,
            is_conditional=halves < self.conditioning.halves,
        )
        if index < self.settings.modulated_steps:
            step = replace(
                step,
                modulations=self.modulation.at(timestep),
                modulated_self=self.modulation.modulated_self[-halves:],
                modulated_cross=self.modulation.modulated_cross[-halves:],
                key_frames={},
            )
        if self.settings.cache_interval > 1:
            step = replace(step, deep=self.deep, is_shallow=self.settings.deep_step(index) != index)
        if index < self.settings.inject_steps and index + 1 < len(self.path):
            step = replace(step, inject=self.source_features(index))
        return self.prepare(Forward(ForwardKind.EDIT, index), step)

    def smooth(
        self, timestep: int, latents: Tensor, clean: Tensor, mean: Tensor, slope: float
    ) -> tuple[Tensor, Tensor]:
        """Draw the clean latents of a step to their mean, and its latents to where that leads.

        Args:
            timestep: where the step began.
            latents: (F, C, h, w), where it led.
            clean: (F, C, h, w), what it predicted.
            mean: (F, C, h, w), of `clean`.
            slope: how far `latents` move with `clean`; a step is linear in them.
        """
        signal = float(self.schedule.signal(timestep))
        change = self.settings.temporal_smoothing * (1 - signal) * (mean - clean)
        return latents + slope * change, clean + change

    def keep_source(self, timestep: int, latents: Tensor) -> Tensor:
        """Put the source, at the noise level the latents have now, back outside the edited part.

        The release noises it at the level from which the step came.
        """
        if not self.settings.blend_background or self.is_all_edited:
            return latents
        level = self.schedule.below(timestep) if self.settings.convention == Convention.PAPER else timestep
        noise = draw_noise(latents.shape, self.generator, latents.device, latents.dtype)
        return torch.where(self.edited, latents, self.schedule.noised(self.kept, noise, level))

    def source_features(self, index: int) -> Features:
        """Record the features of the inversion step that led to where this step starts.

        They are computed when they are needed: one forward a step costs less than to keep those of all steps.
        """
        features = Features()
        source, level = self.path[-2 - index], self.schedule.levels[-2 - index]
        step = self.prepare(Forward(ForwardKind.SOURCE, index), replace(self.step, record=features))
        halves = min(self.settings.halves_at(index), self.source_conditioning.halves)
        conditioning = self.source_conditioning.last_halves(halves)
        self.denoiser.predict_noise(source, level, conditioning, step)
        return features
