"""Masks made from masks: grown, shrunk, feathered, cleaned, combined and laid over one another.

All of them take and return (F, H, W) bool at the clip's size and treat every frame by itself. What lies beyond the
picture counts as neither inside nor outside: an object that is cut off by the picture's edge is not shrunk there.
"""

import math
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import reduce

import cv2
import numpy as np

from videograin.errors import RegionError, SettingsError

MAX_RADIUS = 256.0
"""Pixels by which a mask can be grown, shrunk or feathered."""

MAX_LABELS = 255
"""Regions of one label map: indexed pictures have a byte for each pixel, and 0 is the background."""

_ALL_NEIGHBOURS, _STRAIGHT_NEIGHBOURS = 8, 4  # of a pixel: where pieces touch at corners, holes must not


class Combination(StrEnum):
    """How several regions become one."""

    UNION = "union"
    INTERSECTION = "intersection"
    DIFFERENCE = "difference"


_OPERATORS: dict[Combination, Callable[..., np.ndarray]] = {
    Combination.UNION: np.logical_or,
    Combination.INTERSECTION: np.logical_and,
    Combination.DIFFERENCE: np.greater,
}


def grow(masks: np.ndarray, radius: float) -> np.ndarray:
    """Add the pixels whose centre is at most `radius` from that of a pixel inside (Euclidean, exact).

    Args:
        masks: (F, H, W) bool.
        radius: pixels, 0 to `MAX_RADIUS`.

    Raises:
        RegionError: masks of another shape or dtype.
        SettingsError: radius out of range.
    """
    check_masks(masks)
    _check_radius(radius)
    if radius < 1:  # no other pixel's centre is as near; the distances of a long clip would take seconds
        return masks.copy()
    reach = math.sqrt(math.floor(radius**2) + 0.5)  # squares of distances are whole, float32 roots of them are not
    return _distances(~masks) < reach


def shrink(masks: np.ndarray, radius: float) -> np.ndarray:
    """Take away the pixels at most `radius` from a pixel outside; arguments as for `grow`, which this mirrors."""
    return ~grow(~masks, radius)


def feather(masks: np.ndarray, radius: float) -> np.ndarray:
    """Soften the edges for display and export; an edit's layout stays bool.

    Args:
        masks: (F, H, W) bool.
        radius: pixels on either side of the edge over which the ramp runs, 0 to `MAX_RADIUS`; 0 keeps it hard.

    Returns:
        (F, H, W) float32 opacity in [0, 1], over 0.5 exactly where the masks are.

    Raises:
        RegionError: masks of another shape or dtype.
        SettingsError: radius out of range.
    """
    check_masks(masks)
    _check_radius(radius)
    if radius <= 0.5:  # the edge lies half-way between pixels, so the ramp reaches none of them
        return masks.astype(np.float32)
    inside = np.where(masks, _distances(masks) - 0.5, 0.5 - _distances(~masks))
    return 0.5 + np.clip(inside, -radius, radius) / np.float32(2 * radius)


def fill_holes(masks: np.ndarray, share: float) -> np.ndarray:
    """Fill the small holes of each frame's mask: enclosed pieces that do not reach the picture's edge.

    Args:
        masks: (F, H, W) bool.
        share: the largest hole that is filled, as a share of the frame's mask, 0 to 1.

    Raises:
        RegionError: masks of another shape or dtype.
    """
    check_masks(masks)
    return np.stack([plane | _holes(plane, share * plane.sum()) for plane in masks])


def drop_specks(masks: np.ndarray, share: float) -> np.ndarray:
    """Remove the specks of each frame's mask: connected pieces, at corners too, far smaller than the largest one.

    Args:
        masks: (F, H, W) bool.
        share: the smallest piece that is kept, as a share of the frame's largest piece, 0 to 1.

    Raises:
        RegionError: masks of another shape or dtype.
    """
    check_masks(masks)
    return np.stack([_pieces(plane, share) for plane in masks])


