"""Where one object is in every frame of a clip, as plain data that can be saved and shown on a time line."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

import numpy as np

from videograin.errors import TrackingError
from videograin.region import MAX_REGIONS

NESTED_SHARE = 0.6
"""Share of the smaller of two marked masks that the larger must cover for them to be part and whole."""

UNSURE = 0.5
"""Confidence below which the user is asked to check a mask."""


class FrameState(StrEnum):
    """State of an object's mask in one frame."""

    UNTRACKED = "untracked"  # never followed, or not since the last correction: the mask is the older one, if any
    VISIBLE = "visible"
    UNCERTAIN = "uncertain"  # there is a mask, but the user should check it
    ABSENT = "absent"  # hidden, out of the picture, or lost
    BEYOND_CUT = "beyond_cut"  # in another shot than every frame that was marked


@dataclass(frozen=True, eq=False)
class Track:
    """One object through the clip.

    Attributes:
        masks: (F, H, W) bool.
        confidence: (F,) float32 in [0, 1]; of an absent object, that it is absent.
        states: one for each frame.
        anchors: frames whose masks the user made or corrected, ascending; they are never overwritten.

    Raises:
        TrackingError: shapes or dtypes that do not belong together.
    """

    masks: np.ndarray
    confidence: np.ndarray
    states: tuple[FrameState, ...]
    anchors: tuple[int, ...]

    def __post_init__(self) -> None:
        masks, frames = self.masks, len(self.masks)
        if masks.ndim != 3 or masks.dtype != np.bool_:
            raise TrackingError(
                f"Masks have shape {masks.shape} and dtype {masks.dtype}; pass (frames, height, width) bool."
            )
        if self.confidence.shape != (frames,) or len(self.states) != frames:
            raise TrackingError(
                f"There are {self.confidence.shape} confidences and {len(self.states)} states for {frames} frames; "
                "give one of each for every frame."
            )
        if any(not 0 <= anchor < frames for anchor in self.anchors):
            raise TrackingError(f"Anchors are frames {self.anchors} of {frames}; count from 0.")

    @classmethod
    def untracked(cls, shape: tuple[int, int, int]) -> Self:
        """Return a track of (F, H, W) of which nothing is known yet."""
        frames = shape[0]
        empty = np.zeros(frames, np.float32)
        return cls(np.zeros(shape, bool), empty, (FrameState.UNTRACKED,) * frames, ())

    def corrected(self, frame: int, mask: np.ndarray, confidence: float = 1.0) -> Self:
        """Make `mask` (H, W) bool the anchor of a frame; frames up to the neighbouring anchors become untracked.

        Its confidence is 1 for a brushed mask, and the segmenter's for an answer to clicks.
        """
        outdated = self._outdated(frame)
        masks, confidences = self.masks.copy(), self.confidence.copy()
        masks[frame], confidences[frame] = mask, confidence
        states = _changed(outdated.states, {frame: state_of(mask, confidence)})
        return replace(outdated, masks=masks, confidence=confidences, states=states, anchors=self._with(frame))

    def released(self, frame: int) -> Self:
        """Make an anchor a frame like any other, which waits to be followed with those around it."""
        outdated = self._outdated(frame)
        anchors = tuple(anchor for anchor in self.anchors if anchor != frame)
        return replace(outdated, states=_changed(outdated.states, {frame: FrameState.UNTRACKED}), anchors=anchors)

    def is_known(self, frame: int) -> bool:
        """Return whether the mask of a frame is up to date."""
        return self.states[frame] not in (FrameState.UNTRACKED, FrameState.BEYOND_CUT)

    def _with(self, frame: int) -> tuple[int, ...]:
        return tuple(sorted({*self.anchors, frame}))

    def _outdated(self, frame: int) -> Self:
        before = bisect_left(self.anchors, frame)
        after = bisect_right(self.anchors, frame)
        start = self.anchors[before - 1] + 1 if before else 0
        stop = self.anchors[after] if after < len(self.anchors) else len(self.masks)
        waiting = {t: FrameState.UNTRACKED for t in range(start, stop) if t != frame}
        return replace(self, states=_changed(self.states, waiting))


