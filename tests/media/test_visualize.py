import numpy as np

from videograin.media.visualize import attention_overlay, comparison_strip


def test_strip_shows_the_source_above_the_result() -> None:
    source = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((4, 6, 3), np.uint8)
    strip = comparison_strip(source, source + 100)
    assert strip.shape == (8, 18, 3)
    assert strip[0, ::6, 0].tolist() == [0, 1, 2]
    assert strip[4, ::6, 0].tolist() == [100, 101, 102]


def test_a_long_clip_is_shown_from_its_first_to_its_last_frame() -> None:
    source = np.arange(30, dtype=np.uint8)[:, None, None, None] * np.ones((2, 2, 3), np.uint8)
    assert comparison_strip(source, source, columns=4)[0, ::2, 0].tolist() == [0, 10, 19, 29]


def test_an_overlay_is_brightest_where_a_phrase_was_attended_most() -> None:
    frames = np.full((2, 32, 32, 3), 90, np.uint8)
    attention = np.zeros((2, 4, 4), np.float32)
    attention[1, 0, 0] = 0.02  # of whatever range
    overlaid = attention_overlay(frames, attention)
    assert overlaid.shape == frames.shape
    assert overlaid.dtype == np.uint8
    brightness = overlaid.mean(-1)
    assert brightness[1, 2, 2] > 2 * brightness[1, 28, 28]
    assert np.ptp(brightness[0]) == 0


def test_heat_of_nothing_is_even() -> None:
    overlaid = attention_overlay(np.zeros((2, 8, 8, 3), np.uint8), np.full((2, 2, 2), 0.5, np.float32))
    assert np.ptp(overlaid.reshape(-1, 3), axis=0).max() == 0
