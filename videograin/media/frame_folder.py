"""A clip as a folder of pictures, one a frame, in the order of their numbers, as data sets have clips."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from videograin.errors import VideoError
from videograin.media.ffmpeg import DEFAULT_FPS, MAX_FRAME_PIXELS, VideoInfo
from videograin.media.filters import crop_corner

PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
"""Endings of pictures that are read, and what they must hold: other decoders are kept away from uploads."""

CONTAINER = "pictures"
"""What `VideoInfo.container` is for a folder."""

_WIDE = ("I", "I;16", "I;16B")  # Pillow's modes for 16 bits a pixel, of which it would keep the lower eight


def in_number_order(name: str) -> list[tuple[int, str]]:
    """Return a sort key in which 10.png follows 9.png."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def frame_files(folder: Path) -> list[Path]:
    """Return the pictures that lie directly in a folder, in the order of their numbers.

    Raises:
        VideoError: there are none, or the folder cannot be listed.
    """
    try:
        files = [each for each in folder.iterdir() if each.suffix.lower() in PICTURES and each.name[0] != "."]
    except OSError as error:
        raise VideoError(f"The folder '{folder}' cannot be listed ({error.strerror}). Choose another one.") from error
    if not files:
        raise VideoError(
            f"'{folder}' is a folder without pictures. Name a video, or a folder of one PNG or JPEG for each frame."
        )
    return sorted(files, key=lambda file: in_number_order(file.stem))


def probe_folder(folder: Path) -> VideoInfo:
    """Return what a folder of pictures holds; pictures state no rate, so they are shown at `DEFAULT_FPS`.

    Raises:
        VideoError: there are no pictures, or the first one cannot be read.
    """
    files = frame_files(folder)
    height, width = read_frame(files[0]).shape[:2]
    return VideoInfo(
        width=width,
        height=height,
        fps=DEFAULT_FPS,
        duration=len(files) / DEFAULT_FPS,
        picture_start=0.0,
        container=CONTAINER,
        codec=PICTURES[files[0].suffix.lower()].lower(),
        pixel_format="rgb24",
        track=0,
        is_turned=False,
        is_interlaced=False,
        has_audio=False,
        sound_track=0,
        has_alpha=False,
        color_matrix="gbr",
        color_primaries="bt709",
        color_transfer="iec61966-2-1",
        is_seekable=True,
    )


def read_frames(folder: Path, places: list[int], size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yield the frames (H, W, 3) uint8 RGB at some places of a folder, counted from 0; the last one ends it.

    Raises:
        VideoError: a picture cannot be read, or is not of `size`, width and height.
    """
    files = frame_files(folder)
    for place in places:
        if place >= len(files):
            return
        frame = read_frame(files[place])
        height, width = frame.shape[:2]
        if (width, height) != size:
            raise VideoError(
                f"'{files[place].name}' has {width}×{height} pixels but the first picture of '{folder.name}' "
                f"{size[0]}×{size[1]}. Give all frames of a clip one size."
            )
        yield frame


def read_frame(file: Path) -> np.ndarray:
    """Return a picture as (H, W, 3) uint8 RGB, upright and over white.

    Raises:
        VideoError: it is damaged, too large, or no PNG or JPEG.
    """
    try:
        with Image.open(file, formats=sorted(set(PICTURES.values()))) as image:
            if image.width * image.height > MAX_FRAME_PIXELS:
                raise VideoError(f"'{file.name}' has more than {MAX_FRAME_PIXELS} pixels. Scale it down first.")
            return np.asarray(_over_white(ImageOps.exif_transpose(image)))
    except VideoError:
        raise
    except Exception as error:  # Pillow and its decoders each have errors of their own for damaged files
        raise VideoError(f"'{file.name}' cannot be read: it is damaged or no PNG or JPEG. Save it again.") from error


def scaled_frame(frame: np.ndarray, scaled: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Scale a frame (H, W, 3) uint8 and crop its middle, as ffmpeg does; both sizes are (width, height)."""
    if frame.shape[1::-1] != scaled:
        frame = np.asarray(Image.fromarray(frame).resize(scaled, Image.Resampling.LANCZOS))
    left, top = crop_corner(scaled, size)
    return frame[top : top + size[1], left : left + size[0]]


def _over_white(image: Image.Image) -> Image.Image:
    if image.mode in _WIDE:
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        picture = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return image.convert("RGB")
