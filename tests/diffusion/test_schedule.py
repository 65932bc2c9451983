from typing import cast

import pytest
import torch
from diffusers import DDIMInverseScheduler
from fakes import tiny_scheduler

from videograin.diffusion.schedule import CLEAN, NoiseSchedule
from videograin.region import Convention, EditSettings, TimestepSpacing


def schedule(**settings) -> NoiseSchedule:
    return NoiseSchedule.of(tiny_scheduler(), EditSettings(**settings))


@pytest.mark.parametrize("strength", [0.02, 0.3, 0.75, 1.0])
@pytest.mark.parametrize("steps", [4, 7, 20, 30, 100, 1000])
def test_strength_is_the_noise_level_from_which_an_edit_starts(steps, strength):
    levels = schedule(num_inference_steps=steps, strength=strength).levels
    assert (levels[0], levels[-1]) == (CLEAN, 1000 * strength - 1)
    assert len(levels) == 1 + max(1, round(steps * strength))
    assert list(levels) == sorted(set(levels))


@pytest.mark.parametrize("steps", [4, 20, 50])
def test_trailing_and_leading_timesteps_are_those_of_diffusers(steps):
    for spacing in (TimestepSpacing.TRAILING, TimestepSpacing.LEADING):
        scheduler = tiny_scheduler()
        scheduler.register_to_config(timestep_spacing=spacing.value)
        scheduler.set_timesteps(steps)
        ours = schedule(num_inference_steps=steps, timestep_spacing=spacing)
        assert ours.timesteps == scheduler.timesteps.tolist()


def test_the_release_s_levels_go_up_from_the_clip_at_level_1():
    release = schedule(num_inference_steps=10, convention=Convention.RELEASE)
    assert release.levels == tuple(range(1, 1000, 100))
    assert [release.below(level) for level in (901, 101, 1)] == [801, 1, CLEAN]


def test_a_shorter_edit_of_whole_gaps_has_the_first_levels_of_the_whole_one():
    whole, part = (schedule(num_inference_steps=20, strength=strength) for strength in (1.0, 0.75))
    assert part.gap == whole.gap
    assert part.levels == whole.levels[:16]


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_steps_down_and_up_are_those_of_diffusers(kind):
    latents, noise = torch.randn(2, 1, 4, 2, 2)
    down = tiny_scheduler(kind)
    down.set_timesteps(10)
    up = cast(DDIMInverseScheduler, DDIMInverseScheduler.from_config(down.config))
    up.set_timesteps(10)
    ours = NoiseSchedule.of(down, EditSettings(num_inference_steps=10))
    for level, target in ((999, 899), (99, CLEAN)):
        expected = down.step(noise, level, latents, return_dict=False)
        assert all(map(torch.equal, ours.step(noise, level, target, latents), expected))
    assert torch.equal(ours.step(noise, 399, 499, latents)[0], up.step(noise, 499, latents, return_dict=False)[0])


def test_clean_latents_stay_clean_below_the_lowest_timestep():
    latents, noise = torch.randn(2, 1, 4, 2, 2)
    signal = tiny_scheduler().alphas_cumprod[500]
    assert schedule().noised(latents, noise, CLEAN) is latents
    expected = signal.sqrt() * latents + (1 - signal).sqrt() * noise
    assert torch.allclose(schedule().noised(latents, noise, 500), expected)
