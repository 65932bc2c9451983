"""Optical flow between consecutive frames, and the trajectories of tokens along it.

Everything is vectorised over points; only DIS and OpenCV's remap are called once per pair of frames.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import Self

import cv2
import numpy as np
import torch

Estimator = Callable[[np.ndarray, np.ndarray], np.ndarray]

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
    estimate = _dis()
    for t, (first, second) in enumerate(pairwise(_padded(frames))):
        forward[t] = estimate(first, second)[:, :height, :width]
        backward[t] = estimate(second, first)[:, :height, :width]
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

    With w the flow at a pixel and v the reverse flow where w lands, the pixel is occluded when
    |w + v|² > 0.01 (|w|² + |v|²) + 0.5 (Sundaram, Brox, Keutzer, "Dense point trajectories by GPU-accelerated
    large displacement optical flow", ECCV 2010, eq. 5), or when it leaves the picture.

    Args:
        flow, reverse: (F-1, 2, H, W) float32, pixels.

    Returns:
        |w + v|² (F-1, H, W) float32 and the occluded pixels (F-1, H, W) bool.
    """
    height, width = flow.shape[-2:]
    back = np.empty_like(flow)
    for t in range(len(flow)):
        back[t] = warp(reverse[t].transpose(1, 2, 0), flow[t]).transpose(2, 0, 1)
    error = np.square(flow + back).sum(axis=1)
    tolerance = 0.01 * (np.square(flow) + np.square(back)).sum(axis=1) + 0.5
    x, y = _landing(flow)
    leaves = (x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)
    return error, (error > tolerance) | leaves


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


def _dis() -> Estimator:
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def estimate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        first, second = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second))
        return dis.calc(first, second, None).transpose(2, 0, 1)  # pyright: ignore[reportCallIssue, reportArgumentType]

    return estimate


