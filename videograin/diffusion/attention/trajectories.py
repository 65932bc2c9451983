"""The trajectories of tokens along the optical flow.

Everything is vectorised over points.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import torch

from videograin.media.flow import OpticalFlow

TOP_WINDOW, LOWER_WINDOW = 5, 3
"""Sides of the squares of neighbours at the highest resolution and at those below, as the release has them."""


@dataclass(frozen=True)
class Trajectories:
    """For each token of a clip, the other tokens on its path through the frames.

    Tokens are numbered along the flattened (F, h, w); N = F·h·w. All tensors lie on one device.

    Attributes:
        grid: (F, h, w).
        window: side of the square of neighbours around a token, odd.
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


def trajectories(flow: OpticalFlow, grid: tuple[int, int], window: int = TOP_WINDOW) -> Trajectories:
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
