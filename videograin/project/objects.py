"""Operations on the list of marked objects. Each returns a changed copy of the work."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace

import numpy as np

from videograin.diffusion.prompt import phrase_places
from videograin.errors import RegionError
from videograin.masks.shapes import Combination, combine, drop_specks, fill_holes
from videograin.media.video import MAX_CLIP_BYTES
from videograin.project.project import EditInputs, Project, ProjectRegion
from videograin.project.workspace import Box, Click, MarkedObject, ObjectMasks, Scribble, Workspace
from videograin.region import MAX_REGIONS, NOTHING, means_removal
from videograin.tracking.tracks import FrameState, Track

COLOURS = (
    "#e8590c",
    "#1c7ed6",
    "#2f9e44",
    "#c2255c",
    "#f08c00",
    "#7048e8",
    "#0c8599",
    "#d6336c",
    "#66a80f",
    "#9c36b5",
)
"""Of objects in their order; neighbours differ for every kind of colour vision."""

MAX_NAME = 60

CLEAN_UP_SHARE = 0.01
"""Holes and specks below this share of the object are a segmenter's errors; the gap between arm and body is larger."""

SAME = 0.6
"""Intersection over union above which two masks are of one object."""


def add_object(work: Workspace, name: str = "") -> Workspace:
    """Add an object on top of the others; it has a name, a colour and no masks yet.

    Raises:
        RegionError: there are too many.
    """
    if len(work.objects) >= MAX_REGIONS:
        raise RegionError(f"There are {MAX_REGIONS} objects; no more can be edited at once. Delete one first.")
    number = reserve_numbers(work).reserved + 1
    return with_colours(replace(work, objects=(*work.objects, MarkedObject(number, name or f"Object {number}"))))


def reserve_numbers(work: Workspace) -> Workspace:
    """Return the work in which no new object gets the number of one that is there, also after that was deleted."""
    return replace(work, reserved=max([work.reserved, *(each.id for each in work.objects)]))


def add_masks(work: Workspace, masks: Mapping[str, np.ndarray]) -> Workspace:
    """Add objects whose masks (F, H, W) bool are known in every frame, on top of the others.

    Raises:
        RegionError: none of them covers a pixel of the clip, or there are too many objects.
    """
    if not any(mask.any() for mask in masks.values()):
        raise RegionError("These masks are empty in every frame of the clip, so there is no object in them.")
    for name, mask in masks.items():
        work = add_object(work, " ".join(name.split())[:MAX_NAME])
        work = _with_masks(work, work.objects[-1].id, ObjectMasks.by_hand(mask))
    return work


def add_rest(work: Workspace) -> Workspace:
    """Add everything that no other object covers, as an object at the bottom.

    Raises:
        RegionError: there is one already, or there are too many objects.
    """
    if any(each.is_rest for each in work.objects):
        raise RegionError("'Everything else' is in the list already. Say what it becomes in step 3.")
    work = add_object(work, "everything else")
    *others, rest = work.objects
    return replace(work, objects=(replace(rest, is_rest=True), *others))


def combine_objects(work: Workspace, number: int, other: int, how: Combination) -> Workspace:
    """Join, cut or cross an object's masks with another's; the other stays as it is.

    Raises:
        RegionError: one of them is not marked.
    """
    if number not in work.masks or other not in work.masks:
        raise RegionError("Both objects must be marked before they can be combined. Click on them first.")
    mine, theirs = work.masks[number], work.masks[other]
    track = replace(as_track(mine), masks=combine([mine.masks, theirs.masks], how))
    return set_track(work, number, track)


def clean_up_object(work: Workspace, number: int) -> Workspace:
    """Fill the small holes of an object's masks and remove the specks beside it, in every frame.

    Raises:
        RegionError: it is not marked.
    """
    if number not in work.masks:
        raise RegionError("This object has no mask yet that could be cleaned up. Click on it first.")
    known = work.masks[number]
    masks = fill_holes(drop_specks(known.masks, CLEAN_UP_SHARE), CLEAN_UP_SHARE)
    return set_track(work, number, replace(as_track(known), masks=masks))


