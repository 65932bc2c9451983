import numpy as np
import pytest

from videograin.masks.thin_ends import thin_ends


@pytest.fixture
def head() -> np.ndarray:
    y, x = np.mgrid[:64, :64]
    return np.hypot(x - 28, y - 32) < 14


def test_a_whisker_is_an_end_and_the_head_is_not(head: np.ndarray) -> None:
    whisker = np.zeros_like(head)
    whisker[31:34, 42:52] = True
    found = thin_ends(head | whisker)
    assert (found & whisker).sum() >= 0.8 * whisker.sum()
    assert not (found & ~whisker & head).any()


def test_a_leg_a_bridge_and_what_is_thin_as_a_whole_are_no_ends(head: np.ndarray) -> None:
    leg, lens, line = (np.zeros_like(head) for _ in range(3))
    leg[44:63, 27:30] = True
    lens[24:40, 48:62] = lens[31:33, 40:50] = True
    line[5:8, 5:15] = True
    for mask in (head, head | leg, head | lens, line):
        assert not thin_ends(mask).any()
