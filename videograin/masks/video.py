"""Mattes: masks as video, as editing programs give them back."""

from pathlib import Path

import numpy as np

from videograin.errors import VideoError
from videograin.masks.planes import Meaning, Plane, Tally
from videograin.masks.target import MaskTarget
from videograin.media.ffmpeg import FFmpeg, VideoInfo, alpha_decoder, count_frames, input_arguments, probe


def load_matte(path: Path, target: MaskTarget) -> list[Plane]:
    """Read the opacity of a video, or its brightness where it has none, frame by frame as stored.

    Raises:
        VideoError: the file cannot be read.
        RegionError: its frames are too many, too few or of another shape.
    """
    info = probe(path)
    title = f"'{path.name}'"
    target.check_size(info.width, info.height, title)
    stated, _ = count_frames(path, info.track)
    planes = _read_planes(path, info, target, target.check_count(stated or target.shape[0], title))
    if not planes:
        raise VideoError(f"No frame of '{path.name}' can be decoded; it is damaged. Export it again.")
    target.check_count(len(planes), title)
    return [Plane(plane, Meaning.SHADE, Tally.of(plane), is_lossy=True) for plane in planes]


def _read_planes(path: Path, info: VideoInfo, target: MaskTarget, count: int) -> list[np.ndarray]:
    # Eight bits come back exactly from sixteen; ffmpeg's own rounding of ten or twelve to eight is off by one.
    # A picture whose pixels are not square is stored in another width than it is shown in.
    filters = ["alphaextract"] if info.has_alpha else []
    filters += [f"scale={info.width}:{info.height}:flags=neighbor", "format=gray16le"]
    sink = ["-fps_mode", "passthrough", "-frames:v", str(count), "-f", "rawvideo", "pipe:1"]
    output = ["-map", f"0:{info.track}", "-vf", ",".join(filters), *sink]
    wide = np.empty((info.height, info.width), "<u2")
    planes: list[np.ndarray] = []
    with FFmpeg(["-v", "error", *alpha_decoder(info), *input_arguments(path), *output], path.name) as child:
        while child.read_into(wide.data.cast("B")) == wide.nbytes:
            planes.append(target.fit(np.rint(wide / 257).astype(np.uint8)))
        child.finish()
    return planes
