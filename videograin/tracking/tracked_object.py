"""One object while it is followed: where it is, how it moves, and what is remembered of it."""

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
"""Agreement from which an object is where it is thought to be."""

FOUND = 0.6
"""Agreement from which a place found by search is believed."""

SETTLED = 0.96
"""Agreement from which nobody looks for drift."""

DRIFTED = 0.02
"""Agreement by which another place is better, so that the present one is given up."""

FITTING = 0.4
"""Fit from which a view of another frame is believed to lie right."""

MIN_EXPECTED = 40  # pixels that a place can be judged by
MIN_VISIBLE = 20  # pixels of a mask that is no speck
PATIENCE = 2  # frames for which an object that is not recognised keeps its mask
LOST = 0.4  # agreement under which an object that was not recognised for a while is given up
HABIT = 4  # steps that make a velocity


class Moment:
    """One frame and what leads to it from the frame before.

    Attributes:
        picture: the frame.
        before: the frame before.
        forward: (2, H, W) float32, from there to here, in pixels.
        backward: (2, H, W) float32, from here to there.
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
    """Where an object is thought to be after a step.

    Attributes:
        step: transform from the frame before.
        agreement: of its looks with the frame there.
        by_flow: whether flow led there, so that what flow carries over can be believed.
        was_searched: whether it was found by looking everywhere.
    """

    step: Transform
    agreement: Agreement
    by_flow: bool = False
    was_searched: bool = False


@dataclass(frozen=True, eq=False)
class Witness:
    """What was found about one object in one frame.

    Attributes:
        place: where it was thought to be.
        opinion: SAM's, or None where it was not asked.
        mask: (H, W) bool, the pixels that it won.
        claim: (H, W) float32, its own log-odds.
        rival: (H, W) float32, the largest log-odds of any other thing, at least 0.
    """

    place: Place
    opinion: Opinion | None
    mask: np.ndarray
    claim: np.ndarray
    rival: np.ndarray


@dataclass(eq=False)
class Followed:
    """One object on its way; changes with every frame.

    Attributes:
        memory: its views.
        mask: (H, W) bool in the last frame.
        logits: (H, W) float32 of that mask within ± `LIMIT`.
        area: pixels that it covered when most of it was seen.
        velocity: (2,) pixels a frame.
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
    def starting(cls, picture: Picture, mask: np.ndarray, taken: np.ndarray, others: Iterable[View]) -> "Followed":
        """Begin with a mask that is known.

        Args:
            picture: the frame.
            mask: (H, W) bool; empty where the object is known to be absent.
            taken: (H, W) bool, pixels of other things, under which the object may go on.
            others: views of the frames that a person marked, placed where somebody has an idea of where they lie.
        """
        seen = replace(View.of_mask(picture, mask, is_anchor=True), known=~taken | mask, to_present=UNMOVED)
        if not mask.any():
            others = [view.at(None) for view in others]
            return cls(Memory(others), mask, seen.logits, 0, unseen=PATIENCE + 1)
        memory = Memory([*(_aligned(view, seen, taken) for view in others), seen])
        return cls(memory, mask, seen.logits, int(mask.sum()))

    @property
    def is_lost(self) -> bool:
        """Whether nobody has known for a while where it is."""
        return self.unseen > PATIENCE

    def carried_by(self, moment: Moment) -> np.ndarray:
        """Return the log-odds (H, W) of the last mask as flow carries them to this frame."""
        return warp(self.logits, moment.backward)

    def advance(self, moment: Moment, hidden: np.ndarray) -> Place:
        """Move to the next frame.

        Args:
            moment: the frame.
            hidden: (H, W) bool, pixels of other things.
        """
        origin = self.memory.origin
        place = self._usual_place(moment, hidden)
        self.memory.move(place.step)
        if self._is_missing(place.agreement):
            place = self._searched(moment.picture, hidden, place)
        place = self._refined(moment.picture, hidden, place)
        place = self._without_drift(moment.picture, hidden, place)
        self._recollect(moment.picture, hidden)
        self._learn_habit(origin, place)
        return place

    def recognised(self, agreement: Agreement) -> bool:
        """Whether so much agreement means that the object is there."""
        enough = max(MIN_EXPECTED, 0.05 * self.area)
        return agreement.share > RECOGNISED and agreement.expected > enough

    def settle(self, picture: Picture, witness: "Witness") -> float:
        """Take what was found as the present state and return the confidence in it."""
        agreement, area = witness.place.agreement, int(witness.mask.sum())
        is_recognised = self.recognised(agreement)
        self.unseen = 0 if is_recognised else self.unseen + 1
        is_gone = not is_recognised and agreement.expected < MIN_VISIBLE  # wholly hidden, or out of the picture
        if area < MIN_VISIBLE or is_gone or (self.is_lost and agreement.share < LOST):
            self.mask, self.logits = np.zeros_like(witness.mask), np.full_like(self.logits, -LIMIT)
            return 0.5
        self.mask = witness.mask
        self.logits = np.clip(witness.claim - witness.rival, -LIMIT, LIMIT)
        if is_recognised and agreement.share > FOUND and area > max(MIN_EXPECTED, 0.3 * self.area):
            hidden = (witness.rival > 0) & ~witness.mask
            self.memory.add(View(picture, self.logits, ~hidden, is_anchor=False, to_present=UNMOVED))
            self.area = max(int(0.9 * self.area), area)
        return agreement.share * (1.0 if witness.opinion is None else witness.opinion.trust)

    def _usual_place(self, moment: Moment, hidden: np.ndarray) -> Place:
        """Return the better of the places that flow and habit lead to."""
        habit = self._after(shift(*self.velocity), moment.picture, hidden)
        step = step_by_flow(self.mask, moment.forward, moment.lost)
        if step is None:
            return habit
        by_flow = replace(self._after(step, moment.picture, hidden), by_flow=True)
        return by_flow if by_flow.agreement.share + 0.05 > habit.agreement.share else habit

    def _after(self, step: Transform, picture: Picture, hidden: np.ndarray) -> Place:
        return Place(step, self.memory.appearance(step).agreement(picture, hidden))

    def _is_missing(self, agreement: Agreement) -> bool:
        """Whether it should be looked for: not where it should be seen, or nobody knows where it should be."""
        if self.is_lost or agreement.whole < 0.3 * self.area:
            return not self.recognised(agreement)
        return agreement.share < RECOGNISED + 0.05 and agreement.expected > 0.3 * self.area

    def _searched(self, picture: Picture, hidden: np.ndarray, usual: Place) -> Place:
        """Return the first place by search that agrees clearly better than the usual one, which else stays."""
        for view, transform in search(self.memory, picture, hidden):
            found = Memory([view.at(transform)]).appearance().agreement(picture, hidden)
            if self.recognised(found) and found.share > max(usual.agreement.share + 0.1, FOUND):
                step = usual.step
                if view.is_placed:
                    step = compose(compose(transform, inverse(view.transform)), step)
                self.memory.place(view, transform)
                return Place(step, found, was_searched=True)
        return usual

    def _refined(self, picture: Picture, hidden: np.ndarray, place: Place) -> Place:
        """Return the place after a small correction, where that agrees as well."""
        if place.agreement.expected <= MIN_EXPECTED:
            return place
        correction = refine(self.memory, picture, hidden)
        if correction is None:
            return place
        agreement = self.memory.appearance(correction).agreement(picture, hidden)
        if agreement.share < place.agreement.share - 0.01:
            return place
        self.memory.move(correction)
        return replace(place, step=compose(correction, place.step), agreement=agreement)

    def _without_drift(self, picture: Picture, hidden: np.ndarray, place: Place) -> Place:
        """Return the place that the oldest view has by its features, where it shows that the others drifted away."""
        placed = self.memory.placed
        if place.agreement.share > SETTLED or place.agreement.expected < 0.3 * self.area or not placed:
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

    def _recollect(self, picture: Picture, hidden: np.ndarray) -> None:
        """Place the views of which nobody knew where they lie, once their features show it around what is seen."""
        present = self.memory.appearance().shape
        for view in self.memory.views:
            found = None if view.is_placed or not present.any() else register(view, picture, ~hidden)
            if found is not None:
                looks = Memory([view.at(found)]).appearance()
                agreement = looks.agreement(picture, hidden)
                covered = np.count_nonzero(looks.shape & present) / np.count_nonzero(present)
                if self.recognised(agreement) and min(agreement.share, covered) > FOUND:
                    self.memory.join(view, found)

    def _learn_habit(self, origin: np.ndarray, place: Place) -> None:
        """Take the velocity from the last steps; a hidden object keeps it, one that was lost starts anew."""
        if place.was_searched and self.is_lost:
            self._steps = []
        elif self.recognised(place.agreement):
            self._steps = [*self._steps, moved(place.step, origin) - origin][-HABIT:]
        else:
            return
        self.velocity = np.mean(self._steps, axis=0) if self._steps else np.zeros(2)


def _aligned(view: View, seen: View, taken: np.ndarray) -> View:
    """Return a view placed so that it fits what another view `seen` shows, or nowhere.

    A sliver that fits nowhere does not refute the place that the view already has.
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
    """Return in [0, 1] how well a placed view covers what is seen of the object, in its colours, and nothing else."""
    looks = Memory([view]).appearance()
    same = looks.fit(seen.picture)
    covered = float(same[seen.visible].mean())
    wrongly = np.count_nonzero((same > 0.5) & ~seen.visible & ~taken)
    return covered * (1 - wrongly / max(1, np.count_nonzero(looks.shape)))
