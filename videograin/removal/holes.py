"""Which pixels of earlier frames are hidden, kept for a whole shot: bits of the part around each frame's hole."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Holes:
    """The holes of frames that were added.

    Attributes:
        size: width and height of the frames.
    """

    size: tuple[int, int]
    _parts: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def add(self, frame: int, hole: np.ndarray) -> None:
        """Keep the hole (H, W) bool of a frame."""
        rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
        if not len(rows):
            return
        part = hole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        self._parts[frame] = np.array([columns[0], rows[0]]), np.packbits(part, axis=1)

    def hide(self, frames: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Return whether places (N, 2), x and y, in frames (N,) are in a hole or outside of the picture, (N,) bool."""
        pixels = np.rint(places).astype(int)
        hidden: np.ndarray = np.any((pixels < 0) | (pixels >= self.size), axis=1)
        for frame in np.unique(frames[~hidden]):
            if frame not in self._parts:
                continue
            corner, bits = self._parts[frame]
            own = np.flatnonzero((frames == frame) & ~hidden)
            columns, rows = (pixels[own] - corner).T
            inside = (columns >= 0) & (rows >= 0) & (columns < 8 * bits.shape[1]) & (rows < len(bits))
            columns, rows = columns[inside], rows[inside]
            hidden[own[inside]] = bits[rows, columns // 8] >> (7 - columns % 8) & 1
        return hidden
