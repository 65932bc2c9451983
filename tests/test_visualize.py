import numpy as np

from videograin.visualize import comparison_strip


def test_strip_shows_the_source_above_the_result() -> None:
    source = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((4, 6, 3), np.uint8)
    strip = comparison_strip(source, source + 100)
    assert strip.shape == (8, 18, 3)
    assert strip[0, ::6, 0].tolist() == [0, 1, 2]
    assert strip[4, ::6, 0].tolist() == [100, 101, 102]


def test_a_long_clip_is_shown_from_its_first_to_its_last_frame() -> None:
    source = np.arange(30, dtype=np.uint8)[:, None, None, None] * np.ones((2, 2, 3), np.uint8)
    assert comparison_strip(source, source, columns=4)[0, ::2, 0].tolist() == [0, 10, 19, 29]
