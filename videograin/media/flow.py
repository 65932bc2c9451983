"""Optical flow between consecutive frames. DIS and OpenCV's remap are called once per pair of frames."""

from dataclasses import dataclass, fields, replace
from typing import Self

import cv2
import numpy as np

from videograin.threads import map_in_threads

DIS_MIN_SIDE = 32  # OpenCV 5's DIS kills the process when its image pyramid gets smaller than a patch


@dataclass(frozen=True)
class OpticalFlow:
    """Motion between consecutive frames of a clip, in pixels; channel 0 = x (columns), 1 = y (rows).

    Attributes:
        forward: (F-1, 2, H, W) float32; pixel x of frame t is at x + forward[t] in frame t+1.
        backward: (F-1, 2, H, W) float32; pixel x of frame t+1 is at x + backward[t] in frame t.
        forward_error: (F-1, H, W) float32; squared distance between a pixel of frame t and where it is after a
            step forward and a step backward.
        forward_occluded: (F-1, H, W) bool; pixels of frame t that frame t+1 does not show.
        backward_occluded: (F-1, H, W) bool; pixels of frame t+1 that frame t does not show.
    """

    forward: np.ndarray
    backward: np.ndarray
    forward_error: np.ndarray
    forward_occluded: np.ndarray
    backward_occluded: np.ndarray

    def pair(self, first: int) -> Self:
        """Return the motion between one frame and the next alone."""
        return replace(self, **{part.name: getattr(self, part.name)[first : first + 1] for part in fields(self)})

    @classmethod
    def from_pair(cls, forward: np.ndarray, backward: np.ndarray) -> Self:
        """Complete the flows of both directions with the check of each against the other."""
        error, forward_occluded = forward_backward_check(forward, backward)
        _, backward_occluded = forward_backward_check(backward, forward)
        return cls(forward, backward, error, forward_occluded, backward_occluded)


def optical_flow(frames: np.ndarray) -> OpticalFlow:
    """Estimate the motion between consecutive frames, in both directions, with OpenCV's DIS on the CPU.

    Args:
        frames: (F, H, W, 3) uint8 RGB.
    """
    count, height, width, _ = frames.shape
    forward = np.empty((count - 1, 2, height, width), np.float32)
    backward = np.empty_like(forward)
    greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in _padded(frames)]

    def estimate(t: int) -> None:
        for flow, first, second in ((forward, t, t + 1), (backward, t + 1, t)):
            flow[t] = _dis(greys[first], greys[second])[:, :height, :width]

    map_in_threads(estimate, range(count - 1))  # DIS alone does not fill more than two or three cores
    return OpticalFlow.from_pair(forward, backward)


def warp(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Fetch each pixel from where the flow points: out(x) = image(x + flow(x)), bilinear, edges repeated.

    Args:
        image: (H, W) or (H, W, C), C ≤ 4, uint8 or float32; frame t+1 for forward[t], frame t for backward[t].
        flow: (2, H, W) float32, pixels.
    """
    x, y = _landing(flow)
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def forward_backward_check(flow: np.ndarray, reverse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compare each step along the flow with the step back from where it lands.

    A pixel is occluded when it leaves the picture, or when the step back (`round_trip`) leads to another one.

    Args:
        flow, reverse: (F-1, 2, H, W) float32, pixels.

    Returns:
        |w + v|² (F-1, H, W) float32 and the occluded pixels (F-1, H, W) bool.
    """
    checked = map_in_threads(_check_pair, flow, reverse)
    error, occluded = (np.empty((len(flow), *flow.shape[2:]), kind) for kind in (np.float32, bool))
    for t, part in enumerate(checked):
        error[t], occluded[t] = part
    return error, occluded


def round_trip(step: np.ndarray, back: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Compare steps with the steps back from where they land.

    With w the step and v the step back, both are of one point of the scene when
    |w + v|² ≤ 0.01 (|w|² + |v|²) + 0.5 (Sundaram, Brox, Keutzer, "Dense point trajectories by GPU-accelerated
    large displacement optical flow", ECCV 2010, eq. 5).

    Args:
        step, back: float32, pixels, of one shape, with x and y along an axis.
        axis: which one.

    Returns:
        |w + v|² float32 and whether it is one point, bool; both without that axis.
    """
    error = np.square(step + back).sum(axis)
    return error, error <= 0.01 * (np.square(step) + np.square(back)).sum(axis) + 0.5


def _check_pair(flow: np.ndarray, reverse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the error (H, W) float32 and the occluded pixels (H, W) bool of one pair of frames."""
    height, width = flow.shape[-2:]
    back = warp(reverse.transpose(1, 2, 0), flow).transpose(2, 0, 1)
    error, is_one_point = round_trip(flow, back, axis=0)
    x, y = _landing(flow)
    leaves = (x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)
    return error, ~is_one_point | leaves


def _landing(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns and rows (..., H, W) float32 at which the pixels arrive."""
    height, width = flow.shape[-2:]
    x = flow[..., 0, :, :] + np.arange(width, dtype=np.float32)
    y = flow[..., 1, :, :] + np.arange(height, dtype=np.float32)[:, None]
    return x, y


def _padded(frames: np.ndarray) -> np.ndarray:
    """Repeat the last row and column until both sides are multiples of 8 and long enough."""
    short = [max(DIS_MIN_SIDE, -(-side // 8) * 8) - side for side in frames.shape[1:3]]
    return np.pad(frames, [(0, 0), (0, short[0]), (0, short[1]), (0, 0)], mode="edge")


def _dis(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the flow (2, H, W) float32 from one grey frame (H, W) uint8 to another."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return dis.calc(first, second, None).transpose(2, 0, 1)  # pyright: ignore[reportCallIssue, reportArgumentType]
