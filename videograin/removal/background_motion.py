"""How the background moves behind an object that hides it, from one frame to the one before or after it.

Within the object nothing of it is seen, and close around it optical flow is a mixture of both. So an affine map is
fitted to the flow in a ring further out, by RANSAC, which leaves out other objects that move through the ring.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from videograin.media.flow import optical_flow, round_trip

FLOW_SIDE = 360
"""Pixels of the shorter side at which flow is estimated: maps fitted to thousands of points are exact to a fraction."""

MIXED_PIXELS = 12
"""Around an object flow is a mixture of both motions: DIS compares patches of 8 pixels, half of each over another."""

RING = 0.12
"""Width of the ring, as a share of the shorter side."""

RANSAC_PIXELS = 0.5
"""How far off the map a point of the ring may move and still count as background."""

MIN_POINTS = 24
"""Fewer do not tell how a background moves; six numbers are fitted."""

MAX_POINTS = 4000
"""More make no map better and RANSAC slower."""


@dataclass(frozen=True, eq=False)
class BackgroundMotion:
    """From a frame to its neighbour.

    Attributes:
        scale: pixels of the flow for each pixel of the frames.
        there, back: (2, h, w) float32, flow from the frame to the neighbour and from the neighbour to the frame.
        labels: (h, w) int32, 0 outside the hidden part, then a number for each piece of it.
        maps: for each number an affine map (2, 3) from the frame to the neighbour; None where it cannot be told.
    """

    scale: float
    there: np.ndarray
    back: np.ndarray
    labels: np.ndarray
    maps: dict[int, np.ndarray | None]

    @classmethod
    def between(cls, frame: np.ndarray, neighbour: np.ndarray, hidden: np.ndarray) -> Self:
        """Estimate the motion.

        Args:
            frame, neighbour: (H, W, 3) uint8 RGB.
            hidden: (H, W) bool, the part of the frame where its flow is not the background's.
        """
        scale = flow_scale(min(frame.shape[:2]))
        size = (round(frame.shape[1] * scale), round(frame.shape[0] * scale))
        small = [cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (frame, neighbour)]
        flow = optical_flow(np.stack(small))
        there, back, seen = flow.forward[0], flow.backward[0], ~flow.forward_occluded[0]
        inside = cv2.resize(hidden.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        count, labels = cv2.connectedComponents(inside)
        maps = {number: _fit(there, seen & (inside == 0), labels == number) for number in range(1, count)}
        return cls(scale, there, back, labels, maps)

    def follow(self, points: np.ndarray) -> np.ndarray:
        """Return where pixels (N, 2) of the hidden part lie in the neighbour, (N, 2) float32; nan where unknown."""
        small = points * self.scale
        numbers = _at(self.labels, small)
        landed = np.full(points.shape, np.nan, np.float32)
        for number, matrix in self.maps.items():
            own = numbers == number
            if matrix is not None and own.any():
                landed[own] = (small[own] @ matrix[:, :2].T + matrix[:, 2]) / self.scale
        return landed

    def agrees(self, points: np.ndarray, landed: np.ndarray) -> np.ndarray:
        """Return whether the neighbour's own flow at (N, 2) landed pixels leads back to the points, (N,) bool."""
        step = (landed - points) * self.scale
        back = np.stack([_at(part, landed * self.scale) for part in self.back], axis=1)
        return round_trip(step, back, axis=1)[1]


def flow_scale(side: int) -> float:
    """Return the scale at which the flow of frames with a shorter side of this number of pixels is estimated."""
    return min(1.0, FLOW_SIDE / side)


def _fit(flow: np.ndarray, usable: np.ndarray, piece: np.ndarray) -> np.ndarray | None:
    """Fit an affine map to the flow around a hidden piece, or to that of the whole frame where little is around it."""
    width = max(3, round(RING * min(piece.shape)))
    near = cv2.dilate(piece.astype(np.uint8), np.ones((2 * width + 1, 2 * width + 1), np.uint8)) > 0
    for part in (usable & near, usable):
        rows, columns = np.nonzero(part)
        if len(rows) < MIN_POINTS:
            continue
        every = -(-len(rows) // MAX_POINTS)
        rows, columns = rows[::every], columns[::every]
        points = np.stack([columns, rows], axis=1).astype(np.float32)
        moved = points + flow[:, rows, columns].T
        matrix, inliers = cv2.estimateAffine2D(points, moved, method=cv2.RANSAC, ransacReprojThreshold=RANSAC_PIXELS)
        if matrix is not None and inliers.sum() >= MIN_POINTS:
            return matrix
    return None


def _at(field: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return a field (h, w) at the pixels nearest to points (N, 2) as (x, y)."""
    columns = np.clip(np.rint(points[:, 0]), 0, field.shape[1] - 1).astype(int)
    rows = np.clip(np.rint(points[:, 1]), 0, field.shape[0] - 1).astype(int)
    return field[rows, columns]
