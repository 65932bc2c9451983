"""The jobs that wait, in an order that is fair: owners take turns, and an owner's short jobs go first."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextvars import Context
from dataclasses import dataclass

from videograin.errors import JobError
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import Job, JobKind

SHORT = (JobKind.TRACK, JobKind.SUGGEST, JobKind.DISCOVER, JobKind.FIND, JobKind.PREVIEW)
"""Kinds that take seconds, for which a user waits at the screen."""


@dataclass(frozen=True)
class Waiting:
    """A job in the queue.

    Attributes:
        job: its record.
        context: of the request, which on ZeroGPU says whose quota it is.
        address: of the visitor who asked for it; empty where that is unknown.
    """

    job: Job
    context: Context
    address: str = ""


class FairQueue:
    """Waiting jobs in rounds: in each round every owner has one job.

    An owner who joins takes part from the next round on, so that a new session for each job gains nothing and keeps
    no other from its turn. Not to be used by two threads at once.
    """

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []
        self._round = 0
        self._next: dict[str, int] = {}  # the round of each waiting owner's next job

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._waiting)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, entry: Waiting) -> None:
        """Append a job."""
        self._waiting.append(entry)
        self._next.setdefault(entry.job.owner, self._round + 1)

    def remove(self, job_id: str) -> bool:
        """Remove a job and return whether it waited."""
        before = len(self)
        self._waiting = [entry for entry in self._waiting if entry.job.id != job_id]
        self._forget_the_absent()
        return len(self) < before

    def pop(self) -> Waiting:
        """Remove and return the job whose turn it is; the queue must not be empty."""
        self._round, first = self._in_rounds()[0]
        self._waiting.remove(first)
        self._next[first.job.owner] += 1
        self._forget_the_absent()
        return first

    def in_order(self) -> Sequence[Job]:
        """Return the jobs in the order in which they will run if none joins."""
        return [entry.job for _, entry in self._in_rounds()]

    def _forget_the_absent(self) -> None:
        present = {entry.job.owner for entry in self._waiting}
        self._next = {owner: number for owner, number in self._next.items() if owner in present}

    def _in_rounds(self) -> list[tuple[int, Waiting]]:
        """Return each job with its round, in order."""
        places: Counter[str] = Counter()
        rounds = []
        for entry in sorted(self._waiting, key=lambda entry: (entry.job.kind not in SHORT, entry.job.created)):
            owner = entry.job.owner
            rounds.append((self._next[owner] + places[owner], entry))
            places[owner] += 1
        return sorted(rounds, key=lambda each: (each[0], each[1].job.created))


def refuse_if_full(waiting: Sequence[Waiting], owner: str, address: str, limits: OperatorSettings) -> None:
    """Raise JobError where all sessions, an owner (a digest) or an address have as many jobs waiting as allowed."""
    if len(waiting) >= limits.max_waiting:
        raise JobError(f"The queue is full: {limits.max_waiting} jobs wait. Try again in a few minutes.")
    if sum(entry.job.owner == owner for entry in waiting) >= limits.max_waiting_each:
        raise JobError(f"{limits.max_waiting_each} of your jobs wait already. Wait for one to end, or cancel one.")
    if address and sum(entry.address == address for entry in waiting) >= limits.max_waiting_address:
        raise JobError(
            f"{limits.max_waiting_address} jobs from your network address wait already. Wait for one to end."
        )
