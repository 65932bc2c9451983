"""Edits as one JSON file: clip, regions, words, model and settings, by paths relative to the file."""

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from videograin.errors import ProjectError, RegionError
from videograin.files.document import DocumentReader, parse_document
from videograin.masks.labels import check_number
from videograin.masks.load import MaskSource, load_masks
from videograin.masks.target import MaskTarget
from videograin.media.video import Clip, ClipOptions
from videograin.models.adapters import Adapter
from videograin.models.bundles import DEFAULT_MODEL, find_bundle, named_bundles
from videograin.models.presets import Quality, apply_quality
from videograin.project.references import ReferenceFile
from videograin.region import ControlGuidance, ControlKind, EditRequest, EditSettings, Region

MAX_STORED_BYTES = 2**29
"""Of masks at the source's size; reading them takes up to three times as much."""

VERSION = 1
"""Of the file's layout; a reader refuses those that it does not know."""


@dataclass(frozen=True, kw_only=True)
class EditInputs(ABC):
    """Everything that an edit follows from; where the regions come from is for others to say.

    Attributes:
        clip: path of the source video.
        source_prompt: what the clip shows now.
        model: name of a bundle, folder, file or hub id.
        clip_options: which part of the video, and its size.
        target_prompt: the whole target prompt; empty composes it.
        background: phrase for the rest of the picture.
        negative_prompt: what to avoid.
        controls: ControlNets that hold the edit to the source.
        control_guidance: scale, start and end of some of them; the others act throughout.
        adapters: LoRAs and textual inversions.
        settings: how to denoise.
        output: the MP4 to write; None is the project's name.
    """

    clip: Path
    source_prompt: str
    model: str = DEFAULT_MODEL
    clip_options: ClipOptions = field(default_factory=ClipOptions)
    target_prompt: str = ""
    background: str = ""
    negative_prompt: str = ""
    controls: tuple[ControlKind, ...] = ()
    control_guidance: tuple[ControlGuidance, ...] = ()
    adapters: tuple[Adapter, ...] = ()
    settings: EditSettings = field(default_factory=EditSettings)
    output: Path | None = None

    @property
    def has_references(self) -> bool:
        """Whether something that changes is drawn after a picture."""
        return False

    def guidance_of(self, kind: ControlKind) -> ControlGuidance:
        """Return scale, start and end of a ControlNet."""
        return next((each for each in self.control_guidance if each.kind == kind), ControlGuidance(kind))

    def request_for(self, frames: np.ndarray, regions: list[Region], control_images: list[np.ndarray]) -> EditRequest:
        """Return what the pipeline is asked for.

        Args:
            frames: (F, H, W, 3) uint8 RGB, to be edited.
            regions: of these frames.
            control_images: (F, H, W, 3) uint8, for each of `controls`.
        """
        return EditRequest(
            frames=frames,
            regions=regions,
            source_prompt=self.source_prompt,
            target_prompt=self.target_prompt,
            background=self.background,
            negative_prompt=self.negative_prompt,
            control_images=control_images,
            control_guidance=[self.guidance_of(kind) for kind in self.controls],
            settings=self.settings,
        )

    def load_stored_masks(self, clip: Clip) -> list[np.ndarray] | None:  # noqa: ARG002 - most keep the clip's size
        """Return the regions' masks (F, h, w) bool as they are stored, where that may be finer than the clip is; else
        None."""
        return None

    @abstractmethod
    def load_regions(self, clip: Clip) -> list[Region]:
        """Return the regions with masks of the clip's size.

        Raises:
            RegionError: masks are missing, empty, or do not fit the clip.
        """

    def load_shown_regions(self, clip: Clip) -> dict[int, Region]:
        """Return the regions that a clip's frames show by their numbers, counted from 0, with masks of its size.

        A part of a clip need not show every object: one that comes in later is left out of a preview of its beginning.

        Raises:
            RegionError: masks are missing or do not fit the clip, or nothing that changes is in its frames.
        """
        return dict(enumerate(self.load_regions(clip)))


@dataclass(frozen=True)
class ProjectRegion:
    """A region as the file names it; the attributes are those of `Region`, masks and picture still in their files."""

    masks: MaskSource
    prompt: str = ""
    name: str = ""
    strength: float = 1.0
    reference: ReferenceFile | None = None

    def with_masks(self, masks: np.ndarray) -> Region:
        """Return the region with its masks (F, H, W) bool and its picture read.

        Raises:
            RegionError: the masks are empty in every frame.
        """
        return Region(
            masks=masks,
            prompt=self.prompt,
            name=self.name,
            strength=self.strength,
            reference=self.reference.load() if self.reference else None,
        )


