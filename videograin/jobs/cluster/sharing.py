"""One edit at several places: its own joins the windows in their order, the others help it make them."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import numpy as np
import torch

from videograin.diffusion.pipeline import OnFrames, OnStepEnd, VideoGrainPipeline
from videograin.diffusion.windows.clip_edit import EditedWindow, WindowApart
from videograin.diffusion.windows.cross_fade import CrossFade
from videograin.diffusion.windows.plan import request_windows
from videograin.errors import Cancelled
from videograin.files.shared_folder import SharedFolder
from videograin.jobs.cluster.board import SharedPlan, WindowBoard
from videograin.jobs.cluster.stages import Stage, StageClock
from videograin.jobs.context import HELPING, JobContext, is_asked_to_stop
from videograin.jobs.editing.edit_jobs import EditJobs
from videograin.media.video import clip_shape, probe
from videograin.production.source_edit import SourceEdit
from videograin.progress import Progress, Report
from videograin.project.project import Project
from videograin.region import AttentionMode, EditRequest

COUNT_SECONDS = 1.0
"""From one count of the windows that are left to the next."""


class SharedWindows:
    """Carries out the windows of a job together with every place that helps.

    Args:
        shared: returns a job's folder as all places see it, given where it is on this host.
        name: of this place.
        clock: of this place.
        project: what is edited.
        context: of the job.

    Raises:
        VideoError: the clip cannot be read.
    """

    def __init__(
        self,
        shared: Callable[[Path], SharedFolder],
        name: str,
        clock: StageClock,
        project: Project,
        context: JobContext,
    ) -> None:
        self._job = shared(context.folder)
        self._name, self._clock = name, clock
        self._context = context
        if _has_windows(project):
            WindowBoard.expect(self._job)

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
        """Yield the windows in their order; the same, up to rounding on a GPU, as where one place makes all of them."""
        count = len(request_windows(request))
        if count - finished < 2:
            WindowBoard.offer_none(self._job)
            yield from pipeline.edit_windows(
                request,
                callback_on_step_end=callback_on_step_end,
                callback_on_frames=callback_on_frames,
                report=report,
                record_attention=record_attention,
                finished=finished,
                tail=tail,
            )
            return
        plan = SharedPlan(request.settings.window_frames, count)
        board = WindowBoard.open(self._job, plan, finished, self._name)
        apart = partial(
            pipeline.windows_apart,
            request,
            callback_on_step_end=callback_on_step_end,
            record_attention=record_attention,
        )
        fade = CrossFade(request, tail)
        own = _OwnWindows(board, self._name, self._clock, apart, report)
        for number in range(finished, count):
            while not board.is_finished(number):
                if not own.make_next():
                    self._clock.begin(Stage.WAIT)
                    self._context.check()
                    time.sleep(board.poll_seconds)
            self._clock.begin(Stage.JOIN)
            made = board.get(number)
            frames = np.concatenate(list(fade.join(made.window, made.chunks)))
            yield made.joined(frames, fade.tail)
            board.drop(number)


def _has_windows(project: Project) -> bool:
    """Whether an edit's clip is longer than a window, by what its header says."""
    frames, _, _ = clip_shape(probe(project.clip), project.clip_options)
    settings = project.settings
    return settings.attention_mode is AttentionMode.WINDOWS and frames > settings.window_frames


class _Apart(Protocol):
    """Makes the windows of some numbers (`VideoGrainPipeline.windows_apart`)."""

    def __call__(self, *, numbers: Iterator[int], report: Report) -> Iterator[WindowApart]: ...


