"""Words that would change nothing are told of, and only those."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from fake_work import OPTIONS, make_clip, small_work

from videograin.errors import RegionError
from videograin.masks.export import save_npz
from videograin.masks.load import MaskSource
from videograin.media.video import Clip, ClipOptions, load_clip
from videograin.production.source_edit import SourceEdit
from videograin.project.coverage import coverage_notes, work_coverage_notes
from videograin.project.project import Project, ProjectRegion
from videograin.project.workspace import MarkedObject, ObjectMasks
from videograin.region import Region


def columns(start: int, stop: int, frames: int = 2) -> np.ndarray:
    masks = np.zeros((frames, 8, 16), bool)
    masks[:, :, start:stop] = True
    return masks


def test_a_region_that_smaller_ones_cover_together_is_named_with_them() -> None:
    man = Region(columns(2, 8), "a robot", "man")
    coat, legs = Region(columns(2, 5), "a red coat", "coat"), Region(columns(5, 8), name="legs")
    (note,) = coverage_notes([man, coat, legs, Region(columns(10, 12), "a fox")])
    assert note.startswith("Region 'man' will not change: 'coat', 'legs' cover all of it")


@pytest.mark.parametrize(
    "regions",
    [
        [Region(columns(2, 8), "a robot"), Region(columns(3, 8))],
        [Region(columns(3, 8), "a robot"), Region(columns(2, 9))],
        [Region(columns(2, 8)), Region(columns(2, 8))],
        [Region(columns(2, 8), "a robot"), Region(columns(2, 8), "a fox")],
        [Region(columns(2, 8), "a robot"), Region(columns(2, 8) & (np.arange(2) == 0)[:, None, None])],
    ],
    ids=["a part is its own", "the other is larger", "both are kept", "both share", "one frame is its own"],
)
def test_regions_that_change_or_are_kept_bring_no_note(regions: list[Region]) -> None:
    assert coverage_notes(regions) == ()


def test_of_two_of_one_size_the_kept_one_covers_the_other() -> None:
    (note,) = coverage_notes([Region(columns(2, 8), "a robot", "man"), Region(columns(2, 8), name="suit")])
    assert "'suit' covers all of it" in note


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    return load_clip(make_clip(tmp_path), OPTIONS)


def test_objects_cover_one_another_as_far_as_they_are_grown(clip: Clip) -> None:
    coat, legs = np.zeros(clip.frames.shape[:3], bool), np.zeros(clip.frames.shape[:3], bool)
    coat[:, 20:30, 20:40] = legs[:, 32:42, 20:40] = True  # a gap of two pixels is left between them
    objects = (MarkedObject(1, "man", prompt="a robot"), MarkedObject(2, "coat"), MarkedObject(3, "legs"))
    man = np.zeros_like(coat)
    man[:, 20:42, 20:40] = True
    masks = {number: ObjectMasks.by_hand(mask) for number, mask in enumerate((man, coat, legs), 1)}
    work = replace(small_work(clip.path), objects=objects, masks=masks)
    assert work_coverage_notes(work, clip) == ()
    grown = replace(work, objects=(objects[0], replace(objects[1], grow=1), replace(objects[2], grow=1)))
    (note,) = work_coverage_notes(grown, clip)
    assert "'man' will not change: 'coat', 'legs' cover" in note


def test_an_object_that_comes_in_later_is_left_out_of_an_edit_of_the_beginning_and_named(tmp_path: Path) -> None:
    clip, masks = make_clip(tmp_path, 4), np.zeros((2, 4, 64, 96), bool)
    masks[0, 3, 10:30, 10:30] = masks[1, :, 32:60, 40:80] = True
    save_npz(tmp_path / "masks.npz", {"late": masks[0], "man": masks[1]})
    regions = [
        ProjectRegion(MaskSource(tmp_path / "masks.npz", key="late"), "a fox", "late"),
        ProjectRegion(MaskSource(tmp_path / "masks.npz", key="man"), "a robot", "man"),
    ]
    beginning = replace(OPTIONS, max_frames=2)
    project = Project(clip=clip, source_prompt="a man", clip_options=beginning, regions=tuple(regions))
    source = SourceEdit.prepare(project, tmp_path)
    assert source.numbers == (1,)
    assert source.notes == ("'late' is in none of the 2 frames and is left out.",)
    assert SourceEdit.prepare(replace(project, clip_options=OPTIONS), tmp_path).numbers == (0, 1)
    with pytest.raises(RegionError, match="None of the 2 frames shows an object that changes"):
        SourceEdit.prepare(replace(project, regions=(regions[0], replace(regions[1], prompt=""))), tmp_path)
    objects = (MarkedObject(1, "late", prompt="a fox"), MarkedObject(2, "man", prompt="a robot"))
    marked = {number: ObjectMasks.by_hand(mask) for number, mask in enumerate(masks, 1)}
    work = replace(small_work(clip), clip_options=beginning, objects=objects, masks=marked)
    assert SourceEdit.prepare(work, tmp_path).notes == source.notes


def test_what_decides_in_a_crop_is_what_decides_in_the_whole_picture(tmp_path: Path) -> None:
    """A kept carpet that a small crop shows little of stays larger than the man who stands on it."""
    clip, carpet, man = make_clip(tmp_path), np.zeros((64, 96), np.uint8), np.zeros((64, 96), np.uint8)
    carpet[10:60, 4:92], man[16:36, 10:30] = 255, 255
    regions = []
    for name, mask, prompt in (("carpet", carpet, ""), ("man", man, "a robot")):
        cv2.imwrite(str(tmp_path / f"{name}.png"), mask)
        regions.append(ProjectRegion(MaskSource(tmp_path / f"{name}.png"), prompt, name))
    options = ClipOptions(short_side=32, multiple=8)
    project = Project(clip=clip, source_prompt="a man", clip_options=options, regions=tuple(regions))
    source = SourceEdit.prepare(project, tmp_path)
    assert source.crops is not None
    assert source.request is not None
    kept, edited = source.request.regions
    assert kept.masks.mean() > 0
    assert edited.rank < kept.rank
