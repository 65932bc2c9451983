"""Edits as jobs, carried out: a project in, MP4s out, and something to see while they form."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from videograin.diffusion.attention.row_range import smaller_chunks
from videograin.diffusion.autoencoder import encode_frames
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.preview import FIT_FRAMES, FormingClip, LatentColours
from videograin.errors import Cancelled
from videograin.files.atomic import write_whole
from videograin.jobs.context import Handler, JobContext
from videograin.jobs.edit import EditFiles, edit_handlers, write_attention
from videograin.jobs.model_shelf import ModelShelf
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import JobKind
from videograin.media.preview_webp import encode_preview
from videograin.models.adapting import adapted, sampler_notes, with_triggers
from videograin.models.memory import MemoryPlan, apply_plan, leanest_plan, plan_memory
from videograin.models.references import drawn_after
from videograin.models.time_left import TimeLeft
from videograin.production.produce import EditWindows, produce
from videograin.production.quality import judged_beside
from videograin.production.segments import Segments
from videograin.production.source_edit import SourceEdit
from videograin.progress import Phase, Progress, Report, ignore
from videograin.project.project import Project
from videograin.region import EditRequest, EditSettings

WINDOW_FRAMES = "window-frames"
"""File among a job's segments: most frames of a window, which a later attempt must divide the clip by as well."""

STOPPED_EARLY = "You stopped this early: these are the first {} of {} frames."
SHORTER_WINDOWS = "Memory is short here, so at most {} frames were edited together instead of {}."
REUSED = "This clip's inversion was known from an earlier edit and was used again."

Share = Callable[[Project, JobContext], EditWindows]
"""Returns how the windows of a job are carried out; called before anything else is done for it."""

FitSettings = Callable[[MemoryPlan], EditSettings]
"""Returns an edit's settings so that it fits into memory as a plan says."""


