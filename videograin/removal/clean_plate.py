"""A clip without some objects: each hidden pixel has the colour that other frames show behind it.

From the frames before and after, the nearer counts more. What no frame shows is left to whoever draws, as `unseen`,
with a first guess from its surroundings.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import cv2
import numpy as np

from videograin.progress import Phase, Report, ignore, track
from videograin.removal.background_motion import MIXED_PIXELS, flow_scale
from videograin.removal.origins import UNKNOWN, Origins, carry, grown, sample

EDGE = 1 / 128
"""By which masks are grown, as a share of the shorter side: an object's soft edge is not background."""

GUESS_SIDE = 256
"""Pixels of the longer side at which a guess is made from surroundings: it has no detail anyhow."""

_GUESS_RADIUS = 4


def clean_plate(
    frames: np.ndarray,
    mask_at: Callable[[int], np.ndarray],
    shots: Sequence[int] = (0,),
    report: Report = ignore,
) -> Iterator[tuple[int, np.ndarray]]:
    """Remove objects from frames, in place, and yield each frame's number with its unseen part (H, W) bool.

    A frame is final when it is yielded; frames come shot by shot, from the last of each to its first.

    Args:
        frames: (F, H, W, 3) uint8 RGB; they may be a memory map.
        mask_at: where the objects are in a frame, (H, W) bool.
        shots: frames at which a shot begins, ascending from 0.
        report: told after every frame of both passes; may raise `Cancelled`.
    """
    side = min(frames.shape[1:3])
    edge, margin = max(1, round(EDGE * side)), round(MIXED_PIXELS / flow_scale(side))

    def hole_at(number: int) -> np.ndarray:
        return grown(mask_at(number), edge)

    steps = iter(track(Phase.REMOVE, range(2 * len(frames)), report))
    for first, stop in pairwise([*shots, len(frames)]):
        distances: dict[int, np.ndarray] = {}
        for origins in carry(frames, hole_at, margin, range(first, stop)):
            next(steps)
            distances[origins.frame] = _lay(frames, origins, None)
        for origins in carry(frames, hole_at, margin, reversed(range(first, stop))):
            next(steps)
            unknown = _lay(frames, origins, distances.pop(origins.frame)) == 0
            columns, rows = origins.pixels[unknown].T
            unseen = np.zeros(origins.hole.shape, bool)
            unseen[rows, columns] = True
            unseen &= origins.hole
            _guess(frames[origins.frame], unseen)
            yield origins.frame, unseen
    for _ in steps:  # the last report
        pass


def _lay(frames: np.ndarray, origins: Origins, other: np.ndarray | None) -> np.ndarray:
    """Write the colours at the origins into a frame's hole.

    Args:
        frames: (F, H, W, 3) uint8.
        origins: of the frame's pixels.
        other: what this function returned for the other direction, whose colours are there already; None before that.

    Returns:
        How many frames away each pixel is seen at the nearest, (N,) uint16; 0 where it never is.
    """
    known = origins.seen_in != UNKNOWN
    distance = np.where(known, np.abs(origins.seen_in - origins.frame), 0).astype(np.uint16)
    shown = known & origins.hole[origins.pixels[:, 1], origins.pixels[:, 0]]
    columns, rows = origins.pixels[shown].T
    colours, frame = sample(frames, origins)[shown], frames[origins.frame]
    if other is None:
        frame[rows, columns] = colours
        return distance
    before, away = frame[rows, columns].astype(np.float32), other[shown].astype(np.float32)
    share = np.where(away == 0, 1.0, away / (away + distance[shown]))[:, None]
    frame[rows, columns] = np.rint(before + share * (colours - before)).astype(np.uint8)
    return np.where((other == 0) | (known & (distance < other)), distance, other)


def _guess(frame: np.ndarray, unseen: np.ndarray) -> None:
    """Write into the unseen part of a frame (H, W, 3) what its surroundings suggest (Telea, 2004)."""
    if not unseen.any():
        return
    rows, columns = np.flatnonzero(unseen.any(1)), np.flatnonzero(unseen.any(0))
    room = 4 * _GUESS_RADIUS
    part = (
        slice(max(0, rows[0] - room), rows[-1] + 1 + room),
        slice(max(0, columns[0] - room), columns[-1] + 1 + room),
    )
    picture, hole = frame[part], unseen[part]
    height, width = hole.shape
    scale = min(1.0, GUESS_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    missing = (cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    filled = cv2.resize(cv2.inpaint(small, missing, _GUESS_RADIUS, cv2.INPAINT_TELEA), (width, height))
    picture[hole] = filled[hole]