def with_colours(work: Workspace) -> Workspace:
    """Give the objects that have no colour one of ours."""
    return replace(
        work,
        objects=tuple(
            replace(each, colour=each.colour or COLOURS[(each.id - 1) % len(COLOURS)]) for each in work.objects
        ),
    )


def delete_object(work: Workspace, number: int) -> Workspace:
    """Remove an object and its masks."""
    masks = {key: value for key, value in work.masks.items() if key != number}
    return replace(work, objects=tuple(each for each in work.objects if each.id != number), masks=masks)


def find_object(work: Workspace, number: int) -> MarkedObject:
    """Return an object by its number.

    Raises:
        RegionError: there is none.
    """
    found = next((each for each in work.objects if each.id == number), None)
    if found is None:
        raise RegionError(f"There is no object {number}. Known are: {[each.id for each in work.objects]}.")
    return found


def change_object(work: Workspace, number: int, change: Callable[[MarkedObject], MarkedObject]) -> Workspace:
    """Return the work with one object changed."""
    return replace(work, objects=tuple(change(each) if each.id == number else each for each in work.objects))


def say(work: Workspace, number: int, prompt: str) -> Workspace:
    """Say what an object becomes, which is no longer kept then; a sentence of one's own follows where it has the
    former phrase.

    Raises:
        RegionError: there is no such object.
    """
    before, sentence = find_object(work, number).prompt, work.target_prompt
    if prompt and (places := phrase_places(sentence, before)):
        start, stop = places[0]
        sentence = sentence[:start] + prompt + sentence[stop:]
    said = change_object(work, number, lambda each: replace(each, prompt=prompt, is_kept=each.is_kept and not prompt))
    return replace(said, target_prompt=sentence)


def toggle_removal(work: Workspace, number: int) -> Workspace:
    """Have an object removed from the clip, or have it back.

    Raises:
        RegionError: there is no such object.
    """
    is_removed = means_removal(find_object(work, number).edit_prompt)
    work = change_object(work, number, lambda each: replace(each, is_kept=False))
    return say(work, number, "" if is_removed else NOTHING)


def with_words_of(work: Workspace, other: Workspace) -> Workspace:
    """Return the work with the words and settings of another state of it, as far as that one has its objects.

    Numbers that are reserved stay so.
    """
    said = {each.id: each for each in other.objects}
    words = [said.get(each.id, each) for each in work.objects]
    kept = [
        replace(each, prompt=says.prompt, strength=says.strength, is_kept=says.is_kept, reference=says.reference)
        for each, says in zip(work.objects, words, strict=True)
    ]
    inputs = {part.name: getattr(other, part.name) for part in fields(EditInputs)}
    return replace(work, objects=tuple(kept), segmenter=other.segmenter, reserved=other.reserved, **inputs)


def with_words_of_edit(work: Workspace, edit: Project) -> Workspace:
    """Return the work with the words and settings of an earlier edit.

    Objects are found by their names, and of several with one name each by its number, which its masks are kept under.
    """
    said = [
        replace(each, prompt=found.prompt, strength=found.strength, is_kept=False, reference=found.reference)
        if (found := _region_of(work, each, edit))
        else each
        for each in work.objects
    ]
    return replace(
        work, objects=tuple(said), source_prompt=edit.source_prompt, target_prompt=edit.target_prompt,
        background=edit.background, negative_prompt=edit.negative_prompt, controls=edit.controls,
        control_guidance=edit.control_guidance, adapters=edit.adapters, settings=edit.settings,
    )  # fmt: skip


def _region_of(work: Workspace, each: MarkedObject, edit: Project) -> ProjectRegion | None:
    named = {region.masks.key: region for region in edit.regions if region.name == each.name}
    others = {str(other.id) for other in work.objects if other.name == each.name}
    return named.get(str(each.id)) or next((region for key, region in named.items() if key not in others), None)


def rename_object(work: Workspace, number: int, name: str) -> Workspace:
    """Give an object another name; an empty one is not taken."""
    name = " ".join(name.split())[:MAX_NAME]
    return change_object(work, number, lambda each: replace(each, name=name or each.name))