@dataclass(frozen=True)
class Trajectories:
    """For each token of a clip, the other tokens on its path through the frames.

    Tokens are numbered along the flattened (F, h, w); N = F·h·w. All tensors lie on one device.

    Attributes:
        grid: (F, h, w).
        window: side of the square of neighbours around a token, odd; the release has 5 at the top resolution
            and 3 below.
        path: (N, longest - 1) int32; the other tokens of the trajectory in time order, 0 where there are none.
        path_valid: (N, longest - 1) bool.
    """

    grid: tuple[int, int, int]
    window: int
    path: torch.Tensor
    path_valid: torch.Tensor

    def to(self, device: torch.device | str) -> Self:
        """Return these trajectories on another device."""
        return replace(self, path=self.path.to(device), path_valid=self.path_valid.to(device))

    @property
    def tokens(self) -> int:
        """Tokens of one frame, h·w."""
        return self.grid[1] * self.grid[2]

    @cached_property
    def entries(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What a token attends to: itself, then its path; tokens (N, L) int32 and which are real (N, L) bool.

        When the longest path is shorter than the clip, the last columns of the window precede it, as in the
        release, so that L = F (or less, when a small window has too few).
        """
        window, inside = self.neighbours()
        missing = self.grid[0] - 1 - self.path.shape[1]
        last = slice(max(0, window.shape[1] - missing), None)
        return self._columns(window[:, last], inside[:, last])

    def table(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the release's table: each token, its window, its path.

        Returns:
            Points (N, window² + longest - 1, 3) int64 as (t, row, column), (0, 0, 0) where there is none, and
            which are real (N, window² + longest - 1) bool.
        """
        tokens, valid = self._columns(*self.neighbours())
        return torch.stack(torch.unravel_index(tokens.long(), self.grid), dim=-1), valid

    def neighbours(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the window around each token, row by row without the token itself, outside ones dropped.

        Returns:
            Tokens (N, window² - 1) int32, 0 where there are fewer, and which are real (N, window² - 1) bool.
        """
        frames, height, width = self.grid
        offset = np.delete(np.arange(self.window**2), self.window**2 // 2)
        row, column = np.indices((height, width), np.int32).reshape(2, -1, 1)
        row, column = row + offset // self.window - self.window // 2, column + offset % self.window - self.window // 2
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        order = np.argsort(~inside, axis=1, kind="stable")  # real ones first
        cell, inside = (np.take_along_axis(x, order, axis=1) for x in (row * width + column, inside))
        frame_start = np.arange(frames)[:, None, None] * (height * width)
        tokens = torch.from_numpy(((frame_start + cell) * inside).reshape(-1, len(offset)).astype(np.int32))
        return tokens.to(self.path.device), torch.from_numpy(np.tile(inside, (frames, 1))).to(self.path.device)

    def _columns(self, window: torch.Tensor, inside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Join each token, its neighbours and its path, and which of them are real."""
        token = torch.arange(len(self.path), dtype=torch.int32, device=self.path.device)[:, None]
        itself = torch.ones_like(token, dtype=torch.bool)
        return torch.cat([token, window, self.path], dim=1), torch.cat([itself, inside, self.path_valid], dim=1)


def trajectories(flow: OpticalFlow, grid: tuple[int, int], window: int = 5) -> Trajectories:
    """Follow every token along the flow.

    A token of frame t continues at the cell of frame t+1 nearest to where the flow at its own cell's first
    pixel takes it. Of several that arrive in one cell the one with the smallest error continues, the paths of
    the others end; the release draws lots instead.

    Args:
        flow: of the frames (F, H, W).
        grid: (h, w) of the latents or of an attention level; any size, any aspect ratio.
        window: side of the neighbourhood, odd.
    """
    tokens = (len(flow.forward) + 1, *grid)
    source, target = _links(flow, grid)
    path, valid = _paths(source, target, tokens)
    return Trajectories(tokens, window, torch.from_numpy(path), torch.from_numpy(valid))


def _links(flow: OpticalFlow, grid: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the linked tokens: sources in frames t and, ascending, their targets in frames t+1."""
    height, width = grid
    cells_per_pixel = _cells_per_pixel(flow, grid)
    moved = _at_cells(flow.forward, grid) * cells_per_pixel
    jump = np.rint(moved)  # half to even, as in the release
    frame, row, column = np.indices((len(moved), height, width))
    row, column = row + jump[:, 1].astype(int), column + jump[:, 0].astype(int)
    continues = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    # Both are squared distances in pixels: missed by the way back, and lost to the grid.
    error = _at_cells(flow.forward_error, grid) + np.square((moved - jump) / cells_per_pixel).sum(axis=1)

    source = np.flatnonzero(continues)
    target = (((frame + 1) * height + row) * width + column)[continues]
    order = np.lexsort((error[continues], target))  # stable: of equal errors the first token wins
    source, target = source[order], target[order]
    best = np.flatnonzero(np.diff(target, prepend=-1))
    return source[best], target[best]


def _at_cells(field: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Sample a field (..., H, W) at the first pixel of each cell (..., h, w)."""
    row, column = (np.arange(cells) * side // cells for cells, side in zip(grid, field.shape[-2:], strict=True))
    return field[..., row[:, None], column]


def _cells_per_pixel(flow: OpticalFlow, grid: tuple[int, int]) -> np.ndarray:
    """Return the scale of x and y as (2, 1, 1) float32."""
    (height, width), (rows, columns) = grid, flow.forward.shape[-2:]
    return np.array([width / columns, height / rows], np.float32)[:, None, None]


def _paths(source: np.ndarray, target: np.ndarray, grid: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each token, the others of its chain of links in time order (N, longest - 1), and which exist."""
    frames, height, width = grid
    token = np.arange(frames * height * width)
    start = token.copy()
    start[target] = source
    for _ in range(frames.bit_length()):  # pointer doubling: each turn goes twice as far back
        start = start[start]
    age = token // (height * width) - start // (height * width)
    longest = int(age.max()) + 1
    members = np.full((len(token), longest), -1, np.int32)
    members[start, age] = token
    column = np.arange(longest - 1)
    column = column + (column >= age[:, None])  # skip the token itself
    path = members[start[:, None], column]
    return np.maximum(path, 0), path >= 0
