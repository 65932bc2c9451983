"""Jobs and where they are kept: on disk, under unguessable names, each readable only by whoever asked for it.

    <root>/<owner>/files/<content>.mp4      what the owner's requests name; a file's name follows from its content
    <root>/<owner>/jobs/<job>/job.json      the record below
                              request.json  what was asked for
                              …             what the running job writes, see `context.py`

<owner> is a digest: whoever sees a path learns nothing that opens the owner's other jobs.
"""

import hashlib
import hmac
import logging
import os
import platform
import re
import secrets
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from threading import RLock
from typing import TypeVar

from videograin.errors import JobError, ProjectError
from videograin.files.atomic import write_whole
from videograin.files.dataclass_json import from_json, paths_in, to_json
from videograin.files.disk import DiskRoom
from videograin.files.lock import claim

Plain = TypeVar("Plain")

ID_BYTES = 24
"""Random bytes of a job's id."""

MIN_OWNER = 16
"""Characters that an owner's text has at least; a session's id from a browser may be shorter and is no secret."""

log = logging.getLogger(__name__)


class JobKind(StrEnum):
    """What the worker can be asked for."""

    TRACK = "track"
    SUGGEST = "suggest"
    DISCOVER = "discover"
    FIND = "find"
    PREVIEW = "preview"
    EDIT = "edit"
    DOWNLOAD = "download"


class JobState(StrEnum):
    """Where a job is in its life; all but the first two are its end."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def is_final(self) -> bool:
        """Whether nothing will happen to the job any more."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


_ENDS = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)

_NEXT = {
    JobState.QUEUED: (JobState.RUNNING, JobState.CANCELLED, JobState.FAILED),
    JobState.RUNNING: (*_ENDS, JobState.INTERRUPTED, JobState.QUEUED),  # a restart queues what can go on
}


@dataclass(frozen=True)
class Job:
    """The record of a job.

    Attributes:
        id: unguessable.
        owner: digest of the session that it belongs to.
        kind: what it does.
        key: equal for equal requests of a kind.
        created: when it was asked for, in seconds since 1970.
        expected_seconds: how long it should run; None without an estimate.
        state: where it is in its life.
        started, ended: like `created`; None before.
        message: why it ended, in plain words; empty where there is nothing to say.
        notes: for the user, besides the message, in plain words.
        place_seconds: how long places have worked on it, those that helped among them.
        is_stopped: whether its user has asked it to stop while it ran, so that its result may be a part of it.
    """

    id: str
    owner: str
    kind: JobKind
    key: str
    created: float
    expected_seconds: float | None = None
    state: JobState = JobState.QUEUED
    started: float | None = None
    ended: float | None = None
    message: str = ""
    notes: tuple[str, ...] = ()
    place_seconds: float = 0.0
    is_stopped: bool = False


