"""Words that would change nothing: where regions overlap the smaller decides, and may leave nothing to a larger one;
and an object may be in none of the frames."""

from collections.abc import Collection, Sequence

import numpy as np

from videograin.masks.shapes import grow, shrink
from videograin.media.video import Clip
from videograin.project.project import EditInputs, Project
from videograin.project.workspace import MarkedObject, Workspace
from videograin.region import Region


def coverage_notes(regions: Sequence[Region]) -> tuple[str, ...]:
    """Tell of each edited region that changes nothing, since smaller ones cover all of it in every frame."""
    covered = {region: _covering(region, regions) for region in regions if region.is_edited}
    return tuple(_note(region, smaller) for region, smaller in covered.items() if smaller)


def absence_notes(inputs: EditInputs, shown: Collection[int], frames: int) -> tuple[str, ...]:
    """Tell of each region that should change and is not shown in a clip's frames, so that it has no part in the edit.

    Args:
        inputs: the edit.
        shown: numbers of the regions that are.
        frames: of the clip.
    """
    prompts = {}
    if isinstance(inputs, Project):
        prompts = {number: (each.name, each.prompt) for number, each in enumerate(inputs.regions)}
    elif isinstance(inputs, Workspace):
        prompts = {place: (each.name, each.edit_prompt) for place, each in enumerate(inputs.objects)}
    absent = [name or prompt for number, (name, prompt) in prompts.items() if prompt.strip() and number not in shown]
    return tuple(f"'{each}' is in none of the {frames} frames and is left out." for each in absent)


def work_coverage_notes(work: Workspace, clip: Clip) -> tuple[str, ...]:
    """Tell the same of a work's objects, which cover one another as an edit of the clip has them.

    One frame of each object as a rule shows that there is nothing to tell.
    """
    if not any(_may_be_covered(work, each) for each in work.objects):
        return ()
    masks = work.edit_masks(clip)
    shown = [each for each in work.objects if each.id in masks and masks[each.id].any()]
    return coverage_notes([Region(masks[each.id], each.edit_prompt, each.name) for each in shown])


def _covering(region: Region, regions: Sequence[Region]) -> list[Region]:
    """Return the smaller regions that together cover all of one; none where they leave a part of it."""
    smaller = [other for other in regions if other.rank < region.rank]
    is_covered = all(
        not (mask & ~_union([other.masks[frame] for other in smaller], mask)).any()
        for frame, mask in enumerate(region.masks)
    )
    return [other for other in smaller if (other.masks & region.masks).any()] if is_covered else []


def _note(region: Region, smaller: Sequence[Region]) -> str:
    names = ", ".join(f"'{other.name or other.prompt or 'without a name'}'" for other in smaller)
    return (
        f"{region.title} will not change: {names} cover{'s' * (len(smaller) == 1)} all of it, and where regions "
        "overlap the smaller one decides. Give the words to what covers it, or take a part away from that."
    )


def _may_be_covered(work: Workspace, each: MarkedObject) -> bool:
    """Return whether the other objects cover all of an edited one in the first frame that shows it."""
    if not each.edit_prompt or each.is_rest or each.id not in work.masks:
        return False
    frame = next((number for number, mask in enumerate(work.masks[each.id].masks) if mask.any()), None)
    if frame is None:
        return False
    own = _shaped(work, each, frame)
    others = [other for other in work.objects if other.id != each.id and other.id in work.masks and not other.is_rest]
    return not (own & ~_union([_shaped(work, other, frame) for other in others], own)).any()


def _shaped(work: Workspace, each: MarkedObject, frame: int) -> np.ndarray:
    """Return an object's mask (H, W) bool in a frame, grown or shrunk as the user wants it."""
    mask = work.masks[each.id].masks[frame : frame + 1]
    return (grow(mask, each.grow) if each.grow >= 0 else shrink(mask, -each.grow))[0]


def _union(masks: Sequence[np.ndarray], like: np.ndarray) -> np.ndarray:
    return np.logical_or.reduce([np.zeros_like(like), *masks])
