"""A lane of several places: who takes which job, what an idle one does, what becomes of a job that loses its place."""

from collections.abc import Callable, Iterator
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest
from fake_jobs import ANN, BOB, Count, Stepper, finished, handler, wait_until

from videograin.files.dataclass_json import from_json
from videograin.jobs.executor import Outcome, Place, PlaceLost, Task
from videograin.jobs.queue import Lane, Waiting
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import Job, JobKind, JobState, JobStore
from videograin.jobs.worker import LOST, MOST_LOSSES, Worker

Open = Callable[..., Worker]


class Spot(Place):
    """A place that notes what it does, holds a model, and can be told to help."""

    def __init__(self, task: Task, model: str = "", losses: int = 0, *, is_there: bool = True) -> None:
        super().__init__(task)
        self.model, self.losses, self._is_there = model, losses, is_there
        self.before: Callable[[Job], object] = lambda _job: None
        self.ran: list[str] = []
        self.helps = False
        self.helping, self._recalled = Event(), Event()

    @property
    def is_there(self) -> bool:
        return self._is_there

    def run(self, job: Job) -> Outcome:
        self.ran.append(job.id)
        self.before(job)
        if self.losses:
            self.losses -= 1
            raise PlaceLost
        return super().run(job)

    def holds(self, model: str) -> bool:
        return self.model == model

    def can_help(self, job: Job) -> bool:
        return self.helps

    def help(self, job: Job) -> None:
        self.helping.set()
        assert self._recalled.wait(30)
        self.helping.clear()
        self._recalled.clear()

    def recall(self) -> None:
        self._recalled.set()


@pytest.fixture
def stepper() -> Stepper:
    return Stepper()


@pytest.fixture
def open_worker(tmp_path: Path, stepper: Stepper) -> Iterator[Open]:
    """Start a worker with some places, whose edits wait for the stepper and whose previews do not."""
    opened: list[Worker] = []

    def open_one(*places: Spot) -> Worker:
        handlers = {JobKind.EDIT: handler(stepper.run), JobKind.PREVIEW: handler()}

        def executor(task: Task) -> list[Spot]:
            for place in places:
                place._task = task
            return list(places)

        settings = OperatorSettings(data_folder=tmp_path)
        opened.append(Worker(JobStore(tmp_path / f"jobs{len(opened)}"), handlers, settings, executor))
        opened[-1].start()
        return opened[-1]

    yield open_one
    stepper.let(1000)
    assert all(worker.stop(10) for worker in opened)


def unused(_job: Job) -> Outcome:
    raise AssertionError("the worker gives places their task")


def running(worker: Worker, owner: str, word: str) -> Job:
    job = worker.submit(owner, JobKind.EDIT, Count(word))
    wait_until(lambda: worker.status(job.id, owner).progress)
    return job


def test_two_places_carry_out_two_jobs_at_once_and_a_third_waits_for_the_first_that_is_free(
    open_worker: Open, stepper: Stepper
) -> None:
    worker = open_worker(Spot(unused), Spot(unused))
    jobs = [running(worker, owner, owner) for owner in (ANN, BOB)]
    waiting = worker.submit(BOB, JobKind.EDIT, Count("third"))
    status = worker.status(waiting.id, BOB)
    assert (status.ahead, status.seconds_ahead) == (1, 2.0)  # each of the two has two steps of a second left
    stepper.let(100)
    assert all(
        finished(worker, job.id, owner).job.state is JobState.DONE for job, owner in zip(jobs, (ANN, BOB), strict=True)
    )
    assert finished(worker, waiting.id, BOB).result.word == "third"


def test_owners_take_turns_at_all_places(open_worker: Open, stepper: Stepper) -> None:
    worker = open_worker(Spot(unused), Spot(unused))
    mine = [worker.submit(ANN, JobKind.EDIT, Count(f"ann {number}")) for number in range(5)]
    his = [worker.submit(BOB, JobKind.EDIT, Count(f"bob {number}")) for number in range(2)]
    stepper.let(100)
    begun = {
        job.id: finished(worker, job.id, owner).job.started or 0.0 for owner in (ANN, BOB) for job in worker.jobs(owner)
    }
    assert max(begun[job.id] for job in his) < begun[mine[4].id]


@dataclass(frozen=True)
class Drawn(Count):
    """A job that needs a model."""

    model: str = ""


