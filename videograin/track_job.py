"""Following marked things through a clip as a job: masks of some frames in, masks of all frames out."""

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from videograin.flow import OpticalFlow, optical_flow, warp
from videograin.job_context import Handler, JobContext
from videograin.jobs import JobKind
from videograin.npz import read_npz, write_npz
from videograin.progress import Phase, track
from videograin.video import ClipOptions, load_clip


@dataclass(frozen=True)
class TrackedObject:
    """A thing to be followed.

    Attributes:
        key: of its masks (F, H, W) bool in the request's file.
        anchors: frames whose masks are sure, in ascending order; only these are taken from the file.
    """

    key: str
    anchors: tuple[int, ...]


@dataclass(frozen=True)
class TrackRequest:
    """What is to be followed where.

    Attributes:
        clip: the video.
        masks: an NPZ with an array for each object.
        objects: at least one.
        first, last: frames that are filled, both included, counted from 0.
        clip_options: with which the clip is read.
    """

    clip: Path
    masks: Path
    objects: tuple[TrackedObject, ...]
    first: int
    last: int
    clip_options: ClipOptions = field(default_factory=ClipOptions)


@dataclass(frozen=True)
class TrackFiles:
    """What following leaves among its job's results.

    Attributes:
        masks: an NPZ with masks (F, H, W) bool under each object's key, and (F,) float32 under "<key> confidence".
    """

    masks: Path


def track_handlers() -> dict[JobKind, Handler[TrackRequest, TrackFiles]]:
    """Return what the worker needs to know about following."""
    return {JobKind.TRACK: Handler(TrackRequest, TrackFiles, follow)}


def follow(request: TrackRequest, context: JobContext) -> TrackFiles:
    """Carry each object's masks from its sure frames to the others along the optical flow."""
    frames = load_clip(request.clip, request.clip_options).frames
    known = read_npz(request.masks)
    flow = optical_flow(frames) if len(frames) > 1 else None
    arrays = {}
    for each in track(Phase.EDIT, request.objects, context.report):
        masks, confidence = carry(known[each.key], each.anchors, flow)
        arrays |= {each.key: masks, f"{each.key} confidence": confidence}
    write_npz(context.results / "masks.npz", arrays)
    return TrackFiles(Path("masks.npz"))


def carry(masks: np.ndarray, anchors: tuple[int, ...], flow: OpticalFlow | None) -> tuple[np.ndarray, np.ndarray]:
    """Carry masks (F, H, W) bool from the anchors to the frames between and beyond, the nearest anchor's first.

    Returns:
        The masks, and how sure each frame is, (F,) float32 in [0, 1].
    """
    soft, sure = masks.astype(np.float32), np.zeros(len(masks), np.float32)
    for frame in sorted(range(len(masks)), key=lambda frame: min(abs(frame - anchor) for anchor in anchors)):
        nearest = min(anchors, key=lambda anchor: abs(frame - anchor))
        if frame == nearest or flow is None:
            sure[frame] = 1
            continue
        before = frame - 1 if nearest < frame else frame + 1
        field, hidden = (
            (flow.backward[before], flow.backward_occluded[before])
            if before < frame
            else (flow.forward[frame], flow.forward_occluded[frame])
        )
        soft[frame] = cv2.GaussianBlur(warp(soft[before], field), (0, 0), 0.6)
        inside = soft[frame] > 0.5
        lost = hidden[inside].mean() if inside.any() else 1.0
        sure[frame] = sure[before] * (1 - 0.5 * lost) if inside.any() else 0.0
    return soft > 0.5, sure
