from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from fakes import box, tiny_frames, tiny_pipeline, tiny_regions

from videograin.diffusion.windows.cross_fade import CrossFade
from videograin.diffusion.windows.plan import (
    Window,
    anchor_sets,
    own_length,
    part_sizes,
    plan_windows,
    request_windows,
)
from videograin.region import AttentionMode, EditRequest, EditSettings, Region

FRAMES = 8
SETTINGS = EditSettings(num_inference_steps=2, window_frames=6, anchor_frames=2, window_overlap=1)


def request(settings: EditSettings = SETTINGS, frames: int = FRAMES) -> EditRequest:
    return EditRequest(
        tiny_frames(frames), tiny_regions(frames), "a man and a dog", background="on grass", settings=settings
    )


# The plan


@pytest.mark.parametrize("frames", [17, 30, 31, 100, 1800])
def test_windows_cover_a_clip_and_share_as_many_frames_as_they_are_told(frames: int) -> None:
    windows = plan_windows(np.ones((1, frames), bool), 16, 4, 2)
    assert (windows[0].start, windows[-1].stop) == (0, frames)
    assert (windows[0].overlap, windows[-1].next_overlap) == (0, 0)
    lengths = [len(window.frames) for window in windows]
    assert max(lengths) <= 12  # beside four anchors, so that 16 see one another
    assert max(lengths) - min(lengths) <= 1
    for before, after in pairwise(windows):
        assert before.stop - after.start == before.next_overlap == after.overlap == 2


@pytest.mark.parametrize(("frames", "count"), [(17, 2), (24, 4), (128, 14), (300, 30)])
def test_two_gpus_have_the_same_number_of_windows_to_make(frames: int, count: int) -> None:
    assert len(plan_windows(np.ones((1, frames), bool), 16, 4, 2)) == count


@pytest.mark.parametrize("frames", range(17, 60))
@pytest.mark.parametrize(("length", "anchors"), [(16, 4), (15, 0), (11, 0)])
def test_no_frame_belongs_to_three_windows_however_large_the_overlap(frames: int, length: int, anchors: int) -> None:
    windows = plan_windows(np.ones((1, frames), bool), length, anchors, 8)
    assert all(first.stop <= third.start for first, third in zip(windows, windows[2:], strict=False))


def test_no_window_is_empty() -> None:
    windows = plan_windows(np.ones((1, 3), bool), 1, 0, 0)
    assert [len(window.frames) for window in windows] == [1, 1, 1]


def test_a_clip_that_fits_is_one_window_that_sees_nothing_else() -> None:
    assert plan_windows(np.ones((1, 16), bool), 16, 4, 2, shots=(0, 8)) == [Window(0, 16)]


def test_neither_windows_nor_anchors_cross_a_cut() -> None:
    windows = plan_windows(np.ones((1, 40), bool), 16, 4, 2, shots=(0, 10))
    assert windows[0] == Window(0, 10)
    assert all(window.start >= 10 and min(window.anchors) >= 10 for window in windows[1:])


def test_anchors_are_spread_over_the_frames_that_show_an_edited_region() -> None:
    visible = np.zeros((1, 40), bool)
    visible[:, 20:28] = True
    assert {window.anchors for window in plan_windows(visible, 16, 4, 2)} == {(21, 23, 25, 27)}


def test_anchors_leave_a_window_at_least_half_of_its_frames() -> None:
    assert [own_length(16, anchors) for anchors in (0, 4, 12)] == [16, 12, 8]


def test_of_many_anchors_a_window_sees_landmarks_and_the_nearest() -> None:
    windows = plan_windows(np.ones((1, 3600), bool), 16, 64, 2)
    (landmarks,) = {window.landmarks for window in windows}
    assert len(landmarks) == 4
    assert np.ptp(landmarks) > 2000
    assert {len(window.frames) + len(window.anchors) for window in windows} <= {15, 16}  # as in a clip of one window
    assert len({anchor for window in windows for anchor in window.anchors}) == 64
    for window in windows:
        assert min(abs(anchor - window.start) for anchor in window.near_anchors) < 3600 / 15


def test_as_many_anchors_as_a_window_can_see_all_see_one_another() -> None:
    windows = plan_windows(np.ones((1, 200), bool), 16, 8, 2)
    assert {(len(window.anchors), window.landmarks) for window in windows} == {(8, ())}


def test_twice_the_anchors_of_a_clip_twice_as_long_cost_twice_as_much() -> None:
    def seen(frames: int, anchors: int) -> int:
        windows = plan_windows(np.ones((1, frames), bool), 16, anchors, 2)
        sets = [(window, each) for window, sets in zip(windows, anchor_sets(windows), strict=True) for each in sets]
        return sum(len(each) * (len(each) + len(window.landmarks)) for window, each in sets)

    assert seen(1800, 64) < 2.2 * seen(900, 32)


def test_windows_that_show_no_edited_region_cost_nothing() -> None:
    masks = box(2, 2, 8, 12, 12)
    masks[5:] = False
    clip = EditRequest(tiny_frames(12), [Region(masks, "a fox")], "a man", settings=SETTINGS)
    windows = request_windows(clip)
    assert [(window.is_edited, bool(window.anchors)) for window in windows] == [(True, True)] * 2 + [(False, False)] * 2
    assert part_sizes(windows, 0) == [2, 4, 4, 0, 0]
    assert part_sizes(windows, 1) == [4, 2, 4, 0, 0]
    everywhere = request_windows(replace(clip, settings=replace(SETTINGS, blend_background=False)))
    assert part_sizes(everywhere, 0) == [2, 4, 4, 4, 3]


