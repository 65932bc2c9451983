"""The segmenters that answer clicks and follow: loaded once, shared by all sessions, beside the worker's queue."""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from threading import Lock, Thread
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from ui.work.session import Session
from videograin.device import device_name
from videograin.errors import VideoGrainError
from videograin.jobs.executor import is_zero_gpu
from videograin.jobs.limits import check_segmenter
from videograin.jobs.settings import OperatorSettings
from videograin.models.segmenters import default_segmenter, in_order
from videograin.segment.names import reads_strokes
from videograin.tracking.propagator import Engine

if TYPE_CHECKING:
    from videograin.segment.model import EmbeddingCache, SegmentModel
    from videograin.segment.segmenter import Segmenter

KEPT_MODELS = 2
"""Segmenters whose weights stay in memory: one for drawings and one for photographs."""

Loaded = TypeVar("Loaded")


class Segmenting:
    """A process's segmenters.

    Args:
        settings: the operator's segmenters and device.

    Attributes:
        device: where they run; None is the best there is.
        offered: the segmenters that may be chosen, in the order in which they are tried.
    """

    def __init__(self, settings: OperatorSettings) -> None:
        self._lock = Lock()
        self._encoding: set[str] = set()  # ids of the sessions of which a frame is being encoded ahead
        self._settings = settings
        # A GPU is lent to jobs alone; clicks are answered without one.
        self.device = "cpu" if is_zero_gpu() else settings.device or None
        self.offered = in_order(settings.segmenters, device_name(self.device))
        self._models: Shelf[SegmentModel] = Shelf(KEPT_MODELS)
        self._engines: Shelf[Engine] = Shelf(KEPT_MODELS)

    @property
    def embeddings(self) -> "EmbeddingCache":
        """What segmenters have seen, of all sessions."""
        return self._embeddings

    @cached_property
    def _embeddings(self) -> "EmbeddingCache":
        from videograin.engine import EmbeddingCache

        return EmbeddingCache()

    def name_for(self, session: Session) -> str:
        """Return the segmenter that marks a session's clip: that chosen, or else the one that goes with its model."""
        chosen = session.work.segmenter if session.work else session.chosen_segmenter
        model = session.work.model if session.work else session.model
        if chosen in self.offered:
            return chosen
        return default_segmenter(model or self._settings.models[0], self.offered)

    def model(self, name: str) -> "SegmentModel":
        """Return a segmenter's weights, loading them if need be.

        Raises:
            ModelError: it is not offered, not on this machine, or cannot be loaded.
        """
        from videograin.engine import load_segmenter

        check_segmenter(name, self._settings)
        return self._models.get(name, lambda: load_segmenter(name, self.device, offline=True))

    def engine(self, name: str) -> Engine:
        """Return what follows objects with a segmenter; errors as in `model`."""
        from videograin.engine import FlowEngine, has_video_memory, load_engine

        check_segmenter(name, self._settings)
        if not has_video_memory(name):
            return FlowEngine(self.model(name), self.embeddings)  # the weights that answer clicks
        return self._engines.get(name, lambda: load_engine(name, self.device, offline=True))

    def segmenter(self, session: Session) -> "Segmenter":
        """Return the segmenter of a session's clip."""
        from videograin.engine import Segmenter

        name = self.name_for(session)
        if session.segmenter is None or session.segmenter.model.name != name:
            session.segmenter = Segmenter(self.model(name), self.embeddings)
        return session.segmenter

    def ready_segmenter(self, session: Session) -> "Segmenter | None":
        """Return a segmenter that answers clicks on the frame that is shown at once; None where it would take longer.

        It is one of its own, so that no other question about the clip waits for its answer. A frame that is not encoded
        yet is from now on.
        """
        name = self.name_for(session)
        if reads_strokes(name):  # it computes everything again for each click
            return None
        from videograin.engine import Segmenter

        model = self.model(name)
        frame = session.opened_clip.frames[session.frame]
        if self.embeddings.holds(model, frame):
            return Segmenter(model, self.embeddings)
        self.encode_ahead(session)
        return None

    def encode_ahead(self, session: Session) -> None:
        """Begin to encode the frame that is shown; of all that are shown until one is encoded, the latest is next."""
        with self._lock:
            is_first = session.id not in self._encoding
            self._encoding.add(session.id)
        if is_first:
            Thread(target=self._encode_shown, args=(session,), daemon=True).start()

    def encode(self, session: Session, frame: np.ndarray) -> None:
        """Encode a frame (H, W, 3) uint8 RGB of a session's clip before the first click on it."""
        self.embeddings.features(self.model(self.name_for(session)), frame)

    def _encode_shown(self, session: Session) -> None:
        encoded = None
        try:  # one that is not on this machine yet is told by the first click
            with suppress(VideoGrainError):
                while (shown := (session.opened_clip, session.frame)) != encoded:
                    self.encode(session, shown[0].frames[shown[1]])
                    encoded = shown
        finally:
            with self._lock:
                self._encoding.remove(session.id)


class Shelf(Generic[Loaded]):
    """What was loaded by name; the least recently used goes first.

    Args:
        size: how much is kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[str, Loaded] = OrderedDict()
        self._locks: dict[str, Lock] = {}
        self._lock = Lock()

    def get(self, name: str, load: Callable[[], Loaded]) -> Loaded:
        """Return what has a name, loading it if need be; others are not held up meanwhile."""
        with self._lock:
            loading = self._locks.setdefault(name, Lock())
        with loading:
            loaded = self._kept.get(name) or load()
            with self._lock:
                self._kept[name] = loaded
                self._kept.move_to_end(name)
                if len(self._kept) > self._size:
                    self._kept.popitem(last=False)
            return loaded
