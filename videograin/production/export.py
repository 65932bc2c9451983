"""A finished edit in another format: frames from its MP4, the objects' opacity from the masks that were edited."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from videograin.errors import VideoError
from videograin.media.encode import OutputFormat, save_clip, without_padding
from videograin.media.video import MAX_FRAMES, ClipOptions, VideoInfo, load_clip, probe, stream_frames
from videograin.production.source_edit import SourceEdit
from videograin.project.project import EditInputs

COUNTED = ClipOptions(short_side=16, multiple=1, max_frames=MAX_FRAMES)
"""Reads a result as small as can be, to know its frames' number and times before they are streamed at full size."""

BYTES_A_PIXEL = {OutputFormat.PNG: 3.0, OutputFormat.PRORES: 1.0}
"""Of the formats that take far more room than the MP4: RGB that hardly compresses; Apple's 330 Mbit/s of full HD at 30
frames a second, which are 0.7, and the opacity."""

FRAMES_AT_ONCE = 16
"""Frames whose masks are held at once."""


def export_edit(inputs: EditInputs, video: Path, target: Path, output_format: OutputFormat) -> None:
    """Write a finished edit in a format, with its sound where the format has any.

    Args:
        inputs: what was edited.
        video: the edit's MP4, which a stop may have ended before the clip's last frame.
        target: file to write; its ending must be the format's.
        output_format: what to write.

    Raises:
        VideoGrainError: the edit, its source or its masks cannot be read, or the file cannot be written.
    """
    result = load_clip(video, COUNTED)
    frames = stream_frames(result, COUNTED)
    if not output_format.is_cutout:
        width, height = _drawn_size(inputs.clip, result.info)
        drawn = (frame[:height, :width] for frame in frames)
        save_clip(target, drawn, result.fps, output_format, audio=result.audio)
        return
    with TemporaryDirectory(prefix="videograin-") as scratch:
        source = SourceEdit.prepare(replace(inputs, controls=()), Path(scratch))
        width, height = source.size  # an MP4's sides are even, the source's may be odd
        whole = (frame[:height, :width] for frame in frames)
        opacities = _opacities(source, len(result.frames))
        save_clip(target, whole, result.fps, output_format, opacity=opacities, audio=result.audio)


def expected_bytes(video: Path, output_format: OutputFormat) -> int:
    """Return about how many bytes a finished edit's MP4 takes in a format.

    Raises:
        VideoError: the MP4 cannot be read.
    """
    if output_format not in BYTES_A_PIXEL:
        return video.stat().st_size
    info = probe(video)
    return round(BYTES_A_PIXEL[output_format] * info.width * info.height * info.fps * info.duration)


def _drawn_size(source: Path, stored: VideoInfo) -> tuple[int, int]:
    """Return the (width, height) of a result without what its MP4 has more than a source with odd sides, if any."""
    whole = stored.width, stored.height
    with suppress(VideoError):  # a source that is gone has no part in these formats
        info = probe(source)
        return without_padding(whole, (info.width, info.height)) or whole
    return whole


def _opacities(source: SourceEdit, count: int) -> Iterator[np.ndarray]:
    for first in range(0, count, FRAMES_AT_ONCE):
        yield from source.opacities(first, min(FRAMES_AT_ONCE, count - first))
