"""Which windows a clip is edited in, and which anchors each of them sees.

Attention over all frames costs the square of their number. In windows of a fixed length, which see a fixed number of
anchors besides, a clip of any length costs its length; and a window follows from the clip and the seed alone, so that
windows may be computed in any order, on any machine, or again after a crash.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from videograin.media.shot_cuts import shot_starts
from videograin.region import AttentionMode, EditRequest

FRAME_SEED_FACTOR = 1_000_003
"""A prime that keeps the seeds of the frames of neighbouring seeds apart."""

MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class Window:
    """Consecutive frames that are denoised together.

    Attributes:
        start, stop: the frames, `stop` excluded.
        overlap: how many of its first frames the window before has as well.
        next_overlap: how many of its last frames the window after has as well.
        anchors: frames of the same shot that all its frames see besides; none where the shot is one window.
    """

    start: int
    stop: int
    overlap: int = 0
    next_overlap: int = 0
    anchors: tuple[int, ...] = ()

    @property
    def frames(self) -> range:
        """The frames that are denoised."""
        return range(self.start, self.stop)

    @property
    def is_whole_clip(self) -> bool:
        """Whether it is alone: nothing overlaps it and it sees nothing else."""
        return not (self.start or self.anchors or self.next_overlap)


def plan_windows(
    visible: Sequence[bool] | np.ndarray, length: int, anchors: int, overlap: int, shots: Sequence[int] = (0,)
) -> list[Window]:
    """Divide a clip into windows of nearly equal length.

    A clip that fits in one window is one window, whatever cuts it has. In a longer one, no window and no anchor
    crosses a cut.

    Args:
        visible: for each frame, whether an edited region can be seen; anchors are chosen among those, evenly spread.
        length: most frames of a window.
        anchors: most anchors of a shot.
        overlap: frames that neighbouring windows share, at most so that no frame belongs to three.
        shots: frames at which a shot begins, ascending from 0.
    """
    frames = len(visible)
    if frames <= length:
        return [Window(0, frames)]
    overlap = min(overlap, (length - 1) // 2)
    return [
        window
        for first, stop in pairwise([*shots, frames])
        for window in _shot_windows(first, stop, length, overlap, _spread(visible, first, stop, anchors))
    ]


def request_windows(request: EditRequest) -> list[Window]:
    """Return the windows of an edit: one where its settings ask for none, or where its clip fits in one."""
    settings, frames = request.settings, len(request.frames)
    if settings.attention_mode != AttentionMode.WINDOWS or frames <= settings.window_frames:
        return [Window(0, frames)]
    edited = [region.masks.any(axis=(1, 2)) for region in request.regions if region.is_edited]
    return plan_windows(
        np.any(edited, axis=0),
        settings.window_frames,
        settings.anchor_frames,
        settings.window_overlap,
        shot_starts(request.frames),
    )


def noise_source(
    seed: int, generator: torch.Generator | None, window: Window
) -> torch.Generator | list[torch.Generator]:
    """Return one source of noise for a clip of one window, or one for each frame, whatever the window."""
    if window.is_whole_clip:
        return generator or torch.Generator().manual_seed(seed)
    return frame_generators(generator.initial_seed() if generator else seed, window.frames)


def frame_generators(seed: int, frames: Sequence[int]) -> list[torch.Generator]:
    """Return a source of noise for each frame, by its number in the clip: the same in every window that has it."""
    seeds = [(seed * FRAME_SEED_FACTOR + frame) % MAX_SEED for frame in frames]
    return [torch.Generator().manual_seed(each) for each in seeds]


def _shot_windows(first: int, stop: int, length: int, overlap: int, anchors: tuple[int, ...]) -> list[Window]:
    if stop - first <= length:
        return [Window(first, stop)]
    count = -(-(stop - first - overlap) // (length - overlap))
    whole, longer = divmod(stop - first + (count - 1) * overlap, count)
    windows: list[Window] = []
    start = first
    for number in range(count):
        end = start + whole + (number < longer)
        before, after = (overlap if is_joined else 0 for is_joined in (number > 0, number < count - 1))
        windows.append(Window(start, end, before, after, anchors))
        start = end - overlap
    return windows


def _spread(visible: Sequence[bool] | np.ndarray, first: int, stop: int, count: int) -> tuple[int, ...]:
    """Return the middles of `count` equal parts of the frames that are visible, or all of these where they are few."""
    seen = first + np.flatnonzero(visible[first:stop])
    if len(seen) <= count:
        return tuple(map(int, seen))
    return tuple(int(seen[(2 * i + 1) * len(seen) // (2 * count)]) for i in range(count))
