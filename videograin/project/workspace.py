"""A user's work on one clip: the marked objects, how these were followed, the words, and the results."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Self

import numpy as np

from videograin.errors import ProjectError, RegionError, SettingsError
from videograin.files.atomic import file_names
from videograin.files.document import NOT_IN_FILE
from videograin.masks.shapes import MAX_RADIUS, check_masks, everything_else, grow, shrink
from videograin.masks.target import fit_masks
from videograin.media.video import Clip
from videograin.project.project import EditInputs, Project, check_any_changes
from videograin.project.references import ReferenceFile
from videograin.region import EditSettings, Region

_COLOUR = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True)
class Click:
    """A point that a user clicked on, in pixels of the clip's frames.

    Attributes:
        frame: counted from 0.
        x, y: of the pixel's centre.
        is_inside: whether it lies on the object rather than outside it.
    """

    frame: int
    x: float
    y: float
    is_inside: bool = True


@dataclass(frozen=True)
class Box:
    """A box that a user drew around an object, in pixels of the clip's frames, `frame` counted from 0."""

    frame: int
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True)
class Scribble:
    """A line drawn with a round brush for a segmenter that reads strokes, in pixels of the clip's frames.

    Attributes:
        frame: counted from 0.
        points: (x, y) of its corners.
        radius: of the brush.
        is_inside: whether it lies on the object rather than outside it.

    Raises:
        SettingsError: a point that has no x and y.
    """

    frame: int
    points: tuple[tuple[float, ...], ...]
    radius: float
    is_inside: bool = True

    def __post_init__(self) -> None:
        if not self.points or any(len(point) != 2 for point in self.points):
            raise SettingsError(f"A scribble has the points {self.points}; give each as (x, y).")


@dataclass(frozen=True)
class MarkedObject:
    """An object in the clip, and what it is to become.

    Attributes:
        id: number of its own, for good.
        name: given by the user.
        colour: of its overlay, "#rrggbb"; empty leaves it to the page.
        is_hidden: whether its overlay is switched off; that does not touch the edit.
        is_kept: whether it keeps the source, whatever its prompt says.
        is_rest: whether it is everything that no other object covers, rather than what was marked.
        prompt: what it becomes; empty keeps the source.
        strength: factor on the modulation, 0 to 4.
        grow: pixels by which its masks are grown for the edit, or shrunk where negative.
        feather: pixels over which its edge is softened in pictures and exports.
        reference: a picture that it is drawn after; None goes by the words alone.
        clicks, boxes, scribbles: what was marked, in the order of the marking.

    Raises:
        SettingsError: a value outside its range.
    """

    id: int
    name: str = ""
    colour: str = ""
    is_hidden: bool = False
    is_kept: bool = False
    is_rest: bool = False
    prompt: str = ""
    strength: float = 1.0
    grow: float = 0.0
    feather: float = 0.0
    reference: ReferenceFile | None = None
    clicks: tuple[Click, ...] = ()
    boxes: tuple[Box, ...] = ()
    scribbles: tuple[Scribble, ...] = ()

    def __post_init__(self) -> None:
        if self.colour and not _COLOUR.fullmatch(self.colour):
            raise SettingsError(f"{self.title}: colour is '{self.colour}'; give one like '#1f77b4'.")
        if not 0 <= self.strength <= 4:
            raise SettingsError(f"{self.title}: strength is {self.strength}; choose 0 to 4.")
        if not -MAX_RADIUS <= self.grow <= MAX_RADIUS:
            raise SettingsError(f"{self.title}: grow is {self.grow}; choose {-MAX_RADIUS:g} to {MAX_RADIUS:g} pixels.")
        if not 0 <= self.feather <= MAX_RADIUS:
            raise SettingsError(f"{self.title}: feather is {self.feather}; choose 0 to {MAX_RADIUS:g} pixels.")

    @property
    def title(self) -> str:
        """How messages call this object."""
        return f"Object '{self.name or self.prompt or self.id}'"

    @property
    def edit_prompt(self) -> str:
        """What it becomes in an edit; empty where it is kept."""
        return "" if self.is_kept else self.prompt

    def region(self, masks: np.ndarray) -> Region:
        """Return what the edit makes of it, with its masks (F, H, W) bool and its picture read.

        Raises:
            RegionError: the masks are empty in every frame.
        """
        return Region(
            masks=masks,
            prompt=self.edit_prompt,
            name=self.name,
            strength=self.strength,
            reference=self.reference.load() if self.reference and self.edit_prompt else None,
        )


@dataclass(frozen=True, eq=False)
class ObjectMasks:
    """Where an object is, and how well that is known.

    Attributes:
        masks: (F, H, W) bool at the clip's size.
        confidence: (F,) float32 in [0, 1].
        states: the tracker's word for each frame; empty before it was tracked.
        anchors: frames whose masks the user made or corrected, in ascending order.

    Raises:
        RegionError: shapes or dtypes that do not belong together.
    """

    masks: np.ndarray
    confidence: np.ndarray
    states: tuple[str, ...] = ()
    anchors: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_masks(self.masks)
        frames = len(self.masks)
        if self.confidence.shape != (frames,) or self.confidence.dtype != np.float32:
            raise RegionError(
                f"Confidence has shape {self.confidence.shape} and dtype {self.confidence.dtype}; "
                f"pass ({frames},) float32."
            )
        if len(self.states) not in (0, frames):
            raise RegionError(f"There are {len(self.states)} states for {frames} frames; give one for each or none.")
        if not all(0 <= anchor < frames for anchor in self.anchors):
            raise RegionError(f"Anchors are frames {self.anchors} of {frames}; count from 0.")

    @classmethod
    def by_hand(cls, masks: np.ndarray) -> Self:
        """Take masks (F, H, W) bool as they are: every frame is sure, and an anchor."""
        return cls(masks, np.ones(len(masks), np.float32), anchors=tuple(range(len(masks))))