class JobFiles:
    """The files of jobs below a folder, which every process that carries jobs out has under the same name.

    Args:
        root: of all owners.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def folder(self, job: Job) -> Path:
        """Return where the files of a job are."""
        return self.root / job.owner / "jobs" / job.id

    def files_folder(self, owner: str) -> Path:
        """Return where the files lie that requests of an owner (a digest) name."""
        return self.root / owner / "files"

    def request(self, job: Job, kind: type[Plain]) -> Plain:
        """Read the request of a job, a `kind`."""
        return from_json((self.folder(job) / "request.json").read_bytes(), kind)


class JobStore(JobFiles):
    """All jobs of one process: in memory for reading, on disk for the next process.

    Its methods may be called from any thread. Requests are dataclasses of plain values, see `dataclass_json`.

    Args:
        root: made if absent; no other process may use it meanwhile.
        room: that its files have on the disk; None is all there is.

    Attributes:
        seconds_by_kind: how long places have worked on jobs of each kind, since this process began.

    Raises:
        JobError: another process uses the folder.
    """

    def __init__(self, root: Path, room: DiskRoom | None = None) -> None:
        super().__init__(root)
        self._room = room
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = RLock()
        self.seconds_by_kind: defaultdict[JobKind, float] = defaultdict(float)
        self._claim = (self.root / ".claim").open("a+")
        self._refuse_company()
        self._jobs = {job.id: job for job in self._read_jobs()}

    def close(self) -> None:
        """Let another process use the folder."""
        self._claim.close()

    def keep(self, owner: str, file: Path) -> Path:
        """Copy a file among those that the owner's requests may name, and return where it is now.

        Its new name follows from its content: it never changes while a job that names it waits, and the same content
        makes the same request.

        Raises:
            ProjectError: the owner has enough, or all of them together.
            JobError: it cannot be written.
        """
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()[:32]
        suffix = file.suffix.lower() if re.fullmatch(r"\.\w{1,11}", file.suffix, re.ASCII) else ""
        kept = self.files_folder(owner_digest(owner)) / f"{digest}{suffix}"
        if not kept.exists():
            if self._room:
                self._room.check_owner(self.root / owner_digest(owner), file.stat().st_size)
            aside = kept.with_name(f".{secrets.token_hex(8)}.part")
            try:
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, aside)
                aside.replace(kept)
            except OSError as error:
                raise JobError(
                    f"'{file.name}' could not be stored here ({error.strerror}). Try again later."
                ) from error
            finally:
                aside.unlink(missing_ok=True)
        os.utime(kept)  # a file's age counts from its last use
        return kept

    def check_files(self, owner: str, request: object) -> None:
        """Raise JobError if a request names a file that is not kept for its owner; the others have been used now."""
        folder = self.files_folder(owner_digest(owner))
        for path in paths_in(request):
            if path.parent != folder or not path.is_file():
                raise JobError(f"You have no file '{path.name}'; files are deleted after a while. Upload it again.")
            os.utime(path)

    def add(self, owner: str, kind: JobKind, request: object, expected_seconds: float | None = None) -> Job:
        """Write down a new job that waits to be run.

        Args:
            owner: a secret text that cannot be guessed, such as a session id.
            kind: decides which handler carries it out.
            request: dataclass of plain values (`dataclass_json`), stored beside the job.
            expected_seconds: how long it should run; None without an estimate.

        Raises:
            ProjectError: the owner has enough on the disk, or all of them together.
            JobError: it cannot be written.
        """
        if self._room:
            self._room.check_owner(self.root / owner_digest(owner))
        key = request_key(kind, request)
        job = Job(secrets.token_urlsafe(ID_BYTES), owner_digest(owner), kind, key, time.time(), expected_seconds)
        folder = self.folder(job)
        try:
            folder.mkdir(parents=True)
            write_whole(folder / "request.json", to_json(request))
            write_whole(folder / "job.json", to_json(job))
        except (ProjectError, OSError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise JobError(
                "The job could not be written down: the server's disk is full or cannot be written. Try again later."
            ) from error
        with self._lock:
            self._jobs[job.id] = job
        return job

    def find(self, job_id: str, owner: str) -> Job:
        """Return a job of an owner.

        Raises:
            JobError: there is none of this id, or it is another owner's; the message does not tell which.
        """
        job = self._jobs.get(job_id)
        if job is None or not hmac.compare_digest(job.owner, owner_digest(owner)):
            raise JobError("There is no such job of yours; results are deleted after a while. Start it again.")
        return job

    def jobs_of(self, owner: str) -> list[Job]:
        """Return an owner's jobs, the latest first."""
        digest = owner_digest(owner)
        return [job for job in reversed(self.all_jobs()) if job.owner == digest]

    def all_jobs(self) -> list[Job]:
        """Return all owners' jobs in the order in which they were asked for."""
        with self._lock:
            return sorted(self._jobs.values(), key=lambda job: job.created)

    def find_same(self, owner: str, kind: JobKind, request: object) -> Job | None:
        """Return the owner's latest job with an equal request that waits, runs or is done, and was not stopped."""
        key, useful = request_key(kind, request), (JobState.QUEUED, JobState.RUNNING, JobState.DONE)
        same = (job for job in self.jobs_of(owner) if job.key == key and job.state in useful and not job.is_stopped)
        return next(same, None)

    def move(self, job: Job, state: JobState, message: str = "", notes: tuple[str, ...] = ()) -> Job:
        """Take a job to another state and return it; it stays as it is where its life does not lead there."""
        with self._lock:
            job = self._jobs[job.id]
            if state not in _NEXT.get(job.state, ()):
                return job
            now = time.time()
            started, ended = (job.started, now) if state.is_final else (now, None)
            job = replace(job, state=state, started=started, ended=ended, message=message, notes=notes)
            self._jobs[job.id] = job
        self._write(job)
        return job

    def mark_stopped(self, job: Job) -> None:
        """Write down that a running job's user has asked it to stop."""
        with self._lock:
            self._jobs[job.id] = job = replace(self._jobs[job.id], is_stopped=True)
        self._write(job)

    def spend(self, job: Job, seconds: float) -> None:
        """Account for seconds that a place has worked on a job; one that was deleted meanwhile is left out."""
        with self._lock:
            if job.id not in self._jobs:
                return
            job = self._jobs[job.id]
            self._jobs[job.id] = job = replace(job, place_seconds=job.place_seconds + seconds)
            self.seconds_by_kind[job.kind] += seconds
        self._write(job)

    def seconds_by_owner(self) -> Mapping[str, float]:
        """Return how long places have worked on all jobs that are kept, by their owners (digests); 0 for any other."""
        seconds: defaultdict[str, float] = defaultdict(float)
        for job in self.all_jobs():
            seconds[job.owner] += job.place_seconds
        return seconds

    def purge(self, max_age: float) -> None:
        """Delete the jobs that ended more than `max_age` seconds ago, and files as old that no job needs."""
        oldest = time.time() - max_age
        with self._lock:
            expired = [job for job in self._jobs.values() if job.ended is not None and job.ended < oldest]
            for job in expired:
                del self._jobs[job.id]
            known = set(self._jobs)
            busy = {job.owner for job in self._jobs.values() if not job.state.is_final}
        for job in expired:
            shutil.rmtree(self.folder(job), ignore_errors=True)
            log.info("job deleted", extra={"job": job.id})
        for folder in self.root.glob("*/jobs/*"):
            if folder.name not in known and _is_older(folder, oldest):
                shutil.rmtree(folder, ignore_errors=True)
        for file in self.root.glob("*/files/*"):
            if file.parts[-3] not in busy and _is_older(file, oldest):
                file.unlink(missing_ok=True)

    def _write(self, job: Job) -> None:
        try:
            write_whole(self.folder(job) / "job.json", to_json(job))
        except ProjectError:  # a full disk must not keep a job from ending; it is known in memory
            log.exception("job record not written", extra={"job": job.id})

    def _refuse_company(self) -> None:
        """Claim the folder until this process ends, however it ends."""
        if not claim(self._claim):
            self._claim.seek(0)
            holder = self._claim.read() or "an unknown process"
            self._claim.close()
            raise JobError(
                f"The folder '{self.root}' is in use by another studio ({holder}). Stop it, or choose another folder "
                "with VIDEOGRAIN_DATA_FOLDER."
            )
        self._claim.truncate(0)
        self._claim.write(f"process {os.getpid()} on {platform.node()}")
        self._claim.flush()

    def _read_jobs(self) -> Iterator[Job]:
        for file in self.root.glob("*/jobs/*/job.json"):
            try:
                yield from_json(file.read_bytes(), Job)
            except (OSError, ValueError):  # cut short when the power failed, or from another version
                log.exception("job record not readable", extra={"job": file.parent.name})


def jobs_folder(data_folder: Path) -> Path:
    """Return where a studio keeps its jobs."""
    return data_folder / "jobs"


def is_job_id(name: str) -> bool:
    """Whether a name may be a job's."""
    return re.fullmatch(rf"[\w-]{{{ID_BYTES * 4 // 3}}}", name, re.ASCII) is not None


def owner_digest(owner: str) -> str:
    """Return what stands for an owner in records and paths; it does not lead back."""
    assert len(owner) >= MIN_OWNER, "an owner that can be guessed"
    return hashlib.sha256(owner.encode()).hexdigest()[:32]


def request_key(kind: JobKind, request: object) -> str:
    """Return a text that is equal for equal requests of a kind."""
    return hashlib.sha256(kind.encode() + to_json(request)).hexdigest()


def _is_older(path: Path, oldest: float) -> bool:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime < oldest
    return False
