"""One object while it is tracked: its mask, its motion and the views that are remembered of it.

`TrackedObject.advance` moves the object into the next frame; `TrackedObject.update` then takes the mask that the engine
decided on as the object's new state. An agreement is the likeness of colours in [0, 1] between the object's remembered
appearance and a frame; the thresholds on it were fitted on generated clips with known masks.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from videograin.media.flow import optical_flow, warp
from videograin.tracking.object_memory import (
    LIMIT,
    UNMOVED,
    Agreement,
    Memory,
    Picture,
    Transform,
    View,
    compose,
    inverse,
    moved,
)
from videograin.tracking.object_motion import lay_over, refine, register, search, shift, step_by_flow
from videograin.tracking.sam_opinion import Opinion

RECOGNISED = 0.5
"""Agreement above which an object is recognised in a place."""

FOUND = 0.6
"""Agreement above which a place found by search or by features is accepted: chance matches must not pass."""

LOST = 0.4
"""Agreement below which an object that has not been recognised for `PATIENCE` frames is given up."""

NO_DRIFT = 0.96
"""Agreement above which drift is not checked for: the place can hardly be better."""

DRIFTED = 0.02
"""Gain in agreement at which the place of the oldest view replaces the present one."""

FITTING = 0.4
"""Fit above which a view of another marked frame is accepted in a place."""

COVERED = 0.5
"""Likeness above which a pixel counts as covered by a view."""

FLOW_BONUS = 0.05
"""Handicap in agreement of the constant velocity against flow, which has seen this frame."""

SEARCH_MARGIN = 0.05
"""An object is searched for while it is recognised by less than this: better a search too many than a wrong place."""

SEARCH_GAIN = 0.1
"""Gain in agreement that a place found by search must bring, for search tries many places and one may fit by chance."""

REFINEMENT_LOSS = 0.01
"""Loss of agreement that a refinement may cost: corners place the object better than colours can tell."""

MIN_SEEN_SHARE = 0.05
"""Share of the object's area that must be expected in view for it to be recognised."""

MIN_KNOWN_SHARE = 0.3
"""Share of the object's area that is enough to judge its place by, and to remember it by a new view."""

AREA_DECAY = 0.9
"""The remembered area shrinks by at most this factor a frame: an object behind a post is not a smaller object."""

ABSENCE_CONFIDENCE = 0.5
"""Confidence that an object without a mask is absent; it may as well have been missed."""

MIN_EXPECTED = 40
"""Pixels by which a place can be judged."""

MIN_VISIBLE = 20
"""Pixels of a mask below which it is a speck."""

PATIENCE = 2
"""Frames for which an object that is not recognised keeps its mask."""

VELOCITY_STEPS = 4
"""Steps whose mean is the velocity."""


class FramePair:
    """A frame, the frame before it, and the optical flow between them.

    Attributes:
        picture: the present frame.
        before: the frame before it in the direction of tracking.
        forward: (2, H, W) float32 flow from `before` to `picture`, in pixels.
        backward: (2, H, W) float32 flow from `picture` to `before`.
        lost: (H, W) bool, pixels of the frame before that this one does not show.
        new: (H, W) bool, pixels of this frame that the one before does not show.
    """

    def __init__(self, before: Picture, picture: Picture) -> None:
        self.before, self.picture = before, picture
        flow = optical_flow(np.stack([before.frame, picture.frame]))
        self.forward, self.backward = flow.forward[0], flow.backward[0]
        self.lost, self.new = flow.forward_occluded[0], flow.backward_occluded[0]


