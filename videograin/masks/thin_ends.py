"""The thin ends of an object, as whiskers are: too thin for a model to draw another object in."""

import cv2
import numpy as np

THIN, LARGE_THIN = 5, 7
"""Pixels, of an object and of a large one; what is not as wide is thin. A cell of the latents has 8, and less than one
cannot be drawn by itself."""

LARGE = 160
"""Pixels of a large object's longer side: the whiskers of a cat of 200 pixels are 6 wide. What reaches across the frame
is a background, and its ends are those of what is before it."""

SHORT, LONG = 4, 12
"""Pixels of an end's longer side. Shorter ones are the corners of any outline, longer ones are legs, which are drawn
with the object that they belong to."""

LONG_SHARE = 1 / 8
"""Of a large object's longer side, that an end may have."""


def thin_ends(mask: np.ndarray) -> np.ndarray:
    """Return the thin parts of a mask (H, W) bool that stick out of its thick parts, of the same shape.

    What is thin as a whole is no end, nor is what joins thick parts, as the bridge of sunglasses does.
    """
    result = np.zeros_like(mask)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    for label, box in enumerate(stats[1:, :4], 1):
        around, side = _around(box), max(box[2:])
        is_large = LARGE <= side < min(mask.shape)
        thin, long = (LARGE_THIN, LONG_SHARE * side) if is_large else (THIN, LONG)
        result[around] |= _ends_of_object(labels[around] == label, thin, long)
    return result


def _ends_of_object(mask: np.ndarray, width: int, long: float) -> np.ndarray:
    """Return what is less wide and at most as long of a mask (H, W) bool that hangs together, of the same shape."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    thick = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc)
    result = np.zeros_like(mask)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8) - thick, connectivity=8)
    for label, box in enumerate(stats[1:, :4], 1):
        if not SHORT <= max(box[2:]) <= long:
            continue
        around = _around(box)
        own = (labels[around] == label).astype(np.uint8)
        touched = np.bitwise_and(cv2.dilate(own, np.ones((3, 3), np.uint8)), thick[around])
        roots, _ = cv2.connectedComponents(touched)
        if roots == 2:  # the background of what it touches, and one root
            result[around] |= own.astype(bool)
    return result


def _around(box: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns of a box (left, top, width, height) and of a pixel around it."""
    left, top, width, height = box
    return slice(max(0, top - 1), top + height + 1), slice(max(0, left - 1), left + width + 1)
