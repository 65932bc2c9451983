"""The service behind page and API: sessions, their clips and models, and edits submitted on a session's behalf."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event, Thread

import numpy as np

from ui.work.captions import Captions
from ui.work.costs import edit_seconds
from ui.work.marking import Marking
from ui.work.naming import Naming, with_caption, without_composed_sentence
from ui.work.objects.finding import Finders
from ui.work.scores import Scores
from ui.work.segmenter_choice import SegmenterChoices
from ui.work.segmenting import Segmenting
from ui.work.session import Session, Sessions, one_at_a_time
from ui.work.settings_link import from_token
from ui.work.visitors import visitor_address
from ui.work.web_files import purge_web_files
from videograin.device import free_host_bytes
from videograin.errors import SettingsError, VideoError, VideoGrainError
from videograin.jobs import limits
from videograin.jobs.download import DownloadRequest
from videograin.jobs.edit import edited_by
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import Job, JobKind, JobState
from videograin.jobs.studio import open_studio
from videograin.jobs.suggest import find_handlers, suggest_handlers
from videograin.jobs.track import track_handlers
from videograin.jobs.worker import JobStatus
from videograin.media.video import MAX_FRAMES, ClipOptions, VideoInfo, load_clip
from videograin.models.adapters import MAX_ADAPTERS, Adapter, read_adapter
from videograin.models.bundles import ModelBundle, check_obtainable, find_bundle
from videograin.models.catalog import (
    CAPTIONER,
    SEGMENTER_TITLES,
    CatalogEntry,
    adapter_entry,
    catalog,
    find_entry,
    needed_entries,
)
from videograin.models.segmenters import default_segmenter
from videograin.project.edit_of_work import edit_of
from videograin.project.examples import example_path
from videograin.project.objects import with_colours
from videograin.project.project import Project, load_project
from videograin.project.variations import VARIATIONS, variations
from videograin.project.workspace import SavedResult, Workspace, from_project
from videograin.region import ControlGuidance, EditSettings
from videograin.segment.names import is_here

STRIP_PICTURES, STRIP_HEIGHT = 8, 144
"""Pictures on which the user chooses a part of a video, and by which it is taken for filmed or drawn; pixels of their
shorter side."""

SESSIONS_SHARE = 4
"""Part of the memory, at the start, for clips of sessions that are not in use; models and jobs need the rest."""


@dataclass(frozen=True)
class ClipChoice:
    """Which part of a video is edited, and how large.

    Attributes:
        start, end: seconds; `end` None is the video's end.
        fps: frames per second; None keeps the video's.
        frames: the largest number that is read.
        short_side: pixels.
        fit: "crop" or "fit", as `ClipOptions` has it.
    """

    start: float = 0.0
    end: float | None = None
    fps: float | None = None
    frames: int = MAX_FRAMES
    short_side: int | None = None
    fit: str = "crop"


class StudioService:
    """One process's studio.

    Args:
        settings: the operator's limits, models, device and data folder.
        observe: told of each job that has begun or ended.
        begin: set when models may be loaded (`open_studio`); None is at once.
    """

    def __init__(
        self, settings: OperatorSettings, observe: Callable[[Job], object] | None = None, begin: Event | None = None
    ) -> None:
        self.settings = settings
        data = settings.data_folder
        self.sessions = Sessions(data / "sessions", kept_bytes=free_host_bytes() // SESSIONS_SHARE)
        self._segmenting = Segmenting(settings)
        finders = Finders(settings, self._segmenting)
        handlers = track_handlers(self._segmenting) | suggest_handlers(self._segmenting) | find_handlers(finders)
        studio = open_studio(settings, handlers, [self.sessions.purge, purge_web_files], observe, begin)
        self.shelf, self.store, self.worker, self.room = studio.shelf, studio.store, studio.worker, studio.room
        self._naming = Naming()
        self._captions = Captions(settings.offline)
        self.scores = Scores()
        self.segmenters = SegmenterChoices(settings, self._segmenting)
        self.marking = Marking(self._segmenting, finders, self._naming, self.store, self.worker)
        Thread(target=self._prepare_marking, args=(begin,), daemon=True).start()

    def _prepare_marking(self, begin: Event | None) -> None:
        """Load what answers clicks, so that the first one does not wait for it."""
        if begin is not None:
            begin.wait()
        self._segmenting.model(default_segmenter(self.default_model, self._segmenting.offered))
        self._naming.judge(self.default_model)

    @property
    def default_model(self) -> str:
        """The model that is chosen until a user chooses another one."""
        return self.settings.models[0]

    @property
    def example_frames(self) -> int:
        """How many frames of an example are edited at most; few on a CPU, where an edit takes minutes."""
        return min(self.settings.max_frames, 8 if self.shelf.device_name == "cpu" else 16)

    def bundle(self, session: Session) -> ModelBundle:
        """Return the model that a session's edits use."""
        return find_bundle(session.work.model if session.work else session.model or self.default_model)

    def clip_options(self, choice: ClipChoice, model: str) -> ClipOptions:
        """Return how a clip is read for a model."""
        bundle = find_bundle(model)
        frames = max(1, min(int(choice.frames), self.settings.max_frames))
        return ClipOptions(
            start=choice.start,
            end=choice.end or None,
            fps=choice.fps or None,
            max_frames=frames,
            short_side=int(choice.short_side or bundle.short_side),
            multiple=bundle.multiple,
            fit="fit" if choice.fit == "fit" else "crop",
        )

    def check_video(self, file: Path) -> VideoInfo:
        """Return a video's header, or raise VideoError where it is unreadable or beyond the operator's limits."""
        return limits.check_video(file, self.settings)

    def film_strip(self, file: Path, info: VideoInfo) -> np.ndarray:
        """Return small frames (F, H, W, 3) uint8 RGB, evenly spread over a video.

        Raises:
            VideoError: it cannot be read.
        """
        count = max(1, min(STRIP_PICTURES, int(info.duration * info.fps)))
        side = min(STRIP_HEIGHT, info.width, info.height)  # a small video is not enlarged: that would smooth it
        options = ClipOptions(max_frames=1, short_side=side, multiple=1)
        pictures = [load_clip(file, options).frames]
        for place in range(1, count):
            with suppress(VideoError):  # the last frame may be shown for long, and none begins after it
                pictures.append(load_clip(file, replace(options, start=info.duration * place / count)).frames)
        return np.concatenate(pictures)

    def check_clip(self, file: Path, options: ClipOptions) -> tuple[int, int, int]:
        """Return the shape (F, H, W) of a clip of a video, or raise VideoError beyond the operator's limits."""
        return limits.check_clip(file, options, self.settings)

    @one_at_a_time
    def open_clip(self, session: Session, file: Path, choice: ClipChoice, model: str) -> None:
        """Begin to work on a video.

        Raises:
            VideoGrainError: it cannot be read, or is beyond a limit.
        """
        limits.check_model(model, self.settings)
        options = self.clip_options(choice, model)
        self.check_clip(file, options)
        kept = self.store.keep(session.id, file)
        clip = load_clip(kept, options)
        with session.lock:
            settings = session.settings if session.model == model else None
            work = Workspace(
                clip=kept, source_prompt="", model=model, clip_options=options, segmenter=session.chosen_segmenter,
                settings=settings or find_bundle(model).settings,
            )  # fmt: skip
            session.open(work, clip)

    @one_at_a_time
    def open_example(self, session: Session, name: str, frames: int) -> None:
        """Begin to work on an example that is marked and worded already."""
        project = load_project(example_path(name) / "project.json")
        kept = self.store.keep(session.id, project.clip)
        few = max(1, min(int(frames), self.settings.max_frames))
        project = replace(project, clip=kept, clip_options=replace(project.clip_options, max_frames=few))
        clip = load_clip(kept, project.clip_options)
        work = without_composed_sentence(with_colours(self.with_offered_model(from_project(project, clip))))
        with session.lock:
            session.open(work, clip)

    def choose_model(self, session: Session, model: str) -> None:
        """Take another model for a session's edits, with the settings that suit it.

        Raises:
            ModelError: it is not offered here, or not to be had.
        """
        limits.check_model(model, self.settings)
        bundle = find_bundle(model)
        check_obtainable(bundle, self.settings.offline)
        with session.lock:
            session.model, session.settings = model, None
            if session.work is not None:
                session.set_words(_with_model(session.work, bundle))

    def with_offered_model(self, work: Workspace) -> Workspace:
        """Return a work whose model is offered here: the default one takes the place of another."""
        is_offered = work.model in self.settings.models
        return work if is_offered else _with_model(work, find_bundle(self.default_model))

    def take_settings(self, session: Session, token: str) -> None:
        """Take the model and the settings of a link (`settings_link`).

        Raises:
            SettingsError, ModelError: they cannot be read, or the model is not offered here.
        """
        model, settings = from_token(token)
        self.choose_model(session, model)
        self.set_settings(session, settings)

    def set_settings(
        self, session: Session, settings: EditSettings, guidance: Sequence[ControlGuidance] | None = None
    ) -> None:
        """Take settings for a session's edits, also of clips that are opened later, and ControlNets if they are given.

        Raises:
            ProjectError: they cannot be saved.
        """
        with session.lock:
            session.model, session.settings = self.bundle(session).name, settings
            if (work := session.work) is not None:
                if guidance is not None:
                    kinds = tuple(each.kind for each in guidance)
                    work = replace(work, controls=kinds, control_guidance=tuple(guidance))
                session.set_words(replace(work, settings=settings))

    def switch_to_photographs(self, session: Session) -> None:
        """Take a model and a segmenter that know photographs; the segmenter alone where no such model is here."""
        model = self.segmenters.model_for_photographs()
        if model is not None:
            self.choose_model(session, model)
        self.segmenters.choose_for_photographs(session)

    def photograph_notice(self, session: Session) -> str:
        """Return what to tell where the clip was filmed and the model only knows drawings; else nothing."""
        model, segmenter = self.bundle(session).name, self._segmenting.name_for(session)
        return self.segmenters.notice(model, session.is_photograph, segmenter)

    def suggest_caption(self, session: Session) -> None:
        """Caption what the clip shows now by the objects' names, unless the user has."""
        with session.lock:
            work, session.caption = with_caption(session.opened_work, session.caption)
            session.set_words(work)

    def propose_caption(self, session: Session) -> None:
        """Caption what the clip shows now, in place of what the caption was.

        Raises:
            RegionError, ModelError: as `Captions.propose`.
        """
        found = self._captions.propose(session)
        with session.lock:
            session.caption = found
            session.set_words(replace(session.opened_work, source_prompt=found))

    def catalog(self) -> list[CatalogEntry]:
        """Return all that may have to be downloaded here."""
        return catalog(self.settings.models)

    def missing(self, session: Session) -> CatalogEntry | None:
        """Return what a session needs and is not on this machine yet: its model, what that uses, or its segmenter."""
        model, work = self.bundle(session).name, session.work
        segmenter = self.segmenters.name_for(session)
        marking = () if is_here(segmenter) or segmenter not in SEGMENTER_TITLES else (segmenter,)
        names = needed_entries(model, work.controls, work.adapters, work.has_references) if work else [model]
        wanted = [CAPTIONER] if session.wants_captions else []
        wanted += [session.wanted_finder] if session.wanted_finder else []
        entries = map(find_entry, (*names, *marking, *wanted))
        return next((entry for entry in entries if not entry.is_installed), None)

    def add_adapter(self, session: Session, adapter: Adapter) -> None:
        """Add a LoRA or a textual inversion to a session's edits.

        Args:
            session: whose work it becomes part of.
            adapter: its file, if it is one, was uploaded; it is kept for the session.

        Raises:
            ModelError: the file is neither, or the hub has no such repository or does not answer.
        """
        if adapter.file is not None:
            read_adapter(adapter.file)
            adapter = replace(adapter, file=self.store.keep(session.id, adapter.file))
        elif not self.settings.offline:
            adapter_entry(adapter.hub_id).missing_bytes()  # says at once what the hub does not have
        with session.lock:
            work = session.opened_work
            if len(work.adapters) >= MAX_ADAPTERS:
                raise SettingsError(f"There are {MAX_ADAPTERS} LoRAs already. Remove one first.")
            session.set_words(replace(work, adapters=(*work.adapters, adapter)))

    def change_adapters(self, session: Session, change: Callable[[tuple[Adapter, ...]], tuple[Adapter, ...]]) -> None:
        """Change the list of LoRAs and textual inversions of a session's edits."""
        with session.lock:
            session.set_words(replace(session.opened_work, adapters=change(session.opened_work.adapters)))

    def submit_download(self, session: Session, name: str) -> Job:
        """Ask for a download, of what the user has seen the size of."""
        return self.worker.submit(session.id, JobKind.DOWNLOAD, DownloadRequest(name, time.time()), visitor_address())

    def submit_edit(self, session: Session, kind: JobKind, frame: int | None = None) -> Job:
        """Ask for an edit of the session's work, or a preview of it: of the first frames, or of a frame alone."""
        return self._submit(session, kind, self.project_of(session, frame), frame)

    def submit_variations(self, session: Session, count: int = VARIATIONS) -> list[Job]:
        """Ask for the edit of the session's work from other noise, some times over.

        Raises:
            VideoGrainError: it cannot be done, or they are more jobs than may wait; then none of them does.
        """
        before = {job.id for job in self.live_jobs(session)}
        jobs: list[Job] = []
        try:
            for each in variations(self.project_of(session), count):
                job = self._submit(session, JobKind.EDIT, each)
                jobs.append(job)  # at once: where the next is refused, it is cancelled
        except VideoGrainError:
            for job in jobs:
                if job.id not in before:  # what was asked for earlier goes on
                    self.worker.cancel(job.id, session.id)
            raise
        return jobs

    def _submit(self, session: Session, kind: JobKind, project: Project, frame: int | None = None) -> Job:
        clip, drawn = session.opened_clip, edited_by(kind, project)
        part = slice(0, drawn.clip_options.max_frames) if frame is None else slice(frame, frame + 1)
        seconds = edit_seconds(self.shelf, drawn, replace(clip, frames=clip.frames[part]))
        return self.worker.submit(session.id, kind, project, visitor_address(), seconds)

    def project_of(self, session: Session, frame: int | None = None) -> Project:
        """Return the edit that a session's work amounts to (`edit_of`), of one frame if that is given."""
        keep = partial(self.store.keep, session.id)
        return edit_of(session.opened_work, session.opened_clip, keep, frame)

    def edits(self, session: Session) -> list[Job]:
        """Return the session's edits and previews, the latest first."""
        kinds = (JobKind.EDIT, JobKind.PREVIEW)
        return [job for job in self.worker.jobs(session.id) if job.kind in kinds]

    def live_jobs(self, session: Session) -> list[Job]:
        """Return the session's jobs that wait or run, the latest first."""
        return self._live(session.id)

    def is_dormant(self, session_id: str) -> bool:
        """Whether a session's work is not in memory and no job of it is live, so that there is no news of it."""
        return not (self.sessions.is_in_memory(session_id) or self._live(session_id))

    def busy_with(self) -> int:
        """Return how many jobs wait or run, of all users."""
        return sum(not job.state.is_final for job in self.store.all_jobs())

    def find_result(self, session: Session, job_id: str) -> JobStatus | None:
        """Return an edit that is done: the one asked for, or else the latest."""
        done = [job.id for job in self.edits(session) if job.state is JobState.DONE]
        chosen = job_id if job_id in done else next(iter(done), None)
        return self.worker.status(chosen, session.id) if chosen else None

    def saved_results(self, session: Session) -> tuple[SavedResult, ...]:
        """Return the edits that are done, the oldest first, for a project that is taken along."""
        done = [job for job in reversed(self.edits(session)) if job.state is JobState.DONE]
        return tuple(self._saved(session, job) for job in done)

    def _live(self, owner: str) -> list[Job]:
        return [job for job in self.worker.jobs(owner) if not job.state.is_final]

    def _saved(self, session: Session, job: Job) -> SavedResult:
        status, project = self.worker.status(job.id, session.id), edited_by(job.kind, self.store.request(job, Project))
        date = datetime.fromtimestamp(job.ended or job.created, UTC).isoformat(timespec="seconds")
        files = status.result
        return SavedResult(
            video=status.results / files.video, date=date, model=project.model, target_prompt=files.target_prompt,
            settings=project.settings, seconds=files.seconds,
        )  # fmt: skip


def _with_model(work: Workspace, bundle: ModelBundle) -> Workspace:
    """Return a work with another model and the settings that suit it."""
    return replace(work, model=bundle.name, settings=bundle.settings, controls=())
