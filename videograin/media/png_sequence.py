"""Frames as lossless pictures in one ZIP: 00000.png and so on."""

import zipfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from videograin.errors import VideoError

COMPRESSION = 1
"""Of PNG, 0 to 9: more makes natural pictures hardly smaller and takes four times as long."""


def write_png_sequence(target: Path, frames: Iterable[np.ndarray]) -> None:
    """Write frames (H, W, 3) uint8 RGB into a ZIP at `target`.

    Raises:
        VideoError: there are no frames.
    """
    count = 0
    with zipfile.ZipFile(target, "w") as archive:  # not compressed: the pictures are already
        for count, frame in enumerate(frames, 1):
            picture = BytesIO()
            Image.fromarray(frame).save(picture, "PNG", compress_level=COMPRESSION)
            archive.writestr(f"{count - 1:05}.png", picture.getvalue())
    if not count:
        raise VideoError("There are no frames to save. Give at least one.")
