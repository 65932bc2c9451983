"""Objects are removed from synthetic clips of which the true background is known."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from videograin.removal.clean_plate import clean_plate
from videograin.removal.origins import UNKNOWN, carry

FRAMES, HEIGHT, WIDTH = 12, 96, 128


def stretched(texture: np.ndarray) -> np.ndarray:
    """Bring a texture to the range from 20 to 235."""
    return 20 + 215 * (texture - texture.min()) / np.ptp(texture)


def backdrop(pan: float) -> np.ndarray:
    """A texture that moves left by `pan` pixels a frame, (F, H, W, 3) uint8."""
    noise = np.random.default_rng(1).random((HEIGHT, WIDTH + 80, 3)).astype(np.float32)
    texture = stretched(cv2.GaussianBlur(noise, (0, 0), 2.5))
    moves = [np.array([[1, 0, -pan * t], [0, 1, 0]], np.float32) for t in range(FRAMES)]
    return np.stack([cv2.warpAffine(texture, move, (WIDTH, HEIGHT)) for move in moves]).astype(np.uint8)


def with_ball(background: np.ndarray, speed: float) -> tuple[np.ndarray, np.ndarray]:
    """Lay a ball over a background that moves right; return the clip and the ball's masks."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    masks = np.stack([np.hypot(rows - 48, columns - 40 - speed * t) <= 12 for t in range(FRAMES)])
    clip = background.copy()
    clip[masks] = (250, 250, 30)
    return clip, masks


def removed(clip: np.ndarray, masks: np.ndarray, **options) -> tuple[np.ndarray, np.ndarray]:
    """Return the clip without the object, and what of it no frame shows."""
    plate, unseen = clip.copy(), np.zeros(masks.shape, bool)
    for number, part in clean_plate(plate, masks.__getitem__, **options):
        unseen[number] = part
    return plate, unseen


@pytest.mark.parametrize(("pan", "speed"), [(0.0, 4.0), (1.5, 4.0), (3.25, 0.0)])
def test_what_other_frames_show_is_the_true_background(pan, speed):
    background = backdrop(pan)
    clip, masks = with_ball(background, speed)
    plate, unseen = removed(clip, masks)
    seen = masks & ~unseen
    assert seen.sum() > 0.9 * masks.sum()
    error = np.abs(plate.astype(int) - background)[seen]
    assert error.mean() < 3, error.mean()
    assert np.abs(clip.astype(int) - background)[masks].mean() > 60, "the ball itself is far from it"


def test_nothing_changes_away_from_the_object():
    clip, masks = with_ball(backdrop(1.5), 4.0)
    plate, _ = removed(clip, masks)
    far = cv2.dilate(np.asarray(masks.any(0), np.uint8), np.ones((5, 5), np.uint8)) == 0
    assert np.array_equal(plate[:, far], clip[:, far])


def test_what_no_frame_shows_is_told_and_guessed_from_around_it():
    background = backdrop(0.0)
    clip, masks = with_ball(background, 0.0)
    plate, unseen = removed(clip, masks)
    assert unseen[masks].all()
    assert np.abs(plate.astype(int) - background)[masks].mean() < 60


def test_nothing_is_taken_from_beyond_a_cut():
    background = np.concatenate([backdrop(0.0)[:6], 255 - backdrop(0.0)[6:]])
    clip, masks = with_ball(background, 6.0)
    plate, unseen = removed(clip, masks, shots=(0, 6))
    assert np.abs(plate.astype(int) - background)[masks & ~unseen].mean() < 3


def test_a_pixel_is_followed_to_where_it_was_seen():
    clip, masks = with_ball(backdrop(2.0), 0.0)
    *_, last = carry(clip, masks.__getitem__, 8, range(FRAMES))
    known = last.seen_in != UNKNOWN
    went = last.places[known, 0] - last.pixels[known, 0]
    expected = 2.0 * (last.frame - last.seen_in[known])
    assert np.abs(went - expected).max() < 0.5


@pytest.mark.parametrize("pan", [0.4, 1.4])
def test_a_slow_background_is_never_taken_from_where_the_object_hid_it(pan: float) -> None:
    clip, masks = with_ball(backdrop(pan), 0.0)
    found = 0
    for origins in carry(clip, masks.__getitem__, 8, range(FRAMES)):
        known = origins.seen_in != UNKNOWN
        x, y = np.rint(origins.places[known]).astype(int).T
        assert not masks[origins.seen_in[known], y, x].any()
        found += int((known & origins.hole[origins.pixels[:, 1], origins.pixels[:, 0]]).sum())
    possible = sum((masks[t] & ~np.roll(masks[t], -round(pan * t), 1)).sum() for t in range(FRAMES))
    assert found > 0.9 * possible, "most of what was seen is found"


@pytest.mark.parametrize("stop_after", [1, FRAMES + 3])
def test_it_stops_at_a_frame(stop_after: int) -> None:
    clip, masks = with_ball(backdrop(0.0), 4.0)
    with pytest.raises(KeyboardInterrupt):
        removed(clip, masks, report=_stopping(stop_after))


def _stopping(after: int) -> Callable[[object], None]:
    def report(progress) -> None:
        if progress.done == after:
            raise KeyboardInterrupt

    return report
