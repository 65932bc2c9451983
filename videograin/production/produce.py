"""Carry out the edit of a file window by window; each that is finished is written before the next one begins."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np

from videograin.diffusion.pipeline import OnFrames, OnStepEnd, VideoGrainPipeline
from videograin.diffusion.windows.clip_edit import EditedWindow
from videograin.production.segments import Segments
from videograin.production.source_edit import FRAMES_AT_ONCE, SourceEdit
from videograin.progress import Report
from videograin.region import NOTHING, EditRequest


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


class EditWindows(Protocol):
    """Carries out the windows of a request that are not finished and yields them in their order."""

    def __call__(
        self,
        pipeline: VideoGrainPipeline,
        /,
        request: EditRequest,
        *,
        callback_on_step_end: OnStepEnd | None,
        callback_on_frames: OnFrames | None,
        report: Report,
        record_attention: bool,
        finished: int,
        tail: np.ndarray | None,
    ) -> Iterator[EditedWindow]:
        """Arguments and errors are those of `VideoGrainPipeline.edit_windows`."""
        ...


def produce(
    pipeline: VideoGrainPipeline | None,
    source: SourceEdit,
    segments: Segments,
    report: Report,
    *,
    callback_on_step_end: OnStepEnd | None = None,
    callback_on_frames: OnFrames | None = None,
    record_attention: bool = False,
    edit_windows: EditWindows | None = None,
) -> Iterator[FinishedFrames]:
    """Edit the windows of a file that are not finished yet, and yield each of them once it is written.

    Args:
        pipeline: edits; not needed where nothing is drawn, as where all that is removed is seen in other frames.
        source: the file and what is asked for.
        segments: take the finished windows, and may have some of an earlier run.
        report: told after every step of every phase; may raise `Cancelled`, which leaves the finished windows.
        callback_on_step_end: see `VideoGrainPipeline.edit`.
        callback_on_frames: see `VideoGrainPipeline.edit`; the frames are those of the crop.
        record_attention: see `VideoGrainPipeline.edit`.
        edit_windows: edits; None is `VideoGrainPipeline.edit_windows`, one window after the other.
    """
    pictures = source.source_frames(segments.frames)
    if source.request is None:
        yield from _cleaned(source, segments, pictures)
        return
    assert pipeline is not None
    windows = (edit_windows or VideoGrainPipeline.edit_windows)(
        pipeline,
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


@dataclass(frozen=True, eq=False)
class CleanedWindow:
    """Frames from which objects were removed without anything being drawn, like an `EditedWindow` that stands alone."""

    tail: np.ndarray
    target_prompt: str = NOTHING
    warnings: tuple[str, ...] = ()


def _cleaned(source: SourceEdit, segments: Segments, pictures: Iterator[np.ndarray]) -> Iterator[FinishedFrames]:
    assert source.plate is not None
    frames = source.plate.frames
    for first in range(segments.frames, len(frames), FRAMES_AT_ONCE):
        cleaned = list(frames[first : first + FRAMES_AT_ONCE])
        originals = list(islice(pictures, len(cleaned)))
        segments.add(cleaned, originals, CleanedWindow(frames[:0]), None)
        yield FinishedFrames(first, originals, cleaned)
