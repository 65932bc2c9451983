"""Source pixels around an edit: what was not to change leaves the pipeline as it came, not as the VAE draws it."""

import cv2
import numpy as np

FEATHER = 4.0
"""Pixels over which the edit fades into the source, outside the part that may change."""


def composite(source: np.ndarray, edited: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Lay the edited part over the source.

    Args:
        source: (F, H, W, 3) uint8.
        edited: frames of the same shape.
        changed: (F, H, W) bool, the part that is taken from `edited` as it is.

    Returns:
        (F, H, W, 3) uint8, the source itself from `FEATHER` pixels outside the part on.
    """
    alpha = np.stack([_fade(part) for part in changed])[..., None]
    return np.rint(source + alpha * (edited.astype(np.float32) - source)).astype(np.uint8)


def _fade(part: np.ndarray) -> np.ndarray:
    """Return weights (H, W) float32 in [0, 1]: 1 inside a part (H, W) bool, falling linearly outside."""
    if not part.any():
        return np.zeros(part.shape, np.float32)
    distance = cv2.distanceTransform((~part).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.clip(1 - distance / FEATHER, 0, 1).astype(np.float32)
