"""Kinds of frames: of one colour, drawn or photographed."""

import numpy as np

FLAT = 4
"""Largest spread, in levels of 255, of each channel of a flat frame; compression alone adds a few levels."""


def is_flat(frames: np.ndarray) -> bool:
    """Return whether frames (…, H, W, 3) uint8 are all of one and the same colour, compression aside."""
    return bool((np.ptp(frames.reshape(-1, 3), 0) <= FLAT).all())
