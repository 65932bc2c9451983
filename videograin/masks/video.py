"""Masks as video: an object cut out of its clip for other programs, and mattes that such programs give back."""

import os
from pathlib import Path

import numpy as np

from videograin.errors import RegionError, VideoError
from videograin.files.atomic import written_aside
from videograin.media.ffmpeg import THREADS, FFmpeg, VideoInfo, alpha_decoder, input_arguments, probe
from videograin.media.filters import SCALE_FLAGS, rate_of
from videograin.media.video import MAX_CLIP_BYTES, MAX_FRAMES


def save_cutout(path: str | os.PathLike[str], frames: np.ndarray, masks: np.ndarray, fps: float) -> None:
    """Write a clip that is transparent outside the masks, as ProRes 4444, which editing programs read.

    The opacity is kept exactly; the file appears under its name only when it is whole.

    Args:
        path: the .mov to write; an older file of that name is replaced.
        frames: (F, H, W, 3) uint8 RGB.
        masks: (F, H, W) bool, or float32 opacity in [0, 1] as `feather` gives it.
        fps: frames per second.

    Raises:
        RegionError: masks of another size than the frames.
        VideoError: the file cannot be written.
    """
    path = Path(path)
    if masks.shape != frames.shape[:3] or not len(masks):
        raise RegionError(f"Masks have shape {masks.shape}, frames {frames.shape}. Give a mask for each frame.")
    if path.suffix.lower() != ".mov":
        raise VideoError(f"'{path.name}' is not the name of a cutout. Let it end in .mov.")
    if not path.parent.is_dir():
        raise VideoError(f"There is no folder '{path.parent}' to write '{path.name}' to. Create it first.")
    alpha = np.rint(masks.astype(np.float32) * 255).astype(np.uint8)
    with (
        written_aside(path) as aside,
        FFmpeg(_encoding(frames.shape[2], frames.shape[1], fps, aside), path.name, reads_frames=True) as child,
    ):
        for frame, opacity in zip(frames, alpha, strict=True):
            if not child.write(np.dstack([frame, opacity]).tobytes()):
                break
        content, log = child.finish()
        if not content:
            raise VideoError(f"'{path.name}' could not be written. ffmpeg says: {log.strip()}")


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


def _encoding(width: int, height: int, fps: float, aside: Path) -> list[str]:
    raw = ["-f", "rawvideo", "-pix_fmt", "rgba", "-s", f"{width}x{height}", "-framerate", str(rate_of(fps))]
    tags = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
    picture = f"scale=out_color_matrix=bt709:out_range=tv:{SCALE_FLAGS},format=yuva444p10le"
    video = [
        "-vf",
        f"{picture},{tags}",
        "-c:v",
        "prores_ks",
        "-profile:v",
        "4444",
        "-alpha_bits",
        "16",
        "-threads",
        str(THREADS),
    ]
    return ["-v", "error", *raw, "-i", "pipe:0", *video, "-f", "mov", f"file:{aside.absolute()}"]


def _read_planes(path: Path, info: VideoInfo) -> list[np.ndarray]:
    # Eight bits come back exactly from sixteen; ffmpeg's own rounding of ten or twelve to eight is off by one.
    plane = "alphaextract,format=gray16le" if info.has_alpha else "format=gray16le"
    output = ["-map", "0:V:0", "-vf", plane, "-fps_mode", "passthrough", "-f", "rawvideo", "pipe:1"]
    wide = np.empty((info.height, info.width), "<u2")
    planes: list[np.ndarray] = []
    with FFmpeg(["-v", "error", *alpha_decoder(info), *input_arguments(path), *output], path.name) as child:
        while child.read_into(wide.data.cast("B")) == wide.nbytes:
            planes.append(np.rint(wide / 257).astype(np.uint8))
            if len(planes) > MAX_FRAMES or len(planes) * wide.size > MAX_CLIP_BYTES:
                raise VideoError(f"'{path.name}' has too many frames for a matte. Export only the clip's own frames.")
        child.finish()
    return planes
