import copy
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from diffusers import DDIMInverseScheduler, LCMScheduler, PNDMScheduler, StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor2_0
from diffusers.utils import convert_state_dict_to_diffusers
from fakes import FRAMES, SIZE, TEXT_WIDTH, box, tiny_frames, tiny_pipeline, tiny_regions, tiny_scheduler
from original_layout import original_checkpoint
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor

from videograin.diffusion.attention.processors import SelfAttentionProcessor, install_layout_attention
from videograin.diffusion.attention.step import AttentionStep
from videograin.diffusion.denoiser import Conditioning, Control, Denoiser
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.schedule import NoiseSchedule
from videograin.errors import Cancelled, ModelError, PromptError, RegionError, SettingsError
from videograin.files.tensor_cache import TensorCache
from videograin.progress import Phase, Progress
from videograin.region import (
    MAX_REGIONS,
    AttentionMode,
    ControlGuidance,
    ControlKind,
    Convention,
    EditRequest,
    EditResult,
    EditSettings,
    Region,
    TimestepSpacing,
)
from videograin.settings import Sampler

SOURCE = "a man and a dog on grass"
STEPS = 4


@pytest.fixture(scope="module")
def pipe() -> VideoGrainPipeline:
    return tiny_pipeline()


def edit(pipe: VideoGrainPipeline, regions: list[Region] | None = None, **options) -> EditResult:
    """A short edit of the tiny clip, latents only unless the options say otherwise."""
    defaults = {"frames": tiny_frames(), "source_prompt": SOURCE, "num_inference_steps": STEPS, "output_type": "latent"}
    return pipe(regions=tiny_regions() if regions is None else regions, **(defaults | options))


class Calls:
    """The batch sizes of a UNet's forwards."""

    def __init__(self, pipe: VideoGrainPipeline) -> None:
        self.batches: list[int] = []
        pipe.unet.register_forward_pre_hook(lambda _unet, inputs: self.batches.append(len(inputs[0])))

    def take(self) -> list[int]:
        seen, self.batches = self.batches, []
        return seen


# The plain pipeline


def plain_edit(pipe: VideoGrainPipeline, source: str, target: str, guidance: float) -> Tensor:
    """DDIM inversion and denoising by diffusers' own parts, frame by frame: latents (F, 4, h, w)."""
    unet = copy.deepcopy(pipe.unet)
    unet.set_attn_processor(AttnProcessor2_0())
    prompts = pipe.tokenizer(["", source, target], padding="max_length", return_tensors="pt")
    empty, before, after = pipe.text_encoder(prompts.input_ids).last_hidden_state.repeat(FRAMES, 1, 1, 1).unbind(1)
    pixels = torch.from_numpy(tiny_frames()).permute(0, 3, 1, 2) / 127.5 - 1
    latents = pipe.vae.encode(pixels).latent_dist.mean.contiguous() * pipe.vae.config.scaling_factor
    pipe.scheduler.set_timesteps(STEPS)
    timesteps = pipe.scheduler.timesteps
    inverse = cast(DDIMInverseScheduler, DDIMInverseScheduler.from_config(pipe.scheduler.config))
    inverse.set_timesteps(STEPS)
    for lower, upper in zip(timesteps.flip(0)[:-1], timesteps.flip(0)[1:], strict=True):
        latents = inverse.step(unet(latents, lower, before).sample, int(upper), latents, return_dict=False)[0]
    for timestep in timesteps:
        both = unet(torch.cat([latents, latents]), timestep, torch.cat([empty, after])).sample
        unconditional, conditional = both.chunk(2)
        noise_pred = unconditional + guidance * (conditional - unconditional)
        latents = pipe.scheduler.step(noise_pred, int(timestep), latents).prev_sample
    return latents


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@torch.no_grad()
def test_with_everything_off_it_is_the_plain_pipeline_bit_for_bit(kind):
    pipe = tiny_pipeline(prediction_type=kind)
    region = Region(box(2, 2, 8, 12), "a red panda")  # the whole prompt, so that its local embeddings are the same
    result = edit(
        pipe,
        [region],
        guidance_scale=3.0,
        self_strength=0.0,
        cross_strength=0.0,
        attention_mode=AttentionMode.PER_FRAME,
        timestep_spacing=TimestepSpacing.LEADING,
        trajectory_attention=False,
        blend_background=False,
    )
    assert torch.equal(result.latents, plain_edit(pipe, SOURCE, "a red panda", 3.0))


def test_attention_that_was_replaced_is_refused_and_not_left_without_regions():
    pipe = tiny_pipeline()
    expected = edit(pipe).latents
    pipe.enable_attention_slicing()
    with pytest.raises(SettingsError, match="SlicedAttnProcessor"):
        edit(pipe)
    install_layout_attention(pipe.unet)
    assert torch.equal(edit(pipe).latents, expected)


