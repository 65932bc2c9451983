"""One browser's work: in memory while it is used, and in a folder of its own for when the browser comes back."""

import logging
import re
import secrets
import shutil
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, RLock

import numpy as np

from videograin.errors import ProjectError, VideoGrainError
from videograin.jobs.store import owner_digest
from videograin.media.appearance import looks_like_photograph
from videograin.media.video import Clip, load_clip
from videograin.project.objects import with_words_of
from videograin.project.workspace import MarkedObject, Workspace
from videograin.project.workspace_files import load_workspace, save_workspace
from videograin.segment.segmenter import Segmenter

ID = re.compile(r"[\w-]{32}")
"""Shape of a session's id: 24 random bytes in base64, unguessable; whoever has it has the session."""

KEPT_IN_MEMORY = 16
"""Sessions whose frames stay decoded; others are read from their folders again."""

UNDO_BYTES = 256 * 2**20
"""What the earlier states of one session may hold in masks, roughly."""

MAX_UNDO = 50

NO_CLIP = "There is no clip yet. Upload one, or take an example."

log = logging.getLogger(__name__)


@dataclass
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
        answers: masks (H, W) that the latest click may have meant, the smallest first.
        answer: which of them was taken.
        tracking: id of the job whose masks are awaited; empty where there is none.
        suggesting: id of the job that suggests objects, while one does.
        model: that was chosen before there is a clip; empty takes the default.
        chosen_segmenter: that was chosen before there is a clip; empty takes the one that goes with the model.
        is_photograph: whether the clip was filmed rather than drawn, as far as it shows.
        caption: of what the clip shows now, as the page has put it in.
        segmenter: of this clip; made by the first click.
    """

    id: str
    folder: Path
    lock: RLock = field(default_factory=RLock)
    work: Workspace | None = None
    clip: Clip | None = None
    frame: int = 0
    selected: int | None = None
    answers: tuple[np.ndarray, ...] = ()
    answer: int = 0
    tracking: str = ""
    suggesting: str = ""
    model: str = ""
    chosen_segmenter: str = ""
    is_photograph: bool = False
    caption: str = ""
    segmenter: Segmenter | None = None
    past: list[Workspace] = field(default_factory=list)
    future: list[Workspace] = field(default_factory=list)

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
        """Start to work on a clip; the work before is gone."""
        self.work, self.clip = work, clip
        self.is_photograph = looks_like_photograph(clip.frames)
        self.frame, self.answers, self.answer, self.segmenter = 0, (), 0, None
        self.selected = work.objects[-1].id if work.objects else None
        self.tracking = self.suggesting = self.caption = ""
        self.past.clear()
        self.future.clear()
        self.save()

    def change(self, work: Workspace) -> None:
        """Take a step that can be undone."""
        before, clip = self.opened_work, self.opened_clip
        self.past.append(before)
        steps = max(3, min(MAX_UNDO, UNDO_BYTES // clip.frames[..., 0].size))
        del self.past[:-steps]
        self.future.clear()
        self._show(work)

    def set_words(self, work: Workspace) -> None:
        """Change parts that undo leaves alone: names that were found, words and settings."""
        if work != self.work:
            self.work = work
            self.save()

    def undo(self) -> None:
        """Go back one step, if there is one."""
        self._move(self.past, self.future)

    def redo(self) -> None:
        """Take back the latest undoing, if there was one."""
        self._move(self.future, self.past)

    def save(self) -> None:
        """Write the work to its folder."""
        save_workspace(self.opened_work, self.folder)
        (self.folder / "tracking").write_text(self.tracking)

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
            self.tracking = (self.folder / "tracking").read_text()
        except (VideoGrainError, OSError):
            log.exception("session not readable")

    def _move(self, source: list[Workspace], target: list[Workspace]) -> None:
        if source:
            latest = self.opened_work
            target.append(latest)
            self._show(with_words_of(source.pop(), latest))

    def _show(self, work: Workspace) -> None:
        self.work = work
        if self.object is None:
            self.selected = work.objects[-1].id if work.objects else None
        self.save()


class Sessions:
    """All browsers' sessions by their ids; a session can be reached by its id alone.

    Args:
        root: folder that holds a folder for each.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lock = Lock()

    def create(self) -> Session:
        """Begin a session."""
        session_id = secrets.token_urlsafe(24)
        folder = self._folder(session_id)
        folder.mkdir(parents=True, mode=0o700)
        return self._remember(Session(session_id, folder))

    def find(self, session_id: str) -> Session:
        """Return the session of an id.

        Raises:
            ProjectError: there is none.
        """
        if not ID.fullmatch(session_id) or not self._folder(session_id).is_dir():
            raise ProjectError("This session is over; work is deleted after a while. Load the page again.")
        with self._lock:
            session = self._sessions.get(session_id)
        if session is None:
            session = Session(session_id, self._folder(session_id))
            session.restore()
        session.folder.touch()  # its age counts from its last use
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
            return session_id in self._sessions

    def purge(self, max_age: float) -> None:
        """Delete the sessions that were not used for `max_age` seconds."""
        oldest = time.time() - max_age
        for folder in self._root.glob("*/"):
            if folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)

    def _remember(self, session: Session) -> Session:
        with self._lock:
            session = self._sessions.setdefault(session.id, session)
            self._sessions.move_to_end(session.id)
            if len(self._sessions) > KEPT_IN_MEMORY:
                self._sessions.popitem(last=False)
        return session

    def _folder(self, session_id: str) -> Path:
        return self._root / owner_digest(session_id)
