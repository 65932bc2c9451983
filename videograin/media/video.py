"""Read a clip from any video file, or a folder of pictures, as upright RGB frames.

Time is sample and hold: frame k of a clip is the picture that the source shows at `start + k / fps`, whatever the
source's own rate, so a variable rate becomes constant and sound stays in sync.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from videograin.errors import SettingsError, VideoError
from videograin.files.atomic import mapped_array
from videograin.media.ffmpeg import (
    MAX_FPS,
    MAX_FRAME_PIXELS,
    MIN_FPS,
    FFmpeg,
    VideoInfo,
    alpha_decoder,
    input_arguments,
)
from videograin.media.ffmpeg import probe as probe_file
from videograin.media.filters import JITTER, picture_filters, sampling_filters, track_filters
from videograin.media.frame_folder import probe_folder, read_frames, scaled_frame
from videograin.media.sound import AudioSource, find_sound

__all__ = ["Clip", "ClipOptions", "VideoInfo", "clip_shape", "clip_size", "load_clip", "probe", "stream_frames"]

MAX_FRAMES = 3600  # two minutes at 30 frames a second
MAX_CLIP_BYTES = 2 * 2**30  # of the decoded frames, in this process

_MORE_FRAMES = 2  # asked for beyond the header's seconds, rounded up, where the stream's end decides
MOST_BEYOND = _MORE_FRAMES + 1
"""Frames that a clip may have beyond those that `clip_shape` tells of, which rounds the header's seconds."""

_INDEXED = ("mov", "matroska")  # containers that know their key frames
_SEEK_LEAD = 10.0  # seconds by which to land earlier in others: key frames are seldom further apart


@dataclass(frozen=True)
class ClipOptions:
    """Which part of a video to read, how often to sample it, and at what size.

    Attributes:
        start, end: seconds from the beginning of the picture; `end` None or beyond the video means its end.
        fps: frames per second to sample at; None keeps the source's rate.
        stride: sample every `stride`-th source frame instead. Not together with `fps`.
        max_frames: most frames that are read.
        short_side: pixels of the shorter side, rounded to the nearest multiple; None keeps the source's size.
        multiple: both sides become multiples of this (64 for Stable Diffusion, 32 for the small models).
        fit: how the shape is met: "crop" keeps the proportions and cuts the edges evenly, "fit" keeps the edges and
            stretches slightly. Both give the same size.
    """

    start: float = 0.0
    end: float | None = None
    fps: float | None = None
    stride: int | None = None
    max_frames: int = 1800
    short_side: int | None = 512
    multiple: int = 64
    fit: Literal["crop", "fit"] = "crop"

    def __post_init__(self) -> None:
        _require(math.isfinite(self.start) and self.start >= 0, f"start is {self.start}. Give seconds from 0 on.")
        if self.end is not None:
            ordered = math.isfinite(self.end) and self.end > self.start
            _require(ordered, f"end is {self.end} s but start is {self.start} s. Give an end after the start.")
        if self.fps is not None:
            _require(self.stride is None, "fps and stride are both set. Give one of them.")
            sane = MIN_FPS <= self.fps <= MAX_FPS
            _require(sane, f"fps is {self.fps}. Give {MIN_FPS:g} to {MAX_FPS:g} frames per second.")
        _require(self.stride is None or self.stride >= 1, f"stride is {self.stride}. Give 1 or more.")
        within = 1 <= self.max_frames <= MAX_FRAMES
        _require(within, f"max_frames is {self.max_frames}. Give 1 to {MAX_FRAMES} frames.")
        _require(self.multiple >= 1, f"multiple is {self.multiple}. Give 64, or 32 for the small models.")
        large = self.short_side is None or self.short_side >= self.multiple
        _require(large, f"short_side is {self.short_side}. Give at least the multiple, {self.multiple}, or None.")
        _require(self.fit in ("crop", "fit"), f"fit is '{self.fit}'. Give 'crop' or 'fit'.")


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames of a video at a constant rate.

    Attributes:
        frames: (F, H, W, 3) uint8 RGB in bt709.
        fps: frames per second.
        start: seconds into the source at which the first frame is shown.
        path, info: the source file and its properties.
        is_damaged: whether ffmpeg met errors; the frames are those that it could read all the same.
        audio: the source's sound over the clip's time, for `save_video`; None where there is none that can be kept.
        notes: what the user should know about the clip before editing it.
    """

    frames: np.ndarray
    fps: float
    start: float
    path: Path
    info: VideoInfo
    is_damaged: bool
    audio: AudioSource | None = None
    notes: tuple[str, ...] = ()

    @property
    def duration(self) -> float:
        """Seconds that the frames last."""
        return len(self.frames) / self.fps


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Read what a video file, or a folder of pictures, holds, by decoding its first frame.

    Raises:
        VideoError: it is missing, empty, no video, damaged beyond its first frame, or beyond a limit.
    """
    path = Path(path)
    return probe_folder(path) if path.is_dir() else probe_file(path)


