"""The masks of a clip, which may be cropped and scaled, seen in the frames of its source and in the edited crops."""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from videograin.media.filters import crop_corner
from videograin.media.video import ClipOptions, VideoInfo, clip_size
from videograin.production.crops import Crops

Box = tuple[int, int, int, int]
"""Left, top, right and bottom of a part of a picture, in pixels."""


@dataclass(frozen=True)
class ClipPlace:
    """Where a clip's pixels come from: clip = scale · source - offset, in continuous coordinates of x and y.

    Attributes:
        scale: clip pixels for each pixel of the source.
        offset: clip pixels that were cut off at the left and the top.
    """

    scale: np.ndarray
    offset: np.ndarray

    @classmethod
    def of(cls, info: VideoInfo, options: ClipOptions) -> Self:
        """Return the place of the clip that options make of a video."""
        scaled, size = clip_size(info.width, info.height, options)
        return cls(np.array(scaled) / (info.width, info.height), np.array(crop_corner(scaled, size), float))

    @classmethod
    def of_whole(cls, info: VideoInfo, size: tuple[int, int]) -> Self:
        """Return the place of masks (width, height) of whole frames."""
        return cls(np.array(size) / (info.width, info.height), np.zeros(2))

    def bounds(self, masks: np.ndarray) -> np.ndarray:
        """Return left, top, right and bottom (F, 4) of masks (F, H, W) bool in the source, nan in empty frames."""
        result = np.full((len(masks), 4), np.nan)
        for frame, mask in enumerate(masks):
            columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
            if len(columns):
                box = np.array([[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]])
                result[frame] = ((box + self.offset) / self.scale).ravel()
        return result

    def shown(self, crops: Crops, frame: int) -> tuple[Box, ...]:
        """Return where a frame's crops lie in the clip, within its frame or beyond."""
        corners = crops.corners[:, frame]
        ends = np.stack([corners, corners + crops.box], axis=1) * self.scale - self.offset
        return tuple((left, top, right, bottom) for (left, top), (right, bottom) in ends.round().astype(int).tolist())

    def enlargement(self, crops: Crops) -> float:
        """Return how many edited pixels there are for each pixel of the clip."""
        return float(np.mean(np.array(crops.tile) / (self.scale * crops.box)))

    def cut(self, frame: int, mask: np.ndarray, crops: Crops) -> np.ndarray:
        """Return what is edited of a frame's mask (H, W) bool, at the size of the edit."""
        step = np.array(crops.box) / crops.tile * self.scale  # clip pixels from one edited pixel to the next
        flags, values, tiles = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, mask.astype(np.float32), []
        for corner in crops.corners[:, frame]:
            start = corner * self.scale - self.offset + step / 2 - 0.5
            matrix = np.array([[step[0], 0, start[0]], [0, step[1], start[1]]])
            tiles.append(cv2.warpAffine(values, matrix, crops.tile, flags=flags) >= 0.5)
        return crops.joined(tiles)
