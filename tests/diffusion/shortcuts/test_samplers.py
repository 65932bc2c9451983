from typing import Any

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, LCMScheduler, TCDScheduler
from fakes import tiny_scheduler
from torch import Tensor

from videograin.diffusion.schedule import CLEAN, NoiseSchedule
from videograin.diffusion.shortcuts.samplers import Prediction, sampler_step
from videograin.settings import EditSettings, Sampler

STEPS = 6
SCHEDULE = NoiseSchedule.of(tiny_scheduler(), EditSettings(num_inference_steps=STEPS))
LATENTS = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
PICTURE = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))


def noise_in(latents: Tensor) -> Tensor:
    """A model that is neither right nor simple."""
    return torch.sin(latents) + 0.3 * latents.roll(1, -1)


def denoised(sampler: Sampler) -> Tensor:
    latents, before = LATENTS, None
    for level in SCHEDULE.timesteps:
        clean = SCHEDULE.step(noise_in(latents), level, SCHEDULE.below(level), latents)[1]
        now = Prediction(level, clean)
        latents = sampler_step(sampler, SCHEDULE, latents, now, before, PICTURE).latents.float()
        before = now
    return latents


def test_dpm_solver_is_diffusers_own() -> None:
    theirs: Any = DPMSolverMultistepScheduler.from_config(tiny_scheduler().config, final_sigmas_type="sigma_min")
    theirs.set_timesteps(timesteps=SCHEDULE.timesteps)
    latents = LATENTS
    for level in theirs.timesteps:
        latents = theirs.step(noise_in(latents), level, latents).prev_sample
    assert torch.allclose(denoised(Sampler.DPM_SOLVER), latents, atol=1e-4)


@pytest.mark.parametrize(("sampler", "kind"), [(Sampler.LCM, LCMScheduler), (Sampler.TCD, TCDScheduler)])
def test_distilled_samplers_are_diffusers_own(
    sampler: Sampler, kind: type[LCMScheduler | TCDScheduler], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs: Any = kind.from_config(tiny_scheduler().config, original_inference_steps=1000)
    theirs.set_timesteps(timesteps=SCHEDULE.timesteps, original_inference_steps=1000)
    monkeypatch.setattr(f"{kind.__module__}.randn_tensor", lambda *_, **__: PICTURE.expand_as(LATENTS))
    level, target = SCHEDULE.timesteps[:2]
    stepped = theirs.step(noise_in(LATENTS), level, LATENTS).prev_sample
    clean = SCHEDULE.step(noise_in(LATENTS), level, target, LATENTS)[1]
    ours = sampler_step(sampler, SCHEDULE, LATENTS, Prediction(level, clean), None, PICTURE).latents
    assert torch.allclose(ours.float(), stepped, atol=2e-3 if sampler == Sampler.LCM else 1e-4)


@pytest.mark.parametrize("sampler", [Sampler.DPM_SOLVER, Sampler.LCM, Sampler.TCD])
@pytest.mark.parametrize("index", [1, STEPS - 1])
def test_a_step_moves_with_its_clean_latents_as_its_slope_says(sampler: Sampler, index: int) -> None:
    levels = [*SCHEDULE.timesteps, CLEAN]
    before = Prediction(levels[index - 1], LATENTS.roll(1, 0))

    def step(clean: Tensor) -> tuple[Tensor, float]:
        done = sampler_step(sampler, SCHEDULE, LATENTS, Prediction(levels[index], clean), before, PICTURE)
        return done.latents, done.slope

    (here, slope), (there, _) = step(LATENTS), step(LATENTS + 1)
    assert torch.allclose(there - here, torch.full_like(here, slope), atol=1e-4)
