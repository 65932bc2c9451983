"""Files from the network: whole, checked, or not there at all; what a cut left aside is completed next time."""

import errno
import hashlib
import logging
import os
import shutil
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from videograin.errors import ModelError
from videograin.files.lock import claim
from videograin.progress import Phase, Progress, Report, ignore

CONNECT_SECONDS = 4.0
"""How long the network may take to answer at all, name servers included, before it counts as absent."""

STALL_SECONDS = 20.0
"""How long the other side may then stay silent."""

RETRIES = 4
"""How often in a row a connection may break without another byte, once it has stood."""

RETRY_SECONDS = 1.0
"""Wait before the first retry; doubled for each further one."""

TICK_SECONDS = 0.2
"""From one report to the next, and so the longest that a user waits for a download to stop."""

SPEED_SECONDS = 10.0
"""How far back the speed looks, from which the time left follows."""

NO_CONNECTION = "No connection to the model hub. The embedded model works without one."

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""The errors of a disk without room for the user or for anyone."""

_CHUNK = 2**20  # bytes
_CHUNKS_AHEAD = 8
_BUSY = (408, 429, 500, 502, 503, 504)  # HTTP's ways to say "later"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemoteFile:
    """A file that never changes.

    Attributes:
        url: where it is.
        sha256: of its content, 64 hex digits.
        size: in bytes.
        token: sent to that host alone, as a hub's access token; empty sends none.
    """

    url: str
    sha256: str
    size: int
    token: str = field(default="", repr=False)


class ByteMeter:
    """Reports the bytes of a download, of one file or several, a few times a second.

    Args:
        total: bytes of the whole download.
        report: told so; may raise `Cancelled`.
    """

    def __init__(self, total: int, report: Report = ignore) -> None:
        self._total = total
        self._report = report
        self._done = 0
        self._reported = -TICK_SECONDS
        self._past: deque[tuple[float, int]] = deque()  # moments, and the bytes received by then

    def skip(self, count: int) -> None:
        """Count bytes that were here already; they say nothing about the speed."""
        self._done += count
        self._past.clear()
        self.add(0)

    def add(self, count: int) -> None:
        """Count bytes that have come, 0 to let a user stop while none come."""
        self._done += count
        now = time.monotonic()
        if now - self._reported < TICK_SECONDS and self._done < self._total:
            return
        self._reported = now
        self._past.append((now, self._done))
        while now - self._past[0][0] > SPEED_SECONDS:
            self._past.popleft()
        self._report(Progress(Phase.DOWNLOAD, self._done, self._total, self._seconds_left()))

    def _seconds_left(self) -> float | None:
        (start, before), (now, done) = self._past[0], self._past[-1]
        return (self._total - done) * (now - start) / (done - before) if done > before else None


def download(source: RemoteFile, target: Path, report: Report = ignore) -> Path:
    """Return `target`, downloading it unless it is there.

    Args:
        source: what to download.
        target: where to; it appears only when all of it has come and its checksum is right.
        report: told the bytes received, several times a second; may raise `Cancelled`.

    Raises:
        ModelError: the network or the disk does not allow it, or the content is not what it should be.
    """
    if not is_whole(target, source):
        receive(source, target, ByteMeter(source.size, report))
    return target


def is_whole(target: Path, source: RemoteFile) -> bool:
    """Return whether a file is there; its checksum was compared when it came."""
    return target.is_file() and target.stat().st_size == source.size


def receive(source: RemoteFile, target: Path, meter: ByteMeter) -> None:
    """Download a file as `download` does, as one of several that share a meter."""
    aside = _aside(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _claimed(aside, meter) as file:
            if is_whole(target, source):  # by another process, while this one waited
                aside.unlink()
                meter.skip(source.size)
                return
            check_room(source.size - os.fstat(file.fileno()).st_size, target.parent)
            digest = _complete(file, source, meter)
            if digest != source.sha256:
                aside.unlink()
                raise ModelError(f"'{target.name}' came damaged (SHA-256 {digest}, not {source.sha256}). Try again.")
            file.flush()
            os.fsync(file.fileno())
            aside.replace(target)
    except (OSError, HTTPException) as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            aside.unlink(missing_ok=True)  # others need the room more than a later attempt needs this part
        raise _explained(error, source, target) from error


def make_room(missing: Sequence[tuple[RemoteFile, Path]], folder: Path) -> None:
    """Make a folder for files and their places; raise ModelError where they cannot be written or have no room there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    check_room(sum(source.size - _size_of(_aside(target)) for source, target in missing), folder)