@dataclass(frozen=True)
class Place:
    """The estimated place of an object after a step.

    Attributes:
        step: transform from the frame before.
        agreement: of its appearance with the frame there.
        was_searched: whether it was found by a search over the whole frame.
    """

    step: Transform
    agreement: Agreement
    was_searched: bool = False


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that was found about one object in one frame.

    Attributes:
        place: its estimated place.
        opinion: SAM's, or None where it was not asked.
        mask: (H, W) bool, the pixels that it won.
        claim: (H, W) float32, its own log-odds.
        rival: (H, W) float32, the largest log-odds of any other object, at least 0.
    """

    place: Place
    opinion: Opinion | None
    mask: np.ndarray
    claim: np.ndarray
    rival: np.ndarray


@dataclass(eq=False)
class TrackedObject:
    """The state of one object in the last frame; changes with every frame.

    Attributes:
        memory: its views.
        mask: (H, W) bool in the last frame.
        logits: (H, W) float32 of that mask within ± `LIMIT`.
        area: pixels that it covered when most of it was visible.
        velocity: (2,) as (x, y) in pixels a frame.
        unseen: frames since it was recognised.
    """

    memory: Memory
    mask: np.ndarray
    logits: np.ndarray
    area: int
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    unseen: int = 0
    _steps: list[np.ndarray] = field(default_factory=list)

    @classmethod
    def starting(cls, picture: Picture, mask: np.ndarray, taken: np.ndarray, others: Iterable[View]) -> "TrackedObject":
        """Start from a known mask.

        Args:
            picture: frame of the mask.
            mask: (H, W) bool; empty where the object is known to be absent.
            taken: (H, W) bool, pixels of other objects, behind which this one may continue.
            others: views of other marked frames, placed where their place is roughly known.
        """
        seen = replace(View.of_mask(picture, mask, is_anchor=True), known=~taken | mask, to_present=UNMOVED)
        if not mask.any():
            views = [view.at(None) for view in others] or [seen.at(None)]  # a mark too small for the reduced frame
            return cls(Memory(views), mask, seen.logits, 0, unseen=PATIENCE + 1)
        memory = Memory([*(_aligned(view, seen, taken) for view in others), seen])
        return cls(memory, mask, seen.logits, int(mask.sum()))

    @property
    def is_lost(self) -> bool:
        """Whether it has not been recognised for more than `PATIENCE` frames."""
        return self.unseen > PATIENCE

    def carried_by(self, pair: FramePair) -> np.ndarray:
        """Return the log-odds (H, W) of the last mask as flow carries them to this frame."""
        return warp(self.logits, pair.backward)

    def advance(self, pair: FramePair, hidden: np.ndarray) -> Place:
        """Move to the next frame.

        Args:
            pair: the next frame, with the flow from the present one.
            hidden: (H, W) bool, pixels of other objects.
        """
        origin = self.memory.origin
        # 1. Predict the place by flow or by constant velocity, and search the whole frame where both fail.
        place = self._predicted(pair, hidden)
        self.memory.move(place.step)
        if self._is_missing(place.agreement):
            place = self._searched(pair.picture, hidden, place)
        # 2. Correct it by corners, and by the oldest view, which has not drifted.
        place = self._refined(pair.picture, hidden, place)
        place = self._without_drift(pair.picture, hidden, place)
        # 3. Use views whose place was unknown until now, and learn the velocity.
        self._place_other_views(pair.picture, hidden)
        self._update_velocity(origin, place)
        return place

    def recognised(self, agreement: Agreement) -> bool:
        """Return whether this agreement means that the object is there."""
        enough = max(MIN_EXPECTED, MIN_SEEN_SHARE * self.area)
        return agreement.share > RECOGNISED and agreement.expected > enough

    def update(self, picture: Picture, evidence: Evidence) -> float:
        """Take the evidence as the present state and return the confidence in it, 0 to 1."""
        agreement, area = evidence.place.agreement, int(evidence.mask.sum())
        is_recognised = self.recognised(agreement)
        self.unseen = 0 if is_recognised else self.unseen + 1
        is_gone = not is_recognised and agreement.expected < MIN_VISIBLE  # wholly hidden, or out of the picture
        if area < MIN_VISIBLE or is_gone or (self.is_lost and agreement.share < LOST):
            self.mask, self.logits = np.zeros_like(evidence.mask), np.full_like(self.logits, -LIMIT)
            return ABSENCE_CONFIDENCE
        self.mask = evidence.mask
        self.logits = np.clip(evidence.claim - evidence.rival, -LIMIT, LIMIT)
        if is_recognised and agreement.share > FOUND and area > max(MIN_EXPECTED, MIN_KNOWN_SHARE * self.area):
            hidden = (evidence.rival > 0) & ~evidence.mask
            self.memory.add(View(picture, self.logits, ~hidden, is_anchor=False, to_present=UNMOVED))
            self.area = max(int(AREA_DECAY * self.area), area)
        return agreement.share * (1.0 if evidence.opinion is None else evidence.opinion.trust)

    def _predicted(self, pair: FramePair, hidden: np.ndarray) -> Place:
        """Return the better of the places that flow and constant velocity lead to."""
        by_velocity = self._after(shift(*self.velocity), pair.picture, hidden)
        step = step_by_flow(self.mask, pair.forward, pair.lost)
        if step is None:
            return by_velocity
        by_flow = self._after(step, pair.picture, hidden)
        return by_flow if by_flow.agreement.share + FLOW_BONUS > by_velocity.agreement.share else by_velocity

    def _after(self, step: Transform, picture: Picture, hidden: np.ndarray) -> Place:
        return Place(step, self.memory.appearance(step).agreement(picture, hidden))

    def _is_missing(self, agreement: Agreement) -> bool:
        """Return whether to search for it: it is lost, or not recognised although most of it should be visible."""
        if self.is_lost or agreement.whole < MIN_KNOWN_SHARE * self.area:
            return not self.recognised(agreement)
        return agreement.share < RECOGNISED + SEARCH_MARGIN and agreement.expected > MIN_KNOWN_SHARE * self.area

    def _searched(self, picture: Picture, hidden: np.ndarray, predicted: Place) -> Place:
        """Return the first place by search that agrees clearly better than the predicted one, else the latter."""
        for view, transform in search(self.memory, picture, hidden):
            found = Memory([view.at(transform)]).appearance().agreement(picture, hidden)
            if self.recognised(found) and found.share > max(predicted.agreement.share + SEARCH_GAIN, FOUND):
                step = predicted.step
                if view.is_placed:
                    step = compose(compose(transform, inverse(view.transform)), step)
                self.memory.place(view, transform)
                return Place(step, found, was_searched=True)
        return predicted

    def _refined(self, picture: Picture, hidden: np.ndarray, place: Place) -> Place:
        """Return the place after a small correction, where that agrees as well."""
        if place.agreement.expected <= MIN_EXPECTED:
            return place
        correction = refine(self.memory, picture, hidden)
        if correction is None:
            return place
        agreement = self.memory.appearance(correction).agreement(picture, hidden)
        if agreement.share < place.agreement.share - REFINEMENT_LOSS:
            return place
        self.memory.move(correction)
        return replace(place, step=compose(correction, place.step), agreement=agreement)

    def _without_drift(self, picture: Picture, hidden: np.ndarray, place: Place) -> Place:
        """Return the place of the oldest view by its features, where that shows that the newer views drifted."""
        placed = self.memory.placed
        if place.agreement.share > NO_DRIFT or place.agreement.expected < MIN_KNOWN_SHARE * self.area or not placed:
            return place
        oldest = placed[0]
        found = register(oldest, picture, ~hidden)
        if found is None:
            return place
        there = Memory([oldest.at(found)]).appearance().agreement(picture, hidden)
        here = Memory([oldest]).appearance().agreement(picture, hidden)
        if there.share < max(here.share, place.agreement.share) + DRIFTED:
            return place
        correction = compose(found, inverse(oldest.transform))
        self.memory.correct(correction)
        return replace(place, step=compose(correction, place.step), agreement=there)

    def _place_other_views(self, picture: Picture, hidden: np.ndarray) -> None:
        """Place views whose place was unknown, once their features lead to the object that is visible."""
        present = self.memory.appearance().shape
        for view in self.memory.views:
            found = None if view.is_placed or not present.any() else register(view, picture, ~hidden)
            if found is not None:
                appearance = Memory([view.at(found)]).appearance()
                agreement = appearance.agreement(picture, hidden)
                covered = np.count_nonzero(appearance.shape & present) / np.count_nonzero(present)
                if self.recognised(agreement) and min(agreement.share, covered) > FOUND:
                    self.memory.join(view, found)

    def _update_velocity(self, origin: np.ndarray, place: Place) -> None:
        """Average the last steps; a hidden object keeps its velocity, one that was lost and found begins at rest."""
        if place.was_searched and self.is_lost:
            self._steps = []
        elif self.recognised(place.agreement):
            self._steps = [*self._steps, moved(place.step, origin) - origin][-VELOCITY_STEPS:]
        else:
            return
        self.velocity = np.mean(self._steps, axis=0) if self._steps else np.zeros(2)


def _aligned(view: View, seen: View, taken: np.ndarray) -> View:
    """Return a view placed so that it fits what another view `seen` shows, or nowhere.

    Where less than half of the object is visible, a poor fit does not refute the place that the view already has.
    """
    places = [UNMOVED, view.to_present, register(view, seen.picture, seen.visible)]
    placed = [view.at(place) for place in places if place is not None]
    placed += [view.at(lay_over(guess, seen, taken)) for guess in placed]
    best = max(placed, key=lambda view: _fit(view, seen, taken))
    if _fit(best, seen, taken) > FITTING:
        return best
    is_sliver = 2 * np.count_nonzero(seen.visible) < np.count_nonzero(view.visible)
    return view if is_sliver else view.at(None)


def _fit(view: View, seen: View, taken: np.ndarray) -> float:
    """Return in [0, 1] how much of the visible object a placed view covers in its colours, and how little else."""
    appearance = Memory([view]).appearance()
    same = appearance.fit(seen.picture)
    covered = float(same[seen.visible].mean())
    wrongly = np.count_nonzero((same > COVERED) & ~seen.visible & ~taken)
    return covered * (1 - wrongly / max(1, np.count_nonzero(appearance.shape)))
