"""Region and contour accuracy of masks, as DAVIS defines them (Perazzi et al., CVPR 2016).

J is the intersection over union of two masks. F is the F-measure of their contours, matched within 0.008 of the
picture's diagonal. Where both masks are empty, both are 1.
"""

import cv2
import numpy as np

TOLERANCE = 0.008
"""Of the picture's diagonal: how far apart contours may be and still match."""


def region_similarity(mask: np.ndarray, truth: np.ndarray) -> float:
    """Return J of two masks (H, W) bool."""
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else 1.0


def contour_accuracy(mask: np.ndarray, truth: np.ndarray) -> float:
    """Return F of two masks (H, W) bool."""
    contour, true_contour = _contour(mask), _contour(truth)
    if not contour.any() or not true_contour.any():
        return float(contour.any() == true_contour.any())
    reach = int(np.ceil(TOLERANCE * np.hypot(*mask.shape)))
    precision = _near(contour, true_contour, reach)
    recall = _near(true_contour, contour, reach)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def j_and_f(masks: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the mean of J and F for each frame (F,) of masks (F, H, W) bool."""
    pairs = list(zip(masks, truth, strict=True))
    return np.array([(region_similarity(*pair) + contour_accuracy(*pair)) / 2 for pair in pairs])


def _near(points: np.ndarray, others: np.ndarray, reach: int) -> float:
    """Return the share of points (H, W) that have one of the others within reach."""
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = (rows**2 + columns**2 <= reach**2).astype(np.uint8)
    return np.count_nonzero(points & (cv2.dilate(others.astype(np.uint8), disc) > 0)) / np.count_nonzero(points)


def _contour(mask: np.ndarray) -> np.ndarray:
    """Return the pixels (H, W) bool whose right, lower or lower right neighbour is on the other side."""
    padded = np.pad(mask, (0, 1), mode="edge")
    here = padded[:-1, :-1]
    return (here ^ padded[:-1, 1:]) | (here ^ padded[1:, :-1]) | (here ^ padded[1:, 1:])