def check_room(size: int, folder: Path) -> None:
    """Raise ModelError where a folder's disk has no room for `size` bytes."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise ModelError(
            f"'{folder}' has room for {free / 2**20:.0f} MiB and the download takes {size / 2**20:.0f}. "
            "Make room, or set HF_HOME and XDG_CACHE_HOME to a larger disk."
        )


def say_no_connection(error: BaseException) -> ModelError:
    """Return the error that tells a user so; the log tells the operator why and what to do."""
    log.warning("the model hub cannot be reached (%s); docs/deploy.md says how to do without it", type(error).__name__)
    return ModelError(NO_CONNECTION)


def _aside(target: Path) -> Path:
    """Return where the part of a file lies that has come."""
    return target.with_name(f"{target.name}.part")


def _size_of(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


@contextmanager
def _claimed(aside: Path, meter: ByteMeter) -> Iterator[BinaryIO]:
    """Yield a partial file, open at its end, for this process alone; wait while another one receives it."""
    while True:
        with aside.open("a+b") as file:
            if claim(file) and aside.exists() and os.path.samestat(os.fstat(file.fileno()), aside.stat()):
                yield file
                return
        meter.add(0)
        time.sleep(TICK_SECONDS)


def _complete(file: BinaryIO, source: RemoteFile, meter: ByteMeter) -> str:
    """Append what a partial file lacks and return the SHA-256 of all of it."""
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    done = file.tell()
    meter.skip(done)
    failures, has_stood = 0, False
    while done < source.size:
        before = done
        try:
            for chunk in _chunks(source, done):
                has_stood = True
                digest.update(chunk)
                file.write(chunk)
                done += len(chunk)
                meter.add(len(chunk))
            if done < source.size:
                raise ConnectionError("the connection was cut")
        except (OSError, HTTPException) as error:
            failures = 0 if done > before else failures + 1
            if not _may_retry(error, has_stood) or failures > RETRIES:
                raise
            _wait(RETRY_SECONDS * 2**failures, meter)
    return digest.hexdigest()


def _may_retry(error: Exception, has_stood: bool) -> bool:
    if isinstance(error, HTTPError):
        return error.code in _BUSY
    return has_stood and getattr(error, "errno", None) not in NO_ROOM


def _wait(seconds: float, meter: ByteMeter) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        meter.add(0)
        time.sleep(min(seconds, TICK_SECONDS))


def _chunks(source: RemoteFile, offset: int) -> Iterator[bytes]:
    """Yield the bytes of a file from an offset on, and an empty chunk whenever none has come for a while.

    They are read by a thread: then no silence, a name server's least of all, holds up who is to report or to stop.
    """
    chunks: Queue[bytes | Exception | None] = Queue(_CHUNKS_AHEAD)
    stop = Event()
    Thread(target=_read, args=(source, offset, chunks, stop), daemon=True).start()
    limit, heard = CONNECT_SECONDS, time.monotonic()
    try:
        while True:
            try:
                chunk = chunks.get(timeout=TICK_SECONDS)
            except Empty:
                if time.monotonic() - heard > limit:
                    raise TimeoutError(f"no answer within {limit:g} s") from None
                if limit == STALL_SECONDS:
                    yield b""
                continue
            if chunk is None:
                return
            if isinstance(chunk, Exception):
                raise chunk
            limit, heard = STALL_SECONDS, time.monotonic()
            yield chunk
    finally:
        stop.set()


def _read(source: RemoteFile, offset: int, chunks: "Queue[bytes | Exception | None]", stop: Event) -> None:
    def put(chunk: bytes | Exception | None) -> None:
        while not stop.is_set():
            try:
                chunks.put(chunk, timeout=TICK_SECONDS)
                return
            except Full:
                pass

    request = Request(source.url, headers={"Range": f"bytes={offset}-"} if offset else {})  # noqa: S310 (hubs' URLs)
    if source.token:
        request.add_unredirected_header("Authorization", f"Bearer {source.token}")  # a hub redirects to other hosts
    try:
        with urlopen(request, timeout=STALL_SECONDS) as response:  # noqa: S310
            put(b"")
            known = offset if response.status == 200 else 0  # a server that does not know ranges begins again
            while not stop.is_set() and (chunk := response.read1(_CHUNK)):
                put(chunk[known:])
                known = max(0, known - len(chunk))
        put(None)
    except (OSError, HTTPException) as error:
        put(error)


def _explained(error: Exception, source: RemoteFile, target: Path) -> ModelError:
    """Return what to tell a user of a download that failed."""
    if isinstance(error, HTTPError):
        return ModelError(f"'{target.name}' cannot be downloaded: {status_words(error.code)}")
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return ModelError(f"The disk of '{target.parent}' is full; nothing of the download stays there. Make room.")
    if isinstance(error, OSError) and error.filename is not None:
        return cannot_write(target, error)
    kept = _aside(target)
    size = _size_of(kept)
    if not size:
        kept.unlink(missing_ok=True)
        return say_no_connection(error)
    return ModelError(
        f"The connection broke after {size / 1e6:.0f} of {source.size / 1e6:.0f} MB of '{target.name}' ({error}). "
        "Start the download again; it goes on from there."
    )


def cannot_write(path: Path, error: OSError) -> ModelError:
    """Return the error that tells a user that a file or folder cannot be written."""
    return ModelError(
        f"'{path}' cannot be written ({error.strerror}). Check the folder's permissions, or set HF_HOME and "
        "XDG_CACHE_HOME to another one."
    )


def status_words(code: int) -> str:
    """Return what an HTTP status of a model hub means to who wants a model, and what to do."""
    if code in (401, 403):
        return "the hub gives it only to users with access. Accept its terms on its page there, then: hf auth login"
    if code in (404, 410):
        return "there is no such model on the hub. Check its name."
    if code == 429:
        return "the hub is busy. Try again in a few minutes."
    return f"the hub has a problem of its own (HTTP {code}). Try again later."
