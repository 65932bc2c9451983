"""The worker: three lanes, with a thread for each place that carries out jobs, whatever happens to any of them.

Edits have one lane and the models that they need; following and suggesting have another, so that a follow of seconds
does not wait behind an edit of minutes, and downloads, which need nothing but the network, have the third. A place
takes one job after the other; the lane of edits has as many as its executor has GPUs, one on a machine of its own.

A job outlives whoever asked for it: its state is on disk from the moment it is asked for. After a restart, what waited
is carried out, an edit with finished windows goes on behind them, and what else ran is marked as interrupted.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import replace
from threading import Condition, Thread
from typing import Any

from videograin.errors import JobError, ProjectError
from videograin.files.dataclass_json import texts_in
from videograin.jobs.context import (
    Handler,
    JobStatus,
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
from videograin.jobs.executor import Executor, Outcome, Place, PlaceLost, on_own_thread
from videograin.jobs.failures import in_plain_words
from videograin.jobs.queue import MARKING, FairQueue, Lane, Waiting, refuse_if_full
from videograin.jobs.runner import JobRunner
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import Job, JobKind, JobState, JobStore, owner_digest

STOP_SECONDS = 10.0
"""How long `Worker.stop` waits for the running job's next step; to end the process takes a few seconds more."""

PURGE_SECONDS = 600.0
"""Seconds from one removal of old files to the next."""

HELP_SECONDS = 0.5
"""How often an idle place looks for parts of running jobs to work on."""

MOST_LOSSES = 3
"""How often a job may lose its place without having finished a part since; it may be what ends the process."""

Purge = Callable[[float], None]
"""Removes what has not been used for a number of seconds."""

STOPPED = "Stopped, as you asked."
INTERRUPTED = "The studio was restarted while this was running. Start it again."
NOT_PREPARED = "The model could not be loaded; the log says why."
ENDING = "The studio is about to stop."
LOST = "The machine that worked on this was lost {} times. Try again, with fewer frames or a smaller size."

