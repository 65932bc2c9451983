"""Strokes on the picture."""

import numpy as np
import pytest

from ui.work.pointing import Stroke, paint


def test_a_dot_is_a_disc():
    covered = paint((41, 41), Stroke([(20, 20)], 10, is_eraser=False))
    rows, columns = np.mgrid[:41, :41]
    distance = np.hypot(rows - 20, columns - 20)
    assert covered[distance <= 9].all()
    assert not covered[distance >= 12].any()


@pytest.mark.parametrize("radius", [1, 4, 9])
def test_a_line_is_as_wide_as_the_brush(radius):
    covered = paint((60, 80), Stroke([(20, 30), (60, 30)], radius, is_eraser=False))
    assert abs(covered[:, 40].sum() - 2 * radius) <= 2
    assert not covered[:, : 18 - radius].any()


def test_a_stroke_that_leaves_the_picture_is_cut_off():
    covered = paint((10, 10), Stroke([(-50, 5), (50, 5)], 2, is_eraser=False))
    assert covered[5].all()
    assert not covered[0].any()
