"""Frames for masks to fit, without a video."""

from videograin.masks.target import MaskTarget
from videograin.media.video import MAX_FRAMES, ClipOptions


def frames_of(frames: int, height: int, width: int) -> MaskTarget:
    """Return the frames of a clip that is its whole source."""
    options = ClipOptions(short_side=None, multiple=1, max_frames=MAX_FRAMES)
    return MaskTarget((frames, height, width), (width, height), options)
