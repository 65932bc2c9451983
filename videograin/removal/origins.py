"""Where each hidden pixel of a frame is seen: carried along the background's motion from neighbour to neighbour.

What is carried are places, not colours, so that a colour is sampled once, however far away it was seen.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from videograin.removal.background_motion import BackgroundMotion
from videograin.removal.holes import Holes

UNKNOWN = -1

_CORNERS = ((0, 0), (1, 0), (0, 1), (1, 1))
"""Of the square of pixels between which a place lies, from its upper left one."""

_ROW = 4096  # OpenCV maps at most 32,767 pixels in a row

HoleAt = Callable[[int], np.ndarray]
"""Returns the part (H, W) bool of a frame that is to be filled."""


@dataclass(frozen=True, eq=False)
class Origins:
    """Of the N pixels of a frame that are in its hole or so near to it that their flow is not the background's.

    Attributes:
        frame: their frame.
        hole: (H, W) bool.
        pixels: (N, 2) int, x and y.
        seen_in: (N,) int32, the frame that shows what is behind each; `UNKNOWN` where none was found.
        places: (N, 2) float32, x and y in that frame.
    """

    frame: int
    hole: np.ndarray
    pixels: np.ndarray
    seen_in: np.ndarray
    places: np.ndarray


def carry(frames: np.ndarray, hole_at: HoleAt, margin: int, order: Iterable[int]) -> Iterator[Origins]:
    """Yield the origins of the pixels of each frame's hole and margin.

    Args:
        frames: (F, H, W, 3) uint8 RGB; what lies outside the holes is read.
        hole_at: the hole of a frame.
        margin: pixels around a hole in which flow is not the background's.
        order: frames that follow each other in one shot, in either direction; origins lie in the earlier ones.
    """
    before: Origins | None = None
    holes = Holes((frames.shape[2], frames.shape[1]))
    for number in order:
        hole = hole_at(number)
        rows, columns = np.nonzero(grown(hole, margin))
        found = Origins(
            frame=number,
            hole=hole,
            pixels=np.stack([columns, rows], axis=1),
            seen_in=np.full(len(rows), UNKNOWN, np.int32),
            places=np.zeros((len(rows), 2), np.float32),
        )
        if before is not None and len(rows):
            _look_back(frames, before, found, holes)
        yield found
        holes.add(number, hole)
        before = found


def sample(frames: np.ndarray, origins: Origins) -> np.ndarray:
    """Return the colours (N, 3) uint8 at the origins; those of unknown ones mean nothing."""
    colours = np.zeros((len(origins.pixels), 3), np.uint8)
    for number in np.unique(origins.seen_in[origins.seen_in != UNKNOWN]):
        here = origins.seen_in == number
        places = origins.places[here]
        padded = np.pad(places, [(0, -len(places) % _ROW), (0, 0)]).reshape(-1, _ROW, 2)
        found = cv2.remap(
            frames[number], np.ascontiguousarray(padded[..., 0]), np.ascontiguousarray(padded[..., 1]),
            cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        colours[here] = found.reshape(-1, 3)[: len(places)]
    return colours


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    """Return a mask (H, W) bool grown by a square of `pixels` on every side."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)) > 0


def _look_back(frames: np.ndarray, before: Origins, found: Origins, holes: Holes) -> None:
    """Fill in the origins that follow from those of the neighbour, and from what it shows itself."""
    height, width = before.hole.shape
    hidden = np.zeros((height, width), bool)
    hidden[found.pixels[:, 1], found.pixels[:, 0]] = True
    motion = BackgroundMotion.between(frames[found.frame], frames[before.frame], hidden)
    landed = motion.follow(found.pixels.astype(np.float32))
    nearest = np.rint(np.nan_to_num(landed, nan=-1.0)).astype(int)
    inside = (nearest >= 0).all(1) & (nearest[:, 0] < width) & (nearest[:, 1] < height)
    nearest[~inside] = 0
    places = np.full((height, width), UNKNOWN, np.int64)  # of the neighbour's pixels in its list
    places[before.pixels[:, 1], before.pixels[:, 0]] = np.arange(len(before.pixels))
    earlier = places[nearest[:, 1], nearest[:, 0]]

    shown = inside & (earlier == UNKNOWN)
    shown[shown] = motion.agrees(found.pixels[shown].astype(np.float32), landed[shown])
    found.seen_in[shown], found.places[shown] = before.frame, landed[shown]

    chained = inside & (earlier != UNKNOWN)
    _chain(before, found, np.flatnonzero(chained), nearest[chained], landed[chained], earlier[chained], holes)
    for corner in _CORNERS:  # the nearest alone would let the border of what is known slip, half a pixel each frame
        left = np.flatnonzero(chained & (found.seen_in == UNKNOWN))
        pixels: np.ndarray = np.clip(np.floor(landed[left]).astype(int) + corner, 0, (width - 1, height - 1))
        earlier_there = places[pixels[:, 1], pixels[:, 0]]
        there = earlier_there != UNKNOWN
        _chain(before, found, left[there], pixels[there], landed[left[there]], earlier_there[there], holes)

    # The neighbour's margin shows the background, though its flow cannot confirm that: better than none.
    unsure = chained & (found.seen_in == UNKNOWN) & ~before.hole[nearest[:, 1], nearest[:, 0]]
    found.seen_in[unsure], found.places[unsure] = before.frame, landed[unsure]


def _chain(
    before: Origins,
    found: Origins,
    numbers: np.ndarray,
    pixels: np.ndarray,
    landed: np.ndarray,
    earlier: np.ndarray,
    holes: Holes,
) -> None:
    """Give pixels the origins of the neighbour's pixels beside which they landed, unless an object hides them there.

    Args:
        before: origins of the neighbour.
        found: those to fill in.
        numbers: (N,) of the pixels in the list of `found`.
        pixels: (N, 2) int, the neighbour's pixels.
        landed: (N, 2) float, where they landed.
        earlier: (N,) of the neighbour's pixels in its list.
        holes: of the frames before.
    """
    seen_in, places = before.seen_in[earlier], before.places[earlier] + (landed - pixels)
    valid = seen_in != UNKNOWN
    valid[valid] = ~holes.hide(seen_in[valid], places[valid])
    found.seen_in[numbers[valid]], found.places[numbers[valid]] = seen_in[valid], places[valid]
