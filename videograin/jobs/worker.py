"""The worker: three lanes, each with a thread that carries out one job after the other, whatever happens to any.

Edits have one lane and the models that they need; following and suggesting have another, so that a follow of seconds
does not wait behind an edit of minutes, and downloads, which need nothing but the network, have the third.

A job outlives whoever asked for it: its state is on disk from the moment it is asked for. After a restart, what waited
is carried out, an edit with finished windows goes on behind them, and what else ran is marked as interrupted.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from threading import Condition, Thread
from typing import Any

from videograin.errors import JobError
from videograin.files.dataclass_json import texts_in
from videograin.jobs.context import (
    Handler,
    ask_to_stop,
    has_segments,
    is_asked_to_stop,
    may_resume,
    read_finished,
    read_preview,
    read_progress,
    read_result,
    remove_traces,
    results_folder,
)
from videograin.jobs.executor import Executor, Outcome, Task, on_own_thread
from videograin.jobs.failures import in_plain_words
from videograin.jobs.queue import FairQueue, Waiting, refuse_if_full
from videograin.jobs.runner import JobRunner
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import Job, JobKind, JobState, JobStore, owner_digest
from videograin.progress import Progress

STOP_SECONDS = 10.0
"""How long `Worker.stop` waits for the running job's next step; to end the process takes a few seconds more."""

PURGE_SECONDS = 600.0
"""Seconds from one removal of old files to the next."""

MARKING = frozenset({JobKind.TRACK, JobKind.SUGGEST, JobKind.FIND})
"""Kinds of jobs that mark objects: they have a lane of their own."""

Purge = Callable[[float], None]
"""Removes what has not been used for a number of seconds."""

STOPPED = "Stopped, as you asked."
INTERRUPTED = "The studio was restarted while this was running. Start it again."

PREPARING = "The model is being loaded."
NOT_PREPARED = "The model could not be loaded; the log says why."
ENDING = "The studio is about to stop."

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobStatus:
    """Everything that a page shows of a job.

    Attributes:
        job: its record in the store, at the moment of asking.
        progress: how far it is; None unless it runs and has reported.
        preview: an animated WebP of what there is so far, with a new name each time; None where there is none.
        finished: an MP4 of what of a long clip is finished, source and edit side by side; None unless it runs.
        ahead: jobs that are to end before this one starts; None unless it waits.
        seconds_ahead: how long these should take; None unless it waits and all of them have an estimate.
        results: folder of the files it made.
        result: what its handler returned; None unless it is done.
        is_stopping: whether it runs and was asked to stop.
    """

    job: Job
    progress: Progress | None
    preview: Path | None
    ahead: int | None
    seconds_ahead: float | None
    results: Path
    result: Any
    is_stopping: bool = False
    finished: Path | None = None


@dataclass(eq=False)
class _Lane:
    """Jobs that are carried out one after the other.

    Attributes:
        task: carries one out.
        waiting: jobs of this lane in the order of their turns.
        running: the job that its thread carries out now.
        is_interrupting: whether it was the worker, rather than its owner, that asked the present one to stop.
    """

    task: Task
    waiting: FairQueue = field(default_factory=FairQueue)
    running: Job | None = None
    is_interrupting: bool = False

    def ahead_of(self, job_id: str) -> list[Job]:
        """Return the jobs that end before a waiting one starts."""
        waiting = takewhile(lambda job: job.id != job_id, self.waiting.in_order())
        return [*([self.running] if self.running else []), *waiting]


