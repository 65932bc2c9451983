from dataclasses import replace

import pytest
import torch
from fakes import tiny_pipeline

from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.errors import SettingsError
from videograin.models.memory import (
    GIB,
    PLANS,
    MemoryPlan,
    apply_plan,
    estimate_edit,
    free_bytes,
    leanest_plan,
    peak_bytes,
    plan_memory,
)
from videograin.region import Convention, EditSettings, TimestepSpacing

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
CLIP = (4, 64, 64)
SETTINGS = EditSettings(num_inference_steps=10)


@pytest.fixture(scope="module")
def pipeline() -> VideoGrainPipeline:
    return tiny_pipeline()


def test_twice_the_steps_take_twice_as_long(pipeline: VideoGrainPipeline) -> None:
    few, many = (estimate_edit(pipeline, CLIP, EditSettings(num_inference_steps=steps), CPU) for steps in (50, 100))
    assert many.seconds == pytest.approx(2 * few.seconds, rel=0.05)


def test_on_a_device_of_known_speed_nothing_is_timed(
    pipeline: VideoGrainPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videograin.models.memory.matmul_speed", lambda *_: pytest.fail("timed"))
    slow, quick = (estimate_edit(pipeline, CLIP, SETTINGS, CUDA, speed=speed).seconds for speed in (1e12, 2e12))
    assert slow == pytest.approx(2 * quick)


def test_starting_from_less_noise_saves_steps(pipeline: VideoGrainPipeline) -> None:
    whole, half = (estimate_edit(pipeline, CLIP, replace(SETTINGS, strength=share), CPU) for share in (1.0, 0.5))
    assert half.seconds < 0.75 * whole.seconds


def test_guidance_doubles_the_edit_but_not_the_inversion(pipeline: VideoGrainPipeline) -> None:
    plain = replace(SETTINGS, modulated_fraction=0.0)
    one, two = (estimate_edit(pipeline, CLIP, replace(plain, guidance_scale=scale), CPU) for scale in (1.0, 7.5))
    assert one.inversion_seconds == two.inversion_seconds
    edit = (one.seconds - one.inversion_seconds, two.seconds - two.inversion_seconds)
    assert 1.5 * edit[0] < edit[1] <= 2 * edit[0]


def test_modulation_and_injection_cost_time(pipeline: VideoGrainPipeline) -> None:
    leading = replace(SETTINGS, timestep_spacing=TimestepSpacing.LEADING)  # as many steps in both conventions
    variants = [
        replace(leading, modulated_fraction=0.0),
        replace(leading, convention=Convention.RELEASE),  # one half, and not at the largest grid
        leading,
        replace(leading, inject_steps=5),
    ]
    seconds = [estimate_edit(pipeline, CLIP, settings, CPU).seconds for settings in variants]
    assert seconds == sorted(set(seconds))


def test_peak_memory_is_weights_plus_what_grows_with_the_clip(pipeline: VideoGrainPipeline) -> None:
    peaks = [peak_bytes(pipeline, (frames, 64, 64), SETTINGS, CUDA, PLANS[0]) for frames in (100, 200, 300)]
    assert peaks[2] - peaks[1] == pytest.approx(peaks[1] - peaks[0], rel=1e-3)
    weights = sum(weight.nbytes for weight in pipeline.unet.parameters())
    assert 2 * peaks[0] - peaks[1] > weights


def test_controlnets_and_injected_features_need_memory() -> None:
    peaks = [peak_bytes(tiny_pipeline(count), CLIP, SETTINGS, CUDA, PLANS[0]) for count in (0, 1, 2)]
    assert peaks == sorted(set(peaks))


def test_each_leaner_plan_needs_less(pipeline: VideoGrainPipeline) -> None:
    few_frames = (4, 512, 512)  # so that decoding is the peak
    peaks = [peak_bytes(pipeline, few_frames, EditSettings(guidance_scale=1.0), CUDA, plan) for plan in PLANS]
    assert peaks[2] < peaks[1] <= peaks[0]


def test_the_quickest_plan_that_fits_is_chosen(pipeline: VideoGrainPipeline) -> None:
    peaks = [peak_bytes(pipeline, CLIP, SETTINGS, CUDA, plan) for plan in PLANS]
    assert plan_memory(pipeline, CLIP, SETTINGS, CUDA, free=2 * peaks[0]) == PLANS[0]
    assert plan_memory(pipeline, CLIP, SETTINGS, CUDA, free=peaks[2]) == PLANS[2]


def test_what_cannot_fit_is_refused_with_the_frames_that_would(pipeline: VideoGrainPipeline) -> None:
    free = peak_bytes(pipeline, (5, 512, 512), SETTINGS, CUDA, PLANS[-1])
    with pytest.raises(SettingsError, match=r"needs about .* GiB, .* free on cuda: choose fewer frames \(≤ 5\)"):
        plan_memory(pipeline, (16, 512, 512), SETTINGS, CUDA, free)


def test_when_not_even_one_frame_fits_a_smaller_size_is_advised(pipeline: VideoGrainPipeline) -> None:
    with pytest.raises(SettingsError, match="choose a smaller size or another device"):
        plan_memory(pipeline, CLIP, SETTINGS, CUDA, free=1000)


def test_a_cpu_is_never_offloaded(pipeline: VideoGrainPipeline) -> None:
    with pytest.raises(SettingsError, match="free on cpu"):
        plan_memory(pipeline, CLIP, SETTINGS, CPU, free=1000)
    assert plan_memory(pipeline, CLIP, SETTINGS, CPU).offload == "none"


def test_the_leanest_plan_saves_wherever_it_can() -> None:
    assert leanest_plan(CUDA) == MemoryPlan(1, "model", chunk_divisor=8)
    assert leanest_plan(CPU) == MemoryPlan(1, "none", chunk_divisor=8)


def test_a_plan_is_applied(pipeline: VideoGrainPipeline) -> None:
    apply_plan(pipeline, MemoryPlan(2), CPU)
    assert pipeline.frames_per_vae_batch == 2


def test_free_memory_of_this_machine_is_plausible() -> None:
    assert 2**20 < free_bytes(CPU) < 2**14 * GIB


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_an_offloaded_pipeline_comes_back_to_the_device() -> None:
    pipeline = tiny_pipeline()
    apply_plan(pipeline, PLANS[2], CUDA)
    assert pipeline.unet.device.type == "cpu"
    apply_plan(pipeline, PLANS[0], CUDA)
    assert pipeline.unet.device.type == "cuda"
