"""What may be behind an object."""

import numpy as np

from videograin.masks.inpaint import RIM, fill_masked


def test_before_a_gradient_an_object_is_filled_with_the_gradient():
    rows, columns = np.mgrid[:64, :96]
    gradient = np.stack([rows * 2, columns * 2, 0 * rows + 90], -1).astype(np.uint8)
    mask = (rows > 20) & (rows < 40) & (columns > 30) & (columns < 60)
    with_object = np.where(mask[..., None], np.uint8(255), gradient)
    filled = fill_masked(with_object, mask)
    assert np.abs(filled.astype(int) - gradient).max() < 12
    assert np.abs(with_object.astype(int) - gradient).max() > 150


def test_what_is_not_masked_stays_to_the_last_bit_but_for_the_rim():
    frame = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    mask = np.zeros((40, 40), bool)
    mask[10:20, 10:20] = True
    changed = (fill_masked(frame, mask) != frame).any(-1)
    assert changed.any(0).nonzero()[0][[0, -1]].tolist() == [10 - RIM, 19 + RIM]


def test_a_frame_without_anything_known_or_unknown_is_returned_as_it_is():
    frame = np.zeros((8, 8, 3), np.uint8)
    for mask in (np.zeros((8, 8), bool), np.ones((8, 8), bool)):
        assert fill_masked(frame, mask) is frame


def test_each_pixel_takes_the_colours_that_are_next_to_it():
    frame = np.full((64, 64, 3), 40, np.uint8)  # sky
    frame[32:] = 200  # grass
    mask = np.zeros((64, 64), bool)
    mask[8:56, 20:44] = True
    filled = fill_masked(frame, mask).astype(int)
    assert np.abs(filled[40:52, [18, 45]] - 200).max() < 8
    assert np.abs(filled[12:24, [18, 45]] - 40).max() < 8
