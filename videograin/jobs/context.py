"""What the function behind a kind of job looks like, and what it is given while it runs.

Everything that a running job says goes through files in its folder, since some machines run it in another process:

    progress.json      how far it is
    preview-0007.webp  what there is to see so far; the one before stays a while, a browser may be loading it
    finished-0002.mp4  the part of a clip that is finished, in the same way
    results/           what it makes
    result.json        what its function returned; there only when it is done
    segments/          finished parts, from which a later attempt goes on
    windows/           parts that several places work on (`cluster/board.py`)
    scratch/           files that one attempt needs
    helping-…/         files that another place of a cluster needs to help with it
    stop               there as soon as it is to stop
"""

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from videograin.errors import Cancelled, ProjectError
from videograin.files.atomic import write_whole
from videograin.files.dataclass_json import from_json, to_json
from videograin.jobs.store import Job
from videograin.media.preview_webp import encode_preview
from videograin.progress import Progress

Request = TypeVar("Request")
Result = TypeVar("Result")

PREVIEWS, FINISHED = "preview-{}.webp", "finished-{}.mp4"
PREVIEWS_KEPT = 2

HELPING = "helping-"
"""What the names begin with of folders in which places of a cluster help; a process that is killed leaves its own."""

_RESTART = "restart"


def accept(_request: object) -> float | None:
    """Take any request, without an idea how long it will run."""
    return None


class JobContext:
    """A running job's way to say how far it is and to learn that it must stop.

    Args:
        folder: of the job; results of an earlier attempt are removed.
        is_lean: whether memory ran out in an earlier attempt, so that the job must now run with as little as it can.

    Attributes:
        results: folder for the files that the job makes.
        segments: folder for finished parts; those of an earlier attempt are still there.
        scratch: folder for files that nothing but this attempt needs.
        notes: for the user, besides the result.
    """

    def __init__(self, folder: Path, is_lean: bool = False) -> None:
        self.folder = folder
        self.is_lean = is_lean
        self.results = results_folder(folder)
        self.notes: list[str] = []
        self.segments, self.scratch = folder / "segments", folder / "scratch"
        for fresh in (self.results, self.scratch):
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(exist_ok=True)  # on NFS a file that is still open keeps its folder from going
        self.segments.mkdir(exist_ok=True)

    @property
    def cancelled(self) -> bool:
        """Whether the job was asked to stop."""
        return is_asked_to_stop(self.folder)

    @property
    def is_restarting(self) -> bool:
        """Whether it was asked to stop because the studio restarts, and goes on afterwards."""
        return is_restarting(self.folder)

    def report(self, progress: Progress) -> None:
        """Record how far the job is.

        Raises:
            Cancelled: the job was asked to stop.
        """
        write_whole(self.folder / "progress.json", to_json(progress))
        self.check()

    def check(self) -> None:
        """Raise Cancelled where the job was asked to stop."""
        if self.cancelled:
            raise Cancelled("The job was stopped.")

    def preview(self, frames: np.ndarray, fps: float) -> None:
        """Show what there is so far.

        Args:
            frames: (F, H, W, 3) uint8 RGB of any size; large ones are scaled down.
            fps: frames per second to show them at.
        """
        shown = _numbered(self.folder, PREVIEWS)
        write_whole(_next_number(self.folder, PREVIEWS), encode_preview(frames, fps))
        for old in shown[: 1 - PREVIEWS_KEPT]:
            old.unlink(missing_ok=True)

    def show_finished(self, write: Callable[[Path], object]) -> None:
        """Show the part of a clip that is finished already.

        Args:
            write: writes it as an MP4, source and edit side by side, to the path that it is given.
        """
        shown = _numbered(self.folder, FINISHED)
        write(_next_number(self.folder, FINISHED))
        for old in shown[: 1 - PREVIEWS_KEPT]:
            old.unlink(missing_ok=True)

    def note(self, text: str) -> None:
        """Add a note for the user to the result."""
        self.notes.append(text)


@dataclass(frozen=True)
class Handler(Generic[Request, Result]):
    """How one kind of job is carried out.

    Attributes:
        request: dataclass of plain values (`dataclass_json`) that describes the job; its paths are files kept for
            its owner.
        result: dataclass of plain values that the function returns; its paths are relative to the job's results.
        run: does the work on the worker's thread. It raises VideoGrainError for what the user can mend.
        admit: called when the job is asked for, on the asker's thread: raises VideoGrainError for what cannot be done
            anyway, and returns how many seconds it should take, None where that is unknown.
    """

    request: type[Request]
    result: type[Result]
    run: Callable[[Request, JobContext], Result]
    admit: Callable[[Request], float | None] = accept


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


