"""Outlines of enlarged masks follow the picture."""

import cv2
import numpy as np
import pytest

from videograin.production.outlines import snap_to_edges

SIDE, ENLARGEMENT = 128, 4


@pytest.fixture
def disc() -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.hypot(x - 61, y - 66) < 33


@pytest.fixture
def picture(disc: np.ndarray) -> np.ndarray:
    """An orange disc before blue, under grain."""
    grain = np.random.default_rng(0).normal(0, 4, (SIDE, SIDE, 3))
    colours = np.where(disc[..., None], (220, 130, 40), (60, 110, 200)) + grain
    return np.clip(np.rint(colours), 0, 255).astype(np.uint8)


def enlarged(mask: np.ndarray) -> np.ndarray:
    """A mask that was stored at a quarter of its size."""
    side = SIDE // ENLARGEMENT
    small = cv2.resize(mask.astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST_EXACT)
    return cv2.resize(small.astype(np.float32), (SIDE, SIDE)) >= 0.5


def test_a_coarse_mask_finds_the_edge_of_its_object(disc, picture):
    coarse = enlarged(disc)
    assert (coarse ^ disc).sum() > 100
    assert (snap_to_edges(coarse, picture, ENLARGEMENT) ^ disc).sum() < 20


def test_what_two_objects_share_is_neither_lost_nor_given_twice(disc, picture):
    left, right = disc.copy(), disc.copy()
    left[:, 60:], right[:, :60] = False, False
    coarse = [enlarged(left), enlarged(disc) & ~enlarged(left)]
    ours, theirs = (snap_to_edges(mask, picture, ENLARGEMENT) for mask in coarse)
    line = slice(45, 90), slice(50, 70)  # within the disc, away from its outline
    assert np.array_equal(ours[line] ^ theirs[line], np.ones((45, 20), bool))


def test_a_mask_as_fine_as_its_picture_and_an_empty_one_are_left_alone(disc, picture):
    assert snap_to_edges(disc, picture, 1.0) is disc
    assert not snap_to_edges(np.zeros_like(disc), picture, ENLARGEMENT).any()


def test_a_small_object_of_the_colour_of_what_is_around_it_is_not_lost(picture):
    speck = np.zeros((SIDE, SIDE), bool)
    speck[8:14, 8:14] = True
    assert np.array_equal(snap_to_edges(speck, picture, ENLARGEMENT), speck)
