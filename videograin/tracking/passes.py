"""Plan which frames are followed from where, and merge the estimates of frames that are reached from both sides."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import numpy as np

from videograin.media.shot_cuts import shot_of
from videograin.tracking.tracks import Estimate, FrameState, Leg, Track, compete, nested_pairs, state_of

_LEVELS = 4  # steps per unit of log-odds: ± 32 in one byte, while a frame waits for the pass from the other side

_MIN_CONFIDENCE = 1e-3  # keeps the weights of two estimates of which neither is believed from being 0 / 0

_AGREED = 0.5  # factor on the confidence where the masks from both sides have no pixel in common


@dataclass(frozen=True)
class Plan:
    """The work on a clip: one pass in each direction.

    Attributes:
        forward, backward: legs of each pass, at most one an object that covers a frame.
        kept: frames of each object whose estimates are kept; the others only lead there.
        beyond_cut: frames of each object that no known frame leads to.
    """

    forward: tuple[Leg, ...]
    backward: tuple[Leg, ...]
    kept: Mapping[str, frozenset[int]]
    beyond_cut: Mapping[str, frozenset[int]]

    @property
    def visits(self) -> int:
        """Frames visited in both passes together."""
        return len(_frames_of(self.forward)) + len(_frames_of(self.backward))


def plan(tracks: Mapping[str, Track], wanted: range, starts: tuple[int, ...]) -> Plan:
    """Plan how the untracked frames of a range are reached from those that are known.

    Args:
        tracks: to be followed.
        wanted: frames to be followed, counted from 0.
        starts: frames at which a shot begins.
    """
    forward, backward, kept, beyond = [], [], {}, {}
    for name, track in tracks.items():
        waiting = [t for t in wanted if track.states[t] is FrameState.UNTRACKED]
        known = [t for t in range(len(track.masks)) if track.is_known(t)]
        kept[name] = frozenset(waiting)
        unreachable = []
        for (low, high), run in groupby(waiting, partial(_known_around, known, starts, len(track.masks))):
            frames = list(run)
            if low is not None:
                forward.append(Leg(name, low, frames[-1] + 1))
            if high is not None:
                backward.append(Leg(name, high, frames[0] - 1))
            if low is None and high is None:
                unreachable += frames
        beyond[name] = frozenset(unreachable)
    return Plan(tuple(forward), tuple(backward), kept, beyond)


class Passes:
    """Collect the estimates of both passes and make tracks of them.

    Args:
        planned: frames that each pass follows, and those that stay as they are.
        tracks: all objects of the clip as they are before it.
    """

    def __init__(self, planned: Plan, tracks: Mapping[str, Track]) -> None:
        self._plan, self._tracks = planned, tracks
        self._nested = nested_pairs(tracks)
        self._awaited = _frames_of(planned.backward)
        self._first: dict[int, dict[str, Estimate]] = {}
        self._done = {name: _Draft(tracks[name]) for name in planned.kept}

    def take_forward(self, frame: int, estimates: Mapping[str, Estimate]) -> None:
        """Take the estimates of a frame that was reached from an earlier one; all of these come first."""
        estimates = self._from_start(frame, estimates, self._plan.forward)
        if frame in self._awaited:
            self._first[frame] = {name: _packed(estimate) for name, estimate in estimates.items()}
        else:
            self._resolve(frame, estimates)

    def take_backward(self, frame: int, estimates: Mapping[str, Estimate]) -> None:
        """Take the estimates of a frame that was reached from a later one, and merge them with those from before."""
        estimates = self._from_start(frame, estimates, self._plan.backward)
        first = {name: _unpacked(estimate) for name, estimate in self._first.pop(frame, {}).items()}
        both = {name: self._merged(name, frame, first[name], estimates[name]) for name in first.keys() & estimates}
        self._resolve(frame, {**first, **estimates, **both})

    def finished(self) -> dict[str, Track]:
        """Return the tracks that were worked on."""
        for name, frames in self._plan.beyond_cut.items():
            for frame in frames:
                self._done[name].set(frame, None, 0.0, FrameState.BEYOND_CUT)
        return {name: draft.track() for name, draft in self._done.items()}

    def _from_start(self, frame: int, estimates: Mapping[str, Estimate], legs: Sequence[Leg]) -> dict[str, Estimate]:
        """Multiply each confidence with that of the mask from which its leg started."""
        starts = {leg.name: leg.start for leg in legs if frame in leg.frames}
        known = {name: float(self._tracks[name].confidence[starts[name]]) for name in estimates}
        return {name: replace(e, confidence=e.confidence * known[name]) for name, e in estimates.items()}

    def _merged(self, name: str, frame: int, before: Estimate, behind: Estimate) -> Estimate:
        """Average two estimates, weighted by their confidence and by the nearness of their starts."""
        from_before = next(leg for leg in self._plan.forward if leg.name == name and frame in leg.frames)
        from_behind = next(leg for leg in self._plan.backward if leg.name == name and frame in leg.frames)
        # The nearer a start, the larger its weight: the distance to the other one.
        one = (before.confidence + _MIN_CONFIDENCE) * (from_behind.start - frame)
        other = (behind.confidence + _MIN_CONFIDENCE) * (frame - from_before.start)
        share = one / (one + other)
        mean = share * before.confidence + (1 - share) * behind.confidence
        doubt = _AGREED + (1 - _AGREED) * _overlap(before.logits > 0, behind.logits > 0)
        return Estimate(share * before.logits + (1 - share) * behind.logits, mean * doubt)

    def _resolve(self, frame: int, estimates: Mapping[str, Estimate]) -> None:
        """Let all objects of a frame compete, and write the masks of those whose plan keeps this frame."""
        standing = {
            name: track.masks[frame]
            for name, track in self._tracks.items()
            if name not in estimates and track.is_known(frame)
        }
        logits = {name: estimate.logits for name, estimate in estimates.items()}
        for name, mask in compete(logits, self._nested, standing).items():
            if frame in self._plan.kept[name]:
                confidence = estimates[name].confidence
                self._done[name].set(frame, mask, confidence, state_of(mask, confidence))


class _Draft:
    """A track in the making."""

    def __init__(self, track: Track) -> None:
        self._track = track
        self._masks, self._confidence = track.masks.copy(), track.confidence.copy()
        self._states = list(track.states)

    def set(self, frame: int, mask: np.ndarray | None, confidence: float, state: FrameState) -> None:
        """Write one frame; no mask is an empty one."""
        self._masks[frame] = False if mask is None else mask
        self._confidence[frame] = np.clip(confidence, 0, 1)
        self._states[frame] = state

    def track(self) -> Track:
        """Return the finished track."""
        return replace(self._track, masks=self._masks, confidence=self._confidence, states=tuple(self._states))


def _known_around(
    known: Sequence[int], starts: tuple[int, ...], frames: int, frame: int
) -> tuple[int | None, int | None]:
    """Return the nearest of the known frames, ascending, before and behind one that is not, in its shot."""
    shot = shot_of(frame, starts, frames)
    place = bisect_left(known, frame)
    low = known[place - 1] if place and known[place - 1] >= shot.start else None
    high = known[place] if place < len(known) and known[place] < shot.stop else None
    return low, high


def _frames_of(legs: Sequence[Leg]) -> frozenset[int]:
    return frozenset(t for leg in legs for t in leg.frames)


def _packed(estimate: Estimate) -> Estimate:
    levels = np.clip(np.rint(estimate.logits * _LEVELS), -127, 127)
    return replace(estimate, logits=levels.astype(np.int8))


def _unpacked(estimate: Estimate) -> Estimate:
    return replace(estimate, logits=estimate.logits.astype(np.float32) / _LEVELS)


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Return the IoU of two masks; 1 where both are empty."""
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 1.0
