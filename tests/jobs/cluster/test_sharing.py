"""An edit whose windows two places make, in one process: what a cluster does, without a cluster."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from threading import Barrier, Event
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fake_jobs import ANN, finished, wait_until
from s3_server import s3_bucket
from windowed_project import FRAMES, WHOLE, WINDOWS, kept, windowed_project

from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.errors import Cancelled
from videograin.files.object_store import ObjectStore
from videograin.files.shared_folder import SharedFolder
from videograin.jobs.cluster.actor import Editor
from videograin.jobs.cluster.board import SharedPlan, WindowBoard
from videograin.jobs.cluster.job_files import ClusterFiles, studio_files
from videograin.jobs.cluster.sharing import WindowHelper
from videograin.jobs.cluster.stages import Stage, StageClock
from videograin.jobs.editing.edit_jobs import EditJobs
from videograin.jobs.executor import Outcome, Place, Task
from videograin.jobs.model_shelf import ModelShelf
from videograin.jobs.runner import LEANER
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import Job, JobKind, JobState, JobStore, jobs_folder
from videograin.jobs.worker import JobStatus, Worker
from videograin.media.video import load_clip
from videograin.production.source_edit import SourceEdit
from videograin.project.project import Project
from videograin.region import EditRequest

pytestmark = pytest.mark.slow


class Here(Place):
    """A place whose editor is in this process; the windows that it helped with are counted."""

    def __init__(self, settings: OperatorSettings, files: ClusterFiles, name: str, task: Task) -> None:
        super().__init__(task)
        self._files = files
        self.editor = Editor(settings, name)
        self.helped = 0

    def run(self, job: Job) -> Outcome:
        with self._files.running(job):
            return self.editor.run(job)

    def can_help(self, job: Job) -> bool:
        is_offered = self._files.offers_windows(job)
        self.helped += is_offered
        return is_offered

    def help(self, job: Job) -> None:
        self.editor.help(job, self.helped)

    def recall(self) -> None:
        self.editor.recall(self.helped)


@dataclass(frozen=True)
class Shared:
    """A worker of two places, and an edit of four windows."""

    worker: Worker
    places: Sequence[Here]
    project: Project

    def edit(self) -> JobStatus:
        return finished(self.worker, self.worker.submit(ANN, JobKind.EDIT, self.project).id)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return windowed_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, project: Project) -> np.ndarray:
    """The frames as one place makes them, one window after the other."""
    folder = tmp_path_factory.mktemp("alone")
    settings, store = settings_for(folder, project), JobStore(folder / "jobs")
    worker = Worker(store, EditJobs(ModelShelf(folder / "cache", "cpu", speed=1e9), settings).handlers(), settings)
    worker.start()
    frames = frames_of(finished(worker, worker.submit(ANN, JobKind.EDIT, kept(store, project)).id))
    assert worker.stop()
    return frames


@pytest.fixture(params=[""])
def job_files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where the jobs' files travel: nowhere, as all places see the same folder, or by a store."""
    if request.param == "s3":
        with s3_bucket() as url:
            yield url
    else:
        yield f"memory://{tmp_path}" if request.param else ""


@pytest.fixture
def shared(tmp_path: Path, project: Project, job_files: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shared]:
    monkeypatch.setattr("videograin.jobs.worker.HELP_SECONDS", 0.01)
    settings, places = replace(settings_for(tmp_path, project), job_files=job_files), []
    store, files = JobStore(jobs_folder(tmp_path)), studio_files(settings)

    def executor(task: Task) -> list[Here]:
        places.extend(Here(settings, files, f"run-{number}", task) for number in range(2))
        return places

    shelf = ModelShelf(tmp_path / "cache", "cpu", speed=1e9)
    worker = Worker(store, EditJobs(shelf, settings).handlers(), settings, executor)
    worker.start()
    yield Shared(worker, places, kept(store, project))
    assert worker.stop(60)


def settings_for(folder: Path, project: Project) -> OperatorSettings:
    return OperatorSettings(data_folder=folder, models=(project.model,), max_side=256, device="cpu", offline=True)


def frames_of(status: JobStatus) -> np.ndarray:
    assert status.job.state is JobState.DONE, status.job.message
    return load_clip(status.results / status.result.video, WHOLE).frames


