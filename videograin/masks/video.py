"""Mattes: masks as video, as editing programs give them back."""

import os
from pathlib import Path

import numpy as np

from videograin.errors import VideoError
from videograin.media.ffmpeg import FFmpeg, VideoInfo, alpha_decoder, input_arguments, probe
from videograin.media.video import MAX_CLIP_BYTES, MAX_FRAMES


def load_matte(path: str | os.PathLike[str]) -> np.ndarray:
    """Read the opacity of a video, or its brightness where it has none: (F, H, W) uint8, every frame as stored.

    Raises:
        VideoError: the file cannot be read, is too long or too large.
    """
    path = Path(path)
    info = probe(path)
    planes = _read_planes(path, info)
    if not planes:
        raise VideoError(f"No frame of '{path.name}' can be decoded; it is damaged. Export it again.")
    return np.stack(planes)


def _read_planes(path: Path, info: VideoInfo) -> list[np.ndarray]:
    # Eight bits come back exactly from sixteen; ffmpeg's own rounding of ten or twelve to eight is off by one.
    plane = "alphaextract,format=gray16le" if info.has_alpha else "format=gray16le"
    output = ["-map", f"0:{info.track}", "-vf", plane, "-fps_mode", "passthrough", "-f", "rawvideo", "pipe:1"]
    wide = np.empty((info.height, info.width), "<u2")
    planes: list[np.ndarray] = []
    with FFmpeg(["-v", "error", *alpha_decoder(info), *input_arguments(path), *output], path.name) as child:
        while child.read_into(wide.data.cast("B")) == wide.nbytes:
            planes.append(np.rint(wide / 257).astype(np.uint8))
            if len(planes) > MAX_FRAMES or len(planes) * wide.size > MAX_CLIP_BYTES:
                raise VideoError(f"'{path.name}' has too many frames for a matte. Export only the clip's own frames.")
        child.finish()
    return planes
