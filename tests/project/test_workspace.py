from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_work import OPTIONS, make_clip, small_work, square
from mask_targets import read_masks
from whole_requests import load_request, make_request

from videograin.errors import ProjectError, RegionError, SettingsError
from videograin.masks.export import save_indexed_pngs, save_npz
from videograin.masks.load import MaskSource, load_objects
from videograin.masks.shapes import grow
from videograin.masks.target import MaskTarget, fit_masks
from videograin.media.video import Clip, ClipOptions, load_clip
from videograin.project.objects import add_masks
from videograin.project.project import load_project
from videograin.project.workspace import MarkedObject, ObjectMasks, Workspace, from_project

CLIPS = Path(__file__).parents[2] / "assets/clips"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return load_clip(make_clip(tmp_path_factory.mktemp("clip")), OPTIONS)


@pytest.fixture
def work(clip: Clip) -> Workspace:
    return small_work(clip.path)


def test_objects_become_regions_with_their_growth(work: Workspace, clip: Clip) -> None:
    request = make_request(work, clip)
    man, shirt, rest = request.regions
    assert [region.prompt for region in request.regions] == ["", "a red shirt", "snow"]
    assert np.array_equal(man.masks, work.masks[1].masks)
    assert np.array_equal(shirt.masks, grow(work.masks[2].masks, 2))
    assert np.array_equal(rest.masks, ~(man.masks | shirt.masks))
    assert request.settings.seed == 7


def test_a_negative_growth_shrinks(work: Workspace, clip: Clip) -> None:
    thinner = replace(work, objects=(replace(work.objects[1], grow=-3),))
    assert np.array_equal(thinner.edit_masks(clip)[2], square(23, 23, 14).masks)


def test_an_object_that_is_kept_keeps_its_words_for_later(work: Workspace, clip: Clip) -> None:
    kept = replace(work, objects=(*work.objects[:2], replace(work.objects[2], is_kept=True)))
    assert [region.prompt for region in kept.load_regions(clip)] == ["", "a red shirt", ""]


def test_a_hidden_object_is_edited_all_the_same(work: Workspace, clip: Clip) -> None:
    hidden = replace(work, objects=tuple(replace(each, is_hidden=True) for each in work.objects))
    assert len(hidden.load_regions(clip)) == 3


def test_the_request_is_the_same_from_disk(work: Workspace, clip: Clip) -> None:
    request, loaded = load_request(work)
    assert np.array_equal(request.frames, clip.frames)
    assert loaded.info == clip.info


def test_an_object_without_mask_or_prompt_has_no_part(work: Workspace, clip: Clip) -> None:
    nothing = replace(square(0, 0, 1), masks=np.zeros((3, 64, 96), bool))
    more = (*work.objects, MarkedObject(4, "unmarked"), MarkedObject(5, "lost"))
    full = replace(work, objects=more, masks=dict(work.masks) | {5: nothing})
    assert [region.name for region in full.load_regions(clip)] == ["man", "shirt", "rest"]


def test_a_prompt_for_what_was_never_marked_is_named(work: Workspace, clip: Clip) -> None:
    with pytest.raises(RegionError, match="Object 'dog' has a prompt but was never marked"):
        replace(work, objects=(MarkedObject(9, "dog", prompt="a cat"),)).load_regions(clip)


def test_no_object_at_all_is_said(work: Workspace, clip: Clip) -> None:
    with pytest.raises(RegionError, match="No region has a prompt"):
        make_request(replace(work, objects=()), clip)


def test_masks_of_another_clip_are_refused(work: Workspace, clip: Clip) -> None:
    other = replace(work.masks[1], masks=np.ones((3, 64, 64), bool))
    with pytest.raises(RegionError, match="Region 'man' has masks of 64×64 pixels but the video is 96×64"):
        make_request(replace(work, masks=dict(work.masks) | {1: other}), clip)
    with pytest.raises(RegionError, match="Region 'man' has 2 masks for 3 frames"):
        make_request(replace(work, masks=dict(work.masks) | {1: square(0, 0, 9, frames=2)}), clip)


def test_forty_objects_and_a_clip_of_one_frame(tmp_path: Path) -> None:
    path = make_clip(tmp_path, frames=1)
    objects = tuple(MarkedObject(number, prompt=f"object {number}") for number in range(40))
    masks = {number: square(2 * number, number, 3, frames=1) for number in range(40)}
    work = Workspace(clip=path, source_prompt="objects", clip_options=OPTIONS, objects=objects, masks=masks)
    request, _ = load_request(work)
    assert len(request.regions) == 40
    assert request.frames.shape == (1, 64, 96, 3)


