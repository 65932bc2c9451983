"""What a clip shows now, proposed: by the names of its objects, or by a captioner that knows photographs."""

from threading import Lock
from typing import TYPE_CHECKING

from ui.work.naming import caption
from ui.work.session import Session
from videograin.errors import ModelError, RegionError
from videograin.models.bundles import find_bundle
from videograin.models.catalog import captioner_entry, size_words

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
        if not entry.is_installed and self._offline:
            raise ModelError(
                f"A filmed clip is described by {entry.title}, which is not on this machine, and this studio is kept "
                "off the network. Name the objects in step 2, or write the caption yourself."
            )
        if not entry.is_installed:
            session.wants_captions = True
            raise ModelError(
                f"A filmed clip is described by {entry.title}, which is not on this machine yet. Press 'Download' "
                f"first: it takes {size_words(entry.size)}. Or name the objects in step 2."
            )
        frames = session.opened_clip.frames
        return self._load().describe(frames[len(frames) // 2])

    def _load(self) -> "Captioner":
        from videograin.models.captioner import Captioner  # BLIP's classes take a second to import

        with self._lock:
            if self._captioner is None:
                self._captioner = Captioner.load(offline=True)
            return self._captioner
