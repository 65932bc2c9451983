"""Pictures of an edit for people: source and result side by side, and where a phrase was heeded."""

import cv2
import numpy as np

HEAT_OPACITY = 0.72
"""Of the colours over the picture where a phrase is heeded most."""


def comparison_strip(source: np.ndarray, result: np.ndarray, columns: int = 8) -> np.ndarray:
    """Put frames of the source above the same frames of the result.

    Args:
        source: (F, H, W, 3) uint8 RGB.
        result: of the same shape.
        columns: frames shown, evenly spread from the first to the last; at most F.

    Returns:
        (2·H, columns·W, 3) uint8 RGB.
    """
    assert source.shape == result.shape, f"{source.shape} beside {result.shape}"
    shown = np.linspace(0, len(source) - 1, min(columns, len(source))).round().astype(int)
    return np.concatenate([np.concatenate(clip[shown], axis=1) for clip in (source, result)])


def attention_overlay(frames: np.ndarray, attention: np.ndarray) -> np.ndarray:
    """Lay heat over frames where a phrase was heeded: dark violet for little, yellow for most.

    Args:
        frames: (F, H, W, 3) uint8 RGB.
        attention: (F, h, w) float of any range and size; its largest value over the clip is the hottest.

    Returns:
        (F, H, W, 3) uint8 RGB.
    """
    assert len(frames) == len(attention), f"{len(frames)} frames, {len(attention)} maps"
    height, width = frames.shape[1:3]
    low, high = float(attention.min()), float(attention.max())
    heated = []
    for frame, plane in zip(frames, attention, strict=True):
        share = ((plane - low) / max(high - low, 1e-8)).astype(np.float32)
        share = cv2.resize(share, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
        colours = cv2.applyColorMap((share * 255).round().astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
        grey = frame.mean(-1, keepdims=True)  # a picture without colours of its own leaves them to the heat
        heated.append((1 - HEAT_OPACITY) * grey + HEAT_OPACITY * colours)
    return np.stack(heated).round().astype(np.uint8)
