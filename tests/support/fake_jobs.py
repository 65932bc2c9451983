"""Jobs that count and write their word, quickly or step by step as a test allows, and a worker to run them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Semaphore
from typing import Any

from videograin.jobs.context import Handler, JobContext
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import JobKind, JobStore
from videograin.jobs.worker import JobStatus, Worker
from videograin.progress import Phase, Progress

ANN, BOB = "ann-" + "a" * 24, "bob-" + "b" * 24


@dataclass(frozen=True)
class Count:
    """What is asked for."""

    word: str
    steps: int = 2


@dataclass(frozen=True)
class Counted:
    """What comes of it."""

    word: str
    file: Path


def count(request: Count, context: JobContext) -> Counted:
    """Report each step and leave the word in a file."""
    for done in range(request.steps + 1):
        context.report(Progress(Phase.EDIT, done, request.steps, float(request.steps - done)))
    (context.results / "word.txt").write_text(request.word)
    return Counted(request.word, Path("word.txt"))


class Stepper:
    """A job that takes a step each time it is let, so that a test can read its state in between."""

    def __init__(self) -> None:
        self._steps = Semaphore(0)

    def let(self, steps: int = 1) -> None:
        """Allow that number of steps more."""
        self._steps.release(steps)

    def run(self, request: Count, context: JobContext) -> Counted:
        """Count, each step when it is let."""
        for done in range(request.steps):
            context.report(Progress(Phase.EDIT, done, request.steps, float(request.steps - done)))
            self._steps.acquire()
        return count(request, context)


def handler(run: Callable[[Any, JobContext], Counted] = count, seconds: float | None = 1.0) -> Handler[Count, Counted]:
    """Return a handler of `Count` that runs a function."""
    return Handler(Count, Counted, run, lambda _: seconds)


def make_worker(root: Path, handlers: Mapping[JobKind, Handler[Any, Any]] | None = None, **limits: int) -> Worker:
    """Return a worker, not started, whose edits count."""
    settings = OperatorSettings(data_folder=root, **limits)  # pyright: ignore[reportArgumentType]
    return Worker(JobStore(root / "jobs"), handlers or {JobKind.EDIT: handler()}, settings)


def wait_until(condition: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait for something that another thread does; the limit is for machines with a lot to do."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def finished(worker: Worker, job_id: str, owner: str = ANN) -> JobStatus:
    """Wait for the end of a job and return how it is then."""
    wait_until(lambda: worker.status(job_id, owner).job.state.is_final)
    return worker.status(job_id, owner)
