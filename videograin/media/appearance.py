"""What kind of picture a frame is."""

import numpy as np

FLAT = 4
"""A picture whose channels all vary by at most so many levels of 255 shows nothing; compression alone adds a few."""


def is_flat(frames: np.ndarray) -> bool:
    """Return whether frames (…, H, W, 3) uint8 are all of one and the same colour, compression aside."""
    return bool((np.ptp(frames.reshape(-1, 3), 0) <= FLAT).all())
