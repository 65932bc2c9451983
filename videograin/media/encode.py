"""Write frames as a file: an MP4 that plays everywhere, or what editing programs and chats take instead."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Self

import numpy as np

from videograin.errors import RegionError, SettingsError, VideoError
from videograin.files.atomic import written_aside
from videograin.media.ffmpeg import MAX_FPS, MIN_FPS, THREADS, FFmpeg
from videograin.media.filters import rate_of, yuv_filters
from videograin.media.png_sequence import write_png_sequence
from videograin.media.sound import AAC, AudioSource, add_sound

DEFAULT_CRF = 16
"""Of H.264, from 1 (best) to 51 (worst): what was not edited must look untouched, at 45 dB or better."""

MAX_CRF = 51

GREEN = (0, 177, 64)
"""RGB of chroma-key green as studios paint it; pure green lies outside what video can carry."""

GIF_SIDE, GIF_FPS = 640, 25.0
"""The most of a GIF: longer side in pixels, and frames a second; its delays are whole hundredths of a second."""


class OutputFormat(StrEnum):
    """What an edited clip is written as."""

    MP4 = "mp4"
    WEBM = "webm"
    PRORES = "prores"
    GREEN_SCREEN = "green-screen"
    PNG = "png"
    GIF = "gif"

    @property
    def suffix(self) -> str:
        """The ending of such a file's name."""
        return _CONTAINERS[self].suffix

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the format that a file's ending stands for; of two with the same, the first.

        Raises:
            VideoError: the ending is of none.
        """
        for each in cls:
            if each.suffix == path.suffix.lower():
                return each
        endings = ", ".join(dict.fromkeys(each.suffix for each in cls))
        raise VideoError(f"'{path.name}' ends in no format that can be written. Choose one of {endings}.")

    @property
    def is_cutout(self) -> bool:
        """Whether it shows the edited objects alone: `save_clip` needs their opacity."""
        return self in (OutputFormat.WEBM, OutputFormat.PRORES, OutputFormat.GREEN_SCREEN)

    @property
    def description(self) -> str:
        """What a user reads."""
        return _CONTAINERS[self].description


@dataclass(frozen=True)
class _Container:
    """How a format is written.

    Attributes:
        description: for users.
        suffix: ending of its files, with the dot.
        muxer: ffmpeg's name.
        picture: ffmpeg's output arguments for the picture.
        sound: those for the sound; none where it has no sound.
    """

    description: str
    suffix: str
    muxer: str = ""
    picture: tuple[str, ...] = ()
    sound: tuple[str, ...] = ()


def _converted(pixel_format: str) -> tuple[str, ...]:
    return "-vf", ",".join(yuv_filters(pixel_format))


_H264 = (*_converted("yuv420p"), "-c:v", "libx264")
_VP9 = (
    *_converted("yuva420p"), "-c:v", "libvpx-vp9", "-crf", "20", "-b:v", "0", "-cpu-used", "4", "-row-mt", "1",
    "-auto-alt-ref", "0",  # libvpx refuses these frames where there is transparency
)  # fmt: skip
_PRORES = (*_converted("yuva444p10le"), "-c:v", "prores_ks", "-profile:v", "4444", "-alpha_bits", "16")
_GIF = (
    "-vf",
    f"fps=min(source_fps\\,{GIF_FPS:g}):round=up,scale=min({GIF_SIDE}\\,iw):min({GIF_SIDE}\\,ih):"
    "force_original_aspect_ratio=decrease:flags=lanczos,split[a][b];[a]palettegen=stats_mode=diff[p];"
    "[b][p]paletteuse=dither=sierra2_4a",
)
_CONTAINERS = {
    OutputFormat.MP4: _Container("MP4", ".mp4", "mp4", _H264, AAC),
    OutputFormat.WEBM: _Container(
        "WebM of the objects, transparent around them", ".webm", "webm", _VP9, ("-ac", "2", "-c:a", "libopus")
    ),
    OutputFormat.PRORES: _Container(
        "ProRes 4444 of the objects, transparent around them", ".mov", "mov", _PRORES, ("-c:a", "pcm_s16le")
    ),
    OutputFormat.GREEN_SCREEN: _Container("MP4 of the objects on green", ".mp4", "mp4", _H264, AAC),
    OutputFormat.PNG: _Container("PNG pictures in a ZIP", ".zip"),
    OutputFormat.GIF: _Container("GIF", ".gif", "gif", _GIF),
}
# Frames that are stored in another order than they are shown begin late, which joined files do not make up for.
_PART = _Container("part of an MP4", ".mp4", "mp4", (*_H264, "-bf", "0"))


def save_video(
    path: str | os.PathLike[str],
    frames: np.ndarray | Iterable[np.ndarray],
    fps: float,
    *,
    crf: int = DEFAULT_CRF,
    audio: AudioSource | None = None,
) -> None:
    """Write `frames` as H.264 (yuv420p, bt709, constant rate, index first) and, if given, the sound.

    The file appears under its name only when it is whole; a failure or an interruption leaves nothing behind. An odd
    side is made even, as yuv420p requires, by repeating the last row or column.

    Args:
        path: the .mp4 to write; an older file of that name is replaced.
        frames: (F, H, W, 3) uint8 RGB, or frames (H, W, 3) one by one.
        fps: frames per second.
        crf: quality from 1 (best) to 51 (worst).
        audio: usually `clip.audio`; it begins with the first frame and is exactly as long as the picture.

    Raises:
        VideoError: the frames do not fit together, or the file cannot be written.
        SettingsError: `fps` or `crf` is out of range.
    """
    save_clip(path, frames, fps, crf=crf, audio=audio)


def save_part(path: Path, frames: Iterable[np.ndarray], fps: float, crf: int = DEFAULT_CRF) -> None:
    """Write `frames` as an MP4 that `join_videos` can join with others of its CRF; as `save_video`, without sound."""
    check_target(path)
    with written_aside(path) as aside:
        _encode(aside, _checked(frames), fps, crf, _PART, path.name)


def save_clip(
    path: str | os.PathLike[str],
    frames: np.ndarray | Iterable[np.ndarray],
    fps: float,
    output_format: OutputFormat = OutputFormat.MP4,
    *,
    opacity: np.ndarray | Iterable[np.ndarray] | None = None,
    crf: int = DEFAULT_CRF,
    audio: AudioSource | None = None,
) -> None:
    """Write `frames` in a format, whole or not at all; as `save_video`, which writes the usual one.

    Args:
        path: the file to write; its ending must be the format's.
        frames: (F, H, W, 3) uint8 RGB, or frames (H, W, 3) one by one.
        fps: frames per second.
        output_format: what to write.
        opacity: (F, H, W) bool, or float32 in [0, 1], or one by one; of the objects that a cutout shows.
        crf: quality of an MP4.
        audio: the sound, of formats that have any.

    Raises:
        VideoError: the frames do not fit together, or the file cannot be written.
        RegionError: a cutout without opacity, or with one of another size.
        SettingsError: `fps` or `crf` is out of range.
    """
    path, container = Path(path), _CONTAINERS[output_format]
    _require(1 <= crf <= MAX_CRF, f"crf is {crf}. Give 1 (best) to {MAX_CRF} (worst).")
    _require(MIN_FPS <= fps <= MAX_FPS, f"fps is {fps}. Give {MIN_FPS:g} to {MAX_FPS:g} frames per second.")
    check_target(path, output_format)
    checked = _checked(frames)
    if output_format.is_cutout:
        if opacity is None:
            raise RegionError(
                f"The format {output_format} shows objects alone and needs their opacity. Pass their masks."
            )
        checked = _cut_out(checked, opacity, over=GREEN if output_format is OutputFormat.GREEN_SCREEN else None)
    with written_aside(path) as aside:
        if output_format is OutputFormat.PNG:
            write_png_sequence(aside, checked)
        elif audio is None or not container.sound:
            _encode(aside, checked, fps, crf, container, path.name)
        else:
            _encode_with_sound(aside, checked, fps, crf, container, path.name, audio)


def check_target(path: Path, output_format: OutputFormat = OutputFormat.MP4) -> None:
    """Raise VideoError where a file of this name and format cannot be written."""
    suffix = output_format.suffix
    if path.suffix.lower() != suffix:
        kind = "an MP4" if suffix == ".mp4" else f"a file of the format {output_format}"
        raise VideoError(f"'{path.name}' is not the name of {kind}. Let it end in {suffix}.")
    if not path.absolute().parent.is_dir():
        raise VideoError(f"There is no folder '{path.parent}' to write '{path.name}' to. Create it first.")
    if path.is_dir():
        raise VideoError(f"'{path}' is a folder. Choose another name.")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise SettingsError(message)


def _checked(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the frames, and refuse any that is not RGB or has another size than the first."""
    shape = None
    for index, frame in enumerate(frames):
        shape = shape or frame.shape
        if frame.shape != shape or frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise VideoError(
                f"Frame {index} is {frame.dtype} of shape {frame.shape}. Give uint8 RGB frames (H, W, 3) of one size."
            )
        yield frame


