import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
import weakref
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from fake_jobs import ANN, BOB, Count, Counted, Stepper, count, finished, handler, make_worker, wait_until

from videograin.errors import Cancelled, JobError, ProjectError, PromptError
from videograin.files.atomic import write_whole
from videograin.files.dataclass_json import to_json
from videograin.jobs.context import JobContext
from videograin.jobs.executor import Place, on_own_thread
from videograin.jobs.failures import OUT_OF_MEMORY, OUT_OF_SPACE
from videograin.jobs.runner import LEANER
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import Job, JobKind, JobState, JobStore
from videograin.jobs.worker import INTERRUPTED, STOPPED, Worker
from videograin.progress import Phase, Progress

ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "tests/support"


@pytest.fixture
def stepper() -> Stepper:
    return Stepper()


@pytest.fixture
def worker(tmp_path: Path, stepper: Stepper):
    """A worker whose edits wait for the stepper and whose previews do not."""
    handlers = {JobKind.EDIT: handler(stepper.run), JobKind.PREVIEW: handler()}
    worker = make_worker(tmp_path, handlers)
    worker.start()
    yield worker
    stepper.let(1000)
    assert worker.stop(10)


def started(worker: Worker, job: Job) -> Job:
    wait_until(lambda: worker.status(job.id, ANN).progress)
    return job


def tick(request: Count, context: JobContext) -> Counted:
    """Take steps of a hundredth of a second."""
    for done in range(request.steps):
        context.report(Progress(Phase.EDIT, done, request.steps, None))
        time.sleep(0.01)
    return count(request, context)


def running_with(tmp_path: Path, run) -> Worker:
    worker = make_worker(tmp_path, {JobKind.EDIT: handler(run), JobKind.PREVIEW: handler()})
    worker.start()
    return worker


# A job's life


def test_a_job_is_carried_out_and_its_result_is_there_for_its_owner(worker: Worker) -> None:
    job = worker.submit(ANN, JobKind.PREVIEW, Count("fox"))
    status = finished(worker, job.id)
    assert (status.job.state, status.result) == (JobState.DONE, Counted("fox", Path("word.txt")))
    assert (status.results / status.result.file).read_text() == "fox"
    assert (status.progress, status.preview, status.ahead) == (None, None, None)
    assert worker.request(job.id, ANN) == Count("fox")
    for ask in (worker.status, worker.cancel, worker.request):
        with pytest.raises(JobError, match="no such job of yours"):
            ask(job.id, BOB)
    assert worker.jobs(BOB) == []


def test_a_running_job_tells_where_it_is(worker: Worker, stepper: Stepper) -> None:
    job = started(worker, worker.submit(ANN, JobKind.EDIT, Count("fox", steps=3)))
    assert worker.status(job.id, ANN).progress == Progress(Phase.EDIT, 0, 3, 3.0)
    stepper.let()
    wait_until(lambda: worker.status(job.id, ANN).progress == Progress(Phase.EDIT, 1, 3, 2.0))
    assert worker.status(job.id, ANN).job.state is JobState.RUNNING


def test_jobs_run_one_after_the_other_in_their_order(worker: Worker, stepper: Stepper) -> None:
    first = started(worker, worker.submit(ANN, JobKind.EDIT, Count("first")))
    others = [worker.submit(owner, JobKind.PREVIEW, Count(owner)) for owner in (BOB, ANN)]
    assert [worker.status(job.id, owner).ahead for job, owner in zip(others, (BOB, ANN), strict=True)] == [1, 2]
    stepper.let(2)
    ends = [finished(worker, job.id, owner).job for job, owner in ((first, ANN), (others[0], BOB), (others[1], ANN))]
    times = [time for job in ends for time in (job.started, job.ended)]
    assert times == sorted(times, key=lambda time: time or 0)


@pytest.fixture
def two_lanes(tmp_path: Path, stepper: Stepper):
    """A worker whose edits wait for the stepper while objects are followed at once."""
    worker = make_worker(tmp_path, {JobKind.EDIT: handler(stepper.run), JobKind.TRACK: handler()})
    worker.start()
    yield worker
    stepper.let(1000)
    assert worker.stop(10)


