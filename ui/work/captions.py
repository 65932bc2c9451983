"""What a clip shows now, proposed: by the names of its objects, or by a captioner that knows photographs."""

from threading import Lock
from typing import TYPE_CHECKING

from ui.work.naming import caption
from ui.work.session import Session
from videograin.errors import RegionError
from videograin.jobs.download import check_here
from videograin.models.bundles import find_bundle
from videograin.models.catalog import captioner_entry

if TYPE_CHECKING:
    from videograin.models.captioner import Captioner

NO_NAMES = (
    "A caption is made of the objects' names, and none has one yet. Name the objects in step 2, or write the caption "
    "yourself."
)


class Captions:
    """The captioner of this process, loaded when it is first asked.

    Args:
        offline: whether it cannot be downloaded either.
    """

    def __init__(self, offline: bool = False) -> None:
        self._offline = offline
        self._captioner: Captioner | None = None
        self._lock = Lock()

    def propose(self, session: Session) -> str:
        """Return a caption of a session's clip: of its objects' names, in photographs without any by the captioner.

        Raises:
            RegionError: no object has a name yet, and the model is for drawings.
            ModelError: the captioner is not on this machine; unless the studio is kept off the network, the session is
                offered its download from now on.
        """
        if found := caption(session.opened_work):
            return found
        if not find_bundle(session.opened_work.model).knows_photographs:
            raise RegionError(NO_NAMES)
        entry = captioner_entry()
        session.wants_captions = not self._offline
        check_here(
            entry,
            f"A filmed clip is described by {entry.title}, which",
            "name the objects in step 2, or write the caption yourself",
            offline=self._offline,
        )
        frames = session.opened_clip.frames
        return self._load().describe(frames[len(frames) // 2])

    def _load(self) -> "Captioner":
        from videograin.models.captioner import Captioner  # BLIP's classes take a second to import

        with self._lock:
            if self._captioner is None:
                self._captioner = Captioner.load(offline=True)
            return self._captioner