def load_clip(
    path: str | os.PathLike[str],
    options: ClipOptions | None = None,
    scratch: Path | None = None,
    *,
    unpadded: tuple[int, int] | None = None,
) -> Clip:
    """Decode the part of a video that `options` asks for.

    Transparent pixels are shown over white; HDR is tone-mapped to bt709; a file that breaks off gives the frames
    before the break.

    Args:
        path: any video file that ffmpeg reads, or a folder of a PNG or JPEG for each frame.
        options: the defaults of `ClipOptions` if None.
        scratch: folder for a file that the frames are mapped from; None holds them in memory.
        unpadded: (width, height) of a video's picture without the row or column that `save_video` adds to odd sides;
            None is all of it.

    Raises:
        VideoError: the file cannot be read, a limit is met, or no frame lies in the range.
    """
    options = options or ClipOptions()
    path = Path(path)
    info = probe(path)
    fps = options.fps or info.fps / (options.stride or 1)
    width, height = unpadded or (info.width, info.height)
    _, size = clip_size(width, height, options)
    frames = _allocate(_frame_count(info, options, fps, path), size, scratch)
    if path.is_dir():
        read, is_damaged = _fill_from_folder(frames, info, options, fps, path), False
    else:
        read, is_damaged = _fill(frames, _decode(info, options, fps, path, len(frames), unpadded), path)
    if not read:
        raise VideoError(
            f"'{path.name}' shows no frame from {options.start:g} s on; it lasts {info.duration:g} s. Start earlier, "
            "or convert the file if it is damaged."
        )
    audio, note = None, ""
    if info.has_audio:
        audio, note = find_sound(path, info.picture_start + options.start, read / fps, info.sound_track)
    return Clip(
        frames=frames[:read],
        fps=fps,
        start=options.start,
        path=path,
        info=info,
        is_damaged=is_damaged,
        audio=audio,
        notes=(note,) if note else (),
    )


def stream_frames(clip: Clip, options: ClipOptions) -> Iterator[np.ndarray]:
    """Yield the frames of a clip one by one at the source's own size, (H, W, 3) uint8 RGB.

    Args:
        clip: one that was loaded; as many frames as it has are read, at the same times.
        options: those that it was loaded with.

    Raises:
        VideoError: the file has become unreadable.
    """
    info, whole = clip.info, replace(options, short_side=None, multiple=1)
    if info.width * info.height > MAX_FRAME_PIXELS:
        raise VideoError(f"The frames of '{clip.path.name}' are too large. Scale the video down first.")
    if clip.path.is_dir():
        places = _places(info, options.start, clip.fps, len(clip.frames))
        yield from read_frames(clip.path, places, (info.width, info.height))
        return
    with FFmpeg(_decode(info, whole, clip.fps, clip.path, len(clip.frames)), clip.path.name) as child:
        for number in range(len(clip.frames)):
            frame = np.empty((info.height, info.width, 3), np.uint8)
            if child.read_into(frame.data.cast("B")) < frame.nbytes:
                raise VideoError(f"'{clip.path.name}' broke off at frame {number}. Upload or copy it again.")
            yield frame