def results_folder(folder: Path) -> Path:
    """Return where a job's files go."""
    return folder / "results"


def read_progress(folder: Path) -> Progress | None:
    """Return where the job of a folder is, None where it has not said or a power failure cut that short."""
    with suppress(FileNotFoundError, ValueError):
        return from_json((folder / "progress.json").read_bytes(), Progress)
    return None


def read_preview(folder: Path) -> Path | None:
    """Return the latest preview of a job, an animated WebP; None where there is none."""
    return next(iter(_numbered(folder, PREVIEWS)[-1:]), None)


def read_finished(folder: Path) -> Path | None:
    """Return the MP4 of what a running job has finished, source and edit side by side; None where there is none."""
    return next(iter(_numbered(folder, FINISHED)[-1:]), None)


def read_result(folder: Path, kind: type[Result]) -> Result | None:
    """Return what a job's function returned, None where that is not there or was cut short by a power failure."""
    with suppress(FileNotFoundError, ValueError):
        return from_json((folder / "result.json").read_bytes(), kind)
    return None


def write_result(folder: Path, result: object) -> None:
    """Keep what a job's function returned."""
    write_whole(folder / "result.json", to_json(result))


def ask_to_stop(folder: Path, *, for_restart: bool = False) -> None:
    """Make a running job stop at its next report; for a restart of the studio, it is to go on afterwards.

    The job may look at any moment: a file without its word yet would be taken for its user's.

    Raises:
        ProjectError: that cannot be written down.
    """
    write_whole(folder / "stop", _RESTART.encode() if for_restart else b"")


def is_restarting(folder: Path) -> bool:
    """Whether a job was made to stop for a restart of the studio."""
    return is_asked_to_stop(folder) and (folder / "stop").read_text() == _RESTART


def has_segments(folder: Path) -> bool:
    """Whether parts of a job are finished."""
    return _count_segments(folder) > 0


def may_resume(folder: Path) -> bool:
    """Whether a job that was cut off is to go on: if parts were finished, more than when it was last resumed.

    A job that ends the process each time must not do so for ever. What asked the job to stop is forgotten, unless it
    was its user.
    """
    finished, resumed = _count_segments(folder), folder / "resumed"
    if finished <= _read_count(resumed) or (is_asked_to_stop(folder) and not is_restarting(folder)):
        return False
    try:
        write_whole(resumed, str(finished).encode())
        (folder / "stop").unlink(missing_ok=True)
    except (ProjectError, OSError):  # where nothing can be written, nothing can be finished
        return False
    return True


def _read_count(file: Path) -> int:
    """Return the number in a file, 0 where there is none or a power failure cut it short."""
    with suppress(FileNotFoundError, ValueError):
        return int(file.read_text())
    return 0


def _count_segments(folder: Path) -> int:
    return len(list((folder / "segments").glob("*.npz")))


def is_asked_to_stop(folder: Path) -> bool:
    """Whether a job was made to stop."""
    return (folder / "stop").exists()


def remove_traces(folder: Path, *, keep_results: bool) -> None:
    """Remove what only a running job needs, and what it made unless that is to be kept."""
    for leftover in (folder / "segments", folder / "windows", folder / "scratch", *folder.glob(f"{HELPING}*")):
        shutil.rmtree(leftover, ignore_errors=True)
    for file in (
        folder / "progress.json",
        folder / "stop",
        folder / "resumed",
        *_numbered(folder, PREVIEWS),
        *_numbered(folder, FINISHED),
        *folder.glob(".*.part"),
    ):
        _try_to_remove(file)
    if not keep_results:
        _try_to_remove(folder / "result.json")
        shutil.rmtree(results_folder(folder), ignore_errors=True)


def _try_to_remove(file: Path) -> None:
    """Remove a file if that can be done; a disk that can only be read must not keep a job from ending."""
    with suppress(OSError):
        file.unlink()


def _numbered(folder: Path, name: str) -> list[Path]:
    return sorted(folder.glob(name.format("*")))


def _next_number(folder: Path, name: str) -> Path:
    """Return the path of a new name: a browser may still be loading the file before."""
    shown = _numbered(folder, name)
    return folder / name.format(f"{int(shown[-1].stem.partition('-')[2]) + 1 if shown else 1:04}")