@dataclass(frozen=True, kw_only=True)
class Project(EditInputs):
    """An edit as one file has it.

    Attributes:
        regions: what changes into what.
    """

    regions: tuple[ProjectRegion, ...]

    @property
    def has_references(self) -> bool:
        """Whether something that changes is drawn after a picture."""
        return any(region.reference and region.prompt.strip() for region in self.regions)

    def load_regions(self, clip: Clip) -> list[Region]:
        """Read the masks and bring them to the clip's size."""
        return [region.with_masks(masks) for region, masks in zip(self.regions, self._masks(clip), strict=True)]

    def load_shown_regions(self, clip: Clip) -> dict[int, Region]:
        """Read the masks and bring them to the clip's size; regions without a pixel in it are left out."""
        masks = self._masks(clip)
        shown = {number: region for number, region in enumerate(self.regions) if masks[number].any()}
        check_any_changes([region.prompt for region in self.regions], shown, len(clip.frames))
        return {number: region.with_masks(masks[number]) for number, region in shown.items()}

    def _masks(self, clip: Clip) -> list[np.ndarray]:
        target = MaskTarget.of(clip, self.clip_options)
        check_number(len(self.regions), target)
        return load_masks([region.masks for region in self.regions], target)

    def load_stored_masks(self, clip: Clip) -> list[np.ndarray] | None:
        """Read the masks without bringing them to the clip's size; None where that could take too much memory."""
        target = MaskTarget.of(clip, self.clip_options)
        if len(self.regions) * len(clip.frames) * math.prod(target.source) > MAX_STORED_BYTES:
            return None
        return load_masks([region.masks for region in self.regions], replace(target, as_stored=True))


def check_any_changes(prompts: Sequence[str], shown: Collection[int], frames: int) -> None:
    """Raise RegionError where some regions have a prompt, and a clip shows none of these.

    Args:
        prompts: of all regions.
        shown: numbers of those that the clip shows.
        frames: of the clip.
    """
    changing = {number for number, prompt in enumerate(prompts) if prompt.strip()}
    if changing and changing.isdisjoint(shown):
        raise RegionError(
            f"None of the {frames} frames shows an object that changes. Choose frames that show one, or mark it in one "
            "of these."
        )


def load_project(path: str | os.PathLike[str], model: str | None = None, trusted: bool = True) -> Project:
    """Read a project file; settings and clip options that it leaves out are those of its model's bundle.

    Args:
        path: JSON file; paths in it are relative to its folder.
        model: takes the place of the file's model.
        trusted: whether its paths may lead out of its folder.

    Raises:
        ProjectError: the file is missing, damaged, of an unknown version, or has a key or value that does not belong.
        SettingsError: a value outside its range.
    """
    path = Path(path)
    document = parse_document(path)
    version = document.pop("version", None)
    if version == VERSION + 1:
        raise ProjectError(
            f"'{path.name}' belongs to a whole folder of work. Give its folder instead, '{path.parent}'."
        )
    if version != VERSION:
        raise ProjectError(f"'{path.name}' has version {version!r}; this program reads version {VERSION}.")
    complete_document(document, path, model, trusted)
    return DocumentReader(path, trusted).read(Project, document, "")


def complete_document(document: dict[str, Any], path: Path, model: str | None, trusted: bool) -> None:
    """Set a document's model, and fill in the settings and clip options that suit it where it leaves them out.

    Its `quality`, if any, takes the place of the model's own steps and shortcuts.
    """
    given_model = model or document.get("model", DEFAULT_MODEL)
    document["model"] = _locate_model(given_model, path, trusted or model is not None)
    bundle = find_bundle(document["model"])
    options = ClipOptions(short_side=bundle.short_side, multiple=bundle.multiple)
    own = bundle.settings
    if (quality := document.pop("quality", None)) is not None:
        if quality not in list(Quality):
            raise ProjectError(f"'{path.name}': quality is {quality!r}; give one of: {', '.join(Quality)}.")
        own = apply_quality(Quality(quality), own, own)
    for name, defaults in (("settings", own), ("clip_options", options)):
        if isinstance(given := document.get(name, {}), dict):
            document[name] = asdict(defaults) | given


def _locate_model(model: object, project: Path, trusted: bool) -> str:
    """Return a model's name, or its path where there is such a folder or file beside the project."""
    if not isinstance(model, str):
        raise ProjectError(f"'{project.name}': model is {model!r}; give a text.")
    if not trusted and model not in named_bundles():
        raise ProjectError(
            f"'{project.name}': model is '{model}'; a project from elsewhere may use: {', '.join(named_bundles())}."
        )
    beside = project.absolute().parent / model
    try:
        beside.stat()
    except (FileNotFoundError, NotADirectoryError):
        return model
    except (OSError, ValueError) as error:
        raise ProjectError(f"'{project.name}': model is {model!r}, which cannot be opened ({error}).") from error
    return os.path.normpath(beside)
