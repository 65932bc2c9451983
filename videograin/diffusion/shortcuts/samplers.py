"""The rules by which denoising goes from one noise level to the next, beside DDIM.

All are written by the clean latents x₀ that a step predicts, so that smoothing can draw these to their mean first. With
α = √ᾱ, σ = √(1 − ᾱ) and λ = log(α/σ) at the level where a step begins, a prime where it leads, and h = λ' − λ:

    DPM-Solver++(2M), arXiv 2211.01095, algorithm 2:   x' = σ'/σ x − α' (e^−h − 1) D,
        D = x₀ + (x₀ − x₀ of the step before) h/(2 h of the step before);   D = x₀ in the first and the last step
    LCM, arXiv 2310.04378, algorithm 3:   x' = α' x₀ + σ' z,   z fresh noise
    TCD, arXiv 2402.19159, algorithm 4:   DDIM to the level s = (1 − γ) t', and from there up to t' by fresh noise
"""

from dataclasses import dataclass

from torch import Tensor

from videograin.diffusion.schedule import CLEAN, NoiseSchedule
from videograin.settings import Sampler

TCD_GAMMA = 0.3
"""γ, the share of noise that is fresh, as TCD's authors advise."""


@dataclass(frozen=True)
class Prediction:
    """What a model says at one noise level.

    Attributes:
        level: where the step begins.
        clean: (F, C, h, w), the latents without noise.
    """

    level: int
    clean: Tensor


@dataclass(frozen=True)
class SamplerStep:
    """A step, linear in the clean latents that were predicted.

    Attributes:
        latents: (F, C, h, w), where it leads.
        slope: how far the latents move with the clean ones.
    """

    latents: Tensor
    slope: float


def sampler_step(
    sampler: Sampler,
    schedule: NoiseSchedule,
    latents: Tensor,
    now: Prediction,
    before: Prediction | None,
    noise: Tensor,
) -> SamplerStep:
    """Go from one level to the next lower one by any rule but DDIM's, which is the schedule's own.

    Args:
        sampler: the rule.
        schedule: the noise levels.
        latents: (F, C, h, w), where the step begins.
        now: what the model says there.
        before: of the step before; None in the first one.
        noise: fresh, standard normal, that spreads to the shape of the latents.
    """
    if sampler == Sampler.DPM_SOLVER:
        return _dpm_solver(schedule, latents, now, before)
    return _renoise(schedule, latents, now, noise, 1.0 if sampler == Sampler.LCM else TCD_GAMMA)


def _dpm_solver(schedule: NoiseSchedule, latents: Tensor, now: Prediction, before: Prediction | None) -> SamplerStep:
    target = schedule.below(now.level)
    (_, sigma, start), (next_alpha, next_sigma, end) = (_moments(schedule, level) for level in (now.level, target))
    factor = float(next_alpha * (1 - (start - end).exp()))
    latents = next_sigma / sigma * latents + factor * now.clean
    if before is None or target == CLEAN:
        return SamplerStep(latents, factor)
    share = float((end - start) / (2 * (start - _moments(schedule, before.level)[2])))
    return SamplerStep(latents + factor * share * (now.clean - before.clean), factor * (1 + share))


def _renoise(schedule: NoiseSchedule, latents: Tensor, now: Prediction, noise: Tensor, gamma: float) -> SamplerStep:
    target = schedule.below(now.level)
    if target == CLEAN:
        return SamplerStep(now.clean, 1.0)
    between = int((1 - gamma) * target)
    alpha, sigma, _ = _moments(schedule, now.level)
    own = (latents - alpha * now.clean) / sigma  # the noise that was predicted
    middle_alpha, middle_sigma, _ = _moments(schedule, between) if gamma < 1 else (1.0, 0.0, None)
    next_alpha, _, _ = _moments(schedule, target)
    kept = next_alpha / middle_alpha
    latents = kept * (middle_alpha * now.clean + middle_sigma * own) + (1 - kept**2) ** 0.5 * noise
    return SamplerStep(latents, float(kept * (middle_alpha - middle_sigma * alpha / sigma)))


def _moments(schedule: NoiseSchedule, level: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return α, σ and λ of a level, scalars."""
    signal = schedule.signal(level).double()
    alpha, sigma = signal**0.5, (1 - signal) ** 0.5
    return alpha, sigma, (alpha / sigma).log()
