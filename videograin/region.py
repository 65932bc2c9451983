"""An edit's input and output: regions, settings, request, result. Each is checked once, when it is made."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from videograin.controls import ControlGuidance
from videograin.controls import ControlKind as ControlKind  # callers find all that a request is made of here
from videograin.errors import RegionError, SettingsError, VideoError
from videograin.reference import Reference
from videograin.settings import MAX_ANCHOR_FRAMES as MAX_ANCHOR_FRAMES
from videograin.settings import MAX_CROSS_STRENGTH as MAX_CROSS_STRENGTH
from videograin.settings import MAX_LEADING_STEPS as MAX_LEADING_STEPS
from videograin.settings import MAX_SEED as MAX_SEED
from videograin.settings import MAX_STEPS as MAX_STEPS
from videograin.settings import MAX_TRAJECTORY_LEVELS as MAX_TRAJECTORY_LEVELS
from videograin.settings import MAX_WINDOW_FRAMES as MAX_WINDOW_FRAMES
from videograin.settings import AttentionMode as AttentionMode
from videograin.settings import Convention as Convention
from videograin.settings import EditSettings
from videograin.settings import Sampler as Sampler
from videograin.settings import TimestepSpacing as TimestepSpacing

if TYPE_CHECKING:
    from torch import Tensor

MAX_REGIONS = 62
"""Regions of one edit: the set of regions that a token lies in is one 64-bit code."""

MIN_FRAMES = 1

NOTHING = "nothing"
"""The prompt of an object that is removed."""


def means_removal(prompt: str) -> bool:
    """Whether a prompt asks for an object to be removed, with what is behind it in its place."""
    return prompt.strip().lower() == NOTHING


@dataclass(frozen=True, eq=False)
class Region:
    """An object in the clip, and the phrase that it becomes.

    Attributes:
        masks: where the object is, (F, H, W) bool at the frames' size; may be empty in some frames.
        prompt: what it becomes ("a polar bear"); empty keeps the source. In the edit of a file "nothing" removes it.
        name: the user's name for it, for messages.
        strength: factor on the modulation of this region, 0 to 4.
        area: of the whole object, as `mean_area` has it, where the masks show a part of it; None measures the masks.
        is_new: whether it is drawn from fresh noise alone, for it has nothing to do with what the frames show there.
        reference: a picture that it is drawn after; None goes by the words alone.

    Raises:
        RegionError: masks of another shape or dtype, empty in every frame, or strength out of range.
    """

    masks: np.ndarray
    prompt: str = ""
    name: str = ""
    strength: float = 1.0
    area: float | None = None
    is_new: bool = False
    reference: Reference | None = None

    def __post_init__(self) -> None:
        masks = self.masks
        if masks.ndim != 3 or masks.dtype != np.bool_:
            raise RegionError(
                f"{self.title}: masks have shape {masks.shape} and dtype {masks.dtype}; "
                "pass (frames, height, width) bool."
            )
        if not masks.any():
            raise RegionError(f"{self.title}: the mask is empty in every frame. Mark the object in at least one frame.")
        if not 0 <= self.strength <= 4:
            raise RegionError(f"{self.title}: strength is {self.strength}; choose 0 to 4.")

    @property
    def title(self) -> str:
        """How messages call this region."""
        return f"Region '{self.name or self.prompt or 'without a name'}'"

    @cached_property
    def mean_area(self) -> float:
        """Pixels of the region, the mean over the frames that show it."""
        if self.area is not None:
            return self.area
        areas = self.masks.sum((1, 2), dtype=np.float64)
        return float(areas.sum() / np.count_nonzero(areas))

    @property
    def rank(self) -> tuple[float, bool]:
        """Place among regions that overlap: the lowest rank decides, the smallest one's, of one size a kept one's."""
        return self.mean_area, self.is_edited

    @property
    def is_edited(self) -> bool:
        """Whether the region changes; without a prompt it keeps the source."""
        return bool(self.prompt.strip())

    @property
    def is_removed(self) -> bool:
        """Whether the region is to become what is behind it."""
        return means_removal(self.prompt)


@dataclass(frozen=True, eq=False)
class EditRequest:
    """One edit: the clip, its regions and its prompts.

    Attributes:
        frames: (F, H, W, 3) uint8 RGB.
        regions: at most `MAX_REGIONS`, each with masks of the frames' size, at least one with a prompt.
        source_prompt: what the clip shows now.
        target_prompt: the whole target prompt; empty composes it from the regions' prompts and `background`.
        background: phrase for the rest of the picture in the composed prompt, "on grass".
        negative_prompt: what to avoid.
        control_images: one (F, H, W, 3) uint8 array for each ControlNet of the pipeline.
        control_guidance: one for each of `control_images`; none lets all of them act throughout.
        settings: how the edit is denoised.

    Raises:
        VideoError: frames of another shape or dtype.
        RegionError: too many regions, none with a prompt, or a mask of another size.
        SettingsError: control images of another size, or another number of control guidances.
    """

    frames: np.ndarray
    regions: Sequence[Region]
    source_prompt: str
    target_prompt: str = ""
    background: str = ""
    negative_prompt: str = ""
    control_images: Sequence[np.ndarray] = ()
    control_guidance: Sequence[ControlGuidance] = ()
    settings: EditSettings = field(default_factory=EditSettings)

    def __post_init__(self) -> None:
        check_frames(self.frames)
        check_regions(self.regions, self.frames.shape[:3])
        if self.control_guidance and len(self.control_guidance) != len(self.control_images):
            raise SettingsError(
                f"There are {len(self.control_guidance)} control guidances for {len(self.control_images)} sets of "
                "control images. Pass one for each, or none."
            )
        for images in self.control_images:
            if images.shape != self.frames.shape or images.dtype != np.uint8:
                raise SettingsError(
                    f"Control images have shape {images.shape} and dtype {images.dtype}; "
                    f"pass uint8 of the frames' shape {self.frames.shape}."
                )


@dataclass(frozen=True, eq=False)
class EditResult:
    """An edited clip.

    Attributes:
        frames: (F, H, W, 3) uint8 RGB; none where only the latents were asked for.
        latents: (F, C, H/8, W/8) float32, scaled as the UNet expects them; C is 4 with Stable Diffusion.
        target_prompt: as given, or as composed of the regions' phrases.
        warnings: for the user, in plain words (that the prompt was cut, say).
        seconds: wall time from frames to frames.
        attention: (R, F, h, w) float32, the share of cross-attention that each region's phrase had, averaged over
            heads, layers and steps at one low resolution; None where it was not asked for.
    """

    frames: np.ndarray
    latents: "Tensor"
    target_prompt: str
    warnings: tuple[str, ...]
    seconds: float
    attention: np.ndarray | None = None


def check_frames(frames: np.ndarray) -> None:
    """Raise VideoError unless `frames` are (F, H, W, 3) uint8 with at least `MIN_FRAMES` frames."""
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise VideoError(f"Frames have shape {frames.shape} and dtype {frames.dtype}; pass (F, H, W, 3) uint8 RGB.")
    if len(frames) < MIN_FRAMES:
        raise VideoError(f"The clip has {len(frames)} frames; editing needs at least {MIN_FRAMES}.")


def check_regions(regions: Sequence[Region], clip_shape: tuple[int, ...]) -> None:
    """Raise RegionError unless the regions can be edited in a clip of shape (F, H, W)."""
    if len(regions) > MAX_REGIONS:
        raise RegionError(f"There are {len(regions)} regions; at most {MAX_REGIONS} can be edited at once. Join some.")
    if not any(region.is_edited for region in regions):
        raise RegionError("No region has a prompt. Say what at least one region becomes.")
    for region in regions:
        if region.masks.shape != clip_shape:
            raise RegionError(
                f"{region.title}: masks have shape {region.masks.shape} but the clip is {clip_shape} "
                "(frames, height, width). Make the masks again for this clip."
            )
