"""The jobs that wait, in an order that is fair: owners take turns, and an owner's short jobs go first.

Who has been given the least of the places' time comes first among those who take turns.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from itertools import takewhile

from videograin.errors import JobError
from videograin.jobs.executor import Place
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import Job, JobKind

SHORT = (JobKind.TRACK, JobKind.SUGGEST, JobKind.DISCOVER, JobKind.FIND, JobKind.PREVIEW)
"""Kinds that take seconds, for which a user waits at the screen."""

MARKING = frozenset({JobKind.TRACK, JobKind.SUGGEST, JobKind.FIND})
"""Kinds that mark objects: they have a lane of their own."""


@dataclass(frozen=True)
class Waiting:
    """A job in the queue.

    Attributes:
        job: its record.
        context: of the request, which on ZeroGPU says whose quota it is.
        address: of the visitor who asked for it; empty where that is unknown.
        model: that it needs; empty where that is unknown.
    """

    job: Job
    context: Context
    address: str = ""
    model: str = ""


def nothing_spent() -> Mapping[str, float]:
    """Return that no owner has been given any time."""
    return defaultdict(float)


class FairQueue:
    """Waiting jobs in rounds: in each round every owner has one job, first who has been given the least time so far.

    An owner who joins takes part from the next round on, so that a new session for each job gains nothing and keeps
    no other from its turn. Not to be used by two threads at once.

    Args:
        spent: returns the seconds that each owner has been given, 0 for those who are new.
    """

    def __init__(self, spent: Callable[[], Mapping[str, float]] = nothing_spent) -> None:
        self._spent = spent
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

    @property
    def first(self) -> Waiting:
        """The job whose turn it is; the queue must not be empty."""
        return self._in_rounds()[0][1]

    def in_order(self) -> Sequence[Job]:
        """Return the jobs in the order in which they will run if none joins."""
        return [entry.job for _, entry in self._in_rounds()]

    def _forget_the_absent(self) -> None:
        present = {entry.job.owner for entry in self._waiting}
        self._next = {owner: number for owner, number in self._next.items() if owner in present}

    def _in_rounds(self) -> list[tuple[int, Waiting]]:
        """Return each job with its round, in order."""
        places: Counter[str] = Counter()
        rounds, spent = [], self._spent()
        for entry in sorted(self._waiting, key=lambda entry: (entry.job.kind not in SHORT, entry.job.created)):
            owner = entry.job.owner
            rounds.append((self._next[owner] + places[owner], entry))
            places[owner] += 1
        return sorted(rounds, key=lambda each: (each[0], spent[each[1].job.owner], each[1].job.created))


@dataclass(eq=False)
class Lane:
    """Jobs of some kinds, and the places that take one after the other. Not to be used by two threads at once.

    Attributes:
        places: where they are carried out.
        waiting: in the order of their turns.
        running: the job that each busy place carries out now.
        helping: the job of another place that a place works on, since none waits.
        idle: places whose threads wait for a job.
        interrupted: ids of running jobs that the worker, rather than their owners, asked to stop.
        losses: how often a running job's place was lost, by its id.
    """

    places: Sequence[Place]
    waiting: FairQueue = field(default_factory=FairQueue)
    running: dict[Place, Job] = field(default_factory=dict)
    helping: dict[Place, Job] = field(default_factory=dict)
    idle: set[Place] = field(default_factory=set)
    interrupted: set[str] = field(default_factory=set)
    losses: Counter[str] = field(default_factory=Counter)

    def runs(self, job_id: str) -> bool:
        """Whether a job is being carried out."""
        return any(job.id == job_id for job in self.running.values())

    def count_places(self) -> tuple[int, int]:
        """Return how many places are free, those that help among them, and how many there are at the moment."""
        there = [place for place in self.places if place.is_there]
        return sum(place not in self.running for place in there), len(there)

    def needs(self, place: Place) -> bool:
        """Whether jobs wait for a place: for one that is not there, more than those that are there can take now."""
        if place.is_there:
            return len(self.waiting) > 0
        absent = [each for each in self.places if not each.is_there]
        return place in absent[: max(0, len(self.waiting) - self.count_places()[0])]

    def take(self, place: Place) -> Waiting | None:
        """Remove and return the job that a place is to carry out now; None leaves the next one to a better place."""
        if not self.waiting:
            return None
        model = self.waiting.first.model
        if model and not place.holds(model) and any(other.holds(model) for other in self.idle - {place}):
            return None
        return self.waiting.pop()

    def job_to_help(self, place: Place) -> Job | None:
        """Return a running job that an idle place may work on: the one with the fewest helpers."""
        helpers = Counter(job.id for job in self.helping.values())
        for job in sorted(self.running.values(), key=lambda job: (helpers[job.id], job.created)):
            if place.can_help(job):
                return job
        return None

    def recall_helpers(self) -> None:
        """Ask as many helpers to stop as jobs wait for a place."""
        wanted = len(self.waiting) - len(self.idle)
        for place in list(self.helping)[: max(0, wanted)]:
            place.recall()

    def ahead_of(self, job_id: str) -> list[Job]:
        """Return the jobs that run or start before a waiting one."""
        waiting = takewhile(lambda job: job.id != job_id, self.waiting.in_order())
        return [*self.running.values(), *waiting]

    def seconds_until_free(self, seconds: Sequence[float]) -> float:
        """Return when the first place is free after some jobs of known lengths, the running ones first."""
        places = [0.0] * len(self.places)
        for each in seconds:
            heapq.heapreplace(places, places[0] + each)
        return places[0]


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