def test_following_does_not_wait_behind_an_edit(two_lanes: Worker) -> None:
    edit = started(two_lanes, two_lanes.submit(ANN, JobKind.EDIT, Count("fox")))
    waiting = two_lanes.submit(ANN, JobKind.EDIT, Count("panda"))
    track = two_lanes.submit(BOB, JobKind.TRACK, Count("dog"))
    assert finished(two_lanes, track.id, BOB).result.word == "dog"
    assert two_lanes.status(edit.id, ANN).job.state is JobState.RUNNING
    assert two_lanes.status(waiting.id, ANN).ahead == 1


def test_stopping_interrupts_both_lanes(tmp_path: Path) -> None:
    ticking = {JobKind.EDIT: handler(tick), JobKind.TRACK: handler(tick)}
    worker = make_worker(tmp_path, ticking)
    worker.start()
    jobs = [started(worker, worker.submit(ANN, kind, Count("fox", steps=1000))) for kind in ticking]
    assert worker.stop()
    again = make_worker(tmp_path, ticking)
    again.start()
    assert [again.status(job.id, ANN).job.state for job in jobs] == [JobState.INTERRUPTED] * 2
    assert again.stop()


def test_a_waiting_job_tells_how_long_those_ahead_should_take(tmp_path: Path, stepper: Stepper) -> None:
    preview = replace(handler(), admit=lambda request: None if request.word == "unknown" else 5.0)
    worker = make_worker(tmp_path, {JobKind.EDIT: handler(stepper.run, seconds=30.0), JobKind.PREVIEW: preview})
    worker.start()
    edit = started(worker, worker.submit(ANN, JobKind.EDIT, Count("fox", steps=3)))  # it says that it has 3 s left
    waiting = [worker.submit(ANN, JobKind.PREVIEW, Count(word)) for word in ("fox", "unknown")]
    waiting.append(worker.submit(ANN, JobKind.EDIT, Count("panda")))
    assert [worker.status(job.id, ANN).seconds_ahead for job in waiting] == [3.0, 8.0, None]
    folder = worker.status(edit.id, ANN).results.parent
    write_whole(folder / "progress.json", to_json(Progress(Phase.ENCODE, 0, 2, None)))  # then the estimate counts
    assert worker.status(waiting[0].id, ANN).seconds_ahead == 30.0
    stepper.let(100)
    assert worker.stop()


def test_a_page_that_comes_back_finds_its_jobs(worker: Worker, stepper: Stepper) -> None:
    done = worker.submit(ANN, JobKind.PREVIEW, Count("fox"))
    finished(worker, done.id)
    running = started(worker, worker.submit(ANN, JobKind.EDIT, Count("fox")))
    assert [(job.id, job.state) for job in worker.jobs(ANN)] == [
        (running.id, JobState.RUNNING),
        (done.id, JobState.DONE),
    ]


def test_what_a_job_shows_is_there_while_it_runs_under_ever_new_names(tmp_path: Path, stepper: Stepper) -> None:
    def show(request: Count, context: JobContext) -> Counted:
        for shade in range(4):
            context.preview(np.full((2, 8, 8, 3), 60 * shade, np.uint8), fps=8)
            stepper.run(Count("", 1), context)
        return count(request, context)

    worker = running_with(tmp_path, show)
    job = worker.submit(ANN, JobKind.EDIT, Count("fox"))
    names = []
    for _ in range(4):
        wait_until(lambda: (preview := worker.status(job.id, ANN).preview) and preview.name not in names)
        preview = worker.status(job.id, ANN).preview
        assert preview is not None
        names.append(preview.name)
        assert len(list(preview.parent.glob("*.webp"))) == min(2, len(names))
        stepper.let()
    status = finished(worker, job.id)
    assert len(set(names)) == 4
    assert list(status.results.parent.glob("*.webp")) == []
    assert worker.stop()


def test_the_same_request_again_is_answered_by_the_first_job(worker: Worker, stepper: Stepper) -> None:
    job = started(worker, worker.submit(ANN, JobKind.EDIT, Count("fox")))
    assert worker.submit(ANN, JobKind.EDIT, Count("fox")).id == job.id  # a second click
    assert worker.submit(BOB, JobKind.EDIT, Count("fox")).id != job.id
    stepper.let(100)
    finished(worker, job.id)
    assert worker.submit(ANN, JobKind.EDIT, Count("fox")).state is JobState.DONE
    assert worker.submit(ANN, JobKind.EDIT, Count("panda")).id != job.id