def test_freeu_leaves_no_trace_in_the_edits_after_it(pipe):
    before, _, after = (edit(pipe, freeu=is_on).latents for is_on in (False, True, False))
    assert torch.equal(before, after)


def test_tokens_have_the_neighbours_that_the_release_gives_them_at_each_resolution(pipe, monkeypatch):
    windows, forward = {}, Denoiser.predict_noise

    def watched(self: Denoiser, latents: Tensor, timestep: int, conditioning, step: AttentionStep) -> Tensor:
        windows.update({tokens: paths.window for tokens, paths in step.trajectories.items()})
        return forward(self, latents, timestep, conditioning, step)

    monkeypatch.setattr(Denoiser, "predict_noise", watched)
    edit(pipe, num_inference_steps=1, trajectory_levels=2)
    assert windows == {64: 5, 16: 3}


@pytest.mark.parametrize(
    "option",
    [
        {"self_strength": 0.0},
        {"cross_strength": 0.0},
        {"modulated_fraction": 0.0},
        {"trajectory_attention": False},
        {"trajectory_levels": 2},
        {"freeu": True},
        {"temporal_smoothing": 1.0},
        {"blend_background": False},
        {"joint_group_norm": True},
        {"attention_mode": AttentionMode.SPARSE_CAUSAL},
        {"attention_mode": AttentionMode.PER_FRAME},
        {"convention": Convention.RELEASE},
        {"guidance_scale": 1.0},
        {"negative_prompt": "grass"},
        {"source_prompt": "a fox"},
        {"background": "in snow"},
        {"mask_growth": 2},
        {"seed": 1},
        {"strength": 0.5},
        {"timestep_spacing": TimestepSpacing.LEADING},
        {"sampler": Sampler.DPM_SOLVER},
        {"sampler": Sampler.LCM},
        {"guidance_start": 0.5},
        {"guidance_end": 0.5},
        {"cache_interval": 2},
        {"inversion": False},
        {"modulated_fraction": 0.0, "key_frames": 1},
    ],
    ids=str,
)
def test_every_option_changes_the_result_and_keeps_it_finite(pipe, option):
    options = {"modulated_fraction": 1.0} | option
    latents = edit(pipe, **options).latents
    assert latents.isfinite().all()
    assert not torch.allclose(latents, edit(pipe, modulated_fraction=1.0).latents, atol=1e-4)


def test_injection_into_a_unet_without_the_layers_is_refused():
    with pytest.raises(SettingsError, match="inject_steps is 1 but this UNet lacks the layers"):
        edit(tiny_pipeline(), inject_steps=1)


def test_features_of_the_inversion_are_injected():
    pipe = tiny_pipeline(widths=(8, 8, 8, 8))
    assert not torch.allclose(edit(pipe, inject_steps=2).latents, edit(pipe).latents, atol=1e-4)


# The source outside the regions


def test_away_from_the_prompted_regions_the_source_comes_back_exactly(pipe):
    regions = [Region(box(2, 2, 6, 6), "a red panda"), Region(box(12, 0, 16, 16))]  # kept ones are the source's too
    latents = edit(pipe, regions).latents
    pixels = torch.from_numpy(tiny_frames()).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        source = pipe.vae.encode(pixels).latent_dist.mean * pipe.vae.config.scaling_factor
    changed = (latents != source).any(1)
    assert changed[:, 1:3, 1:3].all()
    assert not changed[:, 4:].any()
    assert not changed[:, :, 4:].any()


def test_beside_an_edited_region_nothing_is_left_of_the_old_object(pipe):
    old, region = tiny_frames(), Region(box(4, 4, 8, 8), "a red panda")
    another = np.where(region.masks[..., None], 255 - old, old)
    beside = torch.zeros(8, 8, dtype=torch.bool)
    beside[1:5, 1:5] = True
    beside[2:4, 2:4] = False  # the region itself
    first, second = (edit(pipe, [region], frames=frames).latents[..., beside] for frames in (old, another))
    assert torch.equal(first, second)
    release = [edit(pipe, [region], frames=frames, convention=Convention.RELEASE).latents for frames in (old, another)]
    assert not torch.equal(release[0][..., beside], release[1][..., beside])


