"""Where jobs run: on the worker's own thread, on a GPU lent for each of them (Hugging Face ZeroGPU), or elsewhere."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from videograin.errors import JobError
from videograin.jobs.settings import ZeroGpuSize
from videograin.jobs.store import Job, JobState

START_SECONDS = 15.0
"""For moving the models to a lent GPU, besides the job's own time. No margin is added to the two: what is asked for
counts against the visitor's quota, and where the lent GPU is slower than an H200 the scheduler adds its own factor."""

ZERO_GPU_SPEEDS = {ZeroGpuSize.LARGE: 3e14, ZeroGpuSize.XLARGE: 6e14}
"""Operations a second of a large matrix product on a lent GPU, by its size: 60 of an H200's 132 multiprocessors, and
all of them; a guess, since nothing can be timed before one is lent."""

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


class PlaceLost(Exception):  # noqa: N818 - what it says is no error of the job
    """The place where a job ran is gone, and the job with it: it must be carried out again, elsewhere."""


class Place:
    """Where one job at a time is carried out; a thread of the worker's takes jobs for it.

    This one carries them out on that thread. Those of other executors may be in other processes and on other hosts:
    they may have to be waited for, may be lost, and may work on parts of jobs that run at another place.

    Args:
        task: carries a job out.
    """

    def __init__(self, task: Task) -> None:
        self._task = task

    def run(self, job: Job) -> Outcome:
        """Carry a job out.

        Raises:
            PlaceLost: the place is gone; `wait_until_there` brings it back, or another in its stead.
            JobError: the job cannot be carried out here.
        """
        return self._task(job)

    def wait_until_there(self, *, is_needed: bool) -> bool:
        """Wait a moment for the place, which a cluster may have to start, and return whether it is there.

        Args:
            is_needed: whether a job waits for it; one that is not may be given back.
        """
        del is_needed
        return True

    @property
    def is_there(self) -> bool:
        """Whether a job that is given to it starts at once."""
        return True

    def holds(self, _model: str) -> bool:
        """Whether a model is loaded here, so that a job that needs it starts at once."""
        return True

    def can_help(self, _job: Job) -> bool:
        """Whether a job that runs at another place has parts that may be worked on here.

        If so, `help` is called next, and `recall` counts from here on.
        """
        return False

    def help(self, job: Job) -> None:
        """Work on parts of a job that runs at another place, until none is left or `recall` is called.

        Raises:
            PlaceLost: as `run`.
        """
        raise NotImplementedError(f"{job.id} has no parts")

    def recall(self) -> None:
        """Stop helping before the next step; from any thread."""

    def close(self) -> None:
        """Give back what the place holds of other processes."""


Executor = Callable[[Task], Sequence[Place]]
"""Returns the places where the jobs that a task carries out here are carried out. It is called once, before them."""


def on_own_thread(task: Task) -> list[Place]:
    """Carry jobs out where they are: on the worker's thread, with a GPU of one's own or none."""
    return [Place(task)]


def on_zero_gpu(task: Task, size: ZeroGpuSize = ZeroGpuSize.LARGE) -> list[Place]:
    """Carry each job out in a process that is lent a GPU of a size for as long as the job is expected to run."""
    import spaces  # pyright: ignore[reportMissingImports] (only Spaces have it)

    lent = spaces.GPU(task, duration=gpu_seconds, size=size.value)

    def run(job: Job) -> Outcome:
        try:
            return lent(job)
        except Exception as error:  # the task raises none, so this is about the lending: quota, time over
            raise JobError(f"No GPU could be lent for as long as this takes ({error}). Try later or less.") from error

    return [Place(run)]


def gpu_seconds(job: Job) -> int:
    """Return how long a job may hold a lent GPU."""
    expected = UNKNOWN_SECONDS if job.expected_seconds is None else job.expected_seconds
    return math.ceil(START_SECONDS + expected)


def is_zero_gpu() -> bool:
    """Whether this is a Space whose GPU is lent for each job."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true") and find_spec("spaces") is not None