def test_what_cannot_be_admitted_never_becomes_a_job(tmp_path: Path) -> None:
    def refuse(_request: Count) -> float:
        raise PromptError("Say what the cat is to become.")

    worker = make_worker(tmp_path, {JobKind.EDIT: replace(handler(), admit=refuse)})
    with pytest.raises(PromptError):
        worker.submit(ANN, JobKind.EDIT, Count("fox"))
    assert worker.jobs(ANN) == []


def test_the_job_runs_in_the_context_in_which_it_was_asked_for(tmp_path: Path) -> None:
    """On ZeroGPU the request's context says whose quota a GPU is lent on."""
    visitor: ContextVar[str] = ContextVar("visitor", default="none")
    worker = running_with(tmp_path, lambda request, _context: Counted(visitor.get(), Path()))
    visitor.set("ann")
    job = worker.submit(ANN, JobKind.EDIT, Count("fox"))
    visitor.set("bob")
    assert finished(worker, job.id).result.word == "ann"
    assert worker.stop()


# Many at once


def test_eight_people_with_six_jobs_each_all_get_their_own(tmp_path: Path) -> None:
    worker = make_worker(tmp_path, max_waiting=48)
    worker.start()
    owners = [f"visitor-{number}-with-a-secret" for number in range(8)]

    def ask_and_collect(owner: str) -> list[str]:
        jobs = [worker.submit(owner, JobKind.EDIT, Count(f"{owner} {i}")) for i in range(6)]
        return [
            (status.results / status.result.file).read_text()
            for status in (finished(worker, job.id, owner) for job in jobs)
        ]

    with ThreadPoolExecutor(8) as pool:
        words = list(pool.map(ask_and_collect, owners))
    assert words == [[f"{owner} {i}" for i in range(6)] for owner in owners]
    assert all(Counter(job.state for job in worker.jobs(owner)) == {JobState.DONE: 6} for owner in owners)
    assert worker.stop()


def test_a_second_click_at_the_same_moment_makes_no_second_job(tmp_path: Path) -> None:
    worker = make_worker(tmp_path)
    with ThreadPoolExecutor(8) as clicks:
        jobs = list(clicks.map(lambda _: worker.submit(ANN, JobKind.EDIT, Count("fox")), range(8)))
    assert len({job.id for job in jobs}) == 1


def test_a_full_queue_says_so_at_once(tmp_path: Path) -> None:
    worker = make_worker(tmp_path, max_waiting=2)
    for word in ("fox", "panda"):
        worker.submit(ANN, JobKind.EDIT, Count(word))
    with pytest.raises(JobError, match="The queue is full: 2 jobs wait"):
        worker.submit(BOB, JobKind.EDIT, Count("cat"))
    assert worker.submit(ANN, JobKind.EDIT, Count("fox")).state is JobState.QUEUED  # known already
    worker.cancel(worker.jobs(ANN)[0].id, ANN)
    assert worker.submit(BOB, JobKind.EDIT, Count("cat")).state is JobState.QUEUED


def test_nobody_can_fill_the_queue_alone(tmp_path: Path) -> None:
    worker = make_worker(tmp_path, max_waiting_each=1)
    worker.submit(ANN, JobKind.EDIT, Count("fox"))
    with pytest.raises(JobError, match="1 of your jobs wait already"):
        worker.submit(ANN, JobKind.EDIT, Count("panda"))
    worker.submit(BOB, JobKind.EDIT, Count("panda"))


# Cancelling


def test_a_waiting_job_is_cancelled_at_once(worker: Worker, stepper: Stepper) -> None:
    first = started(worker, worker.submit(ANN, JobKind.EDIT, Count("first")))
    second = worker.submit(ANN, JobKind.PREVIEW, Count("second"))
    cancelled = worker.cancel(second.id, ANN)
    assert (cancelled.state, cancelled.message) == (JobState.CANCELLED, STOPPED)
    stepper.let(2)
    assert finished(worker, first.id).job.state is JobState.DONE
    assert worker.status(second.id, ANN).job.started is None


def test_a_running_job_is_cancelled_within_a_step(worker: Worker, stepper: Stepper) -> None:
    job = started(worker, worker.submit(ANN, JobKind.EDIT, Count("fox", steps=1000)))
    assert worker.cancel(job.id, ANN).state is JobState.RUNNING
    stepper.let()
    status = finished(worker, job.id)
    assert (status.job.state, status.job.message) == (JobState.CANCELLED, STOPPED)
    assert not status.results.exists()
    assert sorted(path.name for path in status.results.parent.iterdir()) == ["job.json", "request.json"]