def _cut_out(
    frames: Iterator[np.ndarray], opacity: Iterable[np.ndarray], over: tuple[int, int, int] | None
) -> Iterator[np.ndarray]:
    """Yield frames with their opacity as fourth channel, or laid over a colour."""
    shares = iter(opacity)
    for index, frame in enumerate(frames):
        share = next(shares, None)
        if share is None or share.shape != frame.shape[:2]:
            got = "is missing" if share is None else f"has shape {share.shape}"
            raise RegionError(f"The opacity of frame {index} {got}, the frame {frame.shape}. Give one for each frame.")
        if over is None:
            yield np.dstack([frame, np.rint(share.astype(np.float32) * 255).astype(np.uint8)])
        else:
            part = share.astype(np.float32)[..., None]
            yield np.rint(part * frame + (1 - part) * np.array(over, np.float32)).astype(np.uint8)


def _encode_with_sound(
    target: Path,
    frames: Iterator[np.ndarray],
    fps: float,
    crf: int,
    container: _Container,
    name: str,
    audio: AudioSource,
) -> None:
    """Write the picture first: only then is it known how long the sound must be."""
    silent = target.with_name(f"{target.stem}.silent.part")
    try:
        count = _encode(silent, frames, fps, crf, container, name)
        add_sound(silent, audio, float(count / rate_of(fps)), target, container.muxer, container.sound)
    finally:
        silent.unlink(missing_ok=True)


