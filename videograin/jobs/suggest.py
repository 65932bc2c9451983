"""Suggesting regions of a frame as a job."""

from dataclasses import dataclass, field
from pathlib import Path

from videograin.errors import NothingFoundError
from videograin.jobs.context import Handler, JobContext
from videograin.jobs.store import JobKind
from videograin.jobs.track import SegmentSource
from videograin.media.npz import write_npz
from videograin.media.video import ClipOptions, load_clip
from videograin.segment.suggest import suggest_regions


@dataclass(frozen=True)
class SuggestRequest:
    """Where to look for regions.

    Attributes:
        clip: video file that the frame is read from.
        frame: counted from 0.
        clip_options: with which the clip is read.
    """

    clip: Path
    frame: int
    clip_options: ClipOptions = field(default_factory=ClipOptions)


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
        frame = load_clip(request.clip, request.clip_options).frames[request.frame]
        found = suggest_regions(frame, segmenting.model(), segmenting.embeddings, report=context.report)
        if not found:
            raise NothingFoundError("Nothing stands out on this frame. Click on what you mean, or try another frame.")
        arrays = {f"{place:03}": answer.mask for place, answer in enumerate(found)}
        write_npz(context.results / "masks.npz", arrays)
        return SuggestFiles(Path("masks.npz"))

    return {JobKind.SUGGEST: Handler(SuggestRequest, SuggestFiles, run)}