def test_outside_the_prompted_regions_every_step_is_the_noised_source(pipe):
    seen: list[tuple[int, Tensor]] = []

    def note(_pipe: VideoGrainPipeline, _index: int, timestep: int, values: dict[str, Tensor]) -> dict[str, Tensor]:
        seen.append((timestep, values["latents"]))
        return values

    final = edit(pipe, callback_on_step_end=note, seed=3).latents
    outside = ~torch.from_numpy(np.any([region.masks for region in tiny_regions()], 0))[:, None, ::2, ::2]
    outside = outside.expand_as(final)
    generator = torch.Generator().manual_seed(3)
    schedule = NoiseSchedule.of(pipe.scheduler, EditSettings(num_inference_steps=STEPS))
    for timestep, latents in seen:
        noise = torch.randn(final.shape, generator=generator)
        # What stays outside is what is there in the end.
        expected = schedule.noised(final, noise, timestep - 1000 // STEPS)
        assert torch.equal(latents[outside], expected[outside])


@pytest.mark.parametrize("convention", Convention)
def test_a_kept_region_inside_an_edited_one_is_the_source_to_the_last_pixel(pipe, convention):
    face = box(6, 6, 10, 10)
    regions = [Region(box(2, 2, 14, 14), "a red panda"), Region(face)]
    frames = edit(pipe, regions, mask_growth=2, convention=convention, output_type="np").frames
    assert np.array_equal(frames[face], tiny_frames()[face])
    assert not np.array_equal(frames[box(2, 2, 14, 5)], tiny_frames()[box(2, 2, 14, 5)])


def test_an_edited_region_inside_a_kept_one_changes(pipe):
    shirt = box(6, 6, 10, 10)
    frames = edit(pipe, [Region(box(2, 2, 14, 14)), Region(shirt, "a red panda")], output_type="np").frames
    changed = (frames != tiny_frames()).any(-1)
    assert changed[shirt].any()
    assert not changed[~shirt].any()


def test_the_edited_part_grows_by_pixels(pipe):
    """From 6..7 to 2..11, which are cells 1 to 5; those beside them keep the frame without the object."""
    source = edit(pipe, [Region(box(0, 0, 1, 1), "a fox")]).latents  # all but one cell is the source
    changed = (edit(pipe, [Region(box(6, 6, 8, 8), "a fox")], mask_growth=4).latents != source).any(1)
    rows, columns = changed[0, 1:, 1:].nonzero().T
    assert (rows.min() + 1, rows.max() + 1) == (columns.min() + 1, columns.max() + 1) == (1, 6)


# Regions


def test_the_order_of_regions_does_not_matter(pipe):
    target = "a red panda and a blue fire engine"
    regions = [*tiny_regions(), Region(box(0, 12, 4, 16), "panda", strength=2.0)]
    one = edit(pipe, regions, target_prompt=target, modulated_fraction=1.0)
    other = edit(pipe, regions[::-1], target_prompt=target, modulated_fraction=1.0)
    assert torch.allclose(one.latents, other.latents, atol=1e-5)


def test_the_strength_of_a_region_counts(pipe):
    left, right = tiny_regions()
    weaker = [replace(left, strength=0.2), right]
    assert not torch.allclose(edit(pipe, weaker).latents, edit(pipe).latents, atol=1e-4)


@pytest.mark.parametrize("count", [32, MAX_REGIONS])
def test_as_many_regions_as_are_allowed_are_edited(pipe, count):
    masks = np.random.default_rng(0).random((count, FRAMES, SIZE, SIZE)) < 0.2
    regions = [Region(mask, "panda") for mask in masks]
    assert edit(pipe, regions, target_prompt="a panda", num_inference_steps=2).latents.isfinite().all()


def test_one_region_more_is_refused(pipe):
    with pytest.raises(RegionError, match=f"{MAX_REGIONS + 1} regions; at most {MAX_REGIONS}"):
        edit(pipe, [Region(box(2, 2, 8, 8), "panda")] * (MAX_REGIONS + 1))


def test_a_region_may_be_absent_from_some_frames(pipe):
    masks = box(2, 2, 8, 8)
    masks[1] = False
    latents = edit(pipe, [Region(masks, "a fox")]).latents
    whole = edit(pipe, [Region(box(2, 2, 8, 8), "a fox")]).latents
    same = (latents == whole)[1, :, 1:4, 1:4]
    assert not same.any()


def test_a_clip_of_one_frame_is_edited(pipe):
    result = edit(pipe, tiny_regions(frames=1), frames=tiny_frames(1), output_type="np")
    assert result.frames.shape == (1, SIZE, SIZE, 3)


# Words


def test_the_target_prompt_is_composed_or_given(pipe):
    assert edit(pipe, background="on grass").target_prompt == "a red panda and a blue fire engine on grass"
    given = "On grass a blue fire engine, a red panda"
    assert edit(pipe, target_prompt=given).target_prompt == given


def test_a_phrase_that_is_not_in_the_given_prompt_is_named(pipe):
    with pytest.raises(PromptError, match="'a blue fire engine' is not in the target prompt 'a red panda'"):
        edit(pipe, target_prompt="a red panda")


def test_the_weight_of_a_word_counts(pipe):
    left, right = tiny_regions()
    weighted = edit(pipe, [replace(left, prompt="a (red:1.5) panda"), right])
    assert weighted.target_prompt == "a (red:1.5) panda and a blue fire engine"
    assert not torch.allclose(weighted.latents, edit(pipe).latents, atol=1e-4)
    plain = edit(pipe, [replace(left, prompt="a (red:1) panda"), right])
    assert torch.equal(plain.latents, edit(pipe).latents)


def test_a_prompt_of_punctuation_names_its_region(pipe):
    left, right = tiny_regions()
    with pytest.raises(PromptError, match="Region 'left': its prompt '!!!' is punctuation alone"):
        edit(pipe, [replace(left, prompt="!!!"), right])


def test_words_that_were_cut_off_are_told(pipe):
    long = "a red panda and a blue fire engine" + " on grass" * 40
    (warning,) = edit(pipe, target_prompt=long).warnings
    assert warning.startswith("The prompt is too long; these words were left out: ")
    assert warning.endswith("on grass on grass")
    assert edit(pipe).warnings == ()
    told = edit(pipe, source_prompt=SOURCE + " on grass" * 36, negative_prompt="a " * 75 + "fox").warnings
    assert told == (
        "The source prompt is too long; these words were left out: on grass on grass",
        "The negative prompt is too long; these words were left out: fox",
    )


def test_in_the_release_the_negative_prompt_reaches_the_controlnet_alone():
    pipe = tiny_pipeline(controlnets=1)
    release: dict[str, Any] = {"convention": Convention.RELEASE}
    without = edit(pipe, **release).latents
    assert torch.equal(edit(pipe, negative_prompt="grass", **release).latents, without)
    control: dict[str, Any] = {"control_images": [tiny_frames()], **release}
    assert not torch.allclose(
        edit(pipe, negative_prompt="grass", **control).latents, edit(pipe, **control).latents, atol=1e-4
    )


def test_textual_inversions_of_several_vectors_are_found_in_the_prompt():
    pipe = tiny_pipeline()
    vectors = torch.randn(2, TEXT_WIDTH)
    pipe.load_textual_inversion({"<cat>": vectors}, token="<cat>")
    regions = [Region(box(2, 2, 8, 12), "a <cat>"), Region(box(8, 2, 14, 12), "a red panda")]
    one = edit(pipe, regions)
    assert one.target_prompt == "a <cat> and a red panda"
    pipe.unload_textual_inversion()
    pipe.load_textual_inversion({"<cat>": -vectors}, token="<cat>")
    assert not torch.allclose(edit(pipe, regions).latents, one.latents, atol=1e-4)


# ControlNets


@pytest.mark.parametrize("count", [1, 2])
def test_each_controlnet_hears_its_own_images(count):
    pipe = tiny_pipeline(controlnets=count)
    images = [tiny_frames() // (i + 1) for i in range(count)]
    with_images = edit(pipe, control_images=images).latents
    assert not torch.allclose(with_images, edit(pipe).latents, atol=1e-4)
    assert torch.equal(edit(pipe, control_images=images, controlnet_conditioning_scale=0.0).latents, edit(pipe).latents)
    for i in range(count):
        others = [255 - image if i == j else image for j, image in enumerate(images)]
        assert not torch.allclose(edit(pipe, control_images=others).latents, with_images, atol=1e-4)


def test_a_controlnet_acts_in_its_part_of_the_steps():
    pipe = tiny_pipeline(controlnets=1)
    seen: list[int] = []
    pipe.controlnet.register_forward_pre_hook(lambda _net, inputs: seen.append(inputs[1]))
    guidance = [ControlGuidance(ControlKind.CANNY, scale=0.5, start=0.25, end=0.75)]
    edit(pipe, control_images=[tiny_frames()], control_guidance=guidance)
    assert seen == [499, 749, 749, 499]  # up, then down again, of 999, 749, 499 and 249


@pytest.mark.parametrize(("controlnets", "images"), [(0, 1), (1, 2), (2, 1)])
def test_another_number_of_control_images_than_controlnets_is_refused(controlnets, images):
    with pytest.raises(SettingsError, match=f"{images} sets of control images for {controlnets} ControlNets"):
        edit(tiny_pipeline(controlnets=controlnets), control_images=[tiny_frames()] * images)


# Arguments that do not fit


def test_frames_that_the_vae_cannot_halve_are_refused(pipe):
    frames = tiny_frames()[:, :15]
    regions = [Region(box(2, 2, 8, 12)[:, :15], "a fox")]
    with pytest.raises(SettingsError, match="Frames are 16×15; both sides must be multiples of 2"):
        edit(pipe, regions, frames=frames)


def test_masks_of_another_size_are_refused(pipe):
    with pytest.raises(RegionError, match=r"'a fox': masks have shape .* but the clip is"):
        edit(pipe, [Region(box(2, 2, 8, 12, frames=FRAMES + 1), "a fox")])


def test_a_setting_out_of_range_is_refused_before_any_work(pipe):
    calls = Calls(pipe)
    with pytest.raises(SettingsError, match="strength is 2"):
        edit(pipe, strength=2.0)
    assert calls.take() == []


# Randomness and results


def test_the_seed_or_the_generator_fixes_the_result(pipe):
    one = edit(pipe, seed=7).latents
    assert torch.equal(edit(pipe, seed=7).latents, one)
    assert torch.equal(edit(pipe, generator=torch.Generator().manual_seed(7)).latents, one)


def test_frames_are_the_decoded_latents(pipe):
    latents, result = (edit(pipe, output_type=kind, blend_background=False) for kind in ("latent", "np"))
    assert torch.equal(latents.latents, result.latents)
    assert latents.frames.shape == (0, SIZE, SIZE, 3)
    with torch.no_grad():
        pixels = pipe.vae.decode(result.latents / pipe.vae.config.scaling_factor).sample
    expected = ((pixels / 2 + 0.5).clamp(0, 1) * 255).round().permute(0, 2, 3, 1)
    assert result.frames.dtype == np.uint8
    assert np.abs(result.frames - expected.numpy()).max() <= 1
    assert result.seconds > 0


def test_finished_frames_are_handed_out_as_they_are_decoded():
    request = EditRequest(tiny_frames(), tiny_regions(), SOURCE, settings=EditSettings(num_inference_steps=STEPS))
    pipe = tiny_pipeline()
    pipe.frames_per_vae_batch = 2
    finished: list[np.ndarray] = []
    result = pipe.edit(request, callback_on_frames=finished.append)
    assert [len(frames) for frames in finished] == [2, 1]
    assert np.array_equal(np.concatenate(finished), result.frames)


def test_a_keyword_that_is_no_setting_is_an_error(pipe):
    with pytest.raises(TypeError, match="unexpected keyword argument 'steps'"):
        edit(pipe, steps=3)


def test_far_from_the_edited_region_the_frames_are_the_source(pipe):
    left = tiny_regions()[0]
    result = edit(pipe, [left], output_type="np").frames
    far = np.arange(SIZE) >= 12  # the region ends at column 8, the edit fades out over 4 more
    assert np.array_equal(result[:, :, far], tiny_frames()[:, :, far])
    assert not np.array_equal(result[left.masks], tiny_frames()[left.masks])


def test_without_guidance_there_is_one_half():
    pipe = tiny_pipeline()
    calls = Calls(pipe)
    edit(pipe, guidance_scale=1.0)
    assert calls.take() == [FRAMES] * (2 * STEPS)
    edit(pipe)
    assert calls.take() == [FRAMES] * STEPS + [2 * FRAMES] * STEPS
    edit(pipe, guidance_start=0.25, guidance_end=0.5)
    assert calls.take() == [FRAMES] * STEPS + [FRAMES, 2 * FRAMES, FRAMES, FRAMES]
    edit(pipe, inversion=False)
    assert calls.take() == [2 * FRAMES] * STEPS


def test_injection_without_an_inversion_is_refused(pipe):
    with pytest.raises(SettingsError, match="without an inversion there are no features to inject"):
        edit(pipe, inversion=False, inject_steps=1)


def test_what_the_controlnet_makes_of_the_target_prompt_may_serve_both_halves():
    pipe = tiny_pipeline(1)
    batches: list[int] = []
    pipe.controlnet.register_forward_pre_hook(lambda _net, inputs: batches.append(len(inputs[0])))
    exact, shared = (edit(pipe, control_images=[tiny_frames()], shared_control=on).latents for on in (False, True))
    assert batches == [*[FRAMES] * STEPS, *[2 * FRAMES] * STEPS, *[FRAMES] * 2 * STEPS]
    assert not torch.equal(exact, shared)
    texts = {"negative_prompt": "a red panda", "target_prompt": "a red panda", "regions": tiny_regions()[:1]}
    exact, shared = (
        edit(pipe, control_images=[tiny_frames()], shared_control=on, **texts).latents for on in (False, True)
    )
    assert torch.equal(exact, shared)


def test_a_checkpoint_made_for_few_steps_says_so_in_its_edits_by_ddim():
    parts: dict[str, Any] = tiny_pipeline().components
    parts["scheduler"] = LCMScheduler.from_config(tiny_scheduler().config)
    made = VideoGrainPipeline(**parts)
    assert "made for the sampler 'lcm'" in " ".join(edit(made).warnings)
    assert not edit(made, sampler=Sampler.LCM, guidance_scale=1.0).warnings


def test_strength_shortens_inversion_and_denoising():
    pipe = tiny_pipeline()
    calls = Calls(pipe)
    edit(pipe, num_inference_steps=10, strength=0.3)
    assert calls.take() == [FRAMES] * 3 + [2 * FRAMES] * 3


# Callbacks, progress and interruption


def test_the_callback_follows_every_step_and_may_replace_the_latents(pipe):
    steps: list[tuple[int, int]] = []

    def clear(caller: VideoGrainPipeline, index: int, timestep: int, values: dict[str, Tensor]) -> dict[str, Tensor]:
        assert caller is pipe
        steps.append((index, timestep))
        return {"latents": torch.zeros_like(values["latents"])}

    assert not edit(pipe, callback_on_step_end=clear).latents.any()
    assert steps == [(0, 999), (1, 749), (2, 499), (3, 249)]


def test_the_callback_sees_the_clean_latents_that_each_step_predicts(pipe):
    predicted: list[Tensor] = []

    def note(_pipe: VideoGrainPipeline, _index: int, _step: int, values: dict[str, Tensor]) -> dict[str, Tensor]:
        predicted.append(values["pred_original_sample"])
        return {}

    final = edit(pipe, callback_on_step_end=note).latents
    distances = [float((clean - final).abs().mean()) for clean in predicted]
    assert len(distances) == STEPS
    assert distances == sorted(distances, reverse=True)


def test_a_callback_that_returns_nothing_new_changes_nothing(pipe):
    assert torch.equal(edit(pipe, callback_on_step_end=lambda *_: {}).latents, edit(pipe).latents)


def test_phases_are_reported_in_their_order(pipe):
    seen: list[Progress] = []
    edit(pipe, report=seen.append, output_type="np")
    phases = [Phase.ENCODE, Phase.INVERT, Phase.EDIT, Phase.DECODE]
    assert list(dict.fromkeys(progress.phase for progress in seen)) == phases
    assert all(any(p.phase == phase and p.done == p.total for p in seen) for phase in phases)


def test_a_callback_interrupts_before_the_next_step():
    pipe = tiny_pipeline()
    calls = Calls(pipe)

    def stop(caller: VideoGrainPipeline, index: int, _timestep: int, values: dict[str, Tensor]) -> dict[str, Tensor]:
        if index == 1:
            caller.interrupt()
        return values

    with pytest.raises(Cancelled):
        edit(pipe, callback_on_step_end=stop)
    assert calls.take() == [FRAMES] * STEPS + [2 * FRAMES] * 2
    assert edit(pipe).latents.isfinite().all()  # the next edit runs again


@pytest.mark.parametrize(("phase", "kept"), [(Phase.INVERT, 0), (Phase.EDIT, 1)])
def test_another_thread_interrupts_and_leaves_whole_cache_files_only(tmp_path, phase, kept):
    pipe = tiny_pipeline()
    pipe.inversion_cache = TensorCache(tmp_path)
    calls = Calls(pipe)

    def stop(progress: Progress) -> None:
        if progress.phase == phase and progress.done == 1:
            thread = threading.Thread(target=pipe.interrupt)
            thread.start()
            thread.join()

    with pytest.raises(Cancelled):
        edit(pipe, report=stop)
    assert calls.take() == [FRAMES] * (1 if phase == Phase.INVERT else STEPS) + [2 * FRAMES] * kept
    files = list(tmp_path.iterdir())
    assert len(files) == kept
    assert all(pipe.inversion_cache.load(file.stem) is not None for file in files)


def test_smoothing_follows_motion_whether_or_not_attention_does(pipe):
    apart = edit(pipe, trajectory_attention=False)
    assert not torch.allclose(
        edit(pipe, trajectory_attention=False, temporal_smoothing=1.0).latents, apart.latents, atol=1e-4
    )


# The cache of inversions


@pytest.fixture
def caching(tmp_path) -> tuple[VideoGrainPipeline, Calls]:
    """A pipeline that has edited the clip once, and the forwards since."""
    pipe = tiny_pipeline(controlnets=1)
    pipe.inversion_cache = TensorCache(tmp_path / "cache")
    edit(pipe)
    return pipe, Calls(pipe)


def inversion_steps(calls: Calls) -> int:
    return calls.take().count(FRAMES)


def test_the_second_edit_of_a_clip_needs_no_inversion_and_comes_out_the_same(caching):
    pipe, calls = caching
    again = edit(pipe).latents
    assert inversion_steps(calls) == 0
    pipe.inversion_cache = None
    assert torch.equal(edit(pipe).latents, again)


@pytest.mark.parametrize(
    "option",
    [
        {"target_prompt": "a red panda, a blue fire engine in snow"},
        {"negative_prompt": "grass"},
        {"guidance_scale": 2.0},
        {"self_strength": 1.0},
        {"strength": 0.5},
        {"temporal_smoothing": 1.0},
        {"seed": 5},
    ],
    ids=str,
)
def test_other_words_and_settings_of_the_edit_need_no_inversion(caching, option):
    pipe, calls = caching
    edit(pipe, **option)
    assert inversion_steps(calls) == 0


@pytest.mark.parametrize(
    "option",
    [
        {"source_prompt": "a man"},
        {"frames": tiny_frames()[::-1]},
        {"control_images": [tiny_frames()]},
        {"attention_mode": AttentionMode.PER_FRAME},
        {"joint_group_norm": True},
        {"trajectory_attention": False},
        {"strength": 0.7},
        {"key_frames": 1},
        {"cache_interval": 2},
    ],
    ids=lambda option: next(iter(option)),
)
def test_whatever_the_inversion_follows_from_needs_a_new_one(caching, option):
    pipe, calls = caching
    edit(pipe, **option)
    assert (
        inversion_steps(calls) == EditSettings(num_inference_steps=STEPS, strength=option.get("strength", 1)).steps_run
    )


def test_other_control_images_or_another_scale_need_a_new_inversion(caching):
    pipe, calls = caching
    for images, scale in [(tiny_frames(), 1.0), (255 - tiny_frames(), 1.0), (tiny_frames(), 0.5)]:
        edit(pipe, control_images=[images], controlnet_conditioning_scale=scale)
        assert inversion_steps(calls) == STEPS
    edit(pipe, control_images=[tiny_frames()])
    assert inversion_steps(calls) == 0


def test_other_weights_need_a_new_inversion(caching):
    pipe, calls = caching
    with torch.no_grad():
        pipe.unet.conv_in.bias += 1e-3
    edit(pipe)
    assert inversion_steps(calls) == STEPS


def test_a_longer_inversion_goes_on_from_the_known_one(tmp_path):
    pipe = tiny_pipeline()
    pipe.inversion_cache = TensorCache(tmp_path)
    calls = Calls(pipe)
    edit(pipe, strength=0.5)
    assert inversion_steps(calls) == 2
    latents = edit(pipe).latents
    assert inversion_steps(calls) == STEPS - 2
    pipe.inversion_cache = None
    assert torch.equal(edit(pipe).latents, latents)


def test_a_damaged_cache_file_is_made_anew(caching):
    pipe, calls = caching
    (file,) = pipe.inversion_cache.folder.iterdir()
    file.write_bytes(b"damaged")
    edit(pipe)
    assert inversion_steps(calls) == STEPS
    edit(pipe)
    assert inversion_steps(calls) == 0


# Loading and saving


def test_a_saved_pipeline_loads_again(tmp_path):
    for controlnets in range(3):
        pipe = tiny_pipeline(controlnets)
        folder = tmp_path / str(controlnets)
        pipe.save_pretrained(folder)
        loaded = VideoGrainPipeline.from_pretrained(folder)
        images: dict[str, Any] = {"control_images": [tiny_frames()] * controlnets}
        assert torch.equal(edit(loaded, **images).latents, edit(pipe, **images).latents)


@pytest.fixture
def stable_diffusion(tmp_path) -> Path:
    """A folder as Stable Diffusion comes in, with PNDM as scheduler."""
    parts: dict[str, Any] = tiny_pipeline().components
    parts |= {"scheduler": PNDMScheduler.from_config(tiny_scheduler().config)}
    parts |= {"safety_checker": None, "feature_extractor": None}
    del parts["controlnet"]
    pipe = StableDiffusionPipeline(**parts, requires_safety_checker=False)
    pipe.save_pretrained(tmp_path / "sd")
    return tmp_path / "sd"


def test_a_stable_diffusion_folder_loads_with_and_without_controlnet(stable_diffusion):
    loaded = VideoGrainPipeline.from_pretrained(stable_diffusion)
    assert torch.equal(edit(loaded).latents, edit(tiny_pipeline()).latents)
    assert any(isinstance(x, SelfAttentionProcessor) for x in loaded.unet.attn_processors.values())
    other = tiny_pipeline(controlnets=1)
    loaded = VideoGrainPipeline.from_pretrained(stable_diffusion, controlnet=other.controlnet)
    images: dict[str, Any] = {"control_images": [tiny_frames()]}
    assert torch.equal(edit(loaded, **images).latents, edit(other, **images).latents)


def test_a_model_that_predicts_something_else_is_refused():
    parts: dict[str, Any] = tiny_pipeline().components | {"scheduler": tiny_scheduler("sample")}
    with pytest.raises(ModelError, match="The model predicts 'sample'; only epsilon and v_prediction"):
        VideoGrainPipeline(**parts)


def test_a_checkpoint_in_the_original_layout_loads(tmp_path):
    pipe = tiny_pipeline(widths=(8, 8, 8, 8))
    pipe.save_pretrained(tmp_path / "config")
    save_file(original_checkpoint(pipe), tmp_path / "model.safetensors")
    loaded = VideoGrainPipeline.from_single_file(tmp_path / "model.safetensors", config=str(tmp_path / "config"))
    for part in ("unet", "vae", "text_encoder"):
        ours, theirs = (getattr(pipeline, part).state_dict() for pipeline in (pipe, loaded))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert torch.allclose(edit(loaded).latents, edit(pipe).latents, atol=1e-3)


@pytest.fixture
def lora_file(tmp_path) -> Iterator[Path]:
    """A LoRA of random numbers for the attention of the tiny UNet."""
    unet = tiny_pipeline().unet
    unet.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=["to_q", "to_v"]))
    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(unet))
    VideoGrainPipeline.save_lora_weights(tmp_path / "lora", unet_lora_layers=layers)
    return tmp_path / "lora" / "pytorch_lora_weights.safetensors"