class _OwnWindows:
    """The windows that one place makes.

    Args:
        board: where it claims them.
        name: of the place.
        clock: of the place.
        apart: makes them.
        report: told how far they are, and counts those of all places.
    """

    def __init__(self, board: WindowBoard, name: str, clock: StageClock, apart: _Apart, report: Report) -> None:
        self._board, self._name, self._clock, self._apart, self._report = board, name, clock, apart, report
        self._running: Iterator[WindowApart] | None = None
        self._claimed, self._part = 0, 0
        self._later, self._counted_at = 0.0, -COUNT_SECONDS

    def make_next(self) -> bool:
        """Make a window that no other place has begun, if there is any; return whether there was."""
        if self._running is None:
            if not self._board.free:  # to start takes the text encoder and the anchors
                return False
            self._running = self._apart(numbers=self._claims(), report=self._tell)
        apart = next(self._running, None)
        if apart is None:  # a place that is lost may leave one over yet
            self._running = None
            return False
        self._board.put(self._claimed, apart)
        return True

    def _claims(self) -> Iterator[int]:
        for number in self._board.claims(self._name):
            self._claimed, self._part = number, 0
            self._clock.begin(Stage.WINDOWS)
            yield number

    def _tell(self, progress: Progress) -> None:
        """Report a progress as part of the whole: what is left is shared by the places that work on it."""
        if progress.part != self._part:
            if self._part:  # of the parts that follow a claim the window is the last
                self._clock.begin(Stage.WINDOWS, ended=Stage.ANCHORS)
            self._part = progress.part
        count, now = self._board.plan.count, time.monotonic()
        if now - self._counted_at >= COUNT_SECONDS:
            self._later, self._counted_at = self._board.free / count / max(1, self._board.claimed), now
        self._report(replace(progress, part=self._claimed + 1, parts=count, share=1 / count, later=self._later))


class WindowHelper:
    """Makes windows of edits that run at other places.

    Args:
        jobs: knows how edits are carried out.
        device: where control images are made.
        name: of this place.
        clock: of this place.
    """

    def __init__(self, jobs: EditJobs, device: torch.device, name: str, clock: StageClock) -> None:
        self._jobs, self._device, self._name, self._clock = jobs, device, name, clock

    @torch.no_grad()
    def help(self, project: Project, folder: Path, shared: SharedFolder, is_recalled: Callable[[], bool]) -> None:
        """Make windows of an edit until none is free; the clip is read while the edit's own place reads it.

        Args:
            project: what is edited.
            folder: of the job, on this host.
            shared: the same as all places see it.
            is_recalled: whether to stop before the next step.

        Raises:
            VideoGrainError: as `EditJobs.edit`.
            Cancelled: the job was to stop, or has ended, or the place was recalled.
        """

        def check(_progress: Progress | None = None) -> None:
            if is_recalled() or is_asked_to_stop(folder) or not (folder / "segments").exists():
                raise Cancelled("The help was stopped.")

        board = WindowBoard.of(shared)
        if board is None or (board.is_offered and not board.free):
            return
        try:
            check()
            with TemporaryDirectory(prefix=HELPING, dir=folder) as scratch:
                source = SourceEdit.prepare(project, Path(scratch), self._device, check)
                if source.request is None:  # nothing is drawn, so that the edit's own place will offer nothing
                    WindowBoard.offer_none(shared)
                    return
                board = self._offered(shared, check)
                if not board.free:
                    return
                settings = replace(source.request.settings, window_frames=board.plan.window_frames)
                with self._jobs.equipped(project, source.request, lambda _: settings, check) as (pipeline, request):
                    apart = partial(pipeline.windows_apart, request, record_attention=True)
                    own = _OwnWindows(board, self._name, self._clock, apart, check)
                    while own.make_next():
                        check()
        finally:
            board.release(self._name)

    def _offered(self, shared: SharedFolder, check: Callable[[], object]) -> WindowBoard:
        """Wait until a job has offered its windows."""
        self._clock.begin(Stage.WAIT)
        while (board := WindowBoard.of(shared)) is None or not board.is_offered:
            check()
            time.sleep(shared.poll_seconds)
        self._clock.begin(Stage.PREPARE)
        return board
