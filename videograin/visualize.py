"""Pictures of an edit for people: source and result side by side."""

import numpy as np


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
