"""The thin ends of an object, as whiskers are: too thin for a model to draw another object in."""

import cv2
import numpy as np

THIN = 5
"""Pixels; what is not as wide is thin. A cell of the latents has 8, and half of one cannot be drawn by itself."""

SHORT, LONG = 4, 12
"""Pixels of an end's longer side. Shorter ones are the corners of any outline, longer ones are legs, which are drawn
with the object that they belong to."""


def thin_ends(mask: np.ndarray) -> np.ndarray:
    """Return the thin parts of a mask (H, W) bool that stick out of its thick parts, of the same shape.

    What is thin as a whole is no end, nor is what joins thick parts, as the bridge of sunglasses does.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (THIN, THIN))
    thick = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc)
    result = np.zeros_like(mask)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8) - thick, connectivity=8)
    for label, (left, top, width, height, _area) in enumerate(stats):
        if label == 0 or not SHORT <= max(width, height) <= LONG:
            continue
        around = slice(max(0, top - 1), top + height + 1), slice(max(0, left - 1), left + width + 1)
        own = (labels[around] == label).astype(np.uint8)
        touched = np.bitwise_and(cv2.dilate(own, np.ones((3, 3), np.uint8)), thick[around])
        roots, _ = cv2.connectedComponents(touched)
        if roots == 2:  # the background of what it touches, and one root
            result[around] |= own.astype(bool)
    return result