def test_a_region_that_is_rarely_seen_is_in_an_anchor_and_frames_with_more_regions_are_preferred() -> None:
    visible = np.zeros((3, 40), bool)
    visible[0] = True
    visible[1, 11:13] = True
    visible[2, 32:] = True
    (anchors,) = {window.anchors for window in plan_windows(visible, 16, 4, 2)}
    assert anchors == (5, 12, 25, 35)


# The joint


def joint(source: np.ndarray, masks: np.ndarray, older: np.ndarray, newer: np.ndarray) -> np.ndarray:
    """Join two windows of a source whose first frames they share, as many as the older one has."""
    overlap, frames = len(older), len(source)
    fade = CrossFade(EditRequest(source, [Region(masks, "a man")], "a man"))
    list(fade.join(Window(0, overlap, 0, overlap), [older]))
    return np.concatenate(list(fade.join(Window(0, frames, overlap, 0), [newer[:2], newer[2:]])))


def test_an_overlap_and_the_frames_behind_it_fade_from_the_older_window_to_the_newer() -> None:
    source = np.full((8, 32, 32, 3), 50, np.uint8)
    joined = joint(source, np.ones((8, 32, 32), bool), np.zeros_like(source[:2]), np.full_like(source, 210))
    assert joined[:, 16, 16, 0].tolist() == [30, 60, 90, 120, 150, 180, 210, 210]


def test_what_the_older_window_drew_otherwise_moves_with_the_source() -> None:
    grain = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8), (0, 0), 2)
    source = np.stack([np.roll(grain, 3 * frame, axis=1) for frame in range(5)])
    older, newer = np.zeros_like(source[:1]), np.zeros_like(source)
    older[0, 40:56, 30:46] = 200
    joined = joint(source, np.ones(source.shape[:3], bool), older, newer)
    centres = [np.argwhere(frame[..., 0] > 20).mean(axis=0)[1] for frame in joined]
    assert centres == pytest.approx([37.5 + 3 * frame for frame in range(5)], abs=1)


def test_outside_of_the_regions_no_joint_shows() -> None:
    source = np.full((6, 48, 48, 3), 50, np.uint8)
    masks = np.zeros((6, 48, 48), bool)
    masks[:, 10:20, 10:20] = True
    masks[1:] = np.roll(masks[1:], 15, axis=2)  # the object leaps, and its difference stays behind
    older, newer = (np.where(masks[..., None], colour, source).astype(np.uint8) for colour in (0, 200))
    joined = joint(source, masks, older[:1], newer)
    assert (joined[0, 10:20, 10:20] < 200).all()
    assert np.array_equal(joined[1:], newer[1:])


# The edit


def test_a_clip_that_fits_in_one_window_is_edited_as_a_whole_bit_for_bit() -> None:
    pipe = tiny_pipeline()
    full = replace(SETTINGS, attention_mode=AttentionMode.FULL)
    whole, windowed = (pipe.edit(request(each, frames=4)) for each in (full, SETTINGS))
    assert torch.equal(whole.latents, windowed.latents)
    assert np.array_equal(whole.frames, windowed.frames)


def test_a_longer_clip_comes_back_with_all_its_frames() -> None:
    clip = request()
    result = tiny_pipeline().edit(clip, record_attention=True)
    assert result.frames.shape == clip.frames.shape
    assert len(result.latents) == FRAMES
    assert result.attention is not None
    assert result.attention.shape[:2] == (2, FRAMES)
    assert not np.array_equal(result.frames, clip.frames)


def test_a_window_depends_on_nothing_but_clip_and_seed() -> None:
    """An edit that goes on behind its first windows ends with the same frames as one in a piece."""
    pipe, clip = tiny_pipeline(), request()
    windows = list(pipe.edit_windows(clip))
    resumed = list(pipe.edit_windows(clip, finished=3, tail=windows[2].tail))
    assert len(windows) == 4
    assert np.array_equal(resumed[0].frames, windows[3].frames)
    assert torch.equal(resumed[0].latents, windows[3].latents)


def test_what_lies_in_another_window_counts_only_where_it_is_an_anchor() -> None:
    pipe, clip = tiny_pipeline(), request()
    first = next(iter(pipe.edit_windows(clip)))
    anchors = first.window.anchors
    outside = set(range(len(first.window.frames), FRAMES))
    for frame in (min(outside & set(anchors)), min(outside - set(anchors))):
        frames = clip.frames.copy()
        frames[frame, 4:8, 4:8] = 255 - frames[frame, 4:8, 4:8]
        changed = next(iter(pipe.edit_windows(replace(clip, frames=frames))))
        assert torch.equal(changed.latents, first.latents) == (frame not in anchors)


def test_frames_in_which_no_edited_region_is_seen_are_the_source() -> None:
    masks = box(2, 2, 8, 12, FRAMES)
    masks[3:] = False
    clip = EditRequest(tiny_frames(FRAMES), [Region(masks, "a fox")], "a man", settings=SETTINGS)
    frames = tiny_pipeline().edit(clip).frames
    assert np.array_equal(frames[4:], clip.frames[4:])
    assert not np.array_equal(frames[:3], clip.frames[:3])


def test_the_parts_of_a_long_edit_are_told() -> None:
    told: list[tuple[int, int]] = []
    tiny_pipeline().edit(request(), report=lambda progress: told.append((progress.part, progress.parts)))
    assert list(dict.fromkeys(told)) == [(part, 5) for part in range(1, 6)]  # the anchors, then four windows
