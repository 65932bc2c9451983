"""The segmenter without weights, on scenes made here and on a photographed dog that was outlined by hand."""

import os
import time
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from videograin.errors import ModelError
from videograin.media.video import ClipOptions, load_clip
from videograin.segment.geodesic import geodesic_distance
from videograin.segment.motion import frames_beside, own_motion
from videograin.segment.names import GRABCUT, is_here
from videograin.segment.segmenter import Segmentation, Segmenter
from videograin.segment.zoo import load_segmenter
from videograin.tracking.engines import load_engine
from videograin.tracking.propagator import Propagator

HERE = Path(__file__).parent
BODY = [(190, 160), (212, 166), (230, 175), (255, 175), (268, 178)]
BETWEEN_THE_LEGS = [(234, 205), (238, 196), (247, 193), (252, 203)]
DOG_BOX = (177, 149, 283, 222)


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    return np.count_nonzero(mask & truth) / np.count_nonzero(mask | truth)


def along(line: list[tuple[int, int]]) -> list[tuple[float, float]]:
    """Return points of a line, 2 pixels apart."""
    steps = np.cumsum([0.0, *(np.hypot(*np.subtract(b, a)) for a, b in pairwise(line))])
    places = np.arange(0, steps[-1], 2)
    xs, ys = (np.interp(places, steps, [point[axis] for point in line]) for axis in (0, 1))
    return list(zip(xs.tolist(), ys.tolist(), strict=True))


def pale_cross(side: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """A cross hardly brighter than its smooth background, with its mask."""
    truth = np.zeros((side, side), bool)
    truth[40:56, 24:72] = truth[24:72, 40:56] = True
    shade = np.linspace(170, 200, side)[None, :, None] + np.zeros((side, side, 3))
    return np.where(truth[..., None], shade + 22, shade).astype(np.uint8), truth


def noise(dice: np.random.Generator, height: int, width: int) -> np.ndarray:
    grain = cv2.GaussianBlur(dice.integers(0, 256, (height, width, 3), np.uint8), (0, 0), 1.5)
    return cv2.normalize(grain, None, 60, 200, cv2.NORM_MINMAX)  # pyright: ignore[reportCallIssue, reportArgumentType]


def camouflaged_square() -> tuple[np.ndarray, np.ndarray]:
    """Frames (5, 96, 128, 3) of a square that moves over a ground of the same grain, and its mask in the middle one."""
    dice = np.random.default_rng(0)
    ground, square = noise(dice, 96, 128), noise(dice, 28, 28)
    clip, truth = np.repeat(ground[None], 5, 0), np.zeros((96, 128), bool)
    for t, frame in enumerate(clip):
        frame[34:62, 46 + 2 * t : 74 + 2 * t] = square
    truth[34:62, 50:78] = True
    return clip, truth


@pytest.fixture
def segmenter() -> Segmenter:
    return Segmenter(load_segmenter(GRABCUT))


def ask(segmenter: Segmenter, inside: list[tuple[float, float]], outside: list[tuple[float, float]]) -> Segmentation:
    return segmenter.click([*inside, *outside], [1] * len(inside) + [0] * len(outside), DOG_BOX)


@pytest.fixture(scope="module")
def dog(real_clips: Path) -> np.ndarray:
    return load_clip(real_clips / "dog.mp4", ClipOptions(short_side=288, multiple=32, max_frames=16)).frames


def outlined(frame: int) -> np.ndarray:
    """Return the mask of the dog that was drawn by hand."""
    drawn = cv2.imread(str(HERE / f"dog_frame_{frame:02}.png"), cv2.IMREAD_GRAYSCALE)
    assert drawn is not None
    return drawn > 127


def test_a_box_finds_an_object_that_is_hardly_brighter_than_what_surrounds_it(segmenter):
    frame, truth = pale_cross()
    segmenter.set_frame(frame)
    assert overlap(segmenter.click([], [], (20, 20, 76, 76)).mask, truth) > 0.9


def test_a_point_is_on_the_side_that_it_says(segmenter):
    segmenter.set_frame(pale_cross()[0])
    mask = segmenter.click([(30, 30), (48, 30)], [1, 0], (20, 20, 76, 76)).mask
    assert mask[30, 30]
    assert not mask[30, 48]


def test_the_same_marks_give_the_same_mask(segmenter):
    segmenter.set_frame(np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8))
    first, second = (segmenter.click([(40, 30)], [1], (20, 10, 70, 50)).mask for _ in range(2))
    assert np.array_equal(first, second)


def test_a_click_alone_is_a_guess_of_three_sizes_to_be_checked(segmenter):
    segmenter.set_frame(pale_cross()[0])
    assert len(segmenter.candidates([(48, 48)], [1])) == 3
    assert segmenter.click([(48, 48)], [1]).confidence < 0.5


