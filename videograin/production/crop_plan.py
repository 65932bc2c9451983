"""Which part of a source is edited: a crop that follows the edited regions, so that they are drawn as large as can be.

A model draws best at one size. Of a large frame shrunk to that size little would be left of an object; of a crop around
it, nearly every pixel. The crop never is smaller than the model's frame, for it should not invent pixels either. A crop
around regions that lie far apart is mostly what lies between them: two crops, laid side by side in one picture, leave
that out, and their regions are still edited jointly.
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from videograin.media.video import ClipOptions, clip_size
from videograin.production.crops import Crops

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

APART_GAIN = 1.5
"""How much larger two crops must draw the regions than one does: their picture shows a border that the source lacks."""

BORDER_PIXELS = 16
"""Edited pixels from a region to that border: two cells of the latents, beyond which the VAE shows next to nothing."""


def plan_crops(bounds: np.ndarray, source: tuple[int, int], options: ClipOptions) -> Crops:
    """Plan the crops of a clip.

    Args:
        bounds: (R, F, 4) float, left, top, right and bottom of each edited region in the source's pixels, nan in frames
            that do not show it.
        source: width and height of its frames.
        options: their `short_side` and `multiple` are those of the model; without a short side, the frame is whole.
    """
    side = options.short_side
    if side is None or min(source) <= side or np.isnan(bounds).all():
        return _uncropped(bounds.shape[1], source, options)
    one = _one_crop(bounds, source, options)
    pairs = [pair for groups in _groups(bounds) if (pair := _two_crops(groups, source, options))]
    best = max(pairs, key=lambda crops: crops.scale, default=one)
    return best if best.scale >= APART_GAIN * one.scale else one


def _uncropped(frames: int, source: tuple[int, int], options: ClipOptions) -> Crops:
    return Crops(np.zeros((1, frames, 2), int), source, clip_size(*source, options)[1])


def _one_crop(bounds: np.ndarray, source: tuple[int, int], options: ClipOptions) -> Crops:
    """Return the crop around all regions, or the whole frame."""
    around = [_union(bounds)]
    box, size, stands_still = _crop_size(around, source, options)
    if np.prod(box) >= WHOLE_SHARE * np.prod(source):
        return _uncropped(bounds.shape[1], source, options)
    return Crops(_corners(around[0], box, source, stands_still)[None], box, size)


def _two_crops(groups: Sequence[np.ndarray], source: tuple[int, int], options: ClipOptions) -> Crops | None:
    """Return a crop around each of two groups of regions, whose bounds (F, 4) are given in the order in which they lie.

    None where crops would meet, or a region would lie at the border between them.
    """
    box, tile, stands_still = _crop_size(groups, source, options)
    is_stacked = tile[0] > tile[1]
    room = BORDER_PIXELS * box[0] / tile[0]
    corners = np.stack([_corners(group, box, source, stands_still, room) for group in groups])
    axis = int(is_stacked)
    first = corners[0, :, axis] + box[axis] - groups[0][:, axis + 2]
    second = groups[1][:, axis] - corners[1, :, axis]
    meet = (np.abs(corners[1] - corners[0]) < box).all(1).any()
    if meet or min(np.nanmin(first), np.nanmin(second)) < room - 1:  # corners are whole pixels
        return None
    return Crops(corners, box, tile, is_stacked)


def _groups(bounds: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the ways in which a line divides regions in two, as the bounds (F, 4) of either side of it."""
    seen = bounds[~np.isnan(bounds).all((1, 2))]
    centres = np.nanmean(seen[..., :2] + seen[..., 2:], axis=1)
    for axis in (0, 1):
        order = np.argsort(centres[:, axis])
        for count in range(1, len(order)):
            yield _union(seen[order[:count]]), _union(seen[order[count:]])


def _union(bounds: np.ndarray) -> np.ndarray:
    """Return the bounds (F, 4) of regions (R, F, 4) together, nan in frames that show none."""
    low, high = np.fmin.reduce(bounds[..., :2]), np.fmax.reduce(bounds[..., 2:])
    return np.concatenate([low, high], axis=1)


def _crop_size(
    groups: Sequence[np.ndarray], source: tuple[int, int], options: ClipOptions
) -> tuple[tuple[int, int], tuple[int, int], bool]:
    """Return the box that fits around each of some groups of regions, the size of its edit, and whether it stands."""
    extent = np.max([np.nanmax(each[:, 2:] - each[:, :2], axis=0) for each in groups], axis=0)
    reach = np.max([np.nanmax(each[:, 2:], axis=0) - np.nanmin(each[:, :2], axis=0) for each in groups], axis=0)
    box, size = _fitting_box(extent, source, options, len(groups))
    still_box, still_size = _fitting_box(reach, source, options, len(groups))
    if np.prod(still_box) <= STILL_SHARE * np.prod(box):
        return still_box, still_size, True
    return box, size, False


def _fitting_box(
    extent: np.ndarray, source: tuple[int, int], options: ClipOptions, count: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the smallest box around regions of an extent, and the size at which it is edited beside others.

    Together they are no larger than the largest crop that is edited alone.
    """
    assert options.short_side is not None
    side, multiple = options.short_side, options.multiple
    wanted = np.minimum(np.maximum(extent * (1 + 2 * MARGIN), side), source)
    wanted = np.minimum(np.maximum(wanted, wanted.max() / MAX_ASPECT), source)
    share = min(1.0, np.sqrt(MAX_ASPECT / count * wanted.min() / wanted.max())) if count > 1 else 1.0
    size = np.maximum(multiple, np.round(share * wanted * side / wanted.min() / multiple) * multiple)
    scale = min((wanted / size).max(), (np.array(source) / size).min())  # of the size's proportions, within the frame
    width, height = np.floor(size * scale).astype(int)
    return (int(width), int(height)), (int(size[0]), int(size[1]))


def _corners(
    bounds: np.ndarray, box: tuple[int, int], source: tuple[int, int], stands_still: bool, room: float = 0.0
) -> np.ndarray:
    """Return the corners (F, 2) of a box that holds regions, where it can with some room around them."""
    seen = np.flatnonzero(~np.isnan(bounds[:, 0]))
    if stands_still:
        low, high = np.nanmin(bounds[:, :2], axis=0), np.nanmax(bounds[:, 2:], axis=0)
        corners = np.tile((low + high - box) / 2, (len(bounds), 1))
    else:
        filled = np.stack([np.interp(np.arange(len(bounds)), seen, bounds[seen, i]) for i in range(4)], axis=1)
        centres = cv2.GaussianBlur(
            (filled[:, :2] + filled[:, 2:]) / 2, (1, 0), sigmaX=1, sigmaY=SMOOTH_FRAMES, borderType=cv2.BORDER_REPLICATE
        )
        room_there = np.clip((box - (filled[:, 2:] - filled[:, :2])) / 2, 0, room)
        corners = np.clip(
            centres - np.array(box) / 2, filled[:, 2:] + room_there - box, filled[:, :2] - room_there
        )  # the regions stay inside
    return np.clip(np.round(corners).astype(int), 0, np.array(source) - box)
