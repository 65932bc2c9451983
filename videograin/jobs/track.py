"""Following marked objects through a clip as a job: their tracks so far in, their tracks through the clip out."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from videograin.errors import RegionError
from videograin.jobs.context import Handler, JobContext
from videograin.jobs.store import JobKind
from videograin.media.npz import read_npz, write_npz
from videograin.media.video import ClipOptions, load_clip
from videograin.segment.names import DEFAULT_SEGMENTER
from videograin.tracking.propagator import Engine, Propagator
from videograin.tracking.tracks import FrameState, Track

if TYPE_CHECKING:
    from videograin.segment.model import EmbeddingCache, SegmentModel


class SegmentSource(Protocol):
    """Where segmenters and what they have seen are kept."""

    @property
    def embeddings(self) -> "EmbeddingCache":
        """What segmenters have seen."""
        ...

    def model(self, name: str) -> "SegmentModel":
        """Return a segmenter's weights, loading them if need be."""
        ...

    def engine(self, name: str) -> Engine:
        """Return what follows objects with a segmenter, loading it if need be."""
        ...


@dataclass(frozen=True)
class TrackRequest:
    """What to follow, and through which frames.

    Attributes:
        clip: video file whose frames are followed.
        tracks: file of `write_tracks`, all objects of the clip.
        first, last: frames that are followed, both included, counted from 0.
        clip_options: with which the clip is read.
        segmenter: whose engine follows.
    """

    clip: Path
    tracks: Path
    first: int
    last: int
    clip_options: ClipOptions = field(default_factory=ClipOptions)
    segmenter: str = DEFAULT_SEGMENTER

    def covers(self, other: "TrackRequest") -> bool:
        """Whether all frames that another request follows are followed by this one too."""
        return self.first <= other.first and other.last <= self.last


@dataclass(frozen=True)
class TrackFiles:
    """What following leaves among its job's results.

    Attributes:
        tracks: file of `write_tracks`.
    """

    tracks: Path


def track_handlers(segmenting: SegmentSource) -> dict[JobKind, Handler[TrackRequest, TrackFiles]]:
    """Return what the worker needs to know about following."""

    def run(request: TrackRequest, context: JobContext) -> TrackFiles:
        frames = load_clip(request.clip, request.clip_options).frames
        engine = segmenting.engine(request.segmenter)
        propagator = Propagator(frames, engine, read_tracks(request.tracks))
        tracks = propagator.propagate(range(request.first, request.last + 1), report=context.report)
        write_tracks(context.results / "tracks.npz", tracks)
        return TrackFiles(Path("tracks.npz"))

    return {JobKind.TRACK: Handler(TrackRequest, TrackFiles, run)}


def write_tracks(path: Path, tracks: dict[str, Track]) -> None:
    """Write tracks by name as one NPZ."""
    arrays = {}
    for name, one in tracks.items():
        arrays[f"{name} masks"] = one.masks
        arrays[f"{name} confidence"] = one.confidence
        arrays[f"{name} states"] = np.array([state.value for state in one.states], dtype=np.str_)
        arrays[f"{name} anchors"] = np.array(one.anchors, dtype=np.int64)
    write_npz(path, arrays)


def read_tracks(path: Path) -> dict[str, Track]:
    """Read the tracks of `write_tracks`.

    Raises:
        RegionError: the file cannot be read or holds something else.
    """
    arrays = read_npz(path)
    try:
        return {
            name: Track(
                arrays[f"{name} masks"],
                arrays[f"{name} confidence"],
                tuple(FrameState(str(state)) for state in arrays[f"{name} states"]),
                tuple(int(anchor) for anchor in arrays[f"{name} anchors"]),
            )
            for name in (key.removesuffix(" masks") for key in arrays if key.endswith(" masks"))
        }
    except (KeyError, ValueError) as error:
        raise RegionError(f"'{path.name}' holds no tracks ({error}). Follow the objects again.") from error
