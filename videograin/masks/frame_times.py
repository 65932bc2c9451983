"""When a video's own frames are shown: masks that other programs made of each of them follow no constant rate."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from videograin.media.ffmpeg import FFmpeg, VideoInfo, input_arguments
from videograin.media.filters import JITTER

MAX_TABLE = 2**25
"""Bytes of ffmpeg's table of a video's frames, a line of some fifty for each: hours of it."""

ROUNDING = 1e-6
"""Seconds, to which `sampling_filters` rounds the time of a frame."""

_DISCARDED = 4  # ffmpeg's flag of a frame that is decoded for others alone, before the first that is shown


def frame_times(path: Path, info: VideoInfo) -> np.ndarray:
    """Return when each frame of a video is shown, (N,) float64 in seconds from the first; none is decoded.

    Empty where the file does not say that of every frame, as a folder of pictures does not.
    """
    if not path.is_file():
        return np.empty(0)
    table = bytearray(MAX_TABLE)
    output = ["-map", f"0:{info.track}", "-c", "copy", "-f", "framecrc", "pipe:1"]
    with FFmpeg(["-v", "error", *input_arguments(path), *output], path.name) as child:
        read = child.read_into(memoryview(table))
        is_whole, _ = child.finish()
    lines = table[:read].decode("ascii", errors="replace").splitlines()
    base = next((re.fullmatch(r"#tb 0: (\d+)/(\d+)", line) for line in lines if line.startswith("#tb 0")), None)
    stamps = list(_stamps(lines))
    if not is_whole or base is None or None in stamps:
        return np.empty(0)
    times = np.sort(np.array(stamps, np.float64)) * int(base[1]) / int(base[2])
    return times - times[:1]


def shown_frames(times: np.ndarray, info: VideoInfo, start: float, fps: float, count: int) -> list[int]:
    """Return which frames of a video are on show at a clip's times, as `sampling_filters` has it.

    Args:
        times: as `frame_times` returns them, not empty.
        info: of the video.
        start: seconds into its picture.
        fps: of the clip.
        count: of its frames.
    """
    asked = start + np.arange(count) / fps + JITTER / info.fps + ROUNDING
    return np.clip(np.searchsorted(times, asked, side="right") - 1, 0, None).tolist()


def _stamps(lines: list[str]) -> Iterator[int | None]:
    """Yield the time stamps of the frames in a table: stream, dts, pts, duration, size, checksum and flags."""
    for line in lines:
        if not line.startswith("0,"):
            continue
        fields = [field.strip() for field in line.split(",")]
        flags = next((int(field[4:], 16) for field in fields if field.startswith("F=0x")), 0)
        if not flags & _DISCARDED:
            yield int(fields[2]) if re.fullmatch(r"-?\d+", fields[2]) else None
