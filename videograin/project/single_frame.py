"""One frame of an edit, to see in seconds what the whole clip would take minutes for."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from videograin.errors import RegionError
from videograin.media.video import Clip, ClipOptions, load_clip
from videograin.project.project import EditInputs
from videograin.region import Region


@dataclass(frozen=True, kw_only=True)
class SingleFrame(EditInputs):
    """The edit of one frame.

    Attributes:
        regions: as this frame shows them, those that it does not show left out.
    """

    regions: tuple[Region, ...]

    @property
    def has_references(self) -> bool:
        """Whether something that changes is drawn after a picture."""
        return any(region.reference and region.is_edited for region in self.regions)

    def load_regions(self, clip: Clip) -> list[Region]:  # noqa: ARG002 - they are of this clip already
        """Return the regions of the frame."""
        return list(self.regions)


def single_frame(inputs: EditInputs, number: int) -> SingleFrame:
    """Return the edit of one frame of a clip, counted from 0.

    Raises:
        VideoGrainError: the clip or its masks cannot be read.
        RegionError: there is no such frame, or it shows nothing that changes.
    """
    clip = load_clip(inputs.clip, inputs.clip_options)
    options = frame_options(inputs.clip_options, clip, number)
    regions = inputs.load_regions(clip)
    masks = frame_masks({place: region.masks for place, region in enumerate(regions)}, number)
    check_shown([regions[place].prompt for place in masks])
    shown = tuple(replace(regions[place], masks=mask) for place, mask in masks.items())
    given: dict[str, Any] = {part.name: getattr(inputs, part.name) for part in fields(EditInputs)}
    given["clip_options"] = options
    return SingleFrame(**given, regions=shown)


def frame_options(options: ClipOptions, clip: Clip, number: int) -> ClipOptions:
    """Return the options that read one frame, counted from 0, of a clip that was loaded with some.

    Raises:
        RegionError: there is no such frame.
    """
    count = len(clip.frames)
    if not 0 <= number < count:
        raise RegionError(f"Frame {number} is not in the clip; it has {count}, counted from 0.")
    return replace(options, start=clip.start + number / clip.fps, end=None, max_frames=1)


def frame_masks(masks: Mapping[int, np.ndarray], number: int) -> dict[int, np.ndarray]:
    """Return the masks (1, H, W) bool of those objects among `masks` (F, H, W) that a frame shows."""
    return {key: each[number : number + 1] for key, each in masks.items() if each[number].any()}


def check_shown(prompts: list[str]) -> None:
    """Raise RegionError where none of the objects that a frame shows has a prompt."""
    if not any(prompts):  # the frame has no number here: the page counts from 1, its API and the command line from 0
        raise RegionError("This frame shows none of the objects that change. Choose another one.")
