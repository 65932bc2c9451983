"""Outlines of enlarged masks brought to the edges of the picture: between two mask pixels lie several of a large frame.

A guided filter (He, Sun, Tang, "Guided image filtering", TPAMI 2013, with the colours as guide): within each square the
mask is the linear function of the colours that fits it best.
"""

import cv2
import numpy as np

MIN_ENLARGEMENT = 1.5
"""Below it a mask is nearly as fine as its picture, and is left alone."""

RADIUS = 2.0
"""Pixels of the mask over which its outline may be off: half the side of the squares. Of masks of 256 pixels in a frame
of 1,080, 0.967 of an emoji overlapped with the truth as they were, 0.985 with half of this radius, 0.989 with it."""

REGULARISATION = 1e-4
"""Squared difference of colours in [0, 1] below which a square counts as flat; the paper's ε."""


def snap_to_edges(mask: np.ndarray, picture: np.ndarray, enlargement: float) -> np.ndarray:
    """Return a mask whose outline follows the colours of the picture.

    It is linear in the mask: where two masks share an outline, theirs do.

    Args:
        mask: (H, W) bool, enlarged to the picture's size.
        picture: (H, W, 3) uint8 RGB.
        enlargement: pixels of the picture for each pixel that the mask had.

    Returns:
        (H, W) bool.
    """
    if enlargement < MIN_ENLARGEMENT or mask.all() or not mask.any():
        return mask
    radius = round(RADIUS * enlargement)
    part = _around(mask, 2 * radius)
    result = mask.copy()
    result[part] = _filtered(mask[part].astype(np.float32), picture[part].astype(np.float32) / 255, radius) >= 0.5
    return result if result.any() else mask  # smaller than the squares, and of the colour of what is around it


def _around(mask: np.ndarray, room: int) -> tuple[slice, slice]:
    """Return the rows and columns of a mask with some room, beyond which the filter changes nothing."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(max(0, rows[0] - room), rows[-1] + 1 + room), slice(max(0, columns[0] - room), columns[-1] + 1 + room)


def _filtered(mask: np.ndarray, guide: np.ndarray, radius: int) -> np.ndarray:
    """Return the guided filter (H, W) float32 of a mask in [0, 1] by a guide (H, W, 3) in [0, 1]."""

    def mean(values: np.ndarray) -> np.ndarray:
        side = 2 * radius + 1
        return cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT)

    colour, share = mean(guide), mean(mask)
    covariance = mean(guide * mask[..., None]) - colour * share[..., None]
    variance = np.empty((*mask.shape, 3, 3), np.float32)
    for i in range(3):
        variance[..., i] = mean(guide * guide[..., i : i + 1]) - colour * colour[..., i : i + 1]
    slope = np.linalg.solve(variance + REGULARISATION * np.eye(3, dtype=np.float32), covariance[..., None])[..., 0]
    offset = share - (slope * colour).sum(-1)
    return (mean(slope) * guide).sum(-1) + mean(offset)
