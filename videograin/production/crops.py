"""Which part of a source is edited: a crop that follows the edited regions, so that they are drawn as large as can be.

A model draws best at one size. Of a large frame shrunk to that size little would be left of an object; of a crop around
it, nearly every pixel. The crop never is smaller than the model's frame, for it should not invent pixels either.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from videograin.media.video import ClipOptions, clip_size

MARGIN = 1 / 8
"""Room on each side of the regions, as a share of their width or height: what is around an object explains it."""

MAX_ASPECT = 2.0
"""Of a crop's longer side to its shorter one; models were trained on squares."""

WHOLE_SHARE = 0.75
"""A crop that covers more of the source than this is the whole frame: it would gain little and might hide a shadow."""

STILL_SHARE = 1.25
"""A crop stands still where that makes it larger by no more than this: a moving one gives the background motion."""

SMOOTH_FRAMES = 4.0
"""Standard deviation in frames of the Gaussian that smooths the crop's way, a sixth of a second at 25 fps."""


@dataclass(frozen=True, eq=False)
class Crops:
    """The part of each source frame that is edited; all are of one size.

    Attributes:
        corners: (F, 2) int, x and y of the upper left pixel in the source.
        box: width and height in the source.
        size: width and height at which it is edited.
    """

    corners: np.ndarray
    box: tuple[int, int]
    size: tuple[int, int]

    def cut(self, frame: int, picture: np.ndarray) -> np.ndarray:
        """Return the part of a source frame (H, W, 3) uint8 that is edited, at the size of the edit."""
        part = self.part(frame, picture)
        if self.box == self.size:
            return part
        shrinks = self.box[0] > self.size[0]
        return cv2.resize(part, self.size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)

    def part(self, frame: int, picture: np.ndarray) -> np.ndarray:
        """Return the same part (h, w, 3) at the source's size, a view."""
        (left, top), (width, height) = self.corners[frame], self.box
        return picture[top : top + height, left : left + width]


def plan_crops(bounds: np.ndarray, source: tuple[int, int], options: ClipOptions) -> Crops:
    """Plan the crops of a clip.

    Args:
        bounds: (F, 4) float, left, top, right and bottom of the edited regions in the source's pixels, nan in frames
            that show none.
        source: width and height of its frames.
        options: their `short_side` and `multiple` are those of the model; without a short side, the frame is whole.
    """
    frames, side = len(bounds), options.short_side
    _, whole = clip_size(*source, options)
    uncropped = Crops(np.zeros((frames, 2), int), source, whole)
    if side is None or min(source) <= side or np.isnan(bounds).all():
        return uncropped
    extent = np.nanmax(bounds[:, 2:] - bounds[:, :2], axis=0)
    reach = np.nanmax(bounds[:, 2:], axis=0) - np.nanmin(bounds[:, :2], axis=0)
    box, size = _fitting_box(extent, source, options)
    still_box, still_size = _fitting_box(reach, source, options)
    stands_still = bool(np.prod(still_box) <= STILL_SHARE * np.prod(box))
    if stands_still:
        box, size = still_box, still_size
    if np.prod(box) >= WHOLE_SHARE * np.prod(source):
        return uncropped
    return Crops(_corners(bounds, box, source, stands_still), box, size)


def _fitting_box(
    extent: np.ndarray, source: tuple[int, int], options: ClipOptions
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the smallest box around regions of an extent, and the size at which it is edited."""
    assert options.short_side is not None
    side, multiple = options.short_side, options.multiple
    wanted = np.minimum(np.maximum(extent * (1 + 2 * MARGIN), side), source)
    wanted = np.minimum(np.maximum(wanted, wanted.max() / MAX_ASPECT), source)
    size = np.maximum(multiple, np.round(wanted * side / wanted.min() / multiple) * multiple)
    scale = min((wanted / size).max(), (np.array(source) / size).min())  # of the size's proportions, within the frame
    width, height = np.floor(size * scale).astype(int)
    return (int(width), int(height)), (int(size[0]), int(size[1]))


def _corners(bounds: np.ndarray, box: tuple[int, int], source: tuple[int, int], stands_still: bool) -> np.ndarray:
    seen = np.flatnonzero(~np.isnan(bounds[:, 0]))
    if stands_still:
        low, high = np.nanmin(bounds[:, :2], axis=0), np.nanmax(bounds[:, 2:], axis=0)
        corners = np.tile((low + high - box) / 2, (len(bounds), 1))
    else:
        filled = np.stack([np.interp(np.arange(len(bounds)), seen, bounds[seen, i]) for i in range(4)], axis=1)
        centres = cv2.GaussianBlur(
            (filled[:, :2] + filled[:, 2:]) / 2, (1, 0), sigmaX=1, sigmaY=SMOOTH_FRAMES, borderType=cv2.BORDER_REPLICATE
        )
        corners = np.clip(centres - np.array(box) / 2, filled[:, 2:] - box, filled[:, :2])  # the regions stay inside
    return np.clip(np.round(corners).astype(int), 0, np.array(source) - box)