def combine(masks: Sequence[np.ndarray], how: Combination) -> np.ndarray:
    """Combine regions into one; the difference is the first without all others.

    Args:
        masks: at least one (F, H, W) bool, all of one shape.
        how: union, intersection or difference.

    Raises:
        RegionError: no masks, or masks of several shapes.
    """
    check_masks(*masks)
    return reduce(_OPERATORS[how], masks).copy()


def everything_else(masks: Sequence[np.ndarray], shape: tuple[int, int, int]) -> np.ndarray:
    """Return the pixels that none of the masks covers, (F, H, W) bool.

    Args:
        masks: any number of (F, H, W) bool.
        shape: (F, H, W) of the clip.

    Raises:
        RegionError: masks of another shape.
    """
    return ~combine([np.zeros(shape, bool), *masks], Combination.UNION)


def label_map(masks: Sequence[np.ndarray]) -> np.ndarray:
    """Return which region each pixel shows when they lie over one another.

    Args:
        masks: (F, H, W) bool of each region, from the bottom to the top; they may overlap.

    Returns:
        (F, H, W) uint8, 0 where there is none and k for the k-th region, counted from 1.

    Raises:
        RegionError: no masks, too many, or masks of several shapes.
    """
    check_masks(*masks)
    if len(masks) > MAX_LABELS:
        raise RegionError(f"There are {len(masks)} regions; one picture can tell {MAX_LABELS} apart. Join some.")
    labels = np.zeros(masks[0].shape, np.uint8)
    for label, mask in enumerate(masks, 1):
        labels[mask] = label
    return labels


def check_masks(*masks: np.ndarray) -> None:
    """Raise RegionError unless there are masks and all are (F, H, W) bool of one shape."""
    if not masks:
        raise RegionError("There is no region. Mark at least one.")
    for each in masks:
        if each.ndim != 3 or each.dtype != np.bool_ or not each.size:
            raise RegionError(
                f"Masks have shape {each.shape} and dtype {each.dtype}; pass (frames, height, width) bool, none 0."
            )
    shapes = {each.shape for each in masks}
    if len(shapes) > 1:
        raise RegionError(f"The masks have several shapes: {sorted(shapes)}. Make all of them for one clip.")


def _distances(masks: np.ndarray) -> np.ndarray:
    """Return the distance of every pixel inside to the nearest outside, (F, H, W) float32; huge where there is none."""
    planes = masks.astype(np.uint8)
    return np.stack([cv2.distanceTransform(plane, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for plane in planes])


def _holes(plane: np.ndarray, max_area: float) -> np.ndarray:
    labels, areas = _components(~plane, _STRAIGHT_NEIGHBOURS)
    is_hole = areas <= max_area
    is_hole[0] = False  # the mask itself
    is_hole[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = False
    return is_hole[labels]


def _pieces(plane: np.ndarray, share: float) -> np.ndarray:
    labels, areas = _components(plane, _ALL_NEIGHBOURS)
    is_kept = areas >= share * areas[1:].max(initial=0)
    is_kept[0] = False  # the background
    return is_kept[labels]


def _components(plane: np.ndarray, connectivity: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the piece that each pixel belongs to, (H, W) int32 with 0 for none, and the area of each piece."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(plane.view(np.uint8), connectivity=connectivity)
    return labels, stats[:, cv2.CC_STAT_AREA]


def _check_radius(radius: float) -> None:
    if not 0 <= radius <= MAX_RADIUS:
        raise SettingsError(f"The radius is {radius} pixels; choose 0 to {MAX_RADIUS:g}.")


BACKDROP_BORDER = 0.25
"""A mask that covers more of the picture's border is taken for backdrop, and comes last."""


def is_backdrop(masks: np.ndarray) -> bool:
    """Return whether masks (…, H, W) cover much of the border."""
    edges = [masks[..., 0, :], masks[..., -1, :], masks[..., :, 0], masks[..., :, -1]]
    return bool(np.concatenate(edges, -1).mean() > BACKDROP_BORDER)


def box_around(mask: np.ndarray) -> np.ndarray:
    """Return (x0, y0, x1, y1) float32 around a mask (H, W) bool that is not empty."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
