"""What may be behind an object: its pixels filled from around it, smoothly and fast, for no one looks at it closely."""

import cv2
import numpy as np

RIM = 2
"""Pixels around a mask that are filled as well: the edge of the object is mixed into them."""


def fill_masked(frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return a frame in which masked pixels are filled from those around them.

    By the pull-push algorithm (Gortler et al., "The Lumigraph", SIGGRAPH 1996): means over ever larger squares of what
    is known, and from the coarsest on down, what is unknown is taken from the level above.

    Args:
        frame: (H, W, 3) uint8.
        mask: (H, W) bool; it is grown by `RIM` first.

    Returns:
        (H, W, 3) uint8; the frame itself where all or nothing is masked.
    """
    side = 2 * RIM + 1
    unknown = cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)).astype(bool)
    if unknown.all() or not unknown.any():
        return frame
    known = (~unknown).astype(np.float32)
    filled = _pull_push(frame.astype(np.float32) * known[..., None], known)
    return np.where(unknown[..., None], np.rint(filled).astype(np.uint8), frame)


def _pull_push(colours: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return colours (H, W, 3) everywhere, of colours times their weights (H, W) in [0, 1]."""
    own = colours / np.maximum(weights, 1e-6)[..., None]
    if weights.min() > 0.99 or min(weights.shape) < 2:
        return own
    mean, known = cv2.pyrDown(colours), cv2.pyrDown(weights)
    enough = np.minimum(1, 4 * known)  # one of four pixels that is known says enough: what is farther is not asked
    coarse = _pull_push(mean * (enough / np.maximum(known, 1e-6))[..., None], enough)
    share = weights[..., None]
    return share * own + (1 - share) * cv2.pyrUp(coarse, dstsize=weights.shape[::-1])
