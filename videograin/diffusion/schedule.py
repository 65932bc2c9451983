"""The noise levels that an edit passes through, up and down again, and DDIM's step between two of them."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Self

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from videograin.region import EditSettings, TimestepSpacing

CLEAN = -1
"""The level of latents without noise, below the lowest timestep."""


@dataclass(frozen=True)
class NoiseSchedule:
    """Noise levels in ascending order, each named by its timestep of the model's own schedule.

    Attributes:
        scheduler: DDIM; gives ᾱ of every timestep, and whether the model predicts the noise or v.
        spacing: leading: the clip itself is taken for level 1, the others follow at whole gaps; trailing: the clip is
            clean, and the last level is where the gaps add up to.
        gap: timesteps from one level to the next.
        steps: denoising steps.
    """

    scheduler: DDIMScheduler
    spacing: TimestepSpacing
    gap: Fraction
    steps: int

    @classmethod
    def of(cls, scheduler: DDIMScheduler, settings: EditSettings) -> Self:
        """Return the levels of an edit; with trailing spacing they reach the share `strength` of all timesteps."""
        timesteps, steps = scheduler.config["num_train_timesteps"], settings.steps_run
        if settings.spacing == TimestepSpacing.LEADING:
            return cls(scheduler, settings.spacing, Fraction(timesteps // settings.num_inference_steps), steps)
        return cls(scheduler, settings.spacing, Fraction(round(settings.strength * timesteps), steps), steps)

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """The level of each entry of an inversion path."""
        if self.spacing == TimestepSpacing.LEADING:
            return tuple(1 + int(index * self.gap) for index in range(self.steps))
        return tuple(round(index * self.gap) + CLEAN for index in range(self.steps + 1))

    @property
    def timesteps(self) -> list[int]:
        """The timesteps that are denoised, noisiest first."""
        return [level for level in reversed(self.levels) if level > CLEAN]

    def below(self, level: int) -> int:
        """Return where the denoising step from a level leads."""
        index = self.levels.index(level)
        return self.levels[index - 1] if index else CLEAN

    def signal(self, level: int) -> Tensor:
        """Return ᾱ of a level, a scalar."""
        return self.scheduler.alphas_cumprod[level] if level > CLEAN else self.scheduler.final_alpha_cumprod

    def step(self, noise_pred: Tensor, level: int, target: int, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Go from one noise level to another, up or down (DDIM, arXiv 2010.02502, eq. 12 with σ = 0).

        Args:
            noise_pred: what the model predicts at `level`, like `latents`: the noise, or v (arXiv 2202.00512).
            level: of the latents.
            target: where to go.
            latents: of any shape.

        Returns:
            The latents at the target, and the clean latents that the prediction points to.
        """
        signal, target_signal = self.signal(level), self.signal(target)
        if self.scheduler.config["prediction_type"] == "v_prediction":
            clean = signal**0.5 * latents - (1 - signal) ** 0.5 * noise_pred
            noise = signal**0.5 * noise_pred + (1 - signal) ** 0.5 * latents
        else:
            clean = (latents - (1 - signal) ** 0.5 * noise_pred) / signal**0.5
            noise = noise_pred
        return _mixed(clean, noise, target_signal), clean

    def slope(self, level: int, target: int) -> float:
        """Return how far the latents at the target of a step move with the clean latents that it points to.

        It is √ᾱ' x₀ + √(1-ᾱ') (x - √ᾱ x₀) / √(1-ᾱ), linear in x₀.
        """
        signal, target_signal = float(self.signal(level)), float(self.signal(target))
        return target_signal**0.5 - (signal * (1 - target_signal) / (1 - signal)) ** 0.5

    def noised(self, latents: Tensor, noise: Tensor, level: int) -> Tensor:
        """Return clean latents under the noise of a level."""
        if level <= CLEAN:
            return latents
        # The scheduler's own function would take its table to the device, and each look at it there waits for a GPU.
        return _mixed(latents, noise, self.signal(level))

    def renoised(self, latents: Tensor, clean: Tensor, noise: Tensor, share: Tensor) -> Tensor:
        """Exchange a share s of the noise in latents at the last level: √(1 - s) of theirs, √s of another.

        Args:
            latents: of any shape.
            clean: what they are without noise.
            noise: standard normal; one for all frames will do.
            share: in [0, 1], of a shape that spreads to theirs.
        """
        signal = self.signal(self.levels[-1])
        own = (latents - signal**0.5 * clean) / (1 - signal) ** 0.5
        mixed = (1 - share) ** 0.5 * own + share**0.5 * noise
        return torch.where(share > 0, _mixed(clean, mixed, signal), latents)


def _mixed(clean: Tensor, noise: Tensor, signal: Tensor) -> Tensor:
    """Return √ᾱ of clean latents and √(1-ᾱ) of noise, ᾱ = `signal`."""
    return signal**0.5 * clean + (1 - signal) ** 0.5 * noise
