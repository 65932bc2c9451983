"""What moves otherwise than the background, by optical flow from a frame to those beside it.

The background's flow is taken to be a homography, which a camera that turns, or films from afar, leaves (Irani and
Anandan, TPAMI 1998). What lies much nearer or farther than most of the picture moves otherwise as well, so that this is
a hint and never a mask.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from videograin.media.flow import optical_flow

STEP = 2
"""Frames to those beside it: between neighbours slow objects move less than flow errs."""

GRID_STEP = 8
"""Pixels between the points by which the background's homography is fitted."""

INLIER_PIXELS = 1.0
"""Error up to which a point moves with the background; that of DIS flow on photographs is half of it."""

LEAST_BACKGROUND = 0.4
"""Share of the points that must move with the background; with fewer it is unknown what is background."""

NOISE_FLOOR = 0.4
"""Pixels of error that flow has at least, beside what it shows on the background itself."""

CLEAR_MOTION = 3.0
"""Motion of its own, in multiples of the background's error, that is sure to three fifths."""


def frames_beside(frames: np.ndarray, index: int) -> list[np.ndarray]:
    """Return the frames of a clip (F, H, W, 3) by which the motion in one of them is judged, before and after it."""
    places = (index - STEP, index + STEP)
    return [frames[place] for place in places if 0 <= place < len(frames)]


def own_motion(frame: np.ndarray, beside: Sequence[np.ndarray]) -> np.ndarray | None:
    """Estimate how surely each pixel moves otherwise than the background.

    Args:
        frame: (H, W, 3) uint8 RGB.
        beside: frames of the same size shortly before and after it; a pixel must move against the background towards
            each of them, for flow errs where something is hidden in one of them.

    Returns:
        (H, W) float32 in [0, 1]; None where there is no frame beside it, or no background that moves as one.
    """
    surety = [_own_motion_towards(frame, other) for other in beside if other.shape == frame.shape]
    known = [each for each in surety if each is not None]
    return np.minimum.reduce(known) if known else None


def _own_motion_towards(frame: np.ndarray, other: np.ndarray) -> np.ndarray | None:
    flow = optical_flow(np.stack([frame, other])).forward[0]
    height, width = frame.shape[:2]
    start = GRID_STEP // 2
    rows, columns = (axis.ravel() for axis in np.mgrid[start:height:GRID_STEP, start:width:GRID_STEP])
    places = np.stack([columns, rows], 1).astype(np.float32)
    moved = places + flow[:, rows, columns].T
    if len(places) < 4:
        return None
    cv2.setRNGSeed(0)
    homography, inliers = cv2.findHomography(places, moved, cv2.RANSAC, INLIER_PIXELS)
    if homography is None or inliers.mean() < LEAST_BACKGROUND:
        return None
    error = np.linalg.norm(flow - _flow_of(homography, (height, width)), axis=0)
    noise = NOISE_FLOOR + np.median(error[rows, columns][inliers[:, 0] > 0])
    return (1 - np.exp(-np.square(error / (CLEAR_MOTION * noise)))).astype(np.float32)


def _flow_of(homography: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the flow (2, H, W) float32 of a homography."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    moved = cv2.perspectiveTransform(np.stack([columns, rows], -1).reshape(1, -1, 2), homography).reshape(*size, 2)
    return np.stack([moved[..., 0] - columns, moved[..., 1] - rows])