def test_to_cancel_three_times_or_after_the_end_does_no_harm(worker: Worker, stepper: Stepper) -> None:
    job = started(worker, worker.submit(ANN, JobKind.EDIT, Count("fox", steps=5)))
    for _ in range(3):
        worker.cancel(job.id, ANN)
    stepper.let()
    end = finished(worker, job.id).job
    assert worker.cancel(job.id, ANN) == end
    done = worker.submit(ANN, JobKind.PREVIEW, Count("panda"))
    finished(worker, done.id)
    assert worker.cancel(done.id, ANN).state is JobState.DONE
    assert worker.status(done.id, ANN).result.word == "panda"
    again = worker.submit(ANN, JobKind.EDIT, Count("fox", steps=5))
    assert again.id != job.id
    stepper.let(100)
    assert finished(worker, again.id).job.state is JobState.DONE


def test_what_was_told_to_stop_is_no_answer_to_the_same_request(tmp_path: Path, stepper: Stepper) -> None:
    def keep_a_part(request: Count, context: JobContext) -> Counted:
        try:
            return stepper.run(request, context)
        except Cancelled:
            return Counted(request.word[:1], Path("word.txt"))

    worker = running_with(tmp_path, keep_a_part)
    first = started(worker, worker.submit(ANN, JobKind.EDIT, Count("fox", steps=1000)))
    worker.cancel(first.id, ANN)
    second = worker.submit(ANN, JobKind.EDIT, Count("fox", steps=1000))  # while the first one's step goes on
    assert second.id != first.id
    stepper.let()
    assert finished(worker, first.id).result.word == "f"
    assert worker.submit(ANN, JobKind.EDIT, Count("fox", steps=1000)).id == second.id
    stepper.let(1000)
    assert finished(worker, second.id).result.word == "fox"
    assert worker.submit(ANN, JobKind.EDIT, Count("fox", steps=1000)).id == second.id
    assert worker.stop()


def test_a_waiting_job_that_has_run_before_leaves_nothing_when_it_is_cancelled(
    tmp_path: Path, stepper: Stepper
) -> None:
    """As after a restart, or where its place was lost."""
    worker = make_worker(tmp_path, {JobKind.EDIT: handler(stepper.run)})
    worker.submit(ANN, JobKind.EDIT, Count("first"))
    job = worker.submit(ANN, JobKind.EDIT, Count("second"))
    (JobContext(worker._store.folder(job)).segments / "000000.npz").touch()
    worker._store.move(job, JobState.RUNNING)
    assert worker.stop()
    worker = make_worker(tmp_path, {JobKind.EDIT: handler(stepper.run)})
    worker.start()
    assert worker.cancel(job.id, ANN).state is JobState.CANCELLED
    folder = worker._store.folder(job)
    assert sorted(path.name for path in folder.iterdir()) == ["job.json", "request.json"]
    stepper.let(1000)
    assert worker.stop()


def test_a_cancelled_job_lets_go_of_its_tensors(tmp_path: Path, stepper: Stepper) -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def hold(request: Count, context: JobContext) -> Counted:
        activations = torch.zeros(1000)
        circle: list[object] = [activations]
        circle.append(circle)  # only the garbage collector opens it
        held.append(weakref.ref(activations))
        return stepper.run(request, context)

    worker = running_with(tmp_path, hold)
    job = started(worker, worker.submit(ANN, JobKind.EDIT, Count("fox", steps=1000)))
    assert held[0]() is not None
    worker.cancel(job.id, ANN)
    stepper.let()
    finished(worker, job.id)
    assert held[0]() is None
    assert worker.stop()


# Out of memory

_KINDS_OF_SHORTAGE = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory"),
    MemoryError("Unable to allocate 3.00 GiB for an array"),
]


def short_of_memory(times: int, error: BaseException, attempts: list[bool]):
    """Return a job that runs out of memory a number of times; `attempts` keeps which were lean."""

    def run(request: Count, context: JobContext) -> Counted:
        attempts.append(context.is_lean)
        (context.results / "half.mp4").touch()
        if request.word == "large" and len(attempts) <= times:
            raise error
        return count(request, context)

    return run


