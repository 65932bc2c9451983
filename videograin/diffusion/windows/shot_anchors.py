"""The anchors that windows see, denoised when the first window asks for them and kept as long as others do."""

from collections.abc import Callable

from videograin.diffusion.windows.anchors import Anchors
from videograin.diffusion.windows.clip_edit import ClipEdit
from videograin.diffusion.windows.plan import Window
from videograin.progress import Report


class ShotAnchors:
    """What is held of the shot that is being edited: its landmarks, and the other anchors near the latest window.

    Args:
        edit: denoises them.
        next_report: begins a part of the work, as which a set of anchors counts.
    """

    def __init__(self, edit: ClipEdit, next_report: Callable[[], Report]) -> None:
        self._edit, self._next_report = edit, next_report
        self._landmarks: Anchors | None = None
        self._near: Anchors | None = None

    def seen_by(self, window: Window) -> Anchors | None:
        """Return the anchors that a window sees; None where it sees none."""
        if not window.anchors:
            return None
        if self._near is None or self._near.shown != window.anchors:
            self._near = None  # so that the banks of two sets are never held together
            self._landmarks = self._landmarks_of(window)
            share = len(window.near_anchors) / len(window.anchors)
            self._near = self._edit.denoise_anchors(window.near_anchors, self._next_report(), self._landmarks, share)
        return self._near

    def _landmarks_of(self, window: Window) -> Anchors | None:
        if self._landmarks is not None and self._landmarks.frames == window.landmarks:
            return self._landmarks
        self._landmarks = None
        if not window.landmarks:
            return None
        share = len(window.landmarks) / len(window.anchors)
        return self._edit.denoise_anchors(window.landmarks, self._next_report(), share=share)
