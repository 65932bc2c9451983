"""Looking for regions as jobs: on a frame by the segmenter or by their names, in all frames by the edits' own model."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from videograin.errors import NothingFoundError
from videograin.finding.finder import Finder, FoundObject, find_objects
from videograin.jobs.context import Handler, JobContext
from videograin.jobs.limits import check_clip, check_model
from videograin.jobs.model_shelf import ModelShelf
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import JobKind
from videograin.jobs.track import SegmentSource
from videograin.media.npz import read_npz, write_npz
from videograin.media.video import ClipOptions, load_clip
from videograin.segment.motion import frames_beside
from videograin.segment.names import DEFAULT_SEGMENTER

MAX_FRAMES = 32
"""Frames that are cut up together. Of a longer clip this many are taken, evenly spread; in between the user
follows the objects."""


NO_OBJECTS = "Nothing stands out on this frame. Click on what you mean, or try another frame."
NO_MOTION = (
    "Nothing moves otherwise than the background on this frame, which is all that this segmenter goes by. Draw a box "
    "around what you mean, or try another frame."
)


@dataclass(frozen=True)
class SuggestRequest:
    """Where to look for regions.

    Attributes:
        clip: video file that the frame is read from.
        frame: counted from 0.
        clip_options: with which the clip is read.
        segmenter: that is asked.
    """

    clip: Path
    frame: int
    clip_options: ClipOptions = field(default_factory=ClipOptions)
    segmenter: str = DEFAULT_SEGMENTER


@dataclass(frozen=True)
class SuggestFiles:
    """The regions that were found.

    Attributes:
        masks: an NPZ with a mask (H, W) bool of each region, the best first.
    """

    masks: Path


def suggest_handlers(segmenting: SegmentSource) -> dict[JobKind, Handler[SuggestRequest, SuggestFiles]]:
    """Return what the worker needs to know about suggestions."""

    def run(request: SuggestRequest, context: JobContext) -> SuggestFiles:
        from videograin.engine import suggest_moving, suggest_regions

        frames = load_clip(request.clip, request.clip_options).frames
        frame, model = frames[request.frame], segmenting.model(request.segmenter)
        if model.has_weights:
            found, missing = suggest_regions(frame, model, segmenting.embeddings, report=context.report), NO_OBJECTS
        else:
            beside = frames_beside(frames, request.frame)
            found = suggest_moving(frame, beside, model, segmenting.embeddings, report=context.report)
            missing = NO_MOTION
        if not found:
            raise NothingFoundError(missing)
        arrays = {f"{place:03}": answer.mask for place, answer in enumerate(found)}
        write_npz(context.results / "masks.npz", arrays)
        return SuggestFiles(Path("masks.npz"))

    return {JobKind.SUGGEST: Handler(SuggestRequest, SuggestFiles, run)}


@dataclass(frozen=True)
class DiscoverRequest:
    """Which clip is cut up, and by which model.

    Attributes:
        clip: the video.
        model: name of the bundle whose features are clustered.
        source_prompt: what the clip shows; the features are better with it.
        clip_options: with which the clip is read.
    """

    clip: Path
    model: str
    source_prompt: str = ""
    clip_options: ClipOptions = field(default_factory=ClipOptions)


@dataclass(frozen=True)
class DiscoverFiles:
    """The regions that were found.

    Attributes:
        regions: file of `read_discovered`.
    """

    regions: Path


@dataclass(frozen=True, eq=False)
class Discovered:
    """Regions of a clip.

    Attributes:
        frames: that were cut up, ascending.
        masks: (F, H, W) bool in those frames of each region: objects before backdrops, the smallest first.
    """

    frames: tuple[int, ...]
    masks: tuple[np.ndarray, ...]


def discover_handlers(
    shelf: ModelShelf, settings: OperatorSettings
) -> dict[JobKind, Handler[DiscoverRequest, DiscoverFiles]]:
    """Return what the worker needs to know about cutting clips up."""

    def admit(request: DiscoverRequest) -> None:
        check_model(request.model, settings)
        check_clip(request.clip, request.clip_options, settings)

    def run(request: DiscoverRequest, context: JobContext) -> DiscoverFiles:
        from videograin.engine import discover_regions

        pipeline = shelf.get(request.model, (), context.check)
        frames = load_clip(request.clip, request.clip_options).frames
        chosen = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), MAX_FRAMES)).round().astype(int))
        found = discover_regions(pipeline, frames[chosen], request.source_prompt, report=context.report)
        arrays = {f"{place:03}": region.masks for place, region in enumerate(found)}
        write_npz(context.results / "regions.npz", {**arrays, "frames": chosen})
        return DiscoverFiles(Path("regions.npz"))

    return {JobKind.DISCOVER: Handler(DiscoverRequest, DiscoverFiles, run, admit)}


def read_discovered(path: Path) -> Discovered:
    """Return the regions in a job's file."""
    arrays = read_npz(path)
    frames = tuple(int(frame) for frame in arrays.pop("frames"))
    return Discovered(frames, tuple(arrays[name] for name in sorted(arrays)))


class FinderSource(Protocol):
    """Where what finds objects by their names is kept."""

    def finder(self, name: str, segmenter: str) -> Finder:
        """Return a finder that cuts out with a segmenter, loading both if need be."""
        ...


@dataclass(frozen=True)
class FindRequest:
    """What to look for on a frame.

    Attributes:
        clip: video file that the frame is read from.
        frame: counted from 0.
        text: describes the objects: "the two bears".
        finder: that is asked.
        segmenter: that cuts out.
        clip_options: with which the clip is read.
    """

    clip: Path
    frame: int
    text: str
    finder: str
    segmenter: str
    clip_options: ClipOptions = field(default_factory=ClipOptions)


@dataclass(frozen=True)
class FindFiles:
    """The objects that were found.

    Attributes:
        objects: file of `read_found`.
    """

    objects: Path


def find_handlers(finders: FinderSource) -> dict[JobKind, Handler[FindRequest, FindFiles]]:
    """Return what the worker needs to know about finding objects by their names."""

    def run(request: FindRequest, context: JobContext) -> FindFiles:
        frame = load_clip(request.clip, request.clip_options).frames[request.frame]
        finder = finders.finder(request.finder, request.segmenter)
        found = find_objects(finder, frame, request.text, context.report)
        arrays = {f"{place:03}": each.mask for place, each in enumerate(found)}
        names, scores = np.array([each.name for each in found]), np.array([each.score for each in found])
        about = {"names": names, "scores": scores, "frame": np.array(request.frame)}
        write_npz(context.results / "objects.npz", arrays | about)
        return FindFiles(Path("objects.npz"))

    return {JobKind.FIND: Handler(FindRequest, FindFiles, run)}


@dataclass(frozen=True, eq=False)
class FoundOnFrame:
    """Objects that were found by their names.

    Attributes:
        frame: on which, counted from 0.
        objects: from left to right.
    """

    frame: int
    objects: tuple[FoundObject, ...]


def read_found(path: Path) -> FoundOnFrame:
    """Return the objects in a job's file."""
    arrays = read_npz(path)
    names, scores, frame = (arrays.pop(key) for key in ("names", "scores", "frame"))
    masks = [arrays[key] for key in sorted(arrays)]
    found = zip(names, masks, scores, strict=True)
    return FoundOnFrame(int(frame), tuple(FoundObject(str(name), mask, float(score)) for name, mask, score in found))
