"""Follow objects by optical flow, memory and SAM; any SAM does.

In every frame each object is first moved: by the flow inside its mask, by its constant velocity, or by a search where
neither leads to its appearance. Four sources of evidence then say which pixels are its own: the mask that flow carries
over, the remembered views whose colours agree, the shape of these views, and SAM's answers about the expected mask.
Objects compete for each pixel, so that an occluder keeps its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from videograin.segment.model import EmbeddingCache, SegmentModel
from videograin.tracking.object_memory import LIMIT, MAX_VIEWS, Picture, View
from videograin.tracking.occlusion import OcclusionOrder
from videograin.tracking.propagator import Walk
from videograin.tracking.sam_opinion import SamOpinions
from videograin.tracking.tracked_object import Evidence, FramePair, Place, TrackedObject
from videograin.tracking.tracks import Estimate, Leg, Track, compete, nested_pairs, visited

WORK_SIDE = 512
"""Longer side in pixels at which objects are followed; larger frames are reduced to it."""

HIDDEN = 20.0
"""Log-odds against a pixel that shows an object in front: more than all evidence for it, `LIMIT` times the weights."""

SHOWN = 0.5
"""Likeness above which a pixel shows the object in front."""

HALF_COVERED = 0.5
"""Share of a reduced pixel above which it belongs to a mask."""


@dataclass(frozen=True)
class Weights:
    """Factors on the log-odds of each source of evidence; fitted on generated clips.

    Attributes:
        flow: of the mask that flow carries over.
        colour: of the remembered views, where their colours agree.
        shape: of the remembered views' shape alone.
        sam: of SAM's answers.
        doubt: factor on colour and shape of an object whose place is in doubt.
    """

    flow: float = 1.5
    colour: float = 2.5
    shape: float = 0.5
    sam: float = 1.0
    doubt: float = 0.5


class FlowEngine:
    """Follow objects by optical flow and one SAM, which many clips may share.

    Args:
        model: the SAM that refines carried masks.
        cache: of its embeddings; None makes one.
        weights: of the sources of evidence; None takes the fitted ones.
    """

    def __init__(
        self, model: SegmentModel, cache: EmbeddingCache | None = None, weights: Weights | None = None
    ) -> None:
        self.opinions = SamOpinions(model, cache)
        self.weights = weights or Weights()

    def walk(self, frames: np.ndarray, tracks: Mapping[str, Track]) -> Walk:
        """Get ready to follow objects through a clip; as `videograin.tracking.propagator.Engine.walk`."""
        return _Walk(self, frames, tracks).follow


class _Walk:
    """One walk through a clip in both directions; see `videograin.tracking.propagator.Walk`."""

    def __init__(self, engine: FlowEngine, frames: np.ndarray, tracks: Mapping[str, Track]) -> None:
        self.engine, self.frames, self.tracks = engine, frames, tracks
        self.nested = nested_pairs(tracks)
        self.size: tuple[int, int] = frames.shape[1:3]
        self.work_size = _work_size(self.size)
        self.objects: dict[str, TrackedObject] = {}
        self.order = OcclusionOrder(self.nested)
        self.arrived: dict[tuple[str, int], list[View]] = {}
        self.found: dict[int, dict[str, np.ndarray]] = {t: {} for track in tracks.values() for t in track.anchors}

    def follow(self, legs: Sequence[Leg]) -> Iterator[tuple[int, dict[str, Estimate]]]:
        """Visit the frames of legs of one direction in their order."""
        direction = 1 if legs[0].stop > legs[0].start else -1
        self.order = OcclusionOrder(self.nested)
        before = self._picture(legs[0].start)
        for t in visited(legs):
            if before.index != t - direction:
                before = self._picture(t - direction)
            self._start([leg for leg in legs if leg.start == before.index], before)
            picture = self._picture(t)
            active = [leg for leg in legs if t in leg.frames]
            yield t, self._step(FramePair(before, picture), [leg.name for leg in active])
            self._arrive([leg for leg in active if leg.stop == t + direction], picture)
            before = picture

    def _start(self, legs: Sequence[Leg], picture: Picture) -> None:
        known = self._known(picture.index)
        for leg in legs:
            taken = _union(self._rivals(leg.name, self.found.get(picture.index, {}) | known), self.work_size)
            views = self.arrived.get((leg.name, leg.start)) or self._marked_views(leg)
            self.objects[leg.name] = TrackedObject.starting(picture, known[leg.name], taken, views)

    def _arrive(self, legs: Sequence[Leg], picture: Picture) -> None:
        """Remember the places of marked views in the known frames at which legs end, for the walk back."""
        for leg in legs:
            if 0 <= leg.stop < len(self.frames) and self.tracks[leg.name].is_known(leg.stop):
                pair = FramePair(picture, self._picture(leg.stop))
                hidden = _union(self._rivals(leg.name, self._known(leg.stop)), self.work_size)
                self.objects[leg.name].advance(pair, hidden)
                views = self.objects[leg.name].memory.views
                self.arrived[leg.name, leg.stop] = [v for v in views if v.is_anchor and v.picture.index != leg.stop]

    def _marked_views(self, leg: Leg) -> list[View]:
        """Return views of the marked frames nearest to a leg's start, without the start itself."""
        track = self.tracks[leg.name]
        marked = [t for t in track.anchors if t != leg.start and track.masks[t].any()]
        nearest = sorted(marked, key=lambda t: abs(t - leg.start))[: MAX_VIEWS - 1]
        return [View.of_mask(self._picture(t), self._reduced(track.masks[t]), is_anchor=True) for t in sorted(nearest)]

    def _step(self, pair: FramePair, active: Sequence[str]) -> dict[str, Estimate]:
        """Follow the active objects into one more frame."""
        # 1. Move every object, and update which of them is in front where they overlap.
        known = {name: mask for name, mask in self._known(pair.picture.index).items() if name not in active}
        carried = {name: self.objects[name].carried_by(pair) for name in active}
        seen = {name: (logits > 0) & ~pair.new for name, logits in carried.items()} | known
        places = self._advance(pair, active, seen)
        appearances = {name: self.objects[name].memory.appearance() for name in active}
        self.order.update(appearances, pair.picture)
        # 2. Claim pixels by flow, colour and shape; an object behind gives up those that show the one in front.
        claims = {name: self._claim(name, pair, carried[name], places[name]) for name in active}
        for name in active:
            for front in self.order.in_front_of(name) & claims.keys():
                claims[name] -= HIDDEN * (appearances[front].fit(pair.picture) > SHOWN)
        # 3. Ask SAM about the masks that this leads to, and add its answers to the claims.
        expected = compete(claims, self.nested, known)
        rivals = {name: self._rivals(name, expected | known) for name in active}
        opinions = self.engine.opinions.about(self.frames[pair.picture.index], expected, rivals)
        claims |= {name: claims[name] + self.engine.weights.sam * opinion.logits for name, opinion in opinions.items()}
        # 4. Let the objects compete, and take the masks that they win as their new state.
        masks = compete(claims, self.nested, known)
        estimates = {}
        for name in active:
            rival = self._strongest_rival(name, claims, known)
            evidence = Evidence(places[name], opinions.get(name), masks[name], claims[name], rival)
            confidence = self.objects[name].update(pair.picture, evidence)
            if pair.picture.index in self.found:
                self.found[pair.picture.index][name] = self.objects[name].mask
            estimates[name] = Estimate(self._enlarged(claims[name], bool(self.objects[name].mask.any())), confidence)
        return estimates

    def _advance(self, pair: FramePair, active: Sequence[str], seen: Mapping[str, np.ndarray]) -> dict[str, Place]:
        """Move the active objects, those in front first, so that the others know where they cannot be seen."""
        places: dict[str, Place] = {}
        shapes: dict[str, np.ndarray] = {}
        for name in self.order.front_first(active):
            fronts = self.order.in_front_of(name)
            behind = {other for other in active if name in self.order.in_front_of(other)}
            others = {other: mask for other, mask in seen.items() if other not in behind}
            others |= {other: others[other] | shapes[other] for other in fronts & shapes.keys()}
            hidden = _union(self._rivals(name, others), self.work_size)
            places[name] = self.objects[name].advance(pair, hidden)
            shapes[name] = self.objects[name].memory.appearance().shape
        return places

    def _claim(self, name: str, pair: FramePair, carried: np.ndarray, place: Place) -> np.ndarray:
        """Return log-odds (H, W) by flow, colour and shape, before SAM is asked."""
        weights, tracked = self.engine.weights, self.objects[name]
        colour, shape = tracked.memory.votes(pair.picture)
        trust = 1.0 if tracked.recognised(place.agreement) else weights.doubt
        flow = np.where(pair.new, 0, carried)  # flow says nothing about pixels that have just come into view
        return weights.flow * flow + trust * (weights.colour * colour + weights.shape * shape)

    def _rivals(self, name: str, masks: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Return the masks of the objects that compete with this one for pixels."""
        return [mask for other, mask in masks.items() if other != name and (name, other) not in self.nested]

    def _strongest_rival(
        self, name: str, claims: Mapping[str, np.ndarray], known: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """Return the largest log-odds (H, W) of any rival, at least 0."""
        strongest = np.zeros(self.work_size, np.float32)
        standing = [np.where(mask, LIMIT, 0).astype(np.float32) for mask in self._rivals(name, known)]
        for claim in self._rivals(name, claims) + standing:
            strongest = np.maximum(strongest, claim)
        return strongest

    def _known(self, index: int) -> dict[str, np.ndarray]:
        """Return the masks that are known in a frame, reduced."""
        return {name: self._reduced(track.masks[index]) for name, track in self.tracks.items() if track.is_known(index)}

    def _picture(self, index: int) -> Picture:
        frame = self.frames[index]
        if self.work_size != self.size:
            frame = cv2.resize(frame, self.work_size[::-1], interpolation=cv2.INTER_AREA)
        return Picture(index, frame)

    def _reduced(self, mask: np.ndarray) -> np.ndarray:
        if self.work_size == self.size:
            return mask
        shares = cv2.resize(mask.astype(np.float32), self.work_size[::-1], interpolation=cv2.INTER_AREA)
        return shares > HALF_COVERED

    def _enlarged(self, logits: np.ndarray, is_there: bool) -> np.ndarray:
        if not is_there:
            return np.full(self.size, -LIMIT, np.float32)
        if self.work_size == self.size:
            return logits
        return cv2.resize(logits, self.size[::-1], interpolation=cv2.INTER_LINEAR)


def _work_size(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, WORK_SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _union(masks: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    return np.logical_or.reduce([np.zeros(size, bool), *masks])