def move_object(work: Workspace, number: int, steps: int) -> Workspace:
    """Move an object `steps` places towards the top of the overlay.

    Raises:
        RegionError: there is no such object.
    """
    objects = list(work.objects)
    place = objects.index(find_object(work, number))
    moved = objects.pop(place)
    objects.insert(max(0, min(len(objects), place + steps)), moved)
    return replace(work, objects=tuple(objects))


def set_mask(
    work: Workspace, number: int, frame: int, mask: np.ndarray, frames: int, confidence: float = 1.0
) -> Workspace:
    """Say where an object is in one frame, by the user's own strokes or by an answer to their clicks.

    Args:
        work: is left as it is; a changed copy is returned.
        number: which of them.
        frame: counted from 0.
        mask: (H, W) bool.
        frames: number of frames of the clip, for an object without a track.
        confidence: of the answer, in [0, 1].
    """
    track = as_track(work.masks[number]) if number in work.masks else Track.untracked((frames, *mask.shape))
    return set_track(work, number, track.corrected(frame, mask, confidence))


def as_track(known: ObjectMasks) -> Track:
    """Return an object's masks as the tracker has them; without tracking, only anchors are known."""
    states = known.states or tuple(
        FrameState.VISIBLE if frame in known.anchors else FrameState.UNTRACKED for frame in range(len(known.masks))
    )
    return Track(known.masks, known.confidence, tuple(FrameState(state) for state in states), known.anchors)


def set_track(work: Workspace, number: int, track: Track) -> Workspace:
    """Return the work with an object's masks as the tracker has them.

    Raises:
        RegionError: all masks together would exceed the memory of a session.
    """
    known = ObjectMasks(track.masks, track.confidence, tuple(state.value for state in track.states), track.anchors)
    return _with_masks(work, number, known)


def _with_masks(work: Workspace, number: int, known: ObjectMasks) -> Workspace:
    masks = {**work.masks, number: known}
    if sum(each.masks.nbytes for each in masks.values()) > MAX_CLIP_BYTES:
        raise RegionError(
            f"The masks of {len(masks)} objects in {len(known.masks)} frames of this size exceed "
            f"{MAX_CLIP_BYTES >> 30} GiB. Delete an object, or open a shorter or smaller clip."
        )
    return replace(work, masks=masks)


def mask_at(work: Workspace, number: int, frame: int) -> np.ndarray | None:
    """Return an object's mask (H, W) bool in a frame, None where there is none."""
    known = work.masks.get(number)
    return known.masks[frame] if known is not None and known.masks[frame].any() else None


def is_marked(work: Workspace, frame: int, mask: np.ndarray) -> bool:
    """Whether an object has this mask (H, W) bool in a frame already, by an intersection over union of `SAME`."""
    others = [known.masks[frame] for known in work.masks.values()]
    return any((mask & other).sum() > SAME * (mask | other).sum() for other in others)


def with_marks(
    work: Workspace,
    number: int,
    clicks: Sequence[Click] = (),
    boxes: Sequence[Box] = (),
    scribbles: Sequence[Scribble] = (),
) -> Workspace:
    """Add clicks, boxes and scribbles to those of an object."""
    return change_object(
        work,
        number,
        lambda each: replace(
            each,
            clicks=(*each.clicks, *clicks),
            boxes=(*each.boxes, *boxes),
            scribbles=(*each.scribbles, *scribbles),
        ),
    )


def is_followed(work: Workspace, number: int) -> bool:
    """Whether an object's place is known in every frame, followed there or drawn."""
    known = work.masks.get(number)
    return known is not None and FrameState.UNTRACKED not in as_track(known).states


def weakest_frame(work: Workspace) -> int | None:
    """Return the frame where some object's place is least sure; None while all that is known is sure."""
    tracked = [work.masks[each.id].confidence for each in work.objects if is_followed(work, each.id)]
    surety = np.min(tracked, axis=0) if tracked else np.ones(1)
    return int(surety.argmin()) if surety.min() < 1 else None