def meet(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Have two places begin a window each before one goes on; return who claimed which window, as it grows."""
    claims, both, claimed = WindowBoard.claims, Barrier(2), []

    def together(board: WindowBoard, name: str) -> Iterator[int]:
        for place, number in enumerate(claims(board, name)):
            claimed.append((name, number))
            if place == 0:
                both.wait(60)
            yield number

    monkeypatch.setattr(WindowBoard, "claims", together)
    return claimed


@pytest.mark.parametrize("job_files", ["", "memory", "s3"], indirect=True)
def test_two_places_make_the_frames_of_one(
    shared: Shared, job_files: str, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed = meet(monkeypatch)
    status = shared.edit()
    assert np.array_equal(frames_of(status), expected)
    assert {name for name, _ in claimed} == {"run-0", "run-1"}
    assert sorted(number for _, number in claimed) == list(range(WINDOWS))
    assert not (status.results.parent / "windows").exists()
    assert not job_files or not ObjectStore(job_files).marks("")


def test_a_place_that_fails_to_help_does_no_harm(
    shared: Shared, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims, help_, failed = WindowBoard.claims, WindowHelper.help, Event()

    def short_of_memory(*arguments) -> None:
        if failed.is_set():
            return help_(*arguments)
        failed.set()
        raise MemoryError

    def wait_for_the_failure(board: WindowBoard, name: str) -> Iterator[int]:
        assert failed.wait(60)
        return claims(board, name)

    monkeypatch.setattr(WindowHelper, "help", short_of_memory)
    monkeypatch.setattr(WindowBoard, "claims", wait_for_the_failure)
    assert np.array_equal(frames_of(shared.edit()), expected)


def test_a_place_that_is_to_help_has_read_the_clip_when_windows_are_offered(
    shared: Shared, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait, offer, has_read = WindowHelper._offered, WindowBoard.open, Event()

    def waiting(*arguments) -> WindowBoard:
        has_read.set()
        return wait(*arguments)

    def offer_late(*arguments) -> WindowBoard:
        assert has_read.wait(60)
        return offer(*arguments)

    monkeypatch.setattr(WindowHelper, "_offered", waiting)
    monkeypatch.setattr(WindowBoard, "open", offer_late)
    assert np.array_equal(frames_of(shared.edit()), expected)
    home, helper = (place.editor.state().seconds for place in sorted(shared.places, key=lambda place: place.helped))
    assert min(home[stage] for stage in (Stage.PREPARE, Stage.ANCHORS, Stage.WINDOWS, Stage.JOIN)) > 0
    assert helper[Stage.PREPARE] > 0
    assert helper[Stage.JOIN] == 0


def test_a_place_that_finds_nothing_to_draw_is_not_asked_to_help_again(
    tmp_path: Path, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "segments").mkdir()
    WindowBoard.expect(job := SharedFolder(tmp_path))
    scratches: list[Path] = []

    def prepare(_project: Project, scratch: Path, *_: object) -> SimpleNamespace:
        scratches.append(scratch)
        return SimpleNamespace(request=None)

    monkeypatch.setattr(SourceEdit, "prepare", prepare)
    jobs = EditJobs(ModelShelf(tmp_path, "cpu"), settings_for(tmp_path, project))
    WindowHelper(jobs, torch.device("cpu"), "run-1", StageClock()).help(project, tmp_path, job, lambda: False)
    board = WindowBoard.of(job)
    assert board is not None
    assert board.is_offered
    assert not board.free
    (scratch,) = scratches
    assert scratch.parent == tmp_path, "where it goes with the job, though the process were killed"
    assert not scratch.exists()


def test_a_cancelled_edit_stops_at_all_places_and_the_next_one_has_them(
    shared: Shared, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed = meet(monkeypatch)
    job = shared.worker.submit(ANN, JobKind.EDIT, shared.project)
    wait_until(lambda: len(claimed) > 1)
    shared.worker.cancel(job.id, ANN)
    assert finished(shared.worker, job.id).job.state in (JobState.CANCELLED, JobState.DONE)
    monkeypatch.undo()
    assert np.array_equal(frames_of(shared.edit()), expected)


def test_a_recall_that_comes_before_the_help_it_is_for_counts(
    tmp_path: Path, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, editor, prepared = JobStore(jobs_folder(tmp_path)), Editor(settings_for(tmp_path, project), "run-1"), []
    job = store.add(ANN, JobKind.EDIT, project)
    (store.folder(job) / "segments").mkdir()
    WindowBoard.open(SharedFolder(store.folder(job)), SharedPlan(5, WINDOWS), 0, "run-0")

    def prepare(*_arguments: object) -> SourceEdit:
        prepared.append(1)
        raise Cancelled("far enough")

    monkeypatch.setattr(SourceEdit, "prepare", prepare)
    editor.recall(1)
    assert editor.help(job, 1)
    assert not prepared
    assert editor.help(job, 2)
    assert prepared


def test_where_memory_runs_out_the_leaner_attempt_makes_the_windows_that_the_first_had_begun(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart, calls = VideoGrainPipeline.windows_apart, count()

    def short_of_memory(pipeline: VideoGrainPipeline, request: EditRequest, numbers: Iterator[int], **how):
        if next(calls) == 0:
            next(numbers)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return apart(pipeline, request, numbers, **how)

    monkeypatch.setattr(Here, "can_help", lambda _place, _job: False)
    monkeypatch.setattr(VideoGrainPipeline, "windows_apart", short_of_memory)
    quick = replace(shared.project, settings=replace(shared.project.settings, num_inference_steps=1))
    status = replace(shared, project=quick).edit()  # leaner windows are short and many
    assert LEANER in status.job.notes
    assert len(frames_of(status)) == FRAMES
