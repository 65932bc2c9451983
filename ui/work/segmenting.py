"""The segmenter that answers clicks: loaded once, shared by all sessions, beside the worker's queue."""

from threading import Lock

import numpy as np

from ui.work.session import Session
from videograin.jobs.executor import is_zero_gpu
from videograin.jobs.settings import OperatorSettings
from videograin.segment.model import EmbeddingCache, SegmentModel
from videograin.segment.segmenter import Segmenter
from videograin.segment.zoo import DEFAULT_SEGMENTER, load_segmenter


class Segmenting:
    """A process's segmenter.

    Args:
        settings: the operator's device, and whether hubs may be asked.
    """

    def __init__(self, settings: OperatorSettings) -> None:
        self.embeddings = EmbeddingCache()
        self._offline = settings.offline
        # A GPU is lent to jobs alone; clicks are answered without one.
        self._device = "cpu" if is_zero_gpu() else settings.device or None
        self._model: SegmentModel | None = None
        self._loading = Lock()

    def model(self) -> SegmentModel:
        """Return the weights, loading them if need be."""
        with self._loading:
            if self._model is None:
                self._model = load_segmenter(DEFAULT_SEGMENTER, self._device, offline=self._offline)
            return self._model

    def segmenter(self, session: Session) -> Segmenter:
        """Return the segmenter of a session's clip."""
        if session.segmenter is None:
            session.segmenter = Segmenter(self.model(), self.embeddings)
        return session.segmenter

    def encode(self, frame: np.ndarray) -> None:
        """Encode a frame (H, W, 3) uint8 RGB before the first click on it."""
        self.embeddings.features(self.model(), frame)
