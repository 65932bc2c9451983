"""Small moving pictures of frames, light enough to be sent to a browser again and again."""

from io import BytesIO

import cv2
import numpy as np
from PIL import Image

PREVIEW_SIDE = 256
"""Pixels of a preview's longer side at most."""


def encode_preview(frames: np.ndarray, fps: float) -> bytes:
    """Return frames (F, H, W, 3) uint8 RGB as a small animated WebP, which plays wherever a picture does."""
    first, *others = (Image.fromarray(frame) for frame in shrink(frames))
    picture = BytesIO()
    # Of WebP's methods the first is quick; the others save a tenth of the bytes and take up to three times as long.
    first.save(
        picture, "WEBP", save_all=True, append_images=others, duration=round(1000 / fps), loop=0, quality=85, method=0
    )
    return picture.getvalue()


def shrink(frames: np.ndarray) -> np.ndarray:
    """Scale frames (F, H, W, 3) down until neither side exceeds `PREVIEW_SIDE`."""
    height, width = frames.shape[1:3]
    factor = PREVIEW_SIDE / max(height, width)
    return frames if factor >= 1 else resize(frames, (max(1, round(factor * height)), max(1, round(factor * width))))


def resize(frames: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Resize frames (F, H, W, 3) uint8 to `size` (h, w)."""
    if len(frames) == 0:
        return np.empty((0, *size, 3), np.uint8)
    height, width = size
    shrinks = height < frames.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.stack([cv2.resize(frame, (width, height), interpolation=interpolation) for frame in frames])