@pytest.mark.parametrize("error", _KINDS_OF_SHORTAGE, ids=str)
def test_out_of_memory_once_is_tried_again_in_the_lean_mode(tmp_path: Path, error: BaseException) -> None:
    attempts: list[bool] = []
    worker = running_with(tmp_path, short_of_memory(1, error, attempts))
    status = finished(worker, worker.submit(ANN, JobKind.EDIT, Count("large")).id)
    assert (status.job.state, status.job.notes) == (JobState.DONE, (LEANER,))
    assert attempts == [False, True]
    assert worker.stop()


def test_out_of_memory_twice_ends_in_advice_and_the_next_job_is_unharmed(tmp_path: Path) -> None:
    attempts: list[bool] = []
    worker = running_with(tmp_path, short_of_memory(2, torch.OutOfMemoryError("CUDA out of memory"), attempts))
    large, small = (worker.submit(ANN, JobKind.EDIT, Count(word)) for word in ("large", "small"))
    status = finished(worker, large.id)
    assert (status.job.state, status.job.message) == (JobState.FAILED, OUT_OF_MEMORY)
    assert "fewer frames or a smaller size" in status.job.message
    assert not status.results.exists()
    assert finished(worker, small.id).job.state is JobState.DONE
    assert attempts == [False, True, False]
    assert worker.stop()


def test_the_first_attempt_s_tensors_are_gone_before_the_second(tmp_path: Path) -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    alive_at_start: list[bool] = []

    def run(request: Count, context: JobContext) -> Counted:
        alive_at_start.append(any(reference() is not None for reference in held))
        activations = torch.zeros(1000)
        held.append(weakref.ref(activations))
        if not context.is_lean:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return count(request, context)

    worker = running_with(tmp_path, run)
    finished(worker, worker.submit(ANN, JobKind.EDIT, Count("fox")).id)
    assert alive_at_start == [False, False]
    assert worker.stop()


# Failures


