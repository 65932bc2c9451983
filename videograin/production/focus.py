"""The part of a file's frames that an edit draws, and at what size: known as soon as its regions are."""

from collections.abc import Sequence

import numpy as np

from videograin.media.video import Clip
from videograin.production.crop_plan import plan_crops
from videograin.production.crops import Crops
from videograin.production.source_masks import ClipPlace
from videograin.project.project import EditInputs
from videograin.region import Region


def plan_focus(clip: Clip, inputs: EditInputs, regions: Sequence[Region]) -> Crops | None:
    """Return where a clip is edited; None where its frames are as they are in the source, or are to be the result.

    Args:
        clip: as it was loaded by the inputs' options.
        inputs: the edit.
        regions: its regions, at the clip's size.
    """
    source = (clip.info.width, clip.info.height)
    if not inputs.settings.focus:
        return None
    place = ClipPlace.of(clip.info, inputs.clip_options)
    bounds = np.stack([place.bounds(region.masks) for region in regions if region.is_edited])
    if not inputs.settings.blend_background:  # without the source around the objects, the crop's edge would show
        bounds[...] = np.nan
    crops = plan_crops(bounds, source, inputs.clip_options)
    return None if crops.box == source and clip.frames.shape[1:3] == source[::-1] else crops


def drawn_shape(clip: Clip, crops: Crops | None) -> tuple[int, int, int]:
    """Return the shape (F, H, W) of what the pipeline is given."""
    frames, height, width = clip.frames.shape[:3]
    return (frames, height, width) if crops is None else (frames, crops.size[1], crops.size[0])
