"""What an edit will take, told before it is asked for: of a video that was chosen, and of objects that were marked."""

from dataclasses import replace
from enum import StrEnum

import numpy as np

from ui.rendering.cost_markup import Choice, ClipCost, WorkCost
from ui.work.session import Session
from videograin.jobs.model_shelf import ModelShelf
from videograin.media.video import Clip, ClipOptions, VideoInfo, clip_shape
from videograin.models.bundles import find_bundle
from videograin.models.presets import Quality, apply_quality
from videograin.models.time_left import Estimate
from videograin.production.focus import drawn_shape, plan_focus
from videograin.production.source_masks import ClipPlace
from videograin.project.project import EditInputs
from videograin.region import EditSettings

FIRST_SECONDS = 2.0
"""Of a part, of which a user learns what they take by themselves."""

FEWER_FPS = 10.0
"""Frames per second of the quick choice: a third of a phone's, at which movement is still followed."""


class Amount(StrEnum):
    """How much of a video is edited, as a user chooses it at once."""

    WHOLE = "whole"
    PART = "part"
    FEWER = "fewer"


AMOUNTS = {
    Amount.WHOLE: "The whole clip",
    Amount.PART: "A part of it",
    Amount.FEWER: f"Fewer frames a second ({FEWER_FPS:g})",
}
"""What a user reads."""


def chosen_part(amount: Amount, info: VideoInfo, start: float, end: float | None) -> tuple[float, float, float]:
    """Return the start, the end and the frames per second that a choice stands for.

    Args:
        amount: the choice.
        info: the video's header.
        start, end: seconds of the part that was chosen before; of the whole video, its beginning becomes the part.
    """
    last = round(info.duration, 2)
    if amount is Amount.WHOLE:
        return 0.0, last, info.fps
    end = min(end or last, last)
    if amount is Amount.PART and not start and end == last:
        end = min(FIRST_SECONDS, last)
    return start, end, min(FEWER_FPS, info.fps) if amount is Amount.FEWER else info.fps


def clip_cost(shelf: ModelShelf, info: VideoInfo, options: ClipOptions, model: str) -> ClipCost:
    """Say what an edit of a part of a video takes, with the settings that suit the model.

    Args:
        shelf: knows the model that is loaded.
        info: the video's header.
        options: which part, and how it is read.
        model: name of the bundle.
    """

    own = find_bundle(model).settings

    def estimate(chosen: ClipOptions, settings: EditSettings = own) -> Estimate | None:
        return shelf.estimate(model, (), clip_shape(info, chosen), settings)

    fps = options.fps or info.fps
    end = info.duration if options.end is None else min(options.end, info.duration)
    shape = clip_shape(info, options)
    choices: dict[str, ClipOptions] = {}
    if shape[0] / fps > FIRST_SECONDS:
        choices[f"first {FIRST_SECONDS:g} s"] = replace(options, end=options.start + FIRST_SECONDS)
    if fps > FEWER_FPS:
        choices[f"at {FEWER_FPS:g} frames a second"] = replace(options, fps=FEWER_FPS)
    estimates = {words: estimate(chosen) for words, chosen in choices.items()}
    estimates["as a draft"] = estimate(options, apply_quality(Quality.DRAFT, own, own))
    return ClipCost(
        info=info,
        shape=shape,
        fps=fps,
        wanted_seconds=end - options.start,
        estimate=estimate(options),
        cheaper=tuple(Choice(words, each.seconds) for words, each in estimates.items() if each),
    )


def edit_seconds(shelf: ModelShelf, inputs: EditInputs, clip: Clip) -> float | None:
    """Return how long the edit of a clip should take, by the part that is drawn; None where its model is not loaded.

    Args:
        shelf: knows the model that is loaded.
        inputs: the edit.
        clip: as it is loaded by the inputs' options.
    """
    shape = drawn_shape(clip, plan_focus(clip, inputs, inputs.load_regions(clip)))
    estimate = shelf.estimate(inputs.model, inputs.controls, shape, inputs.settings)
    return estimate.seconds if estimate else None


def work_cost(shelf: ModelShelf, session: Session, settings: EditSettings) -> WorkCost | None:
    """Say what an edit of a session's objects takes; None before one is marked and has words.

    Args:
        shelf: knows the model that is loaded.
        session: whose objects they are.
        settings: those of the edit.

    Raises:
        RegionError: an object has words but no marks.
    """
    with session.lock:
        work, clip = session.work, session.clip
    if work is None or clip is None:
        return None
    regions = work.load_regions(clip)
    if not any(region.is_edited for region in regions):
        return None
    crops = plan_focus(clip, replace(work, settings=settings), regions)
    shape = drawn_shape(clip, crops)
    areas = np.sum([region.masks.sum((1, 2)) for region in regions if region.is_edited], axis=0)
    frame = int(areas.argmax())
    is_whole = crops is None or crops.box == (clip.info.width, clip.info.height)
    return WorkCost(
        shape=shape,
        fps=clip.fps,
        frame=frame,
        boxes=() if crops is None or is_whole else ClipPlace.of(clip.info, work.clip_options).shown(crops, frame),
        keeps_size=crops is not None or clip.frames.shape[1:3] == (clip.info.height, clip.info.width),
        estimate=shelf.estimate(work.model, work.controls, shape, settings),
    )
