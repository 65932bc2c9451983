"""Frames for masks to fit, without a video, and the masks of one source."""

import numpy as np

from videograin.masks.load import MaskSource, load_masks
from videograin.masks.target import MaskTarget
from videograin.media.video import MAX_FRAMES, ClipOptions


def frames_of(frames: int, height: int, width: int) -> MaskTarget:
    """Return the frames of a clip that is its whole source."""
    options = ClipOptions(short_side=None, multiple=1, max_frames=MAX_FRAMES)
    return MaskTarget((frames, height, width), (width, height), options)


def read_masks(source: MaskSource, target: MaskTarget) -> np.ndarray:
    """Read the masks (F, H, W) bool of one source."""
    (masks,) = load_masks([source], target)
    return masks
