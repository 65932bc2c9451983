"""Mattes: masks as video, as editing programs give them back."""

from pathlib import Path

import numpy as np

from videograin.errors import VideoError
from videograin.masks.planes import Meaning, Plane, Tally
from videograin.masks.target import MaskTarget
from videograin.media.ffmpeg import FFmpeg, VideoInfo, alpha_decoder, count_frames, input_arguments, probe

OPAQUE = 127
"""Opacity, of 255, above which a pixel belongs to an object."""

EXTREME, MATTE_SHARE = 32, 0.9
"""Levels from black or white within which so large a share of a matte's pixels lies, unlike those of a picture."""


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
    places = target.places(stated or target.shape[0], title)
    read = _read_planes(path, info, target, set(places), of_alpha=info.has_alpha)
    if info.has_alpha and all((values > OPAQUE).all() for values in read.values()):
        shades = _read_planes(path, info, target, set(places), of_alpha=False)
        read = shades if _is_matte(list(shades.values())) else read
    if not read:
        raise VideoError(f"No frame of '{path.name}' can be decoded; it is damaged. Export it again.")
    if max(read) < max(places):
        places = target.places(max(read) + 1, title)
    planes = {place: Plane(values, Meaning.SHADE, Tally.of(values), is_lossy=True) for place, values in read.items()}
    return [planes[place] for place in places]


def _read_planes(
    path: Path, info: VideoInfo, target: MaskTarget, wanted: set[int], *, of_alpha: bool
) -> dict[int, np.ndarray]:
    """Return the frames that are wanted, by their places in the video, as far as it has them."""
    # Eight bits come back exactly from sixteen; ffmpeg's own rounding of ten or twelve to eight is off by one.
    # A picture whose pixels are not square is stored in another width than it is shown in.
    filters = ["alphaextract"] if of_alpha else []
    filters += [f"scale={info.width}:{info.height}:flags=neighbor", "format=gray16le"]
    sink = ["-fps_mode", "passthrough", "-frames:v", str(max(wanted) + 1), "-f", "rawvideo", "pipe:1"]
    output = ["-map", f"0:{info.track}", "-vf", ",".join(filters), *sink]
    wide = np.empty((info.height, info.width), "<u2")
    planes: dict[int, np.ndarray] = {}
    place = 0
    with FFmpeg(["-v", "error", *alpha_decoder(info), *input_arguments(path), *output], path.name) as child:
        while child.read_into(wide.data.cast("B")) == wide.nbytes:
            if place in wanted:
                planes[place] = target.fit(np.rint(wide / 257).astype(np.uint8))
            place += 1
        child.finish()
    return planes


def _is_matte(planes: list[np.ndarray]) -> bool:
    """Whether pictures (H, W) uint8 are white on black, as a GIF is that could have transparent pixels."""
    shares = [np.mean((values < EXTREME) | (values > 255 - EXTREME)) for values in planes]
    return bool(shares) and float(np.mean(shares)) > MATTE_SHARE
