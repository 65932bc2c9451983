"""The edit that a user's work amounts to, as a project whose masks lie in a file."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from videograin.errors import RegionError
from videograin.masks.load import MaskSource
from videograin.media.npz import write_npz
from videograin.media.video import Clip
from videograin.project.objects import is_followed
from videograin.project.project import Project, ProjectRegion
from videograin.project.single_frame import check_shown, frame_masks, frame_options
from videograin.project.workspace import Workspace


def edit_of(work: Workspace, clip: Clip, keep: Callable[[Path], Path], frame: int | None = None) -> Project:
    """Return the edit that a work amounts to.

    Args:
        work: the objects and words.
        clip: as it was loaded by the work's options.
        keep: takes the file of masks, and returns where it is kept.
        frame: counted from 0; then the edit is of this frame alone, and objects need not be followed.

    Raises:
        RegionError: no object should change, or one that should is not marked, was never followed, or is not in the
            frame.
    """
    if not any(each.edit_prompt for each in work.objects):
        raise RegionError("Nothing changes yet. Say in step 3 what at least one object becomes.")
    if frame is None:
        _check_followed(work)
    work.load_regions(clip)
    masks, options = work.edit_masks(clip), work.clip_options
    if frame is not None:
        options = frame_options(options, clip, frame)
        masks = frame_masks(masks, frame)
    shown = [each for each in work.objects if each.id in masks and masks[each.id].any()]
    if frame is not None:
        check_shown([each.edit_prompt for each in shown])
    with TemporaryDirectory(prefix="videograin-") as folder:
        path = Path(folder, "masks.npz")
        write_npz(path, {str(each.id): masks[each.id] for each in shown})
        kept = keep(path)
    regions = tuple(
        ProjectRegion(
            masks=MaskSource(kept, key=str(each.id)),
            prompt=each.edit_prompt,
            name=each.name,
            strength=each.strength,
            reference=each.reference if each.edit_prompt else None,
        )
        for each in shown
    )
    return Project(
        clip=work.clip, source_prompt=work.source_prompt, model=work.model, clip_options=options,
        target_prompt=work.target_prompt, background=work.background, negative_prompt=work.negative_prompt,
        controls=work.controls, control_guidance=work.control_guidance, adapters=work.adapters,
        settings=work.settings, regions=regions,
    )  # fmt: skip


def _check_followed(work: Workspace) -> None:
    """Raise RegionError where an object that changes is marked in some frames alone."""
    for each in work.objects:
        if each.edit_prompt and each.id in work.masks and not is_followed(work, each.id):
            raise RegionError(
                f"{each.title} is marked, but not followed through the clip. Press 'Follow all' in step 2."
            )
