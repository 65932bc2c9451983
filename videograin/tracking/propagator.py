"""Masks across frames: one propagator for each clip, over any engine.

Frames that the user marked are anchors. They stay as they are; frames between two anchors are followed from both sides.
Other objects keep their masks to the last pixel.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np

from videograin.errors import TrackingError
from videograin.media.shot_cuts import shot_starts
from videograin.progress import Phase, Report, ignore, track
from videograin.region import check_frames
from videograin.tracking.passes import Passes, Plan, plan
from videograin.tracking.tracks import Estimate, Leg, Track, check_count, check_mask

Walk = Callable[[Sequence[Leg]], Iterator[tuple[int, dict[str, Estimate]]]]
"""Follows objects over their legs, at least one and all in one direction. It yields every frame in their order, and the
estimates of the objects followed in it. A second call may use what the first one found."""


class Engine(Protocol):
    """Follows objects from one frame to the next."""

    def walk(self, frames: np.ndarray, tracks: Mapping[str, Track]) -> Walk:
        """Get ready to follow objects through a clip.

        Args:
            frames: (F, H, W, 3) uint8 RGB, the whole clip.
            tracks: of all objects of the clip; those that are known in a frame keep their pixels there.
        """
        ...


class Propagator:
    """The objects of one clip; for one thread at a time.

    Args:
        frames: (F, H, W, 3) uint8 RGB.
        engine: which may be shared between clips.
        tracks: objects of earlier work on this clip, by name.

    Raises:
        VideoError: frames of another shape or dtype.
        TrackingError: tracks of another clip, or too many.
    """

    def __init__(self, frames: np.ndarray, engine: Engine, tracks: Mapping[str, Track] | None = None) -> None:
        check_frames(frames)
        self.frames, self.engine = frames, engine
        self.tracks: dict[str, Track] = dict(tracks or {})
        if self.tracks:
            check_count(len(self.tracks))
        for name, earlier in self.tracks.items():
            if earlier.masks.shape != frames.shape[:3]:
                raise TrackingError(
                    f"The track of '{name}' has shape {earlier.masks.shape} but the clip is {frames.shape[:3]} "
                    "(frames, height, width). Mark it again on this clip."
                )

    @cached_property
    def shot_starts(self) -> tuple[int, ...]:
        """Frames at which a shot begins; nothing is followed over them."""
        return shot_starts(self.frames)

    def correct(self, name: str, frame: int, mask: np.ndarray, confidence: float = 1.0) -> Track:
        """Make a mask the anchor of one object in one frame; a new name is a new object.

        Args:
            name: identifies the object within the clip.
            frame: counted from 0.
            mask: (H, W) bool, by clicks or brush; empty where the object is not to be seen in this frame.
            confidence: in [0, 1], of an answer to clicks (`Segmentation.confidence`); frames followed from
                here are no surer.

        Returns:
            The object's track; frames up to the neighbouring anchors wait for `propagate` and show the older masks.

        Raises:
            TrackingError: a frame or mask that is not of this clip, a new object's empty mask, or too many objects.
        """
        self._check_frame(frame)
        check_mask(mask, name, self._size)
        if name not in self.tracks:
            check_count(len(self.tracks) + 1)
            if not mask.any():
                raise TrackingError(f"The mask of '{name}' is empty. Mark the object in a frame that shows it first.")
        earlier = self.tracks.get(name) or Track.untracked(self.frames.shape[:3])
        self.tracks[name] = earlier.corrected(frame, mask, confidence)
        return self.tracks[name]

    def release(self, name: str, frame: int) -> Track:
        """Make an anchor an ordinary frame again, to be followed with those around it."""
        earlier = self._track(name)
        if frame not in earlier.anchors:
            raise TrackingError(f"Frame {frame} of '{name}' is no anchor; anchors are {earlier.anchors}. Name one.")
        if len(earlier.anchors) == 1:
            raise TrackingError(f"Frame {frame} is the only anchor of '{name}'. Mark another, or remove the object.")
        self.tracks[name] = earlier.released(frame)
        return self.tracks[name]

    def remove(self, name: str) -> None:
        """Forget an object; the others stay as they are."""
        self._track(name)
        del self.tracks[name]

    def propagate(
        self, frames: range | None = None, names: Sequence[str] | None = None, report: Report = ignore
    ) -> dict[str, Track]:
        """Follow the objects through the frames that are not tracked yet.

        Args:
            frames: to be followed, and those that lead there from the nearest anchor; None is all.
            names: objects to follow; None is all. The others stay as they are.
            report: told after every frame of every pass; may raise `Cancelled`, which leaves all tracks as they were.

        Returns:
            All tracks.

        Raises:
            TrackingError: no objects, or a name or frames that are not there.
        """
        check_count(len(self.tracks))
        chosen = {name: self._track(name) for name in (self.tracks if names is None else names)}
        wanted = range(len(self.frames)) if frames is None else frames
        for frame in (wanted[0], wanted[-1]) if wanted else ():
            self._check_frame(frame)
        planned = plan(chosen, wanted, self.shot_starts)
        passes = Passes(planned, self.tracks)
        steps = self._steps(planned, passes)
        for _ in track(Phase.TRACK, range(planned.visits), report):
            next(steps)
        self.tracks |= passes.finished()
        return self.tracks

    def _steps(self, planned: Plan, passes: Passes) -> Iterator[None]:
        """Do both passes, pausing after every frame."""
        walk = self.engine.walk(self.frames, self.tracks)
        for legs, take in ((planned.forward, passes.take_forward), (planned.backward, passes.take_backward)):
            if legs:
                for frame, estimates in walk(legs):
                    take(frame, estimates)
                    yield

    @property
    def _size(self) -> tuple[int, int]:
        height, width = self.frames.shape[1:3]
        return height, width

    def _track(self, name: str) -> Track:
        if name not in self.tracks:
            raise TrackingError(f"There is no object '{name}'. Name one of: {', '.join(self.tracks) or 'none yet'}.")
        return self.tracks[name]

    def _check_frame(self, frame: int) -> None:
        if not 0 <= frame < len(self.frames):
            raise TrackingError(f"Frame {frame} is not in the clip of {len(self.frames)} frames. Count from 0.")
