"""How much an edit flickers at the outlines of its objects."""

import numpy as np
import pytest

from videograin.evaluation.rim import RIM, outer_rim, rim_ratio, rim_variance
from videograin.media.flow import OpticalFlow

FRAMES, SIDE = 3, 48


@pytest.fixture
def still() -> OpticalFlow:
    """A camera and objects that stand still."""
    none = np.zeros((FRAMES - 1, 2, SIDE, SIDE), np.float32)
    return OpticalFlow.from_pair(none, none)


@pytest.fixture
def masks() -> np.ndarray:
    masks = np.zeros((FRAMES, SIDE, SIDE), bool)
    masks[:, 16:32, 16:32] = True
    return masks


@pytest.fixture
def source() -> np.ndarray:
    """Grain of a standard deviation of 5 grey levels."""
    grain = np.random.default_rng(0).normal(128, 5, (FRAMES, SIDE, SIDE, 3))
    return np.rint(grain).astype(np.uint8)


def test_the_variance_of_grain_is_its_own(source, masks, still) -> None:
    assert rim_variance(source, ~masks, still) == pytest.approx(25, rel=0.05)


def test_an_edit_that_leaves_the_rim_alone_is_as_steady_as_its_source(source, masks, still) -> None:
    result = np.where(masks[..., None], np.uint8(0), source)
    assert rim_ratio(result, source, masks, still) == 1


def test_a_fringe_that_flickers_counts_and_one_that_stays_does_not(source, masks, still) -> None:
    rim = outer_rim(masks, 2)[..., None]
    steady = np.where(rim, np.uint8(255), source)
    assert rim_ratio(steady, source, masks, still) < 1
    flickering = np.where(rim & (np.arange(FRAMES) % 2 == 1)[:, None, None, None], np.uint8(255), source)
    assert rim_ratio(flickering, source, masks, still) > 1.5


def test_the_rim_lies_outside_of_the_mask_and_ends_after_six_pixels(masks) -> None:
    rim = outer_rim(masks)
    assert not (rim & masks).any()
    assert rim[0, 20].nonzero()[0].tolist() == [*range(16 - RIM, 16), *range(32, 32 + RIM)]


def test_what_moves_is_followed() -> None:
    wide = np.random.default_rng(1).integers(0, 255, (SIDE, SIDE + FRAMES, 3), np.uint8)
    frames = np.stack([wide[:, t : t + SIDE] for t in range(FRAMES)])
    left = np.zeros((FRAMES - 1, 2, SIDE, SIDE), np.float32)
    left[:, 0] = -1
    assert rim_variance(frames, np.ones(frames.shape[:3], bool), OpticalFlow.from_pair(left, -left)) == 0
