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


def test_a_large_objects_whiskers_are_as_much_wider_and_longer(head: np.ndarray) -> None:
    size = 7  # a head of 189 pixels
    large = np.kron(head, np.ones((size, size), bool))
    whisker = np.zeros_like(large)
    whisker[220:226, 290:312] = True
    found = thin_ends(large | whisker)
    assert (found & whisker).sum() >= 0.8 * (whisker & ~large).sum()
    assert not (found & large).any()


def test_an_objects_ends_are_the_same_beside_a_large_one(head: np.ndarray) -> None:
    whisker = np.zeros_like(head)
    whisker[31:34, 42:52] = True
    beside = np.zeros((300, 400), bool)
    beside[:64, :64] = head | whisker
    alone = thin_ends(beside)
    beside[80:280, 100:300] = True
    assert alone.any()
    assert np.array_equal(thin_ends(beside), alone)


def test_a_leg_a_bridge_and_what_is_thin_as_a_whole_are_no_ends(head: np.ndarray) -> None:
    leg, lens, line = (np.zeros_like(head) for _ in range(3))
    leg[44:63, 27:30] = True
    lens[24:40, 48:62] = lens[31:33, 40:50] = True
    line[5:8, 5:15] = True
    for mask in (head, head | leg, head | lens, line):
        assert not thin_ends(mask).any()
