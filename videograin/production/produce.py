"""Carry out the edit of a file window by window; each that is finished is written before the next one begins."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from videograin.diffusion.pipeline import OnFrames, OnStepEnd, VideoGrainPipeline
from videograin.production.segments import Segments
from videograin.production.source_edit import SourceEdit
from videograin.progress import Report


@dataclass(frozen=True, eq=False)
class FinishedFrames:
    """Frames of the result that have just been written.

    Attributes:
        first: number of the first one.
        sources: (H, W, 3) uint8 each, the source's.
        frames: (H, W, 3) uint8 each, the result's.
    """

    first: int
    sources: list[np.ndarray]
    frames: list[np.ndarray]


def produce(
    pipeline: VideoGrainPipeline,
    source: SourceEdit,
    segments: Segments,
    report: Report,
    *,
    callback_on_step_end: OnStepEnd | None = None,
    callback_on_frames: OnFrames | None = None,
    record_attention: bool = False,
) -> Iterator[FinishedFrames]:
    """Edit the windows of a file that are not finished yet, and yield each of them once it is written.

    Args:
        pipeline: edits.
        source: the file and what is asked for.
        segments: take the finished windows, and may have some of an earlier run.
        report: told after every step of every phase; may raise `Cancelled`, which leaves the finished windows.
        callback_on_step_end: see `VideoGrainPipeline.edit`.
        callback_on_frames: see `VideoGrainPipeline.edit`; the frames are those of the crop.
        record_attention: see `VideoGrainPipeline.edit`.
    """
    pictures = source.source_frames(segments.frames)
    windows = pipeline.edit_windows(
        source.request,
        callback_on_step_end=callback_on_step_end,
        callback_on_frames=callback_on_frames,
        report=report,
        record_attention=record_attention,
        finished=segments.count,
        tail=segments.tail,
    )
    for edited in windows:
        first, maps = edited.window.start, edited.attention
        originals = list(islice(pictures, len(edited.frames)))
        finished = list(source.finished(first, edited.frames, originals))
        attention = None if maps is None else source.attention(first + edited.window.overlap, maps)
        segments.add(finished, originals, edited, attention)
        yield FinishedFrames(first, originals, finished)