def test_a_lora_changes_the_result_and_the_inversion(caching, lora_file):
    pipe, calls = caching
    before = edit(pipe).latents
    assert inversion_steps(calls) == 0
    pipe.load_lora_weights(lora_file)
    assert not torch.allclose(edit(pipe).latents, before, atol=1e-3)
    assert inversion_steps(calls) == STEPS
    pipe.disable_lora()
    assert torch.allclose(edit(pipe).latents, before, atol=1e-5)
    pipe.unload_lora_weights()
    assert torch.equal(edit(pipe).latents, before)


@pytest.mark.parametrize("count", [1, 2])
def test_controlnets_are_there_while_networks_take_turns_on_a_device(count, monkeypatch):
    monkeypatch.setattr("diffusers.pipelines.pipeline_utils.empty_device_cache", lambda _kind: None)
    pipe = tiny_pipeline(controlnets=count)
    pipe.enable_model_cpu_offload(device="meta")  # which every machine has, and which takes no tensors of the host
    with torch.device("meta"):
        latents, text = torch.zeros(FRAMES, 4, SIZE // 2, SIZE // 2), torch.zeros(1, 77, TEXT_WIDTH)
        conditioning = Conditioning(text, text, [Control(torch.zeros(FRAMES, 3, SIZE, SIZE))] * count)
    noise = Denoiser(pipe.unet, pipe.controlnet).predict_noise(latents, 500, conditioning, AttentionStep(FRAMES))
    assert noise.device.type == "meta"


# CUDA


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("count", [1, 2])
def test_models_offloaded_to_the_host_give_the_same_result(count, tmp_path):
    images = {"control_images": [tiny_frames()] * count, "output_type": "np"}
    expected = edit(tiny_pipeline(controlnets=count).to("cuda"), **images)
    pipe = tiny_pipeline(controlnets=count)
    pipe.enable_model_cpu_offload()
    pipe.inversion_cache = TensorCache(tmp_path)
    for _ in range(2):  # the second time from the cache
        result = edit(pipe, **images)
        # cuDNN may choose other convolutions where weights come and go; inversion amplifies the last bits.
        assert (result.latents.cpu() - expected.latents.cpu()).norm() < 1e-3 * expected.latents.norm().cpu()
        assert np.abs(result.frames.astype(int) - expected.frames).max() <= 1
        assert pipe.unet.device.type == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_half_precision_on_cuda_stays_close_to_the_cpu():
    images: dict[str, Any] = {"control_images": [tiny_frames()], "modulated_fraction": 1.0}
    expected = edit(tiny_pipeline(controlnets=1), **images).latents
    result = edit(tiny_pipeline(controlnets=1).to("cuda", torch.float16), **images).latents.cpu()
    assert result.dtype == torch.float32
    assert (result - expected).norm() < 0.05 * expected.norm()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_steps_are_asked_of_a_gpu_without_waiting_for_what_was_asked_before():
    steps = []

    def refuse_waiting(_pipe, index, _timestep, _values):
        steps.append(index)
        torch.cuda.set_sync_debug_mode("default" if index == STEPS - 1 else "error")
        return {}

    images: dict[str, Any] = {"control_images": [tiny_frames()], "modulated_fraction": 0.0}
    try:
        edit(tiny_pipeline(controlnets=1).to("cuda", torch.float16), callback_on_step_end=refuse_waiting, **images)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert steps == list(range(STEPS))


# Variations


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_only_with_fresh_noise_does_another_seed_begin_elsewhere_in_what_is_edited(pipe, share):
    starts = []

    def note(_pipe, index, _timestep, values):
        if index == 0:
            starts.append(values["latents"])
        return {}

    for seed in (1, 2):
        edit(pipe, callback_on_step_end=note, seed=seed, variation=share, blend_background=False)
    assert torch.equal(*starts) == (share == 0)


def test_without_an_inversion_all_noise_is_fresh_and_none_is_added(pipe):
    first, other, varied = (
        edit(pipe, inversion=False, seed=seed, variation=share).latents for seed, share in ((1, 0), (2, 0.5), (1, 0.5))
    )
    assert torch.equal(first, varied)
    assert not torch.equal(other, varied)
