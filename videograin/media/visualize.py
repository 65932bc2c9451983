"""Pictures that explain an edit: source above result, and the attention map of a phrase over its frames."""

import cv2
import numpy as np

STRIP_COLUMNS = 8
"""Frames that a strip shows unless another number is asked for."""

MAP_OPACITY = 0.72
"""Opacity of the attention map's colours over the picture."""


def strip_frames(count: int, columns: int = STRIP_COLUMNS) -> np.ndarray:
    """Return which of `count` frames a strip shows, spread evenly from the first to the last, ascending int."""
    return np.linspace(0, count - 1, min(columns, count)).round().astype(int)


def comparison_strip(source: np.ndarray, result: np.ndarray, columns: int = STRIP_COLUMNS) -> np.ndarray:
    """Put frames of the source above the same frames of the result.

    Args:
        source: (F, H, W, 3) uint8 RGB.
        result: (F, H, W, 3) uint8 RGB, the edited frames.
        columns: frames shown, at most F.

    Returns:
        (2·H, columns·W, 3) uint8 RGB.
    """
    assert source.shape == result.shape, f"{source.shape} beside {result.shape}"
    shown = strip_frames(len(source), columns)
    return np.concatenate([np.concatenate(clip[shown], axis=1) for clip in (source, result)])


def attention_overlay(frames: np.ndarray, attention: np.ndarray) -> np.ndarray:
    """Lay a phrase's attention map over frames: dark violet where it is attended least, yellow where most.

    Args:
        frames: (F, H, W, 3) uint8 RGB.
        attention: (F, h, w) float of any range and size; scaled to its own range over the clip.

    Returns:
        (F, H, W, 3) uint8 RGB.
    """
    assert len(frames) == len(attention), f"{len(frames)} frames, {len(attention)} maps"
    height, width = frames.shape[1:3]
    low, high = float(attention.min()), float(attention.max())
    overlaid = []
    for frame, plane in zip(frames, attention, strict=True):
        share = ((plane - low) / max(high - low, 1e-8)).astype(np.float32)
        share = cv2.resize(share, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
        colours = cv2.applyColorMap((share * 255).round().astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
        grey = frame.mean(-1, keepdims=True)  # a picture without colours of its own leaves them to the map
        overlaid.append((1 - MAP_OPACITY) * grey + MAP_OPACITY * colours)
    return np.stack(overlaid).round().astype(np.uint8)
