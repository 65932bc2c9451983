"""Where one shot of a clip ends and the next begins.

A cut changes the colours of the picture and leaves nothing that optical flow can follow; a fast object or camera
does one of the two at most.
"""

from itertools import pairwise

import cv2
import numpy as np

from videograin.media.flow import optical_flow

SIDE = 128  # longer side in pixels at which frames are compared
BINS = 8  # of each colour channel
MIN_HISTOGRAM_CHANGE = 0.2  # share of the pixels whose colour is another
MIN_LOST = 0.5  # share of the pixels that flow cannot follow


def shot_starts(frames: np.ndarray) -> tuple[int, ...]:
    """Return the frames at which a shot begins, ascending; the first is 0.

    Args:
        frames: (F, H, W, 3) uint8 RGB.
    """
    small = np.stack([_reduced(frame) for frame in frames])
    histograms = [_histogram(frame) for frame in small]
    changes = [np.minimum(a, b).sum() < 1 - MIN_HISTOGRAM_CHANGE for a, b in pairwise(histograms)]
    return (0, *(t for t, changed in enumerate(changes, 1) if changed and _lost(small[t - 1 : t + 1]) > MIN_LOST))


def shot_of(frame: int, starts: tuple[int, ...], frames: int) -> range:
    """Return the frames of the shot that holds `frame`, in a clip of `frames` frames."""
    bounds = (*starts, frames)
    index = int(np.searchsorted(starts, frame, side="right"))
    return range(bounds[index - 1], bounds[index])


def _reduced(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    return cv2.resize(
        frame, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
    )


def _histogram(frame: np.ndarray) -> np.ndarray:
    counts = cv2.calcHist([frame], [0, 1, 2], None, [BINS] * 3, [0, 256] * 3)
    return counts.ravel() / frame[..., 0].size


def _lost(pair: np.ndarray) -> float:
    """Return the share of the pixels that flow cannot follow, whatever the light does."""
    levelled = [cv2.equalizeHist(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)) for frame in pair]
    flow = optical_flow(np.stack([np.repeat(grey[..., None], 3, axis=2) for grey in levelled]))
    return float(max(flow.forward_occluded.mean(), flow.backward_occluded.mean()))