def test_exports_show_the_upper_object_where_two_overlap(work: Workspace, clip: Clip, tmp_path: Path) -> None:
    named = work.named_masks(clip)
    assert list(named) == ["man", "shirt", "rest"]
    save_indexed_pngs(tmp_path / "davis", named)
    target = MaskTarget.of(clip, OPTIONS)
    assert np.array_equal(read_masks(MaskSource(tmp_path / "davis", label=1), target), named["man"] & ~named["shirt"])
    assert np.array_equal(read_masks(MaskSource(tmp_path / "davis", label=2), target), named["shirt"])


def test_what_is_exported_is_imported_again(work: Workspace, clip: Clip, tmp_path: Path) -> None:
    save_npz(tmp_path / "masks.npz", work.named_masks(clip))
    more = add_masks(work, load_objects(tmp_path / "masks.npz", MaskTarget.of(clip, OPTIONS)).masks)
    assert [(each.id, each.name) for each in more.objects[3:]] == [(4, "man"), (5, "shirt"), (6, "rest")]
    assert np.array_equal(more.masks[5].masks, work.edit_masks(clip)[2])
    assert more.masks[5].anchors == (0, 1, 2)


def test_imported_masks_of_another_size_are_brought_to_the_clip_or_refused(work: Workspace, clip: Clip) -> None:
    half = square(10, 10, 40).masks[:, ::2, ::2]
    assert np.array_equal(fit_masks(half, clip, OPTIONS, "man"), work.masks[1].masks)
    with pytest.raises(RegionError, match="Region 'man' has masks of 48×30 pixels but the video is 96×64"):
        fit_masks(half[:, :30], clip, OPTIONS, "man")


def test_objects_of_one_name_are_exported_apart(work: Workspace, clip: Clip) -> None:
    twins = replace(work, objects=tuple(replace(each, name="twin") for each in work.objects[:2]))
    assert list(twins.named_masks(clip)) == ["twin", "twin 2"]


def test_an_edit_s_file_becomes_work_that_asks_for_the_same(tmp_path: Path) -> None:
    project = load_project(CLIPS / "twins" / "project.json")
    before, clip = load_request(project)
    work = from_project(project, clip)
    after = make_request(work, clip)
    assert [region.prompt for region in after.regions] == [region.prompt for region in before.regions]
    for old, new in zip(before.regions, after.regions, strict=True):
        assert np.array_equal(old.masks, new.masks)
    assert (after.target_prompt, after.settings) == (before.target_prompt, before.settings)
    assert work.masks[1].anchors == tuple(range(len(clip.frames)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strength": 5}, "Object 'dog': strength is 5; choose 0 to 4"),
        ({"grow": 300}, "grow is 300; choose -256 to 256 pixels"),
        ({"feather": -1}, "feather is -1; choose 0 to 256 pixels"),
        ({"feather": float("nan")}, "feather is nan"),
        ({"colour": "red"}, "colour is 'red'; give one like '#1f77b4'"),
    ],
)
def test_a_value_out_of_range_is_named(changes: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        MarkedObject(1, "dog", **changes)


def test_two_objects_of_one_number_are_refused(work: Workspace) -> None:
    with pytest.raises(ProjectError, match="Object 'twin': another object has its number, 1"):
        replace(work, objects=(MarkedObject(1, "twin"), MarkedObject(1, "twin")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"confidence": np.ones(2, np.float32)}, r"pass \(3,\) float32"),
        ({"confidence": np.ones(3)}, "dtype float64"),
        ({"states": ("sure",)}, "1 states for 3 frames"),
        ({"anchors": (3,)}, r"Anchors are frames \(3,\) of 3"),
        ({"masks": np.ones((3, 4), bool)}, "frames, height, width"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(changes: dict, message: str) -> None:
    whole = {"masks": np.ones((3, 4, 4), bool), "confidence": np.ones(3, np.float32)}
    with pytest.raises(RegionError, match=message):
        ObjectMasks(**(whole | changes))


def test_a_longer_clip_s_masks_fit_when_fewer_frames_are_asked_for(work: Workspace) -> None:
    shorter = replace(work, clip_options=ClipOptions(short_side=64, multiple=32, max_frames=2))
    request, _ = load_request(shorter)
    assert request.regions[0].masks.shape == (2, 64, 96)