@pytest.mark.parametrize("error", [ZeroDivisionError("float division"), SystemExit(3), KeyError("half")], ids=repr)
def test_a_crash_fails_its_own_job_only(tmp_path: Path, error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    def crash(_request: Count, _context: JobContext) -> Counted:
        raise error

    caplog.set_level(logging.INFO)
    worker = running_with(tmp_path, crash)
    bad, good = worker.submit(ANN, JobKind.EDIT, Count("fox")), worker.submit(ANN, JobKind.PREVIEW, Count("fox"))
    status = finished(worker, bad.id)
    assert status.job.state is JobState.FAILED
    assert bad.id in status.job.message
    assert type(error).__name__ not in status.job.message
    record = next(record for record in caplog.records if record.message == "job failed")
    assert vars(record)["job"] == bad.id
    assert "Traceback" in vars(record)["error"]
    assert type(error).__name__ in vars(record)["error"]
    assert finished(worker, good.id).job.state is JobState.DONE
    assert worker.stop()


def test_what_the_person_can_mend_is_told_as_it_is(tmp_path: Path) -> None:
    def refuse(_request: Count, _context: JobContext) -> Counted:
        raise PromptError("The prompt is empty. Say something.")

    worker = running_with(tmp_path, refuse)
    job = finished(worker, worker.submit(ANN, JobKind.EDIT, Count("fox")).id).job
    assert (job.state, job.message) == (JobState.FAILED, "The prompt is empty. Say something.")
    assert worker.stop()


def test_a_full_disk_is_told_and_earlier_results_are_kept(tmp_path: Path) -> None:
    def fill(request: Count, context: JobContext) -> Counted:
        (context.results / "half.mp4").write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    worker = running_with(tmp_path, fill)
    earlier = finished(worker, worker.submit(ANN, JobKind.PREVIEW, Count("fox")).id)
    status = finished(worker, worker.submit(ANN, JobKind.EDIT, Count("fox")).id)
    assert (status.job.state, status.job.message) == (JobState.FAILED, OUT_OF_SPACE)
    assert not status.results.exists()
    assert (earlier.results / "word.txt").read_text() == "fox"
    assert worker.stop()


def test_words_are_not_logged_unless_the_operator_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def crash(request: Count, _context: JobContext) -> Counted:
        raise RuntimeError(f"cannot draw {request.word}")

    caplog.set_level(logging.INFO)
    for log_prompts in (False, True):
        settings = OperatorSettings(data_folder=tmp_path, log_prompts=log_prompts)
        worker = Worker(JobStore(tmp_path / str(log_prompts)), {JobKind.EDIT: handler(crash)}, settings)
        worker.start()
        finished(worker, worker.submit(ANN, JobKind.EDIT, Count("a secret garden")).id)
        assert worker.stop()
        logged = " ".join(str(vars(record)) for record in caplog.records)
        assert ("a secret garden" in logged) == log_prompts
        assert "cannot draw" in logged
        caplog.clear()


def test_an_executor_that_fails_fails_the_job(tmp_path: Path) -> None:
    def lend_nothing(_task):
        def run(_job: Job):
            raise JobError("No GPU is free. Try later.")

        return [Place(run)]

    settings = OperatorSettings(data_folder=tmp_path)
    worker = Worker(JobStore(tmp_path / "jobs"), {JobKind.EDIT: handler()}, settings, lend_nothing)
    worker.start()
    job = finished(worker, worker.submit(ANN, JobKind.EDIT, Count("fox")).id).job
    assert (job.state, job.message) == (JobState.FAILED, "No GPU is free. Try later.")
    assert worker.stop()


# Stopping and starting


def test_stopping_ends_at_the_step_boundary_and_keeps_what_waits(tmp_path: Path) -> None:
    ticking = {JobKind.EDIT: handler(tick), JobKind.PREVIEW: handler()}
    worker = make_worker(tmp_path, ticking)
    worker.start()
    running = started(worker, worker.submit(ANN, JobKind.EDIT, Count("fox", steps=1000)))
    waiting = worker.submit(ANN, JobKind.PREVIEW, Count("panda"))
    before = time.monotonic()
    assert worker.is_alive
    assert worker.stop()
    assert time.monotonic() - before < 2
    assert not worker.is_alive
    with pytest.raises(JobError, match="about to restart"):
        worker.submit(ANN, JobKind.PREVIEW, Count("cat"))

    worker = make_worker(tmp_path, ticking)
    worker.start()
    job = worker.status(running.id, ANN).job
    assert (job.state, job.message) == (JobState.INTERRUPTED, INTERRUPTED)
    assert finished(worker, waiting.id).result.word == "panda"
    assert worker.stop()


def test_a_step_that_takes_too_long_does_not_hold_up_the_stop(tmp_path: Path, stepper: Stepper) -> None:
    worker = make_worker(tmp_path, {JobKind.EDIT: handler(stepper.run)})
    worker.start()
    started(worker, worker.submit(ANN, JobKind.EDIT, Count("fox")))
    before = time.monotonic()
    assert not worker.stop(timeout=0.2)
    assert 0.2 <= time.monotonic() - before < 2
    stepper.let(100)
    assert worker.stop()


def test_a_full_disk_does_not_keep_the_studio_from_stopping(
    tmp_path: Path, stepper: Stepper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise ProjectError("No space left on device")

    worker = make_worker(tmp_path, {JobKind.EDIT: handler(stepper.run)})
    worker.start()
    started(worker, worker.submit(ANN, JobKind.EDIT, Count("fox")))
    monkeypatch.setattr("videograin.jobs.worker.ask_to_stop", full)
    assert not worker.stop(timeout=0)
    stepper.let(100)
    assert worker.stop()


def test_what_a_person_cancelled_just_before_the_stop_stays_cancelled(tmp_path: Path, stepper: Stepper) -> None:
    worker = make_worker(tmp_path, {JobKind.EDIT: handler(stepper.run)})
    worker.start()
    job = started(worker, worker.submit(ANN, JobKind.EDIT, Count("fox", steps=1000)))
    worker.cancel(job.id, ANN)
    assert not worker.stop(timeout=0)
    stepper.let()
    assert worker.stop()
    assert worker.status(job.id, ANN).job.state is JobState.CANCELLED


def test_a_worker_that_never_started_can_be_stopped(tmp_path: Path) -> None:
    assert make_worker(tmp_path).stop()


def test_a_job_whose_kind_is_gone_after_the_restart_fails_by_itself(tmp_path: Path) -> None:
    worker = make_worker(tmp_path, {JobKind.TRACK: handler()})
    job = worker.submit(ANN, JobKind.TRACK, Count("fox"))
    assert worker.stop()
    worker = make_worker(tmp_path)
    worker.start()
    assert finished(worker, job.id).job.state is JobState.FAILED
    assert worker.stop()


def test_old_jobs_are_removed_by_the_worker_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("videograin.jobs.worker.PURGE_SECONDS", 0.02)
    settings, ages = OperatorSettings(data_folder=tmp_path, retention_hours=0.2 / 3600), []
    store = JobStore(tmp_path / "jobs")
    worker = Worker(store, {JobKind.EDIT: handler()}, settings, on_own_thread, [ages.append])
    worker.start()
    worker.submit(ANN, JobKind.EDIT, Count("fox"))
    wait_until(lambda: not worker.jobs(ANN))
    assert ages[0] == pytest.approx(0.2)  # what others keep of users goes by the same rule
    assert worker.stop()


def test_the_worker_survives_what_goes_wrong_between_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(_store: JobStore, _age: float) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(JobStore, "purge", stumble)
    worker = make_worker(tmp_path)
    worker.start()
    assert finished(worker, worker.submit(ANN, JobKind.EDIT, Count("fox")).id).job.state is JobState.DONE
    assert worker.stop()


SERVER = f"""
import signal, sys, time
from pathlib import Path
from threading import Event

sys.path.insert(0, {str(SUPPORT)!r})
from fake_jobs import ANN, Count, handler, make_worker
from videograin.jobs.store import JobKind
from videograin.progress import Phase, Progress

def slowly(request, context):
    (context.results / "half.mp4").write_bytes(b"half")
    for done in range(1000):
        context.report(Progress(Phase.EDIT, done, 1000, None))
        time.sleep(0.05)

def stop(*_):
    sys.exit(0 if worker.stop() else 1)

worker = make_worker(Path(sys.argv[1]), {{JobKind.EDIT: handler(slowly), JobKind.PREVIEW: handler()}})
signal.signal(signal.SIGTERM, stop)
worker.start()
jobs = [worker.submit(ANN, kind, Count("fox")) for kind in (JobKind.EDIT, JobKind.PREVIEW)]
while not worker.status(jobs[0].id, ANN).progress:
    time.sleep(0.01)
print(*(job.id for job in jobs), flush=True)
while True:
    signal.pause()
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "terminated"])
def test_after_a_server_ends_the_next_one_marks_what_ran_and_runs_what_waited(
    tmp_path: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-c", SERVER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        running, waiting = server.stdout.readline().split()
        before = time.monotonic()
        server.send_signal(number)
        code = server.wait(timeout=15)
    assert time.monotonic() - before < 15
    assert code == (-signal.SIGKILL if number is signal.SIGKILL else 0)
    worker = make_worker(tmp_path, {JobKind.EDIT: handler(), JobKind.PREVIEW: handler()})
    worker.start()
    status = worker.status(running, ANN)
    assert (status.job.state, status.job.message) == (JobState.INTERRUPTED, INTERRUPTED)
    assert not status.results.exists()
    assert finished(worker, waiting).result.word == "fox"
    assert json.loads((status.results.parent / "job.json").read_text())["state"] == "interrupted"
    assert worker.stop()


def test_a_studio_stops_at_once_while_its_model_is_loaded(tmp_path: Path) -> None:
    loaded, settings = Event(), OperatorSettings(data_folder=tmp_path)
    worker = Worker(JobStore(tmp_path / "jobs"), {}, settings, prepare=lambda: loaded.wait(60))
    worker.start()
    before = time.monotonic()
    assert worker.stop(30)
    assert time.monotonic() - before < 20
    loaded.set()


def test_what_prepares_the_worker_runs_before_the_first_job_and_may_fail(tmp_path: Path) -> None:
    prepared = Event()
    ready = Event()

    def prepare() -> None:
        prepared.set()
        assert ready.wait(30)
        raise OSError("no such model")

    settings = OperatorSettings(data_folder=tmp_path)
    worker = Worker(JobStore(tmp_path / "jobs"), {JobKind.EDIT: handler()}, settings, prepare=prepare)
    worker.start()
    assert prepared.wait(30)
    assert worker.is_preparing
    assert not worker.why_not_ready  # jobs are taken, and wait
    first, second = (worker.submit(ANN, JobKind.EDIT, Count(name)) for name in ("fox", "owl"))
    assert worker.status(first.id, ANN).job.state is JobState.QUEUED
    assert worker.cancel(second.id, ANN).state is JobState.CANCELLED
    ready.set()
    assert finished(worker, first.id).job.state is JobState.DONE
    assert not worker.is_preparing
    assert not worker.why_not_ready  # what failed in advance went well when it was needed
    assert worker.stop()
    assert worker.why_not_ready == "The studio is about to stop."