def clip_size(width: int, height: int, options: ClipOptions) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the size to scale a (width, height) picture to, and the size to crop from its middle."""
    factor = options.short_side / min(width, height) if options.short_side else 1.0
    multiple = options.multiple
    out_width, out_height = (max(multiple, round(side * factor / multiple) * multiple) for side in (width, height))
    if options.fit == "fit":
        return (out_width, out_height), (out_width, out_height)
    cover = max(out_width / width, out_height / height)
    return (max(out_width, round(width * cover)), max(out_height, round(height * cover))), (out_width, out_height)


def clip_shape(info: VideoInfo, options: ClipOptions) -> tuple[int, int, int]:
    """Return (F, H, W) of the clip that options will make of a video, by what its header says.

    There may be up to `MOST_BEYOND` frames more, and fewer where the header counts the seconds of a longer sound.
    """
    _, (width, height) = clip_size(info.width, info.height, options)
    fps = options.fps or info.fps / (options.stride or 1)
    if options.end is None or options.end >= info.duration:
        frames = round((info.duration - options.start) * fps)  # headers are read to a hundredth of a second
    else:
        frames = math.ceil((options.end - options.start) * fps - JITTER)
    return min(options.max_frames, max(1, frames)), height, width


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise SettingsError(message)


def _frame_count(info: VideoInfo, options: ClipOptions, fps: float, path: Path) -> int:
    """Return how many frames to ask for."""
    start, end, name = options.start, options.end, path.name
    if start >= info.duration:
        raise VideoError(f"The start, {start:g} s, is beyond the end of '{name}', {info.duration:g} s. Start earlier.")
    if end is None or end >= info.duration:
        return min(options.max_frames, math.ceil((info.duration - start) * fps) + _MORE_FRAMES)
    count = math.ceil((end - start) * fps - JITTER)
    if count < 1:
        raise VideoError(f"From {start:g} to {end:g} s '{name}' has no frame at {fps:g} fps. Choose a later end.")
    return min(options.max_frames, count)


def _fill(frames: np.ndarray, arguments: list[str], path: Path) -> tuple[int, bool]:
    """Decode a video into `frames`, and return how many there were and whether ffmpeg complained."""
    with FFmpeg(arguments, path.name) as child:
        read = child.read_into(frames.data.cast("B"), len(frames)) // frames[0].nbytes
        content, complaints = child.finish()
    return read, bool(complaints) or not content


def _fill_from_folder(frames: np.ndarray, info: VideoInfo, options: ClipOptions, fps: float, path: Path) -> int:
    scaled, size = clip_size(info.width, info.height, options)
    places, read = _places(info, options.start, fps, len(frames)), 0
    for read, frame in enumerate(read_frames(path, places, (info.width, info.height)), 1):
        frames[read - 1] = scaled_frame(frame, scaled, size)
    return read


def _places(info: VideoInfo, start: float, fps: float, count: int) -> list[int]:
    """Return which source frames are on show at a clip's times, as `sampling_filters` has it."""
    return [math.floor((start + frame / fps) * info.fps + JITTER) for frame in range(count)]


def _decode(
    info: VideoInfo,
    options: ClipOptions,
    fps: float,
    path: Path,
    count: int,
    unpadded: tuple[int, int] | None = None,
) -> list[str]:
    """Return the arguments that decode `count` frames to raw RGB."""
    width, height = unpadded or (info.width, info.height)
    scaled, size = clip_size(width, height, options)
    picture = picture_filters(info, scaled, size, unpadded)
    filters = [*track_filters(info), *sampling_filters(info, options.start, fps), *picture]
    output = ["-map", f"0:{info.track}", "-vf", ",".join(filters), "-frames:v", str(count), "-f", "rawvideo", "pipe:1"]
    return ["-v", "error", *_input(info, options.start, path), *output]


def _allocate(count: int, size: tuple[int, int], scratch: Path | None) -> np.ndarray:
    width, height = size
    clip = f"{count} frames of {width}×{height} pixels"
    if width * height > MAX_FRAME_PIXELS:
        raise VideoError(f"{clip} are too large; {MAX_FRAME_PIXELS} pixels are allowed. Choose a smaller short side.")
    if scratch is not None:
        return mapped_array(scratch / "clip.frames", (count, height, width, 3), np.uint8)
    if count * width * height * 3 > MAX_CLIP_BYTES:
        raise VideoError(f"{clip} exceed {MAX_CLIP_BYTES >> 30} GiB. Choose fewer frames or a smaller short side.")
    return np.empty((count, height, width, 3), np.uint8)


def _input(info: VideoInfo, start: float, path: Path) -> list[str]:
    """Return the arguments that open `path` at a key frame before `start`.

    Timestamps stay the file's own, from zero, so that sampling is exact however early ffmpeg lands; what lies between
    is decoded, for a frame of it may be on show at `start`.
    """
    target = start if info.container.startswith(_INDEXED) else start - _SEEK_LEAD
    jump = ["-noaccurate_seek", "-ss", f"{target:.6f}"] if target > 0 and info.is_seekable else []
    # Only scale follows a change of size within the stream; a rebuilt filter graph would sample from `start` again.
    rebuild = "1" if info.is_turned or info.has_alpha else "0"
    return ["-copyts", "-start_at_zero", *jump, "-reinit_filter", rebuild, *alpha_decoder(info), *input_arguments(path)]
