from dataclasses import replace
from typing import Any

import pytest
import torch
from fakes import tiny_frames, tiny_pipeline, tiny_regions

from videograin.diffusion.attention.step import Forward, ForwardKind
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.windows import clip_edit
from videograin.diffusion.windows.anchor_bank import AnchorBank, BankRoom
from videograin.errors import SettingsError
from videograin.models.flops import controlnet_flops
from videograin.models.footprint import footprint, latent_grid
from videograin.models.memory import (
    PLANS,
    MemoryPlan,
    apply_plan,
    estimate_edit,
    free_bytes,
    leanest_plan,
    peak_bytes,
    plan_memory,
)
from videograin.models.speed.edit_flops import ForwardFlops
from videograin.models.time_left import GIB
from videograin.region import AttentionMode, Convention, EditRequest, EditSettings, TimestepSpacing

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
    for free, quickest in ((2 * peaks[0], PLANS[0]), (peaks[2], PLANS[2])):
        plan = plan_memory(pipeline, CLIP, SETTINGS, CUDA, free=free)
        assert (plan.frames_per_vae_batch, plan.offload) == (quickest.frames_per_vae_batch, quickest.offload)
        assert plan.fitted(SETTINGS) == SETTINGS


def test_what_cannot_fit_is_refused_with_the_frames_that_would(pipeline: VideoGrainPipeline) -> None:
    free = peak_bytes(pipeline, (5, 512, 512), SETTINGS, CUDA, PLANS[-1])
    full = replace(SETTINGS, attention_mode=AttentionMode.FULL)
    with pytest.raises(SettingsError, match=r"needs about .* GiB, .* free on cuda: choose fewer frames \(≤ 5\)"):
        plan_memory(pipeline, (16, 512, 512), full, CUDA, free)


def test_windows_are_shortened_until_they_fit(pipeline: VideoGrainPipeline) -> None:
    clip, nine = (100, 512, 512), replace(SETTINGS, window_frames=9)
    plan = plan_memory(pipeline, clip, SETTINGS, CUDA, free=peak_bytes(pipeline, clip, nine, CUDA, PLANS[-1]))
    assert plan.fitted(SETTINGS) == nine
    assert plan.offload == "model"
    with pytest.raises(SettingsError, match=r"choose fewer frames \(≤ 3\)"):
        plan_memory(pipeline, clip, SETTINGS, CUDA, peak_bytes(pipeline, (3, 512, 512), SETTINGS, CUDA, PLANS[-1]))


def test_the_bank_takes_half_of_what_is_left_of_the_device_and_the_rest_lies_on_the_host(
    pipeline: VideoGrainPipeline,
) -> None:
    clip, device = (40, 512, 512), CUDA
    needed = footprint(pipeline, clip, SETTINGS, device).bank
    peak = peak_bytes(pipeline, clip, SETTINGS, device, PLANS[0])
    room = plan_memory(pipeline, clip, SETTINGS, device, free=peak + needed).bank_room
    assert room == BankRoom(needed // 2, needed - needed // 2)
    assert plan_memory(pipeline, clip, SETTINGS, CPU, free=2**50).bank_room == BankRoom(0, needed)


def test_a_bank_without_room_costs_a_forward_of_the_anchors_in_each_window(pipeline: VideoGrainPipeline) -> None:
    clip, steps = (100, 16, 16), replace(SETTINGS, modulated_fraction=0.0)
    seconds = [
        estimate_edit(pipeline, clip, steps, CUDA, MemoryPlan(bank_room=room), speed=1e12).seconds
        for room in (BankRoom(2**40), BankRoom(0, 0))
    ]
    assert 1.1 * seconds[0] < seconds[1] < 1.4 * seconds[0]  # four anchors for each twelve frames


def test_of_many_anchors_all_are_counted() -> None:
    pipeline, settings = tiny_pipeline(1), replace(SETTINGS, window_frames=4, anchor_frames=8, window_overlap=0)
    forward = ForwardFlops.of(pipeline, (24, 64, 64), settings, lacking=0.0)
    of_one = controlnet_flops(pipeline.controlnets[0], 64, 64, latent_grid(pipeline, (24, 64, 64)))
    assert forward.control.total == (24 + 8) * of_one  # of which a window sees four


def test_a_clip_of_one_window_has_no_anchors_to_compute_again(pipeline: VideoGrainPipeline) -> None:
    seconds = [estimate_edit(pipeline, CLIP, SETTINGS, CUDA, plan, speed=1e12).seconds for plan in (None, PLANS[0])]
    assert seconds[0] == seconds[1]


def test_the_bank_holds_what_is_counted(pipeline: VideoGrainPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    banks: list[AnchorBank] = []
    monkeypatch.setattr(clip_edit, "AnchorBank", lambda room: banks.append(AnchorBank(room)) or banks[-1])
    settings = replace(SETTINGS, num_inference_steps=3, window_frames=6, anchor_frames=2)
    clip = tiny_frames(8)
    pipeline.edit(EditRequest(clip, tiny_regions(8), "a man and a dog", settings=settings))
    forwards = [Forward(kind, index) for kind in (ForwardKind.INVERT, ForwardKind.EDIT) for index in range(3)]
    held = sum(each.nbytes for forward in forwards for each in (banks[0].get(forward) or {}).values())
    assert held == footprint(pipeline, clip.shape[:3], settings, CPU).bank


def test_when_not_even_one_frame_fits_a_smaller_size_is_advised(pipeline: VideoGrainPipeline) -> None:
    with pytest.raises(SettingsError, match="choose a smaller size or another device"):
        plan_memory(pipeline, CLIP, SETTINGS, CUDA, free=1000)


def test_a_cpu_is_never_offloaded(pipeline: VideoGrainPipeline) -> None:
    with pytest.raises(SettingsError, match="free on cpu"):
        plan_memory(pipeline, CLIP, SETTINGS, CPU, free=1000)
    assert plan_memory(pipeline, CLIP, SETTINGS, CPU).offload == "none"


def test_the_leanest_plan_saves_wherever_it_can() -> None:
    assert leanest_plan(CUDA) == MemoryPlan(1, "model", chunk_divisor=8, bank_room=BankRoom(0, 0))
    assert leanest_plan(CPU) == MemoryPlan(1, "none", chunk_divisor=8, bank_room=BankRoom(0, 0))


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


@pytest.mark.parametrize(
    "shortcut",
    [
        {"guidance_end": 0.5},
        {"cache_interval": 3},
        {"key_frames": 1},
        {"inversion": False},
    ],
    ids=str,
)
def test_what_a_shortcut_leaves_out_is_not_estimated(pipeline: VideoGrainPipeline, shortcut: dict[str, Any]) -> None:
    exact, quick = (
        estimate_edit(pipeline, CLIP, each, CUDA, speed=1e12) for each in (SETTINGS, replace(SETTINGS, **shortcut))
    )
    assert quick.seconds < exact.seconds


def test_controlnets_that_serve_both_halves_are_counted_once() -> None:
    pipe, plain = tiny_pipeline(1), replace(SETTINGS, modulated_fraction=0.0)
    exact, shared = (
        estimate_edit(pipe, CLIP, replace(plain, shared_control=on), CUDA, speed=1e12).seconds for on in (False, True)
    )
    assert shared < exact
