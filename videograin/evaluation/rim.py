"""How steady an edit's edges are: what flickers along the outlines of edited objects, where the source does not."""

import cv2
import numpy as np

from videograin.media.flow import OpticalFlow, optical_flow, warp

RIM = 6
"""Pixels outside of an outline that are its rim."""


def rim_ratio(result: np.ndarray, source: np.ndarray, masks: np.ndarray, flow: OpticalFlow | None = None) -> float:
    """Return how much more an edit flickers at the outlines of its objects than the source does there.

    Args:
        result: (F, H, W, 3) uint8 RGB, F ≥ 2.
        source: frames of the same shape.
        masks: (F, H, W) bool, what was edited.
        flow: of the source; None estimates it.

    Returns:
        `rim_variance` of the result over that of the source; 1 is as steady as the source.
    """
    flow, rim = flow or optical_flow(source), outer_rim(masks)
    return float(np.divide(rim_variance(result, rim, flow), rim_variance(source, rim, flow)))


def outer_rim(masks: np.ndarray, pixels: int = RIM) -> np.ndarray:
    """Return the pixels outside of masks (F, H, W) bool that are at most so far from them, of the same shape."""
    planes = np.stack([cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) for mask in masks])
    return (planes <= pixels) & ~masks


def rim_variance(frames: np.ndarray, rim: np.ndarray, flow: OpticalFlow) -> float:
    """Return the temporal variance of some pixels along the flow, in squared grey levels.

    Of two consecutive values a and b it is (a - b)² / 2, the mean of which over all pairs is free of the brightness of
    each path.

    Args:
        frames: (F, H, W, 3) uint8 RGB, F ≥ 2.
        rim: (F, H, W) bool; pixels that are in it in both frames of a pair and are seen in both count.
        flow: of the F − 1 pairs.

    Returns:
        Mean over pixels and channels; nan where there are none.
    """
    total, count = 0.0, 0
    for t, motion in enumerate(flow.forward):
        lands = warp(rim[t + 1].astype(np.float32), motion) > 0.99
        where = rim[t] & lands & ~flow.forward_occluded[t]
        change = warp(frames[t + 1].astype(np.float32), motion)[where] - frames[t][where]
        total, count = total + float(np.square(change).sum()) / 2, count + change.size
    return total / count if count else float("nan")
