"""What an edit will take, in words and with the part of the picture that is drawn."""

from dataclasses import dataclass

import numpy as np

from ui.rendering.markup import duration
from ui.rendering.pictures import data_url, framed
from videograin.media.video import VideoInfo
from videograin.models.time_left import Estimate
from videograin.production.source_masks import Box

EMPTY_CLIP_COST = "<p class='vg-note'>Choose a clip to see what editing it takes.</p>"


@dataclass(frozen=True)
class Choice:
    """A cheaper way to edit a part of a video.

    Attributes:
        words: what it is, for a user.
        seconds: that it takes.
    """

    words: str
    seconds: float


@dataclass(frozen=True)
class ClipCost:
    """What an edit of a part of a video takes, as far as that is known before its objects are marked.

    Attributes:
        info: the video's header.
        shape: (F, H, W) of the clip in which objects are marked.
        fps: frames per second.
        wanted_seconds: that the part lasts; the clip is shorter where a limit of frames ends it.
        estimate: None while the model is being loaded.
        cheaper: ways that take less.
    """

    info: VideoInfo
    shape: tuple[int, int, int]
    fps: float
    wanted_seconds: float
    estimate: Estimate | None
    cheaper: tuple[Choice, ...]

    @property
    def seconds(self) -> float:
        """How long the clip lasts."""
        return self.shape[0] / self.fps

    @property
    def is_cut_off(self) -> bool:
        """Whether a limit of frames ends the clip before the part ends."""
        return self.shape[0] + 1 < self.wanted_seconds * self.fps


@dataclass(frozen=True)
class WorkCost:
    """What an edit of marked objects takes.

    Attributes:
        shape: (F, H, W) of what is drawn.
        fps: frames per second.
        frame: number of one that shows the objects well.
        boxes: left, top, right and bottom of each part of it that is drawn, in the clip's pixels; none for all of it.
        keeps_size: whether the result has the video's own size.
        estimate: None while the model is being loaded.
    """

    shape: tuple[int, int, int]
    fps: float
    frame: int
    boxes: tuple[Box, ...]
    keeps_size: bool
    estimate: Estimate | None


def clip_cost_note(cost: ClipCost) -> str:
    """Return what an edit of a part of a video takes, and which choices take less."""
    frames, height, width = cost.shape
    lasts = f"<b>{cost.seconds:.1f} s</b> at {cost.fps:.4g} fps, <b>{cost.info.width}×{cost.info.height}</b>"
    details = f"{frames} frame{'s' * (frames != 1)} of {width}×{height} to mark objects in"
    takes = ". Time and memory are known once this model is loaded."
    if cost.estimate is not None:
        cheaper = "".join(f"; {each.words}: {duration(each.seconds)}" for each in cost.cheaper)
        takes = f": about <b>{duration(cost.estimate.seconds)}</b> on this machine{cheaper}."
        details += f", {cost.estimate.peak_gib:.1f} GiB"
    limit = (
        f" Of {cost.wanted_seconds:.1f} s no more is edited, for 'Frames at most', under Advanced, is {frames}; choose "
        "another part, or fewer frames a second."
        if cost.is_cut_off
        else ""
    )
    return f"<p class='vg-estimate'>{lasts}{takes}{limit}<br><small>{details}</small></p>"


def work_cost_note(cost: WorkCost, frames: np.ndarray) -> str:
    """Return what an edit takes and which part of the picture it draws.

    Args:
        cost: of the edit.
        frames: (F, H, W, 3) uint8 RGB of the clip.
    """
    count, height, width = cost.shape
    if len(cost.boxes) > 1:
        part = (
            f"The bright parts are drawn, in one picture of {width}×{height}; all around them stays as it was filmed."
        )
    elif cost.boxes:
        part = f"The bright part is drawn, at {width}×{height}; all around it stays as it was filmed."
    elif cost.keeps_size:
        part = f"The whole picture is drawn, at {width}×{height}, and brought to the video's size."
    else:
        part = f"The whole picture is drawn, and the result is as large: {width}×{height}."
    takes = "Time and memory are known once this model is loaded."
    if cost.estimate is not None:
        takes = f"about <b>{duration(cost.estimate.seconds)}</b> and {cost.estimate.peak_gib:.1f} GiB on this machine."
    picture = f"<img src='{data_url(framed(frames[cost.frame], cost.boxes))}' alt='What is drawn'>"
    lasts = f"<b>{count / cost.fps:.1f} s</b>, {count} frame{'s' * (count != 1)}: "
    return f"<div class='vg-cost'>{picture}<p>{lasts}{takes}<br>{part}</p></div>"