def test_a_job_goes_to_the_place_that_has_its_model(open_worker: Open) -> None:
    spots = Spot(unused, "one"), Spot(unused, "two")
    worker = open_worker(*spots)
    for number in range(6):
        model = ("one", "two")[number % 2]
        finished(worker, worker.submit(ANN, JobKind.PREVIEW, Drawn(f"word {number}", model=model)).id)
    assert [len(spot.ran) for spot in spots] == [3, 3]


def test_a_place_that_was_given_back_is_needed_when_those_that_are_there_do_not_suffice() -> None:
    here, first, second = (Spot(unused, is_there=is_there) for is_there in (True, False, False))
    lane = Lane([here, first, second])
    assert not any(lane.needs(place) for place in (here, first, second))
    for number in range(2):
        lane.waiting.add(Waiting(Job(str(number), "owner", JobKind.EDIT, "", number), Context()))
    assert [lane.needs(place) for place in (here, first, second)] == [True, True, False]
    lane.running[here] = Job("long", "owner", JobKind.EDIT, "", 0)
    assert lane.needs(second)


def test_an_idle_place_helps_until_a_job_waits_and_its_time_counts_for_whom_it_helps(
    open_worker: Open, stepper: Stepper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videograin.jobs.worker.HELP_SECONDS", 0.01)
    spent, spend = [], JobStore.spend

    def noted(store: JobStore, job: Job, seconds: float) -> None:
        spend(store, job, seconds)
        spent.append(job.id)

    monkeypatch.setattr(JobStore, "spend", noted)
    spots = Spot(unused), Spot(unused)
    worker = open_worker(*spots)
    long = running(worker, ANN, "long")
    (helper,) = (spot for spot in spots if not spot.ran)
    helper.helps = True
    assert helper.helping.wait(30)
    short = worker.submit(BOB, JobKind.PREVIEW, Count("short"))
    assert finished(worker, short.id, BOB).job.state is JobState.DONE
    assert helper.ran == [short.id]
    assert worker.status(long.id, ANN).job.state is JobState.RUNNING
    assert helper.helping.wait(30), "it goes on helping"
    helper.helps = False
    helper.recall()
    stepper.let(100)
    finished(worker, long.id)
    wait_until(lambda: not helper.helping.is_set() and spent.count(long.id) == 3)  # its own place and two helps
    assert spent.count(short.id) == 1
    assert accounted(worker, ANN) == pytest.approx(worker._store.seconds_by_kind[JobKind.EDIT])
    assert accounted(worker, BOB) == pytest.approx(worker._store.seconds_by_kind[JobKind.PREVIEW])


def accounted(worker: Worker, owner: str) -> float:
    """Return the seconds that places have worked for an owner, as the next process reads them."""
    records = [from_json((worker._store.folder(job) / "job.json").read_bytes(), Job) for job in worker.jobs(owner)]
    return sum(job.place_seconds for job in records)


def test_a_job_whose_place_is_lost_is_carried_out_again(open_worker: Open) -> None:
    spot = Spot(unused, losses=MOST_LOSSES - 1)
    worker = open_worker(spot)
    job = worker.submit(ANN, JobKind.PREVIEW, Count("fox"))
    assert finished(worker, job.id).result.word == "fox"
    assert spot.ran == [job.id] * MOST_LOSSES


def test_a_job_that_loses_every_place_ends_and_the_next_one_is_unharmed(open_worker: Open) -> None:
    worker = open_worker(Spot(unused, losses=MOST_LOSSES))
    job = finished(worker, worker.submit(ANN, JobKind.PREVIEW, Count("fox")).id).job
    assert (job.state, job.message) == (JobState.FAILED, LOST.format(MOST_LOSSES))
    assert finished(worker, worker.submit(ANN, JobKind.PREVIEW, Count("owl")).id).job.state is JobState.DONE


def test_a_job_that_was_cancelled_is_not_carried_out_again(open_worker: Open) -> None:
    spot = Spot(unused, losses=1)
    worker = open_worker(spot)
    spot.before = lambda job: worker.cancel(job.id, ANN)
    job = worker.submit(ANN, JobKind.PREVIEW, Count("fox"))
    assert finished(worker, job.id).job.state is JobState.CANCELLED
    assert spot.ran == [job.id]
