"""Source pixels around an edit."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from videograin.diffusion.compositing import FEATHER, composite


def two_clips(seed: int) -> tuple[np.ndarray, np.ndarray]:
    source, edited = np.random.default_rng(seed).integers(0, 256, (2, 2, 24, 24, 3), dtype=np.uint8)
    return source, edited


@given(st.integers(0, 99), st.integers(0, 12), st.integers(1, 12))
def test_inside_is_the_edit_and_far_outside_the_source(seed, start, size):
    source, edited = two_clips(seed)
    changed = np.zeros((2, 24, 24), bool)
    changed[0, start : start + size, start : start + size] = True
    frames = composite(source, edited, changed, np.zeros_like(changed))
    rows, columns = np.mgrid[:24, :24]
    last = start + size - 1
    distance = np.hypot(*(np.maximum(0, np.maximum(start - axis, axis - last)) for axis in (rows, columns)))
    inner = np.zeros((24, 24), bool)
    inner[start + (start > 0) : start + size - 1, start + (start > 0) : start + size - 1] = True
    assert np.array_equal(frames[0][inner], edited[0][inner])
    assert np.array_equal(frames[0][distance >= FEATHER], source[0][distance >= FEATHER])
    assert np.array_equal(frames[1], source[1])


def test_the_edit_fades_into_the_source():
    source, edited = np.zeros((1, 1, 5, 3), np.uint8), np.full((1, 1, 5, 3), 210, np.uint8)
    changed = np.arange(5)[None, None] == 0
    assert composite(source, edited, changed, np.zeros_like(changed))[0, 0, :, 0].tolist() == [175, 35, 0, 0, 0]


def test_before_a_kept_part_the_edit_fades_and_in_it_the_source_is_untouched():
    source, edited = np.zeros((1, 1, 9, 3), np.uint8), np.full((1, 1, 9, 3), 210, np.uint8)
    changed = np.arange(9)[None, None] < 6
    faded = [210, 210, 210, 210, 210, 140, 0, 0, 0]
    assert composite(source, edited, changed, ~changed)[0, 0, :, 0].tolist() == faded


def test_no_stub_of_the_new_object_stays_in_a_whisker_of_the_old_one():
    grass, panda = 100, 255
    changed = np.zeros((1, 48, 48), bool)
    changed[0, 10:40, 10:30] = True
    changed[0, 24:27, 30:38] = True
    source = np.where(changed[..., None], np.full(3, 200, np.uint8), np.uint8(grass))
    frames = composite(source, np.full_like(source, panda), changed, np.zeros_like(changed))[0, ..., 0]
    assert (frames[12:38, 12:28] == panda).all()
    assert np.abs(frames[22:29, 33:].astype(int) - grass).max() <= 2


def test_the_soft_edge_of_the_old_object_does_not_stay_as_a_line():
    background, mixed, old = 100, 150, 200
    source = np.array([background] * 4 + [mixed] + [old] * 6 + [mixed] + [background] * 4, np.uint8)
    source = np.repeat(np.tile(source, (16, 1))[None, ..., None], 3, -1)
    changed = source[..., 0] == old
    frames = composite(source, np.full_like(source, background), changed, np.zeros_like(changed))
    assert np.abs(frames.astype(int) - background).max() <= 2