def state_of(mask: np.ndarray, confidence: float) -> FrameState:
    """Return the state of a frame with this mask (H, W) bool and confidence in [0, 1]."""
    if not mask.any():
        return FrameState.ABSENT
    return FrameState.VISIBLE if confidence >= UNSURE else FrameState.UNCERTAIN


def _changed(states: tuple[FrameState, ...], changes: Mapping[int, FrameState]) -> tuple[FrameState, ...]:
    return tuple(changes.get(t, state) for t, state in enumerate(states))


@dataclass(frozen=True)
class Leg:
    """One object's way from a frame whose mask is known, over the frames after it in either direction.

    Attributes:
        name: identifies the object within the clip.
        start: frame whose mask is known, counted from 0.
        stop: first frame that is not followed any more; less than `start` on the way back.
    """

    name: str
    start: int
    stop: int

    @property
    def frames(self) -> range:
        """The frames to follow the object in, in their order, without `start`."""
        direction = 1 if self.stop > self.start else -1
        return range(self.start + direction, self.stop, direction)


def visited(legs: Sequence[Leg]) -> list[int]:
    """Return the frames that legs of one direction lead over, in its order."""
    frames = sorted({t for leg in legs for t in leg.frames})
    return frames if legs[0].stop > legs[0].start else frames[::-1]


@dataclass(frozen=True, eq=False)
class Estimate:
    """An engine's estimate of one object in one frame.

    Attributes:
        logits: (H, W) float32 log-odds that a pixel is the object's; nowhere positive where it is absent.
        confidence: in [0, 1], of the mask or of the absence.
    """

    logits: np.ndarray
    confidence: float


def check_mask(mask: np.ndarray, name: str, size: tuple[int, int]) -> None:
    """Raise TrackingError unless `mask` is (H, W) bool of the clip's size."""
    if mask.shape != size or mask.dtype != np.bool_:
        raise TrackingError(
            f"The mask of '{name}' has shape {mask.shape} and dtype {mask.dtype}, but the clip's frames are {size} "
            "(height, width). Pass a bool mask made on this clip."
        )


def check_count(count: int) -> None:
    """Raise TrackingError unless `count` objects can be followed together."""
    if not count:
        raise TrackingError("There is nothing to follow. Click on an object in one frame first.")
    if count > MAX_REGIONS:
        raise TrackingError(f"There are {count} objects; at most {MAX_REGIONS} can be followed. Remove some.")


def nested_pairs(tracks: Mapping[str, Track]) -> frozenset[tuple[str, str]]:
    """Return the pairs, in both orders, of which one is a part of the other: they may share pixels.

    Judged on the frames in which either of the two is marked.
    """
    names = list(tracks)
    pairs = {(a, b) for i, a in enumerate(names) for b in names[:i] if _is_nested(tracks[a], tracks[b])}
    return frozenset(pairs | {(b, a) for a, b in pairs})


def _is_nested(first: Track, second: Track) -> bool:
    for t in {*first.anchors, *second.anchors}:
        if first.is_known(t) and second.is_known(t):
            one, other = first.masks[t], second.masks[t]
            smaller = min(np.count_nonzero(one), np.count_nonzero(other))
            if smaller and np.count_nonzero(one & other) > NESTED_SHARE * smaller:
                return True
    return False


def compete(
    logits: Mapping[str, np.ndarray], nested: frozenset[tuple[str, str]], blocked: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Give each pixel to the object that claims it most, except that part and whole share theirs.

    Args:
        logits: (H, W) float32 log-odds of each object.
        nested: of `nested_pairs`.
        blocked: (H, W) bool, pixels of other objects whose masks stand.

    Returns:
        (H, W) bool for each object in `logits`.
    """
    masks = {}
    for name, claim in logits.items():
        mask = claim > 0
        for other, rival in logits.items():
            if other != name and (name, other) not in nested:
                mask &= claim >= rival if other not in masks else claim > rival  # of equal claims the first wins
        for other, taken in blocked.items():
            if (name, other) not in nested:
                mask &= ~taken
        masks[name] = mask
    return masks
