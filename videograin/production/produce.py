"""Carry out the edit of a file window by window; while a GPU edits the next one, its host writes the one before."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np

from videograin.diffusion.pipeline import OnFrames, OnStepEnd, VideoGrainPipeline
from videograin.diffusion.preview import FormingClip
from videograin.diffusion.windows.clip_edit import EditedWindow
from videograin.production.segments import Segments
from videograin.production.source_edit import FRAMES_AT_ONCE, SourceEdit
from videograin.progress import Report
from videograin.region import NOTHING, EditRequest
from videograin.threads import map_beside

WINDOWS_WAITING = 4
"""Windows, at most, that are not written yet when another is edited, where several GPUs finish one each at about the
same time. An edit that is stopped ends when they are written; with one GPU it is one."""


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
    forming: FormingClip | None = None,
    on_written: Callable[[], object] = lambda: None,
    record_attention: bool = False,
    edit_windows: EditWindows | None = None,
) -> Generator[FinishedFrames, None, None]:
    """Edit the windows of a file that are not finished yet, and yield each of them once it is written.

    However it ends, by `close` too, all windows that were edited are written by then.

    Args:
        pipeline: edits; not needed where nothing is drawn, as where all that is removed is seen in other frames.
        source: the file and what is asked for.
        segments: take the finished windows, and may have some of an earlier run.
        report: told after every step of every phase; may raise `Cancelled`, which leaves the finished windows.
        forming: shows each window while it forms, at the crop's size.
        on_written: called as soon as a window is written, where a GPU edits in a thread beside that of the edit.
        record_attention: see `VideoGrainPipeline.edit`.
        edit_windows: edits; None is `VideoGrainPipeline.edit_windows`, one window after the other.
    """
    pictures = source.source_frames(segments.frames)
    if source.request is None:
        for cleaned in _cleaned(source, segments, pictures):
            on_written()
            yield cleaned
        return
    assert pipeline is not None
    windows = (edit_windows or VideoGrainPipeline.edit_windows)(
        pipeline,
        source.request,
        callback_on_step_end=forming and forming.step_end,
        callback_on_frames=forming and forming.frames_end,
        report=report,
        record_attention=record_attention,
        finished=segments.count,
        tail=segments.tail,
    )

    def write(edited: EditedWindow) -> FinishedFrames:
        finished = _write(edited, source, segments, pictures)
        on_written()
        return finished

    edited = windows if forming is None else forming.apart(windows)
    if _host_is_free(pipeline):
        yield from map_beside(write, edited, waiting=1 if edit_windows is None else WINDOWS_WAITING)
    else:
        yield from map(write, edited)


def _host_is_free(pipeline: VideoGrainPipeline) -> bool:
    """Whether the host's cores have little to do while a pipeline edits.

    On a CPU they would do both at once and take longer: 129 s instead of 95 for 32 frames of 1080×1920 on two of them.
    """
    return pipeline.device.type != "cpu"


def _write(
    edited: EditedWindow, source: SourceEdit, segments: Segments, pictures: Iterator[np.ndarray]
) -> FinishedFrames:
    first, maps = edited.window.start, edited.attention
    originals = list(islice(pictures, len(edited.frames)))
    finished = list(source.finished(first, edited.frames, originals))
    attention = None if maps is None else source.attention(first + edited.window.overlap, maps)
    segments.add(finished, originals, edited, attention)
    return FinishedFrames(first, originals, finished)


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
