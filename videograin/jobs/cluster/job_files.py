"""How jobs' files get to the hosts of a cluster and back: by a data folder that all of them mount, or by a store.

In a store each job that runs has a folder of its name, which is removed at its end:

    request.json       what was asked for
    files/             what that names: the clip, its masks
    stop               there as soon as the job is to stop
    segments/          finished parts, also those of an earlier attempt
    windows/           parts that several places work on (`board.py`)
    progress.json, preview-…, finished-…, results/, result.json      what the running job says (`jobs/context.py`)

The studio sends the first three and brings what the job says; the place that carries it out does the reverse.
"""

import fnmatch
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import TypeVar

from videograin.errors import JobError
from videograin.files.atomic import write_whole
from videograin.files.dataclass_json import with_paths
from videograin.files.object_store import ObjectStore
from videograin.files.shared_folder import SharedFolder, StoredFolder
from videograin.jobs.cluster.board import WindowBoard, session_of
from videograin.jobs.context import is_asked_to_stop, is_restarting
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import Job, JobFiles, is_job_id, jobs_folder

Plain = TypeVar("Plain")

REQUEST, STOP = "request.json", "stop"

SHOWN = ("preview-*", "finished-*")
"""Of which the job removes the old ones."""

SAID = ("progress.json", *SHOWN, "segments/*")
"""What a running job writes."""

MADE = ("results/*", "result.json")
"""What it has written when it is done; the last one says so."""

CARRY_SECONDS = 0.5
"""From one look for news to the next."""

UNREACHABLE = "The store through which the cluster's files travel cannot be reached. Try again in a few minutes."

log = logging.getLogger(__name__)


class ClusterFiles(JobFiles):
    """Files that all hosts have under the same name, so that nothing has to be carried."""

    def shared(self, folder: Path) -> SharedFolder:
        """Return the folder of a job, given where it is on this host, as all places see it."""
        return SharedFolder(folder)

    def offers_windows(self, job: Job) -> bool:
        """Whether a running edit has windows that no place has begun, or is about to offer some."""
        board = WindowBoard.of(self.shared(self.folder(job)))
        return board is not None and (board.free > 0 or not board.is_offered)

    @contextmanager
    def running(self, job: Job) -> Iterator[None]:
        """Have a job's files here, or there, while it is carried out."""
        del job
        yield

    @contextmanager
    def helping(self, job: Job) -> Iterator[None]:
        """Have a job's files here while this place helps with it."""
        del job
        yield

    def purge(self) -> None:
        """Remove what is left of jobs that have ended."""


class _StoredFiles(ClusterFiles):
    def __init__(self, root: Path, store: ObjectStore) -> None:
        super().__init__(root)
        self._store = store

    def shared(self, folder: Path) -> SharedFolder:
        return StoredFolder(folder, self._store, folder.name)


class StudioFiles(_StoredFiles):
    """The studio's files of jobs that run elsewhere.

    Args:
        root: of all owners' jobs.
        store: by which they travel.
    """

    def __init__(self, root: Path, store: ObjectStore) -> None:
        super().__init__(root, store)
        self._offering: set[str] = set()

    def offers_windows(self, job: Job) -> bool:
        """Whether this was so of a running edit when its files were last looked at."""
        return job.id in self._offering

    @contextmanager
    def running(self, job: Job) -> Iterator[None]:
        """Send a job's files, bring what it says, and when it is done what it made; at its end the store forgets it.

        Raises:
            JobError: the store cannot be reached.
        """
        folder, seen = self.folder(job), dict[str, str]()

        def carry() -> None:
            self._bring(job, SAID, seen)
            if is_asked_to_stop(folder):
                self._store.put(f"{job.id}/{STOP}", folder / STOP)
            offers = super(StudioFiles, self).offers_windows(job)
            (self._offering.add if offers else self._offering.discard)(job.id)

        with _reached():
            self._send(job)
        try:
            with _repeated(carry):
                yield
        finally:
            self._offering.discard(job.id)
        with _reached():
            self._bring(job, (*SAID, *MADE), seen)
            if not is_restarting(folder):  # else the next run of the studio goes on with its windows
                self._store.remove(job.id)

    def purge(self) -> None:
        """Remove from the store what is left of jobs that have ended, as where the studio was ended hard."""
        try:
            for name in self._store.folders():
                if not is_job_id(name):  # the bucket may hold other files of the operator's
                    continue
                if not any(self.root.glob(f"*/jobs/{name}/segments")):  # which a job has until it ends
                    self._store.remove(name)
        except Exception:  # out of reach for a while, say; it is done again in a few minutes
            log.exception("the store of jobs' files was not tidied")

    def _send(self, job: Job) -> None:
        folder, there = self.folder(job), self._store.marks(job.id)
        (folder / "segments").mkdir(exist_ok=True)
        request = (folder / REQUEST).read_bytes()
        named = {path.name: path for path in _files_named(json.loads(request), self.files_folder(job.owner))}
        segments = {f"segments/{path.name}": path for path in (folder / "segments").glob("[!.]*")}
        for name, path in ({f"files/{name}": path for name, path in named.items()} | segments).items():
            if name not in there:
                self._store.put(f"{job.id}/{name}", path)
        self._store.remove(f"{job.id}/{STOP}")
        self._store.put(f"{job.id}/{REQUEST}", folder / REQUEST)

    def _bring(self, job: Job, patterns: Iterable[str], seen: dict[str, str]) -> None:
        """Bring what has changed, and remove of what is shown here what the job has removed."""
        folder, marks = self.folder(job), self._store.marks(job.id)
        for name in _in_order(marks, patterns):
            if seen.get(name) != marks[name] and self._store.get(f"{job.id}/{name}", folder / name):
                seen[name] = marks[name]
        for path in [path for pattern in SHOWN for path in folder.glob(pattern)]:
            if path.name not in marks:
                path.unlink(missing_ok=True)


