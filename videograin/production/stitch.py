"""Lay the edited crops of a frame back into the source at the source's own size."""

import cv2
import numpy as np

from videograin.diffusion.compositing import lay_over
from videograin.production.crops import Crops


def stitch(frame: int, picture: np.ndarray, edited: np.ndarray, opacity: np.ndarray, crops: Crops) -> np.ndarray:
    """Return a source frame with its edited crops in place; where the opacity is 0, the source itself.

    Args:
        frame: its number in the clip.
        picture: (H, W, 3) uint8, the source.
        edited: (h, w, 3) uint8 at the size of the edit.
        opacity: (h, w) float32 in [0, 1], how far the edit covers the source.
        crops: where it belongs.
    """
    result = picture.copy()
    tiles = (np.moveaxis(tile, 0, -1) for tile in crops.tiles(np.moveaxis(edited, -1, 0)))
    for part, tile, share in zip(crops.parts(frame, result), tiles, crops.tiles(opacity), strict=True):
        if crops.box == crops.tile:
            part[...] = tile  # the source was laid around the edit already, pixel by pixel
            continue
        large = cv2.resize(np.ascontiguousarray(tile), crops.box, interpolation=cv2.INTER_LANCZOS4)
        part[...] = lay_over(part, large, cv2.resize(share, crops.box, interpolation=cv2.INTER_LINEAR))
    return result
