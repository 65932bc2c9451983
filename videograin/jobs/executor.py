"""Where jobs run: on the worker's own thread, or on a GPU lent for each of them (Hugging Face ZeroGPU)."""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from videograin.errors import JobError
from videograin.jobs.store import Job, JobState

START_SECONDS = 15.0
"""For moving the models to a lent GPU, besides the job's own time."""

MARGIN = 1.5
"""How far a job may exceed what was expected; a lent GPU is taken away when its time is over."""

ZERO_GPU_SPEED = 3e14
"""Operations a second of a large matrix product on a lent GPU, 60 of an H200's 132 multiprocessors; a guess, since
nothing can be timed before one is lent."""

UNKNOWN_SECONDS = 120.0
"""Expected of a job without an estimate."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended; the result itself is in the job's folder.

    Attributes:
        state: done, failed or cancelled.
        message: why, in plain words; empty where there is nothing to say.
        notes: for the user, besides the message.
    """

    state: JobState
    message: str = ""
    notes: tuple[str, ...] = ()


Task = Callable[[Job], Outcome]
"""Carries a job out. Job and outcome may travel between processes; the job's content is on disk."""

Executor = Callable[[Task], Task]
"""Returns a task that does the same elsewhere. It is called once, before the first job."""


def on_own_thread(task: Task) -> Task:
    """Carry jobs out where they are: on the worker's thread, with a GPU of one's own or none."""
    return task


def on_zero_gpu(task: Task) -> Task:
    """Carry each job out in a process that is lent a GPU for as long as the job is expected to run."""
    import spaces  # pyright: ignore[reportMissingImports] (only Spaces have it)

    lent = spaces.GPU(task, duration=gpu_seconds)

    def run(job: Job) -> Outcome:
        try:
            return lent(job)
        except Exception as error:  # the task raises none, so this is about the lending: quota, time over
            raise JobError(f"No GPU could be lent for as long as this takes ({error}). Try later or less.") from error

    return run


def gpu_seconds(job: Job) -> int:
    """Return how long a job may hold a lent GPU."""
    expected = UNKNOWN_SECONDS if job.expected_seconds is None else job.expected_seconds
    return math.ceil(START_SECONDS + MARGIN * expected)


def is_zero_gpu() -> bool:
    """Whether this is a Space whose GPU is lent for each job."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true") and find_spec("spaces") is not None