def _encode(target: Path, frames: Iterator[np.ndarray], fps: float, crf: int, container: _Container, name: str) -> int:
    """Write a picture without sound and return how many frames it has."""
    first = next(frames, None)
    if first is None:
        raise VideoError("There are no frames to save. Give at least one.")
    is_h264 = container.suffix == ".mp4"
    prepare = _even if is_h264 else np.asarray
    quality = ["-crf", str(crf)] if is_h264 else []
    arguments = [*_raw_input(prepare(first), fps), *container.picture, *quality]
    end = ["-threads", str(THREADS), "-map_metadata", "-1", "-movflags", "+faststart", "-f", container.muxer]
    with FFmpeg([*arguments, *end, f"file:{target.absolute()}"], name, reads_frames=True) as child:
        count = 0
        for frame in chain([first], frames):
            if not child.write(prepare(frame).tobytes()):
                break
            count += 1
        content, log = child.finish()
    if not content:
        raise VideoError(f"'{name}' could not be written. ffmpeg says: {log.strip()}")
    return count


def _raw_input(frame: np.ndarray, fps: float) -> Sequence[str]:
    height, width, channels = frame.shape
    pixels = "rgba" if channels == 4 else "rgb24"
    size = ["-s", f"{width}x{height}", "-framerate", str(rate_of(fps))]
    return ["-v", "error", "-f", "rawvideo", "-pix_fmt", pixels, *size, "-i", "pipe:0", "-map", "0:v"]


def _even(frame: np.ndarray) -> np.ndarray:
    """Repeat the last row or column of a frame where H.264 could not take the side."""
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def without_padding(stored: tuple[int, int], *drawn: tuple[int, int]) -> tuple[int, int] | None:
    """Return which of some sizes (width, height) an MP4 of even sides was made of; None where it was none of them."""
    return next((size for size in drawn if stored == tuple(side + side % 2 for side in size)), None)
