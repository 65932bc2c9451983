"""Which windows a clip is edited in, and which anchors each of them sees.

Attention over all frames costs the square of their number. In windows of a fixed length, which see a fixed number of
anchors besides, a clip of any length costs its length; and a window follows from the clip and the seed alone, so that
windows may be computed in any order, on any machine, or again after a crash.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from videograin.media.shot_cuts import shot_starts
from videograin.region import AttentionMode, EditRequest

LEAST_CAP = 4
"""Anchors that a frame of any window may see: as many as are the default."""

LANDMARKS_SHARE = 0.5
"""Part of the anchors that a frame sees, where it sees some of many, that all frames of its shot see."""

PLACES = 2
"""The windows of a shot are a multiple of this: two GPUs then finish together, where of 13 one would make 7. On one GPU
that costs nothing: what one more overlap takes is less than what attention in shorter windows saves."""


@dataclass(frozen=True)
class Window:
    """Consecutive frames that are denoised together.

    Attributes:
        start, stop: the frames, `stop` excluded.
        overlap: how many of its first frames the window before has as well.
        next_overlap: how many of its last frames the window after has as well.
        anchors: frames of the same shot that all its frames see besides, landmarks first; none where the shot is one
            window.
        landmarks: anchors that all windows of the shot see, and its other anchors as well; none where all anchors see
            one another.
        is_edited: whether it is denoised at all; where no edited region is seen it is the source.
    """

    start: int
    stop: int
    overlap: int = 0
    next_overlap: int = 0
    anchors: tuple[int, ...] = ()
    landmarks: tuple[int, ...] = ()
    is_edited: bool = True

    @property
    def frames(self) -> range:
        """The frames that are denoised."""
        return range(self.start, self.stop)

    @property
    def is_alone(self) -> bool:
        """Whether it begins the clip, meets no other window and sees nothing else: the whole clip or its first shot."""
        return not (self.start or self.anchors or self.next_overlap)

    @property
    def near_anchors(self) -> tuple[int, ...]:
        """Its anchors without the landmarks."""
        return self.anchors[len(self.landmarks) :]


def plan_windows(
    visible: np.ndarray, length: int, anchors: int, overlap: int, shots: Sequence[int] = (0,)
) -> list[Window]:
    """Divide a clip into windows of nearly equal length.

    A clip that fits in one window is one window, whatever cuts it has. In a longer one, no window and no anchor
    crosses a cut. Its windows are shorter by the anchors that they see besides (`own_length`). Of more anchors than
    `seen_anchors` each window sees that number: landmarks, spread over the shot, and those nearest to it.

    Args:
        visible: (R, F) bool, which edited regions each frame shows; anchors are spread over those that show any.
        length: most frames that see one another.
        anchors: most anchors of a shot.
        overlap: frames that neighbouring windows share, at most so that no frame belongs to three.
        shots: frames at which a shot begins, ascending from 0.
    """
    frames = visible.shape[1]
    if frames <= length:
        return [Window(0, frames)]
    return [
        window
        for first, stop in pairwise([*shots, frames])
        for window in _shot_windows(first, stop, length, overlap, _shot_anchors(visible, first, stop, anchors))
    ]


def own_length(length: int, anchors: int) -> int:
    """Return the most frames of a window beside some anchors, at least half of the `length` that see one another.

    So no forward of a long clip attends to more, or takes longer or more memory, than that of a clip of this length.
    """
    return max(length - anchors, -(-length // 2))


def seen_anchors(length: int) -> int:
    """Return how many anchors a frame sees at most: they leave a window half of the `length` that see one another.

    Attention costs the square of the frames that see one another, so that all anchors of an hour could not.
    """
    return max(length // 2, LEAST_CAP)


def request_windows(request: EditRequest) -> list[Window]:
    """Return the windows of an edit: one where its settings ask for none, or where its clip fits in one."""
    settings, frames = request.settings, len(request.frames)
    if settings.attention_mode != AttentionMode.WINDOWS or frames <= settings.window_frames:
        return [Window(0, frames)]
    visible = np.stack([region.masks.any(axis=(1, 2)) for region in request.regions if region.is_edited])
    windows = plan_windows(
        visible,
        settings.window_frames,
        settings.anchor_frames,
        settings.window_overlap,
        shot_starts(request.frames),
    )
    if not settings.blend_background:
        return windows
    return [
        window
        if visible[:, window.start : window.stop].any()
        else replace(window, anchors=(), landmarks=(), is_edited=False)
        for window in windows
    ]


def part_sizes(windows: Sequence[Window], finished: int) -> list[int]:
    """Return the frames that the parts of an edit denoise: each window, and before it anchors that it is the first to
    see.

    Args:
        windows: of the whole clip.
        finished: how many of them are done; they are the first parts, and their anchors are none.
    """
    sizes = [len(window.frames) * window.is_edited for window in windows]
    anchors = anchor_sets(windows[finished:])
    parts = sizes[:finished]
    for size, own in zip(sizes[finished:], anchors, strict=True):
        parts += [*map(len, own), size]
    return parts


def anchor_sets(windows: Sequence[Window]) -> list[list[tuple[int, ...]]]:
    """Return, for each window, the sets of anchors to denoise before it: its landmarks, then the others, unless the
    window before it that has any has the same."""
    sets: list[list[tuple[int, ...]]] = []
    landmarks, near = (), ()
    for window in windows:
        fresh = [window.landmarks] if window.landmarks and window.landmarks != landmarks else []
        if window.anchors and (fresh or window.near_anchors != near):
            fresh.append(window.near_anchors)
        if window.anchors:
            landmarks, near = window.landmarks, window.near_anchors
        sets.append(fresh)
    return sets


def _shot_windows(first: int, stop: int, length: int, overlap: int, anchors: tuple[int, ...]) -> list[Window]:
    if stop - first <= length:
        return [Window(first, stop)]
    landmarks, groups = _grouped(anchors, seen_anchors(length))
    length = own_length(length, len(landmarks) + max(map(len, groups)))
    overlap = _fitting_overlap(stop - first, length, overlap)
    count = _window_count(stop - first, length, overlap)
    whole, longer = divmod(stop - first + (count - 1) * overlap, count)
    windows: list[Window] = []
    start = first
    for number in range(count):
        end = start + whole + (number < longer)
        before, after = (overlap if is_joined else 0 for is_joined in (number > 0, number < count - 1))
        near = min(groups, key=lambda group: abs(sum(group) / max(1, len(group)) - (start + end) / 2))
        windows.append(Window(start, end, before, after, landmarks + near, landmarks))
        start = end - overlap
    return windows


def _fitting_overlap(frames: int, length: int, wanted: int) -> int:
    """Return the largest overlap up to the one wanted of which every window of a shot, be it shorter than the `length`
    to be as long as the others, has two without a frame in both."""
    return next(
        overlap
        for overlap in range(min(wanted, (length - 1) // 2), -1, -1)
        if _shortest(frames, _window_count(frames, length, overlap), overlap) >= 2 * overlap
    )


def _shortest(frames: int, count: int, overlap: int) -> int:
    """Return the frames of the shortest of some windows that share a shot."""
    return (frames + (count - 1) * overlap) // count


def _window_count(frames: int, length: int, overlap: int) -> int:
    """Return in how many windows a shot is edited: as few as can be, made a multiple of `PLACES` where that leaves each
    as long as its two overlaps together, and with a frame."""
    fewest = -(-(frames - overlap) // (length - overlap))
    count = -(-fewest // PLACES) * PLACES
    return count if _shortest(frames, count, overlap) >= max(1, 2 * overlap) else fewest


def _grouped(anchors: tuple[int, ...], most: int) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Divide anchors in ascending order, of which a window sees `most`: into landmarks and groups of the others."""
    if len(anchors) <= most:
        return (), [anchors]
    parts = np.array_split(anchors, int(most * LANDMARKS_SHARE))
    landmarks = tuple(int(part[len(part) // 2]) for part in parts)
    others = [anchor for anchor in anchors if anchor not in landmarks]
    groups = np.array_split(others, -(-len(others) // (most - len(landmarks))))
    return landmarks, [tuple(group.tolist()) for group in groups]


def _shot_anchors(visible: np.ndarray, first: int, stop: int, count: int) -> tuple[int, ...]:
    return tuple(first + frame for frame in _spread(visible[:, first:stop], count))


def _spread(visible: np.ndarray, count: int) -> list[int]:
    """Return the anchors of a shot: as many as are wanted of the frames that show a region, or all where they are few.

    Each comes from one of `count` equal parts of those frames: the one that shows the most regions which no anchor
    before it shows, of such the most regions in all, of such the one nearest to the middle of its part.

    Args:
        visible: (R, F) bool, which regions each frame of the shot shows.
        count: how many at most.
    """
    seen = np.flatnonzero(visible.any(axis=0))
    chosen: list[int] = []
    lacking = np.ones(len(visible), bool)
    for part in np.array_split(seen, count) if len(seen) > count > 0 else seen[:count, None]:
        shown = visible[:, part]
        off_middle = np.abs(np.arange(len(part)) - len(part) // 2)
        best = np.lexsort((off_middle, -shown.sum(axis=0), -shown[lacking].sum(axis=0)))[0]
        chosen.append(int(part[best]))
        lacking &= ~shown[:, best]
    return chosen
