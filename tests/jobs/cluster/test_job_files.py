"""Files of a job travel by a store between a studio and a place that share no disk."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex, token_urlsafe
from threading import Event

import numpy as np
import pytest
from fake_jobs import ANN, finished, wait_until

from videograin.files.atomic import write_whole
from videograin.files.object_store import ObjectStore
from videograin.jobs.cluster.job_files import UNREACHABLE, PlaceFiles, StudioFiles
from videograin.jobs.context import Handler, JobContext
from videograin.jobs.executor import Outcome, Place, Task
from videograin.jobs.runner import JobRunner
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import ID_BYTES, Job, JobKind, JobState, JobStore
from videograin.jobs.worker import STOPPED, Worker
from videograin.progress import Phase, Progress


@dataclass(frozen=True)
class Mask:
    """Part of what is asked for."""

    path: Path


@dataclass(frozen=True)
class Copying:
    """What is asked for, which names files as a project does."""

    clip: Path
    masks: tuple[Mask, ...]


@dataclass(frozen=True)
class Copied:
    """What comes of it."""

    clip: Path


class Away(Place):
    """A place with a folder of its own, which copies the clip of a job when it is let."""

    def __init__(self, studio: StudioFiles, files: PlaceFiles) -> None:
        super().__init__(unused)
        self._studio, self.files = studio, files
        self._runner = JobRunner(files, HANDLERS | {JobKind.EDIT: Handler(Copying, Copied, self.copy)}, log_words=True)
        self.let, self.requests = Event(), list[Copying]()

    def run(self, job: Job) -> Outcome:
        with self._studio.running(job), self.files.running(job):
            return self._runner.run(job)

    def copy(self, request: Copying, context: JobContext) -> Copied:
        self.requests.append(request)
        has_begun = (context.segments / "000000.npz").exists()
        context.preview(np.zeros((1, 16, 16, 3), np.uint8), 8)
        write_whole(context.segments / "000000.npz", b"again" if has_begun else b"finished")
        while not self.let.wait(0.01):
            context.report(Progress(Phase.EDIT, 1, 2, 3.0))
        (context.results / "copy.mp4").write_bytes(request.clip.read_bytes() + request.masks[0].path.read_bytes())
        return Copied(Path("copy.mp4"))


def unused(*_: object) -> Outcome:
    raise AssertionError("the place has a runner of its own")


HANDLERS = {JobKind.EDIT: Handler(Copying, Copied, unused)}


@dataclass(frozen=True)
class Studio:
    """A worker whose only place is away, and what is in between."""

    worker: Worker
    store: JobStore
    place: Away
    between: ObjectStore

    def submit(self) -> Job:
        clip, mask = (self.store.root.parent / name for name in ("clip.mp4", "mask.png"))
        clip.write_text("a clip ")
        mask.write_text("and its mask")
        request = Copying(self.store.keep(ANN, clip), (Mask(self.store.keep(ANN, mask)),))
        return self.worker.submit(ANN, JobKind.EDIT, request)


def open_studio(folder: Path, url: str) -> Studio:
    store, between = JobStore(folder / "jobs"), ObjectStore(url)
    place = Away(StudioFiles(store.root, between), PlaceFiles(folder / "away", ObjectStore(url)))

    def executor(_task: Task) -> list[Away]:
        return [place]

    worker = Worker(store, HANDLERS, OperatorSettings(data_folder=folder), executor, [lambda _: place._studio.purge()])
    worker.start()
    return Studio(worker, store, place, between)


@pytest.fixture
def url() -> str:
    return f"memory://{token_hex(8)}"


@pytest.fixture
def studio(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    monkeypatch.setattr("videograin.jobs.cluster.job_files.CARRY_SECONDS", 0.01)
    opened = open_studio(tmp_path, url)
    yield opened
    opened.place.let.set()
    assert opened.worker.stop()


def test_clip_and_masks_get_there_and_progress_previews_and_results_back(studio: Studio) -> None:
    job = studio.submit()
    wait_until(lambda: (status := studio.worker.status(job.id, ANN)).progress and status.preview)
    (request,) = studio.place.requests
    assert request.clip.is_relative_to(studio.place.files.root), "a copy of its own"
    studio.place.let.set()
    status = finished(studio.worker, job.id)
    assert status.result is not None, status.job.message
    assert (status.results / status.result.clip).read_text() == "a clip and its mask"
    assert studio.between.marks("") == {}
    assert not [path for path in studio.place.files.root.rglob("*") if path.is_file()]


def test_a_cancel_gets_there(studio: Studio) -> None:
    job = studio.submit()
    wait_until(lambda: studio.worker.status(job.id, ANN).progress)
    studio.worker.cancel(job.id, ANN)
    end = finished(studio.worker, job.id).job
    assert (end.state, end.message) == (JobState.CANCELLED, STOPPED)
    assert studio.between.marks("") == {}


def test_a_helper_stops_when_the_job_is_over(studio: Studio, url: str, tmp_path: Path) -> None:
    job, helper = studio.submit(), PlaceFiles(tmp_path / "helper", ObjectStore(url))
    wait_until(lambda: studio.worker.status(job.id, ANN).progress)
    with helper.helping(job):
        context = JobContext(helper.folder(job))
        assert helper.request(job, Copying).masks[0].path.read_text() == "and its mask"
        context.check()
        studio.place.let.set()
        wait_until(lambda: context.cancelled)


def test_the_next_run_of_the_studio_goes_on_behind_what_was_finished(studio: Studio, url: str, tmp_path: Path) -> None:
    job = studio.submit()
    wait_until(lambda: studio.store.folder(job).joinpath("segments/000000.npz").exists())
    assert studio.worker.stop()
    studio.between.create(f"{token_urlsafe(ID_BYTES)}/request.json", b"of a job that ended while the studio was down")
    studio.between.create("holidays/beach.mp4", b"of the operator")
    again = open_studio(tmp_path, url)
    again.place.let.set()
    assert finished(again.worker, job.id).job.state is JobState.DONE
    assert [*studio.between.marks("")] == ["holidays/beach.mp4"]
    assert again.worker.stop()


def test_a_store_out_of_reach_fails_the_job_in_a_sentence_and_no_other(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(_store: ObjectStore, _folder: str) -> dict[str, str]:
        raise ConnectionError("no route")

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "marks", down)
        job = finished(studio.worker, studio.submit().id).job
    assert (job.state, job.message) == (JobState.FAILED, UNREACHABLE)
    studio.place.let.set()
    assert finished(studio.worker, studio.submit().id).job.state is JobState.DONE