@dataclass(frozen=True)
class SavedResult:
    """An edit that was made.

    Attributes:
        video: its MP4.
        date: when it was made, as ISO 8601.
        model: name of the bundle, folder, file or hub id.
        target_prompt: as given, or as composed of the objects' phrases.
        settings: with which it was denoised, the seed among them.
        seconds: duration of the edit.
    """

    video: Path
    date: str
    model: str
    target_prompt: str
    settings: EditSettings
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Workspace(EditInputs):
    """A user's work on one clip.

    Attributes:
        segmenter: name of what turned clicks into masks; empty is the page's choice.
        objects: from the bottom to the top of the overlay: where they overlap, the last one shows.
        reserved: new objects get higher numbers than this one, for masks that are on their way find objects by theirs.
        results: edits made so far, the oldest first.
        masks: of the objects that have some, by their ids.

    Raises:
        ProjectError: two objects have one id.
    """

    segmenter: str = ""
    objects: tuple[MarkedObject, ...] = ()
    reserved: int = field(default=0, metadata=NOT_IN_FILE)
    results: tuple[SavedResult, ...] = ()
    masks: Mapping[int, ObjectMasks] = field(default_factory=dict, compare=False, metadata=NOT_IN_FILE)

    def __post_init__(self) -> None:
        ids = [each.id for each in self.objects]
        for each in self.objects:
            if ids.count(each.id) > 1:
                raise ProjectError(f"{each.title}: another object has its number, {each.id}. Give each its own.")

    @property
    def has_references(self) -> bool:
        """Whether something that changes is drawn after a picture."""
        return any(each.reference and each.edit_prompt for each in self.objects)

    def edit_masks(self, clip: Clip) -> dict[int, np.ndarray]:
        """Return the masks that an edit of the clip uses, (F, H, W) bool by the objects' ids.

        Objects without marks are left out; growth and "everything else" are applied.

        Raises:
            RegionError: masks that do not fit the clip.
        """
        masks = {
            each.id: self._grown(each, clip) for each in self.objects if each.id in self.masks and not each.is_rest
        }
        rest = everything_else(list(masks.values()), clip.frames.shape[:3])
        return masks | {each.id: rest for each in self.objects if each.is_rest}

    def load_regions(self, clip: Clip) -> list[Region]:
        """Return the objects as regions; those without masks or prompt have no part in the edit."""
        masks = self._marked(clip)
        return [
            each.region(masks[each.id])
            for each in self.objects
            if each.id in masks and (each.edit_prompt or masks[each.id].any())
        ]

    def load_shown_regions(self, clip: Clip) -> dict[int, Region]:
        """Return the objects that the clip's frames show as regions, by their places in `objects`."""
        masks = self._marked(clip)
        shown = {place: each for place, each in enumerate(self.objects) if each.id in masks and masks[each.id].any()}
        check_any_changes([each.edit_prompt for each in self.objects], shown, len(clip.frames))
        return {place: each.region(masks[each.id]) for place, each in shown.items()}

    def _marked(self, clip: Clip) -> dict[int, np.ndarray]:
        """Return `edit_masks`; an object that should change and was never marked raises RegionError."""
        masks = self.edit_masks(clip)
        for each in self.objects:
            if each.edit_prompt and each.id not in masks:
                raise RegionError(f"{each.title} has a prompt but was never marked. Click on it in the clip.")
        return masks

    def named_masks(self, clip: Clip) -> dict[str, np.ndarray]:
        """Return the masks that an edit uses by names for files, from the bottom to the top, for export."""
        masks = self.edit_masks(clip)
        shown = [each for each in self.objects if each.id in masks]
        names = file_names(each.name or each.prompt or f"object {each.id}" for each in shown)
        return {name: masks[each.id] for name, each in zip(names, shown, strict=True)}

    def _grown(self, each: MarkedObject, clip: Clip) -> np.ndarray:
        masks = fit_masks(self.masks[each.id].masks, clip, self.clip_options, each.name or each.prompt)
        return grow(masks, each.grow) if each.grow >= 0 else shrink(masks, -each.grow)


def from_project(project: EditInputs, clip: Clip) -> Workspace:
    """Return the work that an edit's file amounts to; its masks count as made by hand.

    Raises:
        RegionError: masks are missing or do not fit the clip.
    """
    regions = dict(enumerate(project.load_regions(clip), 1))
    named = project.regions if isinstance(project, Project) else ()
    references = {number: region.reference for number, region in enumerate(named, 1)}
    return Workspace(
        **{part.name: getattr(project, part.name) for part in fields(EditInputs)},
        objects=tuple(
            MarkedObject(
                id=number,
                name=region.name,
                prompt=region.prompt,
                strength=region.strength,
                reference=references.get(number),
            )
            for number, region in regions.items()
        ),
        masks={number: ObjectMasks.by_hand(region.masks) for number, region in regions.items()},
    )