class PlaceFiles(_StoredFiles):
    """Copies of jobs' files at the place where they are carried out, as long as they are.

    Args:
        root: for these copies, of this place alone.
        store: by which they travel.
    """

    def request(self, job: Job, kind: type[Plain]) -> Plain:
        """Read the request of a job, a `kind`, which names the copies."""
        copies = self.folder(job) / "files"
        return with_paths(super().request(job, kind), lambda path: copies / path.name)

    @contextmanager
    def running(self, job: Job) -> Iterator[None]:
        """Fetch a job's files, and send what it says, and when it is done what it made.

        Raises:
            JobError: the store cannot be reached.
        """
        folder, sent = self.folder(job), dict[str, str]()

        def carry() -> None:
            self._send(job, SAID, sent)
            self._obey(job)

        with self._copies(job, ("files/*", "segments/*")):
            for path in (folder / "segments").glob("*"):
                sent[f"segments/{path.name}"] = _mark(path)
            with _repeated(carry):
                yield
            with _reached():
                self._send(job, (*SAID, *MADE), sent)

    @contextmanager
    def helping(self, job: Job) -> Iterator[None]:
        """Fetch a job's files, and stop the help when the job stops or is done.

        Raises:
            JobError: the store cannot be reached.
        """
        with self._copies(job, ("files/*",)):
            (self.folder(job) / "segments").mkdir(exist_ok=True)  # by which a helper knows that the job runs
            with _repeated(lambda: self._obey(job)):
                yield

    @contextmanager
    def _copies(self, job: Job, patterns: Iterable[str]) -> Iterator[None]:
        folder = self.folder(job)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            with _reached():
                for name in _in_order(self._store.marks(job.id), (*patterns, REQUEST)):
                    self._store.get(f"{job.id}/{name}", folder / name)
            yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _send(self, job: Job, patterns: Iterable[str], sent: dict[str, str]) -> None:
        """Send what has changed, and remove what the job has removed."""
        folder = self.folder(job)
        paths = {str(path.relative_to(folder)): path for path in folder.rglob("[!.]*") if path.is_file()}
        for name in _in_order(paths, patterns):
            with suppress(FileNotFoundError):  # an old preview
                mark = _mark(paths[name])
                if sent.get(name) != mark:
                    self._store.put(f"{job.id}/{name}", paths[name])
                    sent[name] = mark
        for name in [name for name in sent if name not in paths]:
            self._store.remove(f"{job.id}/{name}")
            del sent[name]

    def _obey(self, job: Job) -> None:
        """Have the job here stop where it is asked to, or is over."""
        marks, folder = self._store.marks(job.id), self.folder(job)
        if (STOP in marks or REQUEST not in marks) and not is_asked_to_stop(folder):
            write_whole(folder / STOP, self._store.read(f"{job.id}/{STOP}") or b"")


def studio_files(settings: OperatorSettings) -> ClusterFiles:
    """Return the files of a studio's jobs, as the places of its cluster get them.

    Raises:
        SettingsError: the store cannot be used.
    """
    root = jobs_folder(settings.data_folder)
    if not settings.job_files:
        return ClusterFiles(root)
    store = ObjectStore(settings.job_files)
    store.check()
    return StudioFiles(root, store)


def place_files(settings: OperatorSettings, name: str) -> ClusterFiles:
    """Return the files of jobs at a place of a name; what places of an earlier run have left on its host is removed."""
    if not settings.job_files:
        return ClusterFiles(jobs_folder(settings.data_folder))
    places = settings.data_folder / "places"
    for left in places.glob("*"):
        if session_of(left.name) != session_of(name):
            shutil.rmtree(left, ignore_errors=True)
    return PlaceFiles(places / name, ObjectStore(settings.job_files))


@contextmanager
def _repeated(work: Callable[[], object]) -> Iterator[None]:
    """Do some work again and again on a thread, until the end; what goes wrong is tried again."""
    ended = Event()

    def repeat() -> None:
        while not ended.wait(CARRY_SECONDS):
            try:
                work()
            except Exception:  # the store is out of reach for a while, say
                log.exception("files of a job were not carried")

    thread = Thread(target=repeat, name="files", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _reached() -> Iterator[None]:
    """Say in a sentence that the store is out of reach; every file system has errors of its own for that.

    Their texts name buckets and hosts, which are the operator's business: they go to the log.
    """
    try:
        yield
    except Exception as error:
        log.exception("the store of jobs' files was not reached")
        raise JobError(UNREACHABLE) from error


def _in_order(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """Return the names that patterns describe, in the order of the patterns; of the same one NPZs come last.

    The NPZ of a segment says that the segment is finished.
    """
    names = [name for name in names if not name.rpartition("/")[2].startswith(".")]
    chosen = [sorted(fnmatch.filter(names, pattern), key=lambda name: name.endswith(".npz")) for pattern in patterns]
    return [name for each in chosen for name in each]


def _files_named(content: object, folder: Path) -> Iterator[Path]:
    """Yield the files of a folder that the JSON of a request names, whatever kind of request it is."""
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        for item in content:
            yield from _files_named(item, folder)
    elif isinstance(content, str) and Path(content).parent == folder:
        yield Path(content)


def _mark(path: Path) -> str:
    status = path.stat()
    return f"{status.st_ino} {status.st_mtime_ns} {status.st_size}"
