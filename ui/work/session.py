"""One browser's work: in memory while it is used, and in a folder of its own for when the browser comes back."""

import logging
import os
import re
import secrets
import shutil
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from threading import Lock, RLock, Thread
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from weakref import WeakValueDictionary

from videograin.errors import ProjectError, VideoGrainError
from videograin.files.atomic import write_whole
from videograin.files.dataclass_json import from_json, to_json
from videograin.jobs.store import owner_digest
from videograin.jobs.suggest import FoundOnFrame
from videograin.media.appearance import looks_like_photograph
from videograin.media.video import Clip, load_clip
from videograin.project.objects import with_words_of
from videograin.project.workspace import MarkedObject, Workspace
from videograin.project.workspace_files import load_workspace, save_workspace
from videograin.region import EditSettings

if TYPE_CHECKING:
    from ui.work.pointing import Answers
    from videograin.segment.segmenter import Segmenter

AWAITED = "awaited.json"

ID = re.compile(r"[\w-]{32}")
"""Shape of a session's id: 24 random bytes in base64, unguessable; whoever has it has the session."""

KEPT_BYTES = 2 * 2**30
"""What sessions may hold in memory unless `Sessions` is told otherwise."""

PAST = "past"
"""Folder of the states that undo leads to, while a session is not in memory."""

PUT_AWAY_UNDO = 10
"""States for undo that outlive a session's time in memory."""

UNDO_BYTES = 256 * 2**20
"""What the earlier states of one session may hold in masks, roughly."""

MAX_UNDO = 50

NO_CLIP = "There is no clip yet. Upload one, or take an example."

NOT_SAVED = (
    "This could not be saved: the disk of this server is full or cannot be written. Your work is as it was before; try "
    "again later."
)

OVER = "This session is over; work is deleted after a while. Load the page again."
UNKNOWN_PAGE = "The studio was started again, or this page is not loaded yet. Load the page again; your work is there."

BUSY = "A clip or file of yours is still being read or written. Wait until that has ended, then try again."

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AwaitedJobs:
    """The jobs whose masks a session awaits, empty where there is none, and the work's reserved numbers for them."""

    tracking: str = ""
    suggesting: str = ""
    reserved: int = 0


