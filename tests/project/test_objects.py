"""The object list's operations on a user's work."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from videograin.errors import RegionError
from videograin.masks.shapes import Combination
from videograin.project import objects
from videograin.project.workspace import ObjectMasks, Workspace
from videograin.region import MAX_REGIONS

FRAMES, SIZE = 4, (6, 8)


@pytest.fixture
def work() -> Workspace:
    work = Workspace(clip=Path("clip.mp4"), source_prompt="")
    return objects.add_object(objects.add_object(work, "cat"), "dog")


def test_new_objects_have_numbers_names_and_colours_of_their_own(work):
    work = objects.add_object(work)
    assert [each.id for each in work.objects] == [1, 2, 3]
    assert [each.name for each in work.objects] == ["cat", "dog", "Object 3"]
    assert len({each.colour for each in work.objects}) == 3


def test_a_number_is_not_given_twice_while_a_later_object_lives(work):
    work = objects.add_object(objects.delete_object(work, 1))
    assert [each.id for each in work.objects] == [2, 3]


def test_there_can_be_no_more_objects_than_an_edit_takes():
    work = Workspace(clip=Path("clip.mp4"), source_prompt="")
    for _ in range(MAX_REGIONS):
        work = objects.add_object(work)
    with pytest.raises(RegionError, match="Delete one"):
        objects.add_object(work)


def test_an_empty_name_is_not_taken_and_a_long_one_is_cut(work):
    assert objects.rename_object(work, 1, "   ").objects[0].name == "cat"
    assert objects.rename_object(work, 1, " red \n fox ").objects[0].name == "red fox"
    assert len(objects.rename_object(work, 1, "x" * 500).objects[0].name) == objects.MAX_NAME


def test_cleaning_up_fills_holes_and_drops_specks_in_every_frame_and_keeps_how_sure_they_are(work):
    clean = np.zeros((FRAMES, 40, 40), bool)
    clean[:, 5:30, 5:30] = True
    rough = clean.copy()
    rough[1:, 10:12, 10:12] = False
    rough[2:, 36, 36] = True
    sure = np.linspace(0.4, 1, FRAMES, dtype=np.float32)
    marked = replace(work, masks={1: ObjectMasks(rough, sure, anchors=(2,))})
    cleaned = objects.clean_up_object(marked, 1).masks[1]
    assert np.array_equal(cleaned.masks, clean)
    assert np.array_equal(cleaned.confidence, sure)
    assert cleaned.anchors == (2,)
    with pytest.raises(RegionError, match="Click on it first"):
        objects.clean_up_object(work, 2)


@pytest.mark.parametrize(("steps", "order"), [(1, ["dog", "cat"]), (-1, ["cat", "dog"]), (9, ["dog", "cat"])])
def test_moving_stays_within_the_list(work, steps, order):
    assert [each.name for each in objects.move_object(work, 1, steps).objects] == order


def test_a_mask_of_one_frame_leaves_the_others_and_the_earlier_work(work):
    mask = np.ones(SIZE, bool)
    marked = objects.set_mask(work, 1, 2, mask, FRAMES)
    assert work.masks == {}
    assert marked.masks[1].masks.sum((1, 2)).tolist() == [0, 0, mask.size, 0]
    assert marked.masks[1].anchors == (2,)
    assert marked.masks[1].confidence.tolist() == [0, 0, 1, 0]
    assert not objects.is_followed(marked, 1)


def test_an_object_drawn_in_every_frame_needs_no_following(work):
    for frame in range(FRAMES):
        work = objects.set_mask(work, 1, frame, np.ones(SIZE, bool), FRAMES)
    assert objects.is_followed(work, 1)


def test_the_weakest_frame_is_that_of_the_least_sure_object(work):
    assert objects.weakest_frame(work) is None
    confidence = np.array([[1, 0.9, 0.8, 0.7], [1, 0.2, 0.9, 0.9]], np.float32)
    masks = {
        number: ObjectMasks(np.ones((FRAMES, *SIZE), bool), row, ("visible",) * FRAMES, (0,))
        for number, row in enumerate(confidence, 1)
    }
    work = Workspace(clip=work.clip, source_prompt="", objects=work.objects, masks=masks)
    assert objects.weakest_frame(work) == 1


def test_what_is_an_object_already_is_known_again(work):
    mask = np.zeros(SIZE, bool)
    mask[:3] = True
    work = objects.set_mask(work, 1, 0, mask, FRAMES)
    assert objects.is_marked(work, 0, mask)
    assert not objects.is_marked(work, 1, mask)
    assert not objects.is_marked(work, 0, ~mask)


def test_a_correction_makes_the_frames_around_it_wait_to_be_followed_again(work):
    mask = np.ones(SIZE, bool)
    tracked = ObjectMasks(np.ones((FRAMES, *SIZE), bool), np.ones(FRAMES, np.float32), ("visible",) * FRAMES, (0,))
    work = Workspace(clip=work.clip, source_prompt="", objects=work.objects, masks={1: tracked})
    assert objects.is_followed(work, 1)
    work = objects.set_mask(work, 1, 2, mask, FRAMES)
    assert work.masks[1].states == ("visible", "untracked", "visible", "untracked")
    assert not objects.is_followed(work, 1)


def test_everything_else_is_one_object_at_the_bottom(work):
    work = objects.add_rest(work)
    assert [each.is_rest for each in work.objects] == [True, False, False]
    with pytest.raises(RegionError, match="already"):
        objects.add_rest(work)


@pytest.mark.parametrize(
    ("how", "columns"),
    [(Combination.UNION, range(8)), (Combination.DIFFERENCE, range(2)), (Combination.INTERSECTION, range(2, 6))],
)
def test_combining_changes_one_object_and_leaves_the_other(work, how, columns):
    for number, (start, stop) in ((1, (0, 6)), (2, (2, 8))):
        mask = np.zeros(SIZE, bool)
        mask[:, start:stop] = True
        work = objects.set_mask(work, number, 1, mask, FRAMES)
    combined = objects.combine_objects(work, 1, 2, how)
    assert np.flatnonzero(combined.masks[1].masks[1].any(0)).tolist() == list(columns)
    assert combined.masks[1].anchors == (1,)
    assert np.array_equal(combined.masks[2].masks, work.masks[2].masks)


def test_what_is_not_marked_cannot_be_combined(work):
    with pytest.raises(RegionError, match="must be marked"):
        objects.combine_objects(work, 1, 2, Combination.UNION)


@pytest.mark.parametrize(
    ("sentence", "followed"),
    [("a dog wearing a cap", "a dog wearing a crown"), ("a dog on grass", "a dog on grass"), ("", "")],
)
def test_a_sentence_in_own_words_follows_a_phrase_that_it_has(work, sentence, followed):
    work = replace(objects.say(work, 1, "a cap"), target_prompt=sentence)
    assert objects.say(work, 1, "a crown").target_prompt == followed
    assert objects.say(work, 1, "").target_prompt == sentence


def test_the_masks_of_all_objects_together_fit_into_the_memory(monkeypatch) -> None:
    work = Workspace(clip=Path("clip.mp4"), source_prompt="")
    mask = np.ones((2, 4, 4), bool)
    monkeypatch.setattr("videograin.project.objects.MAX_CLIP_BYTES", 2 * mask.nbytes)
    two = objects.add_masks(work, {"cat": mask, "dog": mask})
    three = objects.add_object(two)
    with pytest.raises(RegionError, match="masks of 3 objects in 2 frames of this size exceed"):
        objects.set_mask(three, 3, 0, mask[0], frames=2)
    with pytest.raises(RegionError, match="Delete an object"):
        objects.add_masks(two, {"fox": mask})


def test_an_object_is_removed_and_had_back(work):
    number = work.objects[0].id
    removed = objects.toggle_removal(work, number)
    assert removed.objects[0].edit_prompt == "nothing"
    assert objects.toggle_removal(removed, number).objects[0].prompt == ""
