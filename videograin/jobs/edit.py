"""Editing as a job: what is asked for, when it is admitted, and what it leaves. `editing/` carries it out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from videograin.jobs.context import Handler, JobContext
from videograin.jobs.download import check_installed
from videograin.jobs.limits import check_edit
from videograin.jobs.model_shelf import ModelShelf
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import JobKind
from videograin.media.npz import read_npz, write_npz
from videograin.models.bundles import find_bundle
from videograin.models.presets import Quality, apply_quality
from videograin.project.project import Project

PREVIEW_FRAMES = 4


@dataclass(frozen=True)
class EditFiles:
    """What an edit leaves among its job's results.

    Attributes:
        video: the edited MP4, with the source's sound.
        comparison: MP4 of source and edit side by side, with the source's sound.
        target_prompt: as given, or as composed of the objects' phrases.
        frames: how many there are.
        fps: frames per second.
        seconds: how long it took.
        attention: file of `read_attention`; None in results of earlier versions.
        thumbnail: small picture of the middle of the result; None in results of earlier versions.
    """

    video: Path
    comparison: Path
    target_prompt: str
    frames: int
    fps: float
    seconds: float
    attention: Path | None = None
    thumbnail: Path | None = None


Edit = Callable[[Project, JobContext], EditFiles]
"""Edits a clip and writes the result; `EditJobs.edit`."""


def edit_handlers(
    load: Callable[[], Edit], shelf: ModelShelf, settings: OperatorSettings
) -> dict[JobKind, Handler[Project, EditFiles]]:
    """Return what the worker needs to know about edits and previews of the first few frames in few steps.

    Args:
        load: returns what carries an edit out; called when one begins, since that takes seconds to import.
        shelf: knows how long an edit should take.
        settings: the operator's limits, which a request must keep.
    """

    def admit(project: Project) -> float | None:
        shape = check_edit(project, settings)
        check_installed(project, offline=settings.offline)
        estimate = shelf.estimate(project.model, project.controls, shape, project.settings)
        return estimate.seconds if estimate else None

    def edit(project: Project, context: JobContext) -> EditFiles:
        return load()(project, context)

    return {
        JobKind.EDIT: Handler(Project, EditFiles, edit, admit),
        JobKind.PREVIEW: Handler(
            Project,
            EditFiles,
            lambda project, context: edit(draft(project), context),
            lambda project: admit(draft(project)),
        ),
    }


def write_attention(path: Path, numbers: Sequence[int], prompts: Sequence[str], attention: np.ndarray) -> None:
    """Write the attention maps of the prompted regions' phrases.

    Args:
        path: an NPZ.
        numbers: of the regions in the project, from 0.
        prompts: theirs, empty where one is kept.
        attention: (R, F, h, w) float, as in `EditResult`.
    """
    maps = zip(numbers, prompts, attention, strict=True)
    write_npz(path, {str(number): each.astype(np.float16) for number, prompt, each in maps if prompt})


def read_attention(path: Path) -> dict[int, np.ndarray]:
    """Return the maps (F, h, w) float32 of the prompted regions by their numbers, counted from 0."""
    return {int(number): each.astype(np.float32) for number, each in read_npz(path).items()}


def edited_by(kind: JobKind, project: Project) -> Project:
    """Return what a job of a kind makes of the project that it was asked for: a preview makes a draft."""
    return draft(project) if kind is JobKind.PREVIEW else project


def draft(project: Project) -> Project:
    """Return a project of which only the first few frames are edited, as a draft."""
    options = project.clip_options
    few = replace(options, max_frames=min(options.max_frames, PREVIEW_FRAMES))
    quick = apply_quality(Quality.DRAFT, project.settings, find_bundle(project.model).settings)
    steps = min(quick.num_inference_steps, project.settings.num_inference_steps)
    settings = replace(quick, num_inference_steps=steps, inject_steps=min(quick.inject_steps, steps))
    return replace(project, clip_options=few, settings=settings)
