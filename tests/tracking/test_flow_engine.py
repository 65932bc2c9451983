from collections.abc import Mapping

import cv2
import numpy as np
import pytest
import torch
from fake_segmenters import ColourNetwork
from torch import Tensor

from benchmarks.davis import region_similarity
from videograin.media.video import ClipOptions, load_clip
from videograin.segment.model import Features, Prompts, SegmentModel
from videograin.segment.segmenter import Segmenter
from videograin.segment.zoo import load_segmenter
from videograin.tracking.flow_engine import WORK_SIDE, FlowEngine
from videograin.tracking.object_memory import Appearance, Picture
from videograin.tracking.occlusion import OcclusionOrder
from videograin.tracking.propagator import Propagator
from videograin.tracking.tracks import FrameState

SIDE, FRAMES = 64, 15


class Speechless(ColourNetwork):
    """Has no opinion on anything, so that flow, memory and the order of occlusion are on their own."""

    def decode(
        self,
        features: Features,
        size: tuple[int, int],
        prompts: Prompts,
        multimask: bool,
    ) -> tuple[Tensor, Tensor]:
        answers = 3 if multimask else 1
        return torch.zeros(len(prompts.points), answers, 64, 64), torch.zeros(len(prompts.points), answers)


def texture(height: int, width: int, seed: int) -> np.ndarray:
    """Return (height, width, 3) uint8 with blotches that flow and features can hold on to."""
    coarse = np.random.default_rng(seed).integers(0, 256, (-(-height // 4), -(-width // 4), 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def drawn(*objects: tuple[np.ndarray, int, np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return frames and the visible pixels of each object: its picture, its row, its column in every frame."""
    frames = np.repeat((texture(SIDE, SIDE, 99) // 4)[None], FRAMES, 0)
    masks = [np.zeros((FRAMES, SIDE, SIDE), bool) for _ in objects]
    for i, (picture, row, columns) in enumerate(objects):
        for t, column in enumerate(columns):
            place = np.s_[t, row : row + len(picture), max(0, column) : column + picture.shape[1]]
            frames[place] = picture[:, max(0, -column) :][:, : frames[place].shape[1]]
            masks[i][place] = True
            for behind in masks[:i]:
                behind[place] = False
    return frames, masks


def follow(frames: np.ndarray, marked: Mapping[str, Mapping[int, np.ndarray]]) -> Propagator:
    """Follow objects from the frames in which they are marked."""
    propagator = Propagator(frames, FlowEngine(SegmentModel("speechless", Speechless())))
    for name, masks in marked.items():
        for frame, mask in masks.items():
            propagator.correct(name, frame, mask)
    propagator.propagate()
    return propagator


@pytest.fixture(scope="module")
def twins() -> tuple[np.ndarray, list[np.ndarray]]:
    """Two objects that look alike change sides, one behind the other."""
    looks = texture(22, 20, 1)
    there = np.arange(FRAMES) * 3
    return drawn((looks, 18, 42 - there), (looks, 24, there))


def test_twins_that_cross_keep_their_masks(twins):
    frames, masks = twins
    tracks = follow(frames, {"far": {0: masks[0][0]}, "near": {0: masks[1][0]}}).tracks
    for name, truth in zip(("far", "near"), masks, strict=True):
        assert region_similarity(tracks[name].masks[-1], truth[-1]) > 0.85
    assert min(region_similarity(a, b) for a, b in zip(tracks["near"].masks, masks[1], strict=True)) > 0.85


def test_what_lies_behind_claims_nothing_in_front(twins):
    frames, masks = twins
    tracks = follow(frames, {"far": {0: masks[0][0]}, "near": {0: masks[1][0]}}).tracks
    stolen = [np.count_nonzero(a & b) for a, b in zip(tracks["far"].masks, masks[1], strict=True)]
    assert max(stolen) < 0.1 * masks[1][0].sum()


def test_a_correction_of_a_sliver_does_not_make_the_object_small():
    looks, wall = texture(24, 24, 2), texture(40, 22, 3)
    columns = np.arange(FRAMES) * 3
    frames, masks = drawn((looks, 20, columns), (wall, 12, np.full(FRAMES, 21)))
    area = masks[0].sum((1, 2))
    sliver = next(t for t in range(FRAMES) if area[t] < 0.3 * area[0])
    marked = {"object": {0: masks[0][0], sliver: masks[0][sliver]}, "wall": {0: masks[1][0]}}
    found = follow(frames, marked).tracks["object"]
    assert region_similarity(found.masks[-1], masks[0][-1]) > 0.7
    assert region_similarity(found.masks[sliver - 2], masks[0][sliver - 2]) > 0.7


def test_an_object_that_left_the_picture_leaves_nothing_behind():
    looks = texture(20, 20, 4)
    frames, masks = drawn((looks, 20, 40 + 4 * np.arange(FRAMES)))
    track = follow(frames, {"object": {0: masks[0][0]}}).tracks["object"]
    assert not masks[0][-1].any()
    assert track.states[-1] is FrameState.ABSENT


def test_a_mark_too_small_for_reduced_frames_is_absent_in_the_others():
    frames = np.repeat(texture(64, 2 * WORK_SIDE, 3)[None], 3, 0)
    speck = np.zeros(frames.shape[1:3], bool)
    speck[30, 100] = True
    track = follow(frames, {"speck": {0: speck}}).tracks["speck"]
    assert track.masks.sum((1, 2)).tolist() == [1, 0, 0]
    assert track.states == (FrameState.VISIBLE, FrameState.ABSENT, FrameState.ABSENT)


def test_a_frame_that_sam_makes_nothing_of_is_flagged():
    looks = texture(20, 20, 5)
    frames, masks = drawn((looks, 20, 10 + np.arange(FRAMES)))
    track = follow(frames, {"object": {0: masks[0][0]}}).tracks["object"]
    assert region_similarity(track.masks[3], masks[0][3]) > 0.85
    assert set(track.states[1:]) == {FrameState.UNCERTAIN}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "x", "y"), [("wolf", 100, 140), ("pingpong", 328, 105), ("dog", 217, 160)])
def test_photographs_which_the_embedded_sam_never_saw_are_flagged(real_clips, name, x, y):
    model = load_segmenter(device="cpu", offline=True)
    frames = load_clip(real_clips / f"{name}.mp4", ClipOptions(short_side=256, multiple=32, max_frames=4)).frames
    segmenter = Segmenter(model)
    segmenter.set_frame(frames[0])
    answer = segmenter.click([(x, y)], [1])
    propagator = Propagator(frames, FlowEngine(model))
    propagator.correct("object", 0, answer.mask, answer.confidence)
    assert set(propagator.propagate()["object"].states) == {FrameState.UNCERTAIN}


def test_of_two_that_overlap_the_one_that_the_picture_shows_is_in_front():
    shown, other = texture(SIDE, SIDE, 6), texture(SIDE, SIDE, 7)
    everywhere = np.ones((SIDE, SIDE), bool)
    picture = Picture(0, shown)
    order = OcclusionOrder(nested=())
    order.update({"a": Appearance(other, everywhere), "b": Appearance(picture.image, everywhere)}, picture)
    assert order.in_front_of("a") == {"b"}
    assert order.in_front_of("b") == frozenset()
    assert order.front_first(["a", "b"]) == ["b", "a"]


def test_part_and_whole_have_no_order():
    shown, everywhere = texture(SIDE, SIDE, 6), np.ones((SIDE, SIDE), bool)
    picture = Picture(0, shown)
    order = OcclusionOrder(nested={("part", "whole"), ("whole", "part")})
    looks = {"part": Appearance(picture.image, everywhere), "whole": Appearance(255 - shown, everywhere)}
    order.update(looks, picture)
    assert not order.in_front_of("whole")
