"""Source pixels around an edit: what was not to change leaves the pipeline as it came, not as the VAE draws it."""

import math

import cv2
import numpy as np

from videograin.masks.inpaint import fill_masked
from videograin.masks.thin_ends import thin_ends
from videograin.threads import map_in_threads

FEATHER = 1.5
"""Pixels over which the edit fades into the source, half of them on either side of the outline, which is smooth then.

What the model draws at the outline and beyond it glimmers. With the fade wholly outside, the rim of a panda of 200
pixels varied 3.7 times as much along the flow as the source's, and varies 2.3 times as much now.
"""


def composite(source: np.ndarray, edited: np.ndarray, changed: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Lay the edited part over the source.

    Args:
        source: (F, H, W, 3) uint8.
        edited: frames of the same shape.
        changed: (F, H, W) bool, the part that is taken from `edited`, as it is but for its outermost pixels.
        kept: (F, H, W) bool, the part that is the source to the last pixel: the edit fades before it, not in it.

    Returns:
        (F, H, W, 3) uint8, the source itself from `FEATHER` pixels away from the changed part on.
    """
    return np.stack(map_in_threads(_composite_frame, source, edited, changed, kept))


def _composite_frame(source: np.ndarray, edited: np.ndarray, changed: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return lay_over(source, without_thin_ends(source, edited, changed), opacity(changed, kept))


def without_thin_ends(source: np.ndarray, edited: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Return an edited frame (H, W, 3) uint8 that shows what is around the old object in its whiskers and the like.

    What is drawn there is a piece of the new object in the outline of the old one's.
    """
    ends = thin_ends(changed)
    if not ends.any():
        return edited
    side = 2 * math.ceil(FEATHER) + 1  # around them the edit fades
    faded = cv2.dilate(ends.astype(np.uint8), np.ones((side, side), np.uint8)).astype(bool) & ~changed
    return np.where((ends | faded)[..., None], fill_masked(source, changed), edited)


def lay_over(source: np.ndarray, edited: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return a frame (H, W, 3) uint8 in which an edit covers the source by its share, (H, W) float32 in [0, 1].

    Where it fades, it fades into what is around the old object: the soft edge of that object lies just outside of its
    mask, and would stay as a thin line where the new one does not reach.
    """
    behind = np.where(share[..., None] > 0, fill_masked(source, share > 0.5), source)
    return np.rint(behind + share[..., None] * (edited.astype(np.float32) - behind)).astype(np.uint8)


def opacity(changed: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return how far the edit covers the source, (H, W) float32 in [0, 1]: a half at the outline of the changed part,
    nothing in the kept one."""
    return np.minimum(np.clip(0.5 - _beyond_outline(changed) / FEATHER, 0, 1), _feathers_away(kept))


def _beyond_outline(part: np.ndarray) -> np.ndarray:
    """Return how far outside of the outline of a part (H, W) bool each pixel's middle lies, float32 pixels."""
    if part.all() or not part.any():
        return np.where(part, np.float32(-np.inf), np.float32(np.inf))
    outside, inside = (
        cv2.distanceTransform(each.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for each in (~part, part)
    )
    return np.where(part, 0.5 - inside, outside - 0.5)  # the outline runs between two pixels


def _feathers_away(part: np.ndarray) -> np.ndarray:
    """Return how far each pixel is from a part (H, W) bool, float32 in units of `FEATHER`: 0 in the part, 1 at most."""
    if not part.any():
        return np.ones(part.shape, np.float32)
    distance = cv2.distanceTransform((~part).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.minimum(distance / FEATHER, 1)