@dataclass(eq=False)
class Session:
    """The work of one browser.

    Attributes:
        id: secret of this browser; jobs belong to it.
        folder: where the work is kept.
        lock: held while the work is read and changed.
        work: the clip, its objects and the words; None before a clip is chosen.
        clip: its frames; None before a clip is chosen.
        frame: that is shown, counted from 0.
        selected: id of the object that further clicks refine; None begins a new one.
        answers: to the latest click that a segmenter answered (`pointing.other_answer`).
        tracking: id of the job whose masks are awaited; empty where there is none.
        suggesting: id of the job that suggests objects, while one does.
        model: that was chosen before there is a clip; empty takes the default.
        settings: for that model, from a link or the page; None takes its own.
        chosen_segmenter: that was chosen before there is a clip; empty takes the one that goes with the model.
        is_photograph: whether the clip was filmed rather than drawn, as far as it shows.
        caption: of what the clip shows now, as the page has put it in.
        wants_captions: whether a captioner was asked for; where it is not on this machine, it is offered for download.
        wanted_finder: name of the finder that was asked for, whose download is offered in the same way; empty for none.
        found: objects that were found by their names and wait to be taken.
        typed: words that are being typed and not taken yet, by their objects' ids.
        segmenter: of this clip; made by the first click.
        past, future: states of the work that undo and redo lead to.
        long_work: held while a clip or file is read or written for this session (`one_at_a_time`).
    """

    id: str
    folder: Path
    lock: RLock = field(default_factory=RLock)
    work: Workspace | None = None
    clip: Clip | None = None
    frame: int = 0
    selected: int | None = None
    answers: "Answers | None" = None
    tracking: str = ""
    suggesting: str = ""
    model: str = ""
    settings: EditSettings | None = None
    chosen_segmenter: str = ""
    is_photograph: bool = False
    caption: str = ""
    wants_captions: bool = False
    wanted_finder: str = ""
    found: FoundOnFrame | None = None
    typed: dict[int, str] = field(default_factory=dict)
    segmenter: "Segmenter | None" = None
    past: list[Workspace] = field(default_factory=list)
    future: list[Workspace] = field(default_factory=list)
    long_work: Lock = field(default_factory=Lock)

    @property
    def opened_work(self) -> Workspace:
        """The work on the clip that is open.

        Raises:
            ProjectError: no clip has been chosen.
        """
        if self.work is None:
            raise ProjectError(NO_CLIP)
        return self.work

    @property
    def opened_clip(self) -> Clip:
        """The clip that is open.

        Raises:
            ProjectError: none has been chosen.
        """
        if self.clip is None:
            raise ProjectError(NO_CLIP)
        return self.clip

    @property
    def object(self) -> MarkedObject | None:
        """The object that is selected."""
        objects = self.work.objects if self.work else ()
        return next((each for each in objects if each.id == self.selected), None)

    def open(self, work: Workspace, clip: Clip) -> None:
        """Start to work on a clip; the work before is gone.

        Raises:
            ProjectError: it cannot be saved; then the work before is still there.
        """
        with self._as_before_unless_saved():
            self.work, self.clip = work, clip
            self.is_photograph = looks_like_photograph(clip.frames)
            self.frame, self.answers, self.segmenter, self.found = 0, None, None, None
            self.selected = work.objects[-1].id if work.objects else None
            self.tracking = self.suggesting = self.caption = ""
            self.past, self.future = [], []
        shutil.rmtree(self.folder / PAST, ignore_errors=True)  # were they put away, those are of the clip before

    def change(self, work: Workspace) -> None:
        """Take a step that can be undone, unless nothing changes.

        Raises:
            ProjectError: it cannot be saved; then it was not taken.
        """
        before, clip = self.opened_work, self.opened_clip
        if (work, work.masks) == (before, before.masks):
            return
        steps = max(3, min(MAX_UNDO, UNDO_BYTES // clip.frames[..., 0].size))
        with self._as_before_unless_saved():
            self.past, self.future = [*self.past, before][-steps:], []
            self._show(work)

    def set_words(self, work: Workspace) -> None:
        """Change parts that undo leaves alone: names that were found, words and settings.

        Raises:
            ProjectError: they cannot be saved; then they are as before.
        """
        if work != self.work:
            with self._as_before_unless_saved():
                self.work = work

    def undo(self) -> None:
        """Go back one step, if there is one."""
        self._move(self.past, self.future)

    def redo(self) -> None:
        """Take back the latest undoing, if there was one."""
        self._move(self.future, self.past)

    def save(self) -> None:
        """Write the work to its folder.

        Raises:
            ProjectError: it cannot be written.
        """
        try:
            save_workspace(self.opened_work, self.folder)
            awaited = AwaitedJobs(self.tracking, self.suggesting, self.opened_work.reserved)
            write_whole(self.folder / AWAITED, to_json(awaited))
        except (ProjectError, OSError) as error:
            raise ProjectError(NOT_SAVED) from error

    def restore(self) -> None:
        """Read the work from its folder, if there is some; a work that cannot be read is lost and logged."""
        if not (self.folder / "project.json").is_file():
            return
        try:
            work = load_workspace(self.folder).workspace
            self.clip = load_clip(work.clip, work.clip_options)
            self.is_photograph = looks_like_photograph(self.clip.frames)
            self.work = work
            self.selected = work.objects[-1].id if work.objects else None
            awaited = from_json((self.folder / AWAITED).read_bytes(), AwaitedJobs)
            self.tracking, self.suggesting = awaited.tracking, awaited.suggesting
            self.work = replace(work, reserved=awaited.reserved)
            self.past = [load_workspace(state).workspace for state in sorted((self.folder / PAST).glob("*/"))]
            shutil.rmtree(self.folder / PAST, ignore_errors=True)  # from here on in memory, or it would grow old
        except (VideoGrainError, OSError):
            log.exception("session not readable")

    def put_away(self) -> None:
        """Write the states that undo leads to beside the work, since this object is about to be dropped."""
        with self.lock:
            shutil.rmtree(self.folder / PAST, ignore_errors=True)
            try:
                for number, state in enumerate(self.past[-PUT_AWAY_UNDO:]):
                    save_workspace(state, self.folder / PAST / f"{number:02}")
            except (ProjectError, OSError):
                log.exception("steps for undo not kept")

    @property
    def held_bytes(self) -> int:
        """What the frames and the states for undo hold in memory, roughly."""
        if self.clip is None:
            return 0
        frames = self.clip.frames
        return frames.nbytes + (len(self.past) + len(self.future)) * frames[..., 0].size

    def _move(self, source: list[Workspace], target: list[Workspace]) -> None:
        if source:
            latest = self.opened_work
            with self._as_before_unless_saved():
                self._show(with_words_of(source[-1], latest))
            source.pop()
            target.append(latest)

    def _show(self, work: Workspace) -> None:
        self.work = work
        if self.object is None:
            self.selected = work.objects[-1].id if work.objects else None

    @contextmanager
    def _as_before_unless_saved(self) -> Iterator[None]:
        """Save what the block changes, or take it back."""
        before = dict(vars(self))
        try:
            yield
            self.save()
        except Exception:
            vars(self).update(before)
            raise


def one_at_a_time(work: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Refuse to do long work of a session, which is one of the arguments, while other long work of it is done."""

    @wraps(work)
    def alone(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        session = next(each for each in args if isinstance(each, Session))
        if not session.long_work.acquire(blocking=False):
            raise ProjectError(BUSY)
        try:
            return work(*args, **kwargs)
        finally:
            session.long_work.release()

    return alone


class Sessions:
    """All browsers' sessions by their ids; a session can be reached by its id alone.

    Those in use are found in memory as long as anyone holds them, so that there are never two of one id; others stay
    there while there is room.

    Args:
        root: folder that holds a folder for each.
        kept_bytes: what those that are not in use may hold in memory; others are read from their folders again.
    """

    def __init__(self, root: Path, kept_bytes: int = KEPT_BYTES) -> None:
        self._root, self._kept_bytes = root, kept_bytes
        self._alive: WeakValueDictionary[str, Session] = WeakValueDictionary()
        self._kept: OrderedDict[str, Session] = OrderedDict()  # the one that was asked for last at the end
        self._turns: WeakValueDictionary[str, Lock] = WeakValueDictionary()  # to read a session
        self._lock = Lock()

    def create(self) -> Session:
        """Begin a session.

        Raises:
            ProjectError: its folder cannot be made.
        """
        session_id = secrets.token_urlsafe(24)
        folder = self._folder(session_id)
        try:
            folder.mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise ProjectError(NOT_SAVED) from error
        return self._remember(Session(session_id, folder))

    def find(self, session_id: str) -> Session:
        """Return the session of an id.

        Raises:
            ProjectError: there is none.
        """
        with self._lock:
            session, turn = self._alive.get(session_id), self._turns.setdefault(session_id, Lock())
        if session is None:
            if not ID.fullmatch(session_id) or not self._folder(session_id).is_dir():
                raise ProjectError(OVER if session_id else UNKNOWN_PAGE)
            session = self._restored(session_id, turn)
        with suppress(OSError):  # a disk that cannot be written may still be read
            os.utime(session.folder)  # its age counts from its last use
        return self._remember(session)

    def find_or_create(self, session_id: str | None) -> Session:
        """Return the session of an id that a browser had kept, or a new one where it is over."""
        try:
            return self.find(session_id or "")
        except ProjectError:
            return self.create()

    def is_in_memory(self, session_id: str) -> bool:
        """Whether a session's work is at hand, without being read again."""
        with self._lock:
            return session_id in self._alive

    def purge(self, max_age: float) -> None:
        """Delete the sessions that were not used for `max_age` seconds."""
        oldest = time.time() - max_age
        for folder in self._root.glob("*/"):
            if folder.stat().st_mtime < oldest:
                self._forget(folder)
                shutil.rmtree(folder, ignore_errors=True)

    def _restored(self, session_id: str, turn: Lock) -> Session:
        with turn:  # of several requests that need it at once the first one reads it
            with self._lock:
                session = self._alive.get(session_id)
            if session is None:
                session = Session(session_id, self._folder(session_id))
                session.restore()
                session = self._remember(session)
        return session

    def _forget(self, folder: Path) -> None:
        with self._lock:
            for each in [each for each in self._alive.values() if each.folder == folder]:
                del self._alive[each.id]
                self._kept.pop(each.id, None)

    def _remember(self, session: Session) -> Session:
        dropped = []
        with self._lock:
            session = self._alive.setdefault(session.id, session)
            self._kept[session.id] = session
            self._kept.move_to_end(session.id)
            held = sum(each.held_bytes for each in self._kept.values())
            while held > self._kept_bytes and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                held -= oldest.held_bytes
                dropped.append(oldest)
        for each in dropped:
            if each.past:  # it is alive, and found, until that has ended
                Thread(target=each.put_away, daemon=True).start()
        return session

    def _folder(self, session_id: str) -> Path:
        return self._root / owner_digest(session_id)