def test_an_expected_mask_is_moved_to_the_edge_that_the_picture_has(segmenter):
    frame, truth = pale_cross()
    segmenter.set_frame(frame)
    shifted = np.roll(truth, 3, 1)
    answer = segmenter.click([(48, 48)], [1], previous=segmenter.as_previous(shifted))
    assert overlap(shifted, truth) < 0.8 < 0.9 < overlap(answer.mask, truth)


def test_an_object_of_two_parts_is_found_in_the_boxes_of_both_and_not_between_them(segmenter):
    frame = np.full((96, 96, 3), 120, np.uint8)
    parts = np.zeros((96, 96), bool)
    parts[40:56, 12:30] = parts[40:56, 66:84] = True
    frame[parts] = frame[40:56, 44:52] = (200, 60, 40)  # what lies between has the same colour
    segmenter.set_frame(frame)
    mask = segmenter.click([], [], [(6, 34, 36, 62), (60, 34, 90, 62)]).mask
    assert overlap(mask, parts) > 0.9
    assert not mask[:, 40:56].any()


def test_an_object_that_the_picture_cuts_off_reaches_its_edge_though_the_box_does_not_quite(segmenter):
    frame = np.full((96, 96, 3), 120, np.uint8)
    frame[50:, 30:66] = (200, 90, 60)
    segmenter.set_frame(frame)
    mask = segmenter.click([], [], (24, 40, 72, 95)).mask
    assert mask[-1, 32:64].all()
    assert not mask[:, :28].any()


def test_what_moves_is_told_from_a_ground_of_the_same_colours(segmenter):
    clip, truth = camouflaged_square()
    found = []
    for beside in ([], frames_beside(clip, 2)):
        segmenter = Segmenter(segmenter.model)
        segmenter.set_frame(clip[2], beside)
        found.append(overlap(segmenter.click([], [], (36, 20, 94, 78)).mask, truth))
    assert found[0] < 0.8 < 0.95 < found[1]


def test_what_the_camera_moves_does_not_move_on_its_own():
    ground = noise(np.random.default_rng(0), 140, 160)
    panned = np.stack([ground[20:116, 20 + 2 * t : 116 + 2 * t] for t in range(5)])
    motion = own_motion(panned[2], frames_beside(panned, 2))
    assert motion is not None
    assert (motion > 0.6).mean() < 0.02
    assert own_motion(panned[2], []) is None


@pytest.mark.parametrize("box", [(0, 0, 96, 96), (0, 0, 1, 1), (94, 94, 200, 200)])
def test_any_box_in_the_picture_is_answered_without_an_error_of_opencv(segmenter, box):
    segmenter.set_frame(pale_cross()[0])
    assert segmenter.candidates([], [], box)[0].mask.shape == (96, 96)


def test_geodesic_distance_is_what_the_cheapest_path_costs():
    colours = np.zeros((5, 7, 1), np.float32)
    colours[:4, 3] = 50  # a wall with a gap at the bottom
    seeds = np.zeros((5, 7), bool)
    seeds[0, 0] = True
    found = geodesic_distance(colours, seeds)
    assert found[0, 2] == pytest.approx(0.3 * 2)
    assert found[0, 6] == pytest.approx(0.3 * (6 * np.sqrt(2) + 2))
    assert found[0, 3] > 49


def test_it_needs_no_download(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert is_here(GRABCUT)
    assert load_engine(GRABCUT, "cpu", offline=True)
    with pytest.raises(ModelError):
        load_segmenter("vit_b", offline=True)


def test_a_box_and_two_strokes_cut_out_a_photographed_dog(segmenter, dog):
    segmenter.set_frame(dog[0])
    started = time.process_time()
    answer = ask(segmenter, along(BODY), along(BETWEEN_THE_LEGS))
    assert overlap(answer.mask, outlined(0)) >= 0.8
    assert time.process_time() - started < 1.5 * (os.cpu_count() or 1)


@pytest.mark.parametrize("part", [slice(12), slice(16, 28), slice(32, None)], ids=["head", "middle", "tail"])
def test_a_stroke_on_one_part_of_the_dog_takes_no_other_part_away(segmenter, dog, part):
    segmenter.set_frame(dog[0], frames_beside(dog, 0))
    assert overlap(ask(segmenter, along(BODY)[part], along(BETWEEN_THE_LEGS)).mask, outlined(0)) >= 0.8


@pytest.mark.slow
def test_the_dog_is_followed_for_16_frames(segmenter, dog):
    segmenter.set_frame(dog[0])
    propagator = Propagator(dog, load_engine(GRABCUT))
    propagator.correct("dog", 0, ask(segmenter, along(BODY), along(BETWEEN_THE_LEGS)).mask)
    assert overlap(propagator.propagate()["dog"].masks[15], outlined(15)) >= 0.7