log = logging.getLogger(__name__)


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
        observe: told of each job that has begun or ended.

    Attributes:
        is_preparing: whether jobs wait for what prepares the worker.
    """

    def __init__(
        self,
        store: JobStore,
        handlers: Mapping[JobKind, Handler[Any, Any]],
        settings: OperatorSettings,
        executor: Executor = on_own_thread,
        purges: Sequence[Purge] = (),
        prepare: Callable[[], object] | None = None,
        observe: Callable[[Job], object] | None = None,
    ) -> None:
        self._store = store
        self._handlers = handlers
        self._settings = settings
        self._purges = (store.purge, *purges)
        self._prepare = prepare
        self._observe = observe or (lambda _job: None)
        task = JobRunner(store, handlers, log_words=settings.log_prompts).run
        self._changed = Condition()  # guards the fields below
        self._editing, self._marking, self._downloading = (
            Lane(run(task), FairQueue(store.seconds_by_owner)) for run in (executor, *[on_own_thread] * 2)
        )
        self._stopping = False
        self._unprepared, self.is_preparing = "", prepare is not None
        self._purged = -PURGE_SECONDS
        # A job that never reaches its next step must not keep the process alive: hence daemons.
        names = ("worker", "marking", "downloading")
        self._threads = [
            Thread(target=self._serve, args=(lane, place), name=name, daemon=True)
            for name, lane in zip(names, self._lanes, strict=True)
            for place in lane.places
        ]

    def start(self) -> None:
        """Take up what an earlier process left, and start to work."""
        for job in self._store.all_jobs():
            if job.state is JobState.RUNNING and may_resume(self._store.folder(job)):
                self._wait_again(job)
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
                for job in lane.running.values():
                    if not is_asked_to_stop(self._store.folder(job)):
                        lane.interrupted.add(job.id)
                        with suppress(ProjectError):  # a full disk: the next process finds it as one that ran
                            ask_to_stop(self._store.folder(job), for_restart=True)
            self._changed.notify_all()
        deadline = time.monotonic() + timeout
        busy = self._threads[1:] if self.is_preparing else self._threads  # the first one loads a model, and has no job
        started = [thread for thread in busy if thread.ident is not None]
        for thread in started:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in started):
            return False
        for place in self._editing.places:
            place.close()
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
            The job, or the owner's earlier one with the same request, unless that was stopped or has failed.

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
            lane = self._lane_of(kind)
            lane.waiting.add(Waiting(job, copy_context(), address, getattr(request, "model", "")))
            lane.recall_helpers()
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
            if lane.runs(job.id):
                ask_to_stop(self._store.folder(job))
                self._store.mark_stopped(job)
            elif lane.waiting.remove(job.id):
                self._end(job, Outcome(JobState.CANCELLED, STOPPED))  # it may have run before its place was lost
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
            lane = self._lane_of(job.kind)
            ahead = lane.ahead_of(job.id) if job.state is JobState.QUEUED else None
        folder = self._store.folder(job)
        is_running = job.state is JobState.RUNNING
        return JobStatus(
            job=job,
            progress=read_progress(folder) if is_running else None,
            preview=read_preview(folder) if is_running else None,
            ahead=None if ahead is None else max(0, len(ahead) + 1 - len(lane.places)),
            seconds_ahead=None if ahead is None else self._seconds_of(ahead, lane),
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

    def edit_places(self) -> tuple[int, int]:
        """Return how many places for edits are free, and how many there are."""
        with self._changed:
            return self._editing.count_places()

    @property
    def is_alive(self) -> bool:
        """Whether the worker takes jobs and carries them out."""
        return all(thread.is_alive() for thread in self._threads) and not self._stopping

    @property
    def why_not_ready(self) -> str:
        """Why no job can be done here, in a sentence; empty where they can, be it after the model is loaded."""
        return self._unprepared if self.is_alive else ENDING

    @property
    def _lanes(self) -> tuple[Lane, ...]:
        return self._editing, self._marking, self._downloading

    def _lane_of(self, kind: JobKind) -> Lane:
        if kind is JobKind.DOWNLOAD:
            return self._downloading
        return self._marking if kind in MARKING else self._editing

    def _seconds_of(self, jobs: list[Job], lane: Lane) -> float | None:
        """Return in how long jobs should leave a place of their lane free."""
        seconds = [self._seconds_left(job) for job in jobs]
        known = [left for left in seconds if left is not None]
        return lane.seconds_until_free(known) if len(known) == len(seconds) else None

    def _seconds_left(self, job: Job) -> float | None:
        progress = read_progress(self._store.folder(job))
        left = None if progress is None else progress.seconds_left  # nor while the clip is read
        return job.expected_seconds if left is None else left

    def _serve(self, lane: Lane, place: Place) -> None:
        if self._prepare is not None and place is self._editing.places[0]:
            try:
                self._prepare()
            except Exception:
                self._unprepared = NOT_PREPARED
                log.exception("preparation failed")
            self.is_preparing = False
        while not self._stopping:
            try:
                self._purge_when_due()
                with self._changed:
                    is_needed = lane.needs(place)
                if place.wait_until_there(is_needed=is_needed):
                    self._take_turn(lane, place)
            except PlaceLost:
                log.warning("a place was lost")
            except Exception:  # a file that cannot be removed, say; without this thread no job would ever run again
                log.exception("worker stumbled")

    def _take_turn(self, lane: Lane, place: Place) -> None:
        """Carry out the next job, or help with a running one; with neither, wait for a while, though not for ever."""
        with self._changed:
            if self._stopping:
                return
            if entry := lane.take(place):
                lane.running[place] = self._store.move(entry.job, JobState.RUNNING)
                self._changed.notify_all()  # idle places may help with it
            elif job := lane.job_to_help(place):
                lane.helping[place] = job
            else:
                lane.idle.add(place)
                self._changed.wait(HELP_SECONDS if lane.running and len(lane.places) > 1 else PURGE_SECONDS)
                lane.idle.discard(place)
                return
        if entry is not None:
            self._carry_out(lane, place, entry)
        else:
            self._help(lane, place)

    def _help(self, lane: Lane, place: Place) -> None:
        begun = time.monotonic()
        try:
            place.help(lane.helping[place])
        finally:
            with self._changed:
                self._account(lane.helping.pop(place), begun)

    def _carry_out(self, lane: Lane, place: Place, waiting: Waiting) -> None:
        job, begun = lane.running[place], time.monotonic()
        self._observe(job)
        log.info("job started", extra={"job": job.id, "kind": job.kind})
        try:
            outcome = waiting.context.run(place.run, job)
        except PlaceLost:
            log.warning("job lost its place", extra={"job": job.id, "kind": job.kind})
            outcome = self._outcome_of_loss(lane, job)
        except Exception as error:
            log.exception("job not run", extra={"job": job.id, "kind": job.kind})
            outcome = Outcome(JobState.FAILED, in_plain_words(error, job.id))
        with self._changed:
            job = lane.running.pop(place)
            self._account(job, begun)
            if outcome is None:
                self._wait_again(job, waiting)
                lane.recall_helpers()
                self._changed.notify_all()
                return
            if outcome.state is JobState.CANCELLED and job.id in lane.interrupted:
                if has_segments(self._store.folder(job)):
                    return  # it stays as running, for the next process to take up
                outcome = Outcome(JobState.INTERRUPTED, INTERRUPTED)
            elif outcome.state is JobState.CANCELLED:
                outcome = Outcome(JobState.CANCELLED, STOPPED)
            if lane is self._editing and outcome.state is JobState.DONE:
                self._unprepared = ""  # what failed at first, a download say, was mended meanwhile
            lane.losses.pop(job.id, None)
            self._end(job, outcome)

    def _account(self, job: Job, begun: float) -> None:
        """Account for what a place has worked on a job since a moment; a download takes nothing from others."""
        if job.kind is not JobKind.DOWNLOAD:
            self._store.spend(job, time.monotonic() - begun)

    def _outcome_of_loss(self, lane: Lane, job: Job) -> Outcome | None:
        """Return how a job ends whose place was lost; None where it is to be carried out again."""
        folder = self._store.folder(job)
        if is_asked_to_stop(folder):
            return Outcome(JobState.CANCELLED)
        lane.losses[job.id] = 1 if may_resume(folder) else lane.losses[job.id] + 1
        return None if lane.losses[job.id] < MOST_LOSSES else Outcome(JobState.FAILED, LOST.format(MOST_LOSSES))

    def _wait_again(self, job: Job, entry: Waiting | None = None) -> None:
        """Queue a running job whose process or place is gone."""
        job = self._store.move(job, JobState.QUEUED)
        self._lane_of(job.kind).waiting.add(replace(entry, job=job) if entry else Waiting(job, Context()))

    def _end(self, job: Job, outcome: Outcome) -> None:
        remove_traces(self._store.folder(job), keep_results=outcome.state is JobState.DONE)
        job = self._store.move(job, outcome.state, outcome.message, outcome.notes)
        seconds = round(job.ended - job.started, 3) if job.started and job.ended else None
        self._observe(job)
        log.info("job ended", extra={"job": job.id, "kind": job.kind, "state": job.state, "seconds": seconds})

    def _purge_when_due(self) -> None:
        with self._changed:
            is_due = time.monotonic() - self._purged >= PURGE_SECONDS
            if is_due:
                self._purged = time.monotonic()
        if is_due:
            for purge in self._purges:
                purge(self._settings.retention_hours * 3600)
