from dataclasses import replace

import numpy as np
import pytest

from videograin.errors import RegionError, SettingsError, VideoError
from videograin.region import (
    MAX_REGIONS,
    ControlGuidance,
    ControlKind,
    Convention,
    EditRequest,
    EditSettings,
    Region,
    TimestepSpacing,
)

FRAMES = np.zeros((2, 8, 12, 3), np.uint8)
MASKS = np.ones(FRAMES.shape[:3], bool)


def request(regions: list[Region], frames: np.ndarray = FRAMES, **options) -> EditRequest:
    return EditRequest(frames, regions, "a dog", **options)


@pytest.mark.parametrize("masks", [MASKS.astype(np.uint8), MASKS[0], MASKS[..., None]])
def test_masks_of_another_kind_name_shape_and_dtype(masks):
    with pytest.raises(RegionError, match=r"Region 'left': masks have shape .* and dtype .*; pass .* bool"):
        Region(masks, "a fox", name="left")


def test_a_mask_empty_in_every_frame_is_refused_and_one_in_some_is_not():
    masks = np.zeros_like(MASKS)
    with pytest.raises(RegionError, match="Region 'a fox': the mask is empty in every frame"):
        Region(masks, "a fox")
    masks[1, 0, 0] = True
    assert Region(masks, "a fox").is_edited


@pytest.mark.parametrize("strength", [-0.1, 4.1, float("nan")])
def test_a_region_s_strength_out_of_range_is_named(strength):
    with pytest.raises(RegionError, match=f"strength is {strength}; choose 0 to 4"):
        Region(MASKS, "a fox", strength=strength)


def test_a_region_is_called_by_its_name_then_its_prompt():
    assert Region(MASKS, "a fox", name="left").title == "Region 'left'"
    assert Region(MASKS, "a fox").title == "Region 'a fox'"
    assert Region(MASKS).title == "Region 'without a name'"


@pytest.mark.parametrize("prompt", ["", "  "])
def test_a_region_without_words_keeps_the_source(prompt):
    assert not Region(MASKS, prompt).is_edited
    with pytest.raises(RegionError, match="No region has a prompt"):
        request([Region(MASKS, prompt)])


def test_masks_of_another_clip_are_named():
    with pytest.raises(RegionError, match=r"'a fox': masks have shape \(2, 8, 10\) but the clip is \(2, 8, 12\)"):
        request([Region(MASKS[..., :10], "a fox")])


def test_the_most_regions_are_edited_and_one_more_is_refused():
    assert MAX_REGIONS >= 32
    request([Region(MASKS, "a fox")] * MAX_REGIONS)
    with pytest.raises(RegionError, match=f"There are {MAX_REGIONS + 1} regions; at most {MAX_REGIONS}"):
        request([Region(MASKS, "a fox")] * (MAX_REGIONS + 1))


@pytest.mark.parametrize("frames", [FRAMES[0], FRAMES[..., :1], FRAMES.astype(np.float32)])
def test_frames_of_another_kind_name_shape_and_dtype(frames):
    with pytest.raises(VideoError, match=r"Frames have shape .*; pass \(F, H, W, 3\) uint8 RGB"):
        request([Region(MASKS, "a fox")], frames)


def test_a_clip_without_frames_is_refused():
    with pytest.raises(VideoError, match="The clip has 0 frames"):
        request([Region(MASKS, "a fox")], FRAMES[:0])


@pytest.mark.parametrize("images", [FRAMES[:1], FRAMES.astype(np.float32)])
def test_control_images_unlike_the_frames_are_refused(images):
    with pytest.raises(SettingsError, match=r"Control images have shape .* pass uint8 of the frames' shape"):
        request([Region(MASKS, "a fox")], control_images=[images])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_inference_steps", 0),
        ("guidance_scale", 0.5),
        ("strength", 0),
        ("modulated_fraction", 1.1),
        ("self_strength", -1),
        ("cross_strength", 17),
        ("mask_growth", -1),
        ("inject_steps", 51),
        ("controlnet_conditioning_scale", 3),
        ("seed", -1),
    ],
)
def test_a_setting_out_of_range_is_named_with_the_range(name, value):
    with pytest.raises(SettingsError, match=f"{name} is {value}; choose a value from .* to"):
        EditSettings(**{name: value})


@pytest.mark.parametrize(
    ("settings", "steps", "allowed"),
    [
        ({"convention": Convention.RELEASE}, 501, "1 to 500"),
        ({"timestep_spacing": TimestepSpacing.LEADING}, 501, "1 to 500"),
        ({}, 1001, "1 to 1000"),
    ],
)
def test_more_steps_than_there_are_timesteps_for_are_refused(settings, steps, allowed):
    EditSettings(num_inference_steps=steps - 1, **settings)
    with pytest.raises(SettingsError, match=f"num_inference_steps is {steps}; choose a value from {allowed}"):
        EditSettings(num_inference_steps=steps, **settings)


def test_a_control_is_read_with_its_scale_and_its_part_of_the_steps():
    assert ControlGuidance.parse("depth") == ControlGuidance(ControlKind.DEPTH)
    assert ControlGuidance.parse("canny:0.6:0:0.5") == ControlGuidance(ControlKind.CANNY, 0.6, 0, 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("edges", "There is no ControlNet 'edges'. Known are: canny, depth, depth_dpt"),
        ("canny:much", "Control 'canny:much' is not understood. Give kind"),
        ("canny:1:0.5", "is not understood"),
        ("canny:3", "scale of control 'canny' is 3.0; choose a value from 0 to 2"),
        ("canny:1:0.5:0.5", "end of control 'canny' is 0.5; choose a value above its start, 0.5, up to 1"),
    ],
)
def test_a_control_that_is_not_understood_is_refused(text, message):
    with pytest.raises(SettingsError, match=message):
        ControlGuidance.parse(text)


def test_as_many_control_guidances_as_control_images_are_wanted():
    with pytest.raises(SettingsError, match="1 control guidances for 0 sets"):
        request([Region(MASKS, "a fox")], control_guidance=[ControlGuidance(ControlKind.CANNY)])


def test_steps_follow_from_strength_and_fraction():
    assert (EditSettings().steps_run, EditSettings().modulated_steps) == (50, 15)
    shorter = EditSettings(num_inference_steps=20, strength=0.5, modulated_fraction=0.2)
    assert (shorter.steps_run, shorter.modulated_steps) == (10, 2)
    assert EditSettings(num_inference_steps=5, strength=0.02).steps_run == 1
    assert (shorter.inversion_steps, replace(shorter, convention=Convention.RELEASE).inversion_steps) == (10, 9)
