"""The part of each source frame that is edited: one crop, or two in one picture where regions lie far apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True, eq=False)
class Crops:
    """Where the picture that is edited comes from, frame by frame; all crops are of one size.

    Attributes:
        corners: (C, F, 2) int, x and y of the upper left pixel of each crop in the source.
        box: width and height of a crop in the source.
        tile: width and height at which it is edited.
        is_stacked: whether the picture has its crops one below the other instead of side by side.
    """

    corners: np.ndarray
    box: tuple[int, int]
    tile: tuple[int, int]
    is_stacked: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture that is edited."""
        width, height = self.tile
        count = len(self.corners)
        return (width, height * count) if self.is_stacked else (width * count, height)

    @property
    def scale(self) -> float:
        """Edited pixels for each pixel of the source, by length."""
        return float(np.sqrt(np.prod(self.tile) / np.prod(self.box)))

    def cut(self, frame: int, picture: np.ndarray) -> np.ndarray:
        """Return what is edited of a source frame (H, W, 3) uint8, at the size of the edit."""
        parts = self.parts(frame, picture)
        if self.box == self.tile:
            return self.joined(parts)
        filtering = cv2.INTER_AREA if self.box[0] > self.tile[0] else cv2.INTER_CUBIC
        return self.joined([cv2.resize(part, self.tile, interpolation=filtering) for part in parts])

    def parts(self, frame: int, picture: np.ndarray) -> list[np.ndarray]:
        """Return the crops (h, w, …) of a source frame at the source's size, views."""
        width, height = self.box
        corners = self.corners[:, frame].tolist()
        return [picture[top : top + height, left : left + width] for left, top in corners]

    def joined(self, tiles: Sequence[np.ndarray]) -> np.ndarray:
        """Return the picture of one tile (h, w, …) for each crop."""
        return tiles[0] if len(tiles) == 1 else np.concatenate(tiles, axis=0 if self.is_stacked else 1)

    def tiles(self, pictures: np.ndarray) -> list[np.ndarray]:
        """Return the tile of each crop in pictures (…, h, w) of any size with these proportions, views."""
        return np.split(pictures, len(self.corners), axis=-2 if self.is_stacked else -1)