class EditJobs:
    """Carries out edits and previews of them.

    Args:
        shelf: where models come from.
        settings: the operator's limits, which a request must keep.
        share: has windows carried out at several places; None carries them out here, one after the other.
    """

    def __init__(self, shelf: ModelShelf, settings: OperatorSettings, share: Share | None = None) -> None:
        self._shelf = shelf
        self._settings = settings
        self._share = share

    def handlers(self) -> dict[JobKind, Handler[Project, EditFiles]]:
        """Return what the worker needs to know about both kinds."""
        return edit_handlers(lambda: self.edit, self._shelf, self._settings)

    @torch.no_grad()
    def edit(self, project: Project, context: JobContext) -> EditFiles:
        """Edit a clip and write the result, alone and beside the source.

        Raises:
            VideoGrainError: the project cannot be edited; the message says why.
            Cancelled: the job was to stop.
        """
        started = time.monotonic()
        windows = self._share(project, context) if self._share else None
        source = SourceEdit.prepare(project, context.scratch, self._shelf.device, context.report)
        with judged_beside(source, context.scratch) as crf:
            segments = Segments(context.segments, source.clip.fps, crf)
            try:
                if source.request is None:
                    for _ in produce(None, source, segments, context.report):
                        context.check()
                else:
                    self._draw(project, source, source.request, segments, context, windows)
            except Cancelled:
                if context.is_restarting or not segments.count:
                    raise
                if segments.frames < len(source.clip.frames):
                    context.note(STOPPED_EARLY.format(segments.frames, len(source.clip.frames)))
        return self._write(source, segments, context, started)

    def _draw(
        self,
        project: Project,
        source: SourceEdit,
        request: EditRequest,
        segments: Segments,
        context: JobContext,
        windows: EditWindows | None,
    ) -> None:
        for note in sampler_notes(project.adapters, project.settings):
            context.note(note)
        fit = partial(_fitted, request.settings, segments, context)
        with self.equipped(project, request, fit, context.check, is_lean=context.is_lean) as (pipeline, request):
            self._form(pipeline, project, replace(source, request=request), request, segments, context, windows)

    @contextmanager
    def equipped(
        self,
        project: Project,
        request: EditRequest,
        fit: FitSettings,
        check: Callable[[], object],
        *,
        is_lean: bool = False,
    ) -> Iterator[tuple[VideoGrainPipeline, EditRequest]]:
        """Load the models of a project, and make them run in the memory that there is.

        Args:
            project: names them.
            request: what is asked of them.
            fit: returns its settings as they fit into memory.
            check: called while a model is loaded; an error that it raises ends that.
            is_lean: whether memory ran out in an earlier attempt.

        Yields:
            The pipeline, and the request with settings that fit and the trigger words of LoRAs.
        """
        pipeline = self._shelf.get(project.model, project.controls, check)
        device, shape = self._shelf.device, request.frames.shape[:3]
        with (
            adapted(pipeline, project.adapters, offline=self._settings.offline),
            drawn_after(pipeline, request.regions, offline=self._settings.offline),
            self._shelf.at_work(),
        ):
            plan = leanest_plan(device) if is_lean else plan_memory(pipeline, shape, request.settings, device)
            apply_plan(pipeline, plan, device)
            try:
                with smaller_chunks(plan.chunk_divisor):
                    yield pipeline, with_triggers(replace(request, settings=fit(plan)), project.adapters)
            finally:
                pipeline.maybe_free_model_hooks()  # keeps no more on the device than before

    def _write(self, source: SourceEdit, segments: Segments, context: JobContext, started: float) -> EditFiles:
        """Join the windows that are finished, and write their attention maps."""
        for note in (*source.notes, *segments.warnings):
            context.note(note)
        files = EditFiles(
            video=Path("edit.mp4"),
            comparison=Path("comparison.mp4"),
            target_prompt=segments.target_prompt,
            frames=segments.frames,
            fps=source.clip.fps,
            seconds=time.monotonic() - started,
            attention=Path("attention.npz") if source.request else None,
            thumbnail=Path("thumbnail.webp"),
        )
        assert files.thumbnail is not None
        if source.request is not None and files.attention is not None:
            maps = segments.attention
            assert maps is not None
            prompts = [region.prompt for region in source.request.regions]
            write_attention(context.results / files.attention, source.numbers, prompts, maps)
        segments.join(context.results / files.video, source.clip.audio)
        segments.join_beside(context.results / files.comparison, source.clip.audio)
        (context.results / files.thumbnail).write_bytes(encode_preview(segments.middle_frame[None], source.clip.fps))
        return files

    def _form(
        self,
        pipeline: VideoGrainPipeline,
        project: Project,
        source: SourceEdit,
        request: EditRequest,
        segments: Segments,
        context: JobContext,
        edit_windows: EditWindows | None,
    ) -> None:
        """Run the pipeline, showing the clip as it forms."""
        frames, fps = request.frames, source.clip.fps
        forming = FormingClip(self._colours(pipeline, frames), lambda shown: context.preview(shown, fps))
        finished = produce(
            pipeline,
            source,
            segments,
            self._reporting(project, request, context),
            forming=forming,
            on_written=lambda: context.show_finished(lambda path: segments.join_beside(path, source.clip.audio)),
            record_attention=True,
            edit_windows=edit_windows,
        )
        with closing(finished):
            for _ in finished:
                context.check()

    def _colours(self, pipeline: VideoGrainPipeline, frames: np.ndarray) -> LatentColours:
        few = frames[:: math.ceil(len(frames) / FIT_FRAMES)]
        latents = encode_frames(pipeline.vae, few, pipeline.frames_per_vae_batch, self._shelf.device, ignore)
        return LatentColours(latents, few)

    def _reporting(self, project: Project, request: EditRequest, context: JobContext) -> Report:
        shape = request.frames.shape[:3]
        estimate = self._shelf.estimate(project.model, project.controls, shape, request.settings)
        assert estimate, "the model is loaded by now"
        tell = TimeLeft(estimate, context.report)

        def report(progress: Progress) -> None:
            is_known = progress.phase == Phase.INVERT and progress.total == 0 and request.settings.inversion_steps
            if is_known and REUSED not in context.notes:
                context.note(REUSED)
            tell(progress)

        return report


def _fitted(own: EditSettings, segments: Segments, context: JobContext, plan: MemoryPlan) -> EditSettings:
    """Return the settings of an edit with windows that fit, the same ones after a restart."""
    settings = _with_kept_windows(plan.fitted(own), segments, context.segments / WINDOW_FRAMES)
    if settings != own:
        context.note(SHORTER_WINDOWS.format(settings.window_frames, own.window_frames))
    return settings


def _with_kept_windows(settings: EditSettings, segments: Segments, kept: Path) -> EditSettings:
    """Return settings with the windows of an earlier attempt, if any are finished, and keep them for a later one."""
    if segments.count and kept.exists():
        return replace(settings, window_frames=int(kept.read_text()))
    write_whole(kept, str(settings.window_frames).encode())
    return settings