class Worker:
    """Takes jobs, carries out those of each lane in turn, and reports on them.

    All methods may be called from any thread. An owner is a secret text that cannot be guessed; to any
    other owner a job seems not to exist.

    Args:
        store: where jobs are kept; the worker closes it when it stops.
        handlers: what to do for each kind of job.
        settings: the operator's limits on waiting jobs, and how long results are kept.
        executor: where edits run; the other lanes run on threads of their own.
        purges: remove what else is kept of users, besides jobs and their files.
        prepare: called on the thread of edits before the first one; what it raises is logged, and jobs run all the
            same.
    """

    def __init__(
        self,
        store: JobStore,
        handlers: Mapping[JobKind, Handler[Any, Any]],
        settings: OperatorSettings,
        executor: Executor = on_own_thread,
        purges: Sequence[Purge] = (),
        prepare: Callable[[], object] | None = None,
    ) -> None:
        self._store = store
        self._handlers = handlers
        self._settings = settings
        self._purges = (store.purge, *purges)
        self._prepare = prepare
        task = JobRunner(store, handlers, log_words=settings.log_prompts).run
        self._changed = Condition()  # guards the fields below
        self._editing, self._marking, self._downloading = _Lane(executor(task)), _Lane(task), _Lane(task)
        self._stopping = False
        self._unprepared = PREPARING if prepare else ""
        self._purged = -PURGE_SECONDS
        # A job that never reaches its next step must not keep the process alive: hence daemons.
        self._threads = [
            Thread(target=self._edit, name="worker", daemon=True),
            Thread(target=self._loop, args=(self._marking,), name="marking", daemon=True),
            Thread(target=self._loop, args=(self._downloading,), name="downloading", daemon=True),
        ]

    def start(self) -> None:
        """Take up what an earlier process left, and start to work."""
        for job in self._store.all_jobs():
            if job.state is JobState.RUNNING and may_resume(self._store.folder(job)):
                self._lane_of(job.kind).waiting.add(Waiting(self._store.move(job, JobState.QUEUED), Context()))
            elif job.state is JobState.RUNNING:
                self._end(job, Outcome(JobState.INTERRUPTED, INTERRUPTED))
            elif job.state is JobState.QUEUED:
                self._lane_of(job.kind).waiting.add(Waiting(job, Context()))
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float = STOP_SECONDS) -> bool:
        """Stop after the running jobs' current steps, take no more jobs, and keep those that wait for the next process.

        Args:
            timeout: seconds to wait for these steps.

        Returns:
            Whether the running jobs have stopped; if not, they are marked as interrupted by the next process.
        """
        with self._changed:
            self._stopping = True
            for lane in self._lanes:
                if lane.running is not None and not is_asked_to_stop(self._store.folder(lane.running)):
                    lane.is_interrupting = True
                    ask_to_stop(self._store.folder(lane.running), for_restart=True)
            self._changed.notify_all()
        deadline = time.monotonic() + timeout
        started = [thread for thread in self._threads if thread.ident is not None]
        for thread in started:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in started):
            return False
        self._store.close()
        return True

    def submit(
        self, owner: str, kind: JobKind, request: object, address: str = "", expected_seconds: float | None = None
    ) -> Job:
        """Ask for a job.

        Args:
            owner: whose it is.
            kind: what to do.
            request: what the handler of this kind takes; the files that it names are kept for the owner
                (`JobStore.keep`).
            address: of the visitor, for the limit of jobs from one address; empty where that is unknown.
            expected_seconds: how long it should take, where the asker knows that better than the handler.

        Returns:
            The job, or the owner's earlier one with the same request if that waits, runs or is done.

        Raises:
            VideoGrainError: it cannot be done, too many jobs wait, or the studio is about to stop.
        """
        handler = self._handlers[kind]
        self._store.check_files(owner, request)
        admitted_seconds = handler.admit(request)
        with self._changed:
            if same := self._store.find_same(owner, kind, request):
                return same
            if self._stopping:
                raise JobError("The studio is about to restart. Try again in a minute.")
            waiting = [entry for lane in self._lanes for entry in lane.waiting]
            refuse_if_full(waiting, owner_digest(owner), address, self._settings)
            job = self._store.add(owner, kind, request, expected_seconds or admitted_seconds)
            self._lane_of(kind).waiting.add(Waiting(job, copy_context(), address))
            self._changed.notify_all()
        words = {"words": texts_in(request)} if self._settings.log_prompts else {}
        log.info("job queued", extra={"job": job.id, "kind": kind, **words})
        return job

    def cancel(self, job_id: str, owner: str) -> Job:
        """Stop a job: at once if it waits, within a step if it runs; if it has ended, nothing happens.

        Raises:
            JobError: the owner has no such job.
        """
        job = self._store.find(job_id, owner)
        with self._changed:
            lane = self._lane_of(job.kind)
            if lane.running is not None and lane.running.id == job.id:
                ask_to_stop(self._store.folder(job))
            elif lane.waiting.remove(job.id):
                self._store.move(job, JobState.CANCELLED, STOPPED)
        return self._store.find(job_id, owner)

    def jobs(self, owner: str) -> list[Job]:
        """Return an owner's jobs, the latest first."""
        return self._store.jobs_of(owner)

    def status(self, job_id: str, owner: str) -> JobStatus:
        """Return everything that a page shows of a job.

        Raises:
            JobError: the owner has no such job.
        """
        with self._changed:
            job = self._store.find(job_id, owner)
            ahead = self._lane_of(job.kind).ahead_of(job.id) if job.state is JobState.QUEUED else None
        folder = self._store.folder(job)
        is_running = job.state is JobState.RUNNING
        return JobStatus(
            job=job,
            progress=read_progress(folder) if is_running else None,
            preview=read_preview(folder) if is_running else None,
            ahead=None if ahead is None else len(ahead),
            seconds_ahead=None if ahead is None else self._seconds_of(ahead),
            results=results_folder(folder),
            result=read_result(folder, self._handlers[job.kind].result) if job.state is JobState.DONE else None,
            is_stopping=is_running and is_asked_to_stop(folder),
            finished=read_finished(folder) if is_running else None,
        )

    def request(self, job_id: str, owner: str) -> Any:
        """Return what a job was asked for.

        Raises:
            JobError: the owner has no such job.
        """
        job = self._store.find(job_id, owner)
        return self._store.request(job, self._handlers[job.kind].request)

    @property
    def is_alive(self) -> bool:
        """Whether the worker takes jobs and carries them out."""
        return all(thread.is_alive() for thread in self._threads) and not self._stopping

    @property
    def why_not_ready(self) -> str:
        """Why no job can be done at the moment, in a sentence; empty where they can."""
        return self._unprepared if self.is_alive else ENDING

    @property
    def _lanes(self) -> tuple[_Lane, ...]:
        return self._editing, self._marking, self._downloading

    def _lane_of(self, kind: JobKind) -> _Lane:
        if kind is JobKind.DOWNLOAD:
            return self._downloading
        return self._marking if kind in MARKING else self._editing

    def _seconds_of(self, jobs: list[Job]) -> float | None:
        """Return how long jobs should still take together."""
        seconds = [self._seconds_left(job) for job in jobs]
        known = [left for left in seconds if left is not None]
        return sum(known) if len(known) == len(seconds) else None

    def _seconds_left(self, job: Job) -> float | None:
        progress = read_progress(self._store.folder(job))
        return job.expected_seconds if progress is None else progress.seconds_left

    def _edit(self) -> None:
        if self._prepare is not None:
            try:
                self._prepare()
                self._unprepared = ""
            except Exception:
                self._unprepared = NOT_PREPARED
                log.exception("preparation failed")
        self._loop(self._editing)

    def _loop(self, lane: _Lane) -> None:
        while not self._stopping:
            try:
                self._purge_when_due()
                if next_one := self._wait_for_next(lane):
                    self._carry_out(lane, next_one)
            except Exception:  # a file that cannot be removed, say; without this thread no job would ever run again
                log.exception("worker stumbled")

    def _wait_for_next(self, lane: _Lane) -> Waiting | None:
        """Wait for a job, though not for ever, and count it as running."""
        with self._changed:
            if not lane.waiting and not self._stopping:
                self._changed.wait(PURGE_SECONDS)
            if not lane.waiting or self._stopping:
                return None
            first = lane.waiting.pop()
            lane.running = self._store.move(first.job, JobState.RUNNING)
            return first

    def _carry_out(self, lane: _Lane, waiting: Waiting) -> None:
        job = waiting.job
        log.info("job started", extra={"job": job.id, "kind": job.kind})
        try:
            outcome = waiting.context.run(lane.task, job)
        except Exception as error:
            log.exception("job not run", extra={"job": job.id, "kind": job.kind})
            outcome = Outcome(JobState.FAILED, in_plain_words(error, job.id))
        with self._changed:
            if outcome.state is JobState.CANCELLED and lane.is_interrupting and has_segments(self._store.folder(job)):
                lane.running = None  # it stays as running, for the next process to take up
                return
            if outcome.state is JobState.CANCELLED:
                reason = (JobState.INTERRUPTED, INTERRUPTED) if lane.is_interrupting else (outcome.state, STOPPED)
                outcome = Outcome(*reason)
            if lane is self._editing and outcome.state is JobState.DONE:
                self._unprepared = ""  # what failed at first, a download say, was mended meanwhile
            lane.running = None
            self._end(job, outcome)

    def _end(self, job: Job, outcome: Outcome) -> None:
        remove_traces(self._store.folder(job), keep_results=outcome.state is JobState.DONE)
        job = self._store.move(job, outcome.state, outcome.message, outcome.notes)
        seconds = round(job.ended - job.started, 3) if job.started and job.ended else None
        log.info("job ended", extra={"job": job.id, "kind": job.kind, "state": job.state, "seconds": seconds})

    def _purge_when_due(self) -> None:
        with self._changed:
            is_due = time.monotonic() - self._purged >= PURGE_SECONDS
            if is_due:
                self._purged = time.monotonic()
        if is_due:
            for purge in self._purges:
                purge(self._settings.retention_hours * 3600)
