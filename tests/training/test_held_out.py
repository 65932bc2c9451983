"""The clips that edits and masks are measured on: they are what they say, and can be drawn again."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from fake_art import write_fake_art
from whole_requests import load_request

from training.improvised import MASK_CATEGORIES, Improviser
from training.staging import masks_of, play
from training.tokenizer import load as load_tokenizer
from training.vocabulary import NAMES
from training.world import World
from videograin.diffusion.prompt import find_token_spans
from videograin.project.project import load_project

HELD_OUT = Path(__file__).parents[2] / "benchmarks/held_out"
EDITS, MASKS = (sorted((HELD_OUT / name).iterdir()) for name in ("edits", "masks"))


def truth(folder: Path) -> dict:
    return json.loads((folder / "clip.json").read_text())


def masks(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "masks.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    folder = tmp_path_factory.mktemp("art")
    write_fake_art(folder)
    return World("cpu", folder)


def test_there_are_as_many_clips_of_every_kind_as_the_table_needs():
    kinds = Counter((truth(folder)["split"], truth(folder)["level"]) for folder in EDITS)
    assert kinds == {
        ("tune", "instance"): 12,
        ("report", "instance"): 32,
        ("report", "part"): 10,
        ("report", "background"): 8,
        ("report", "solely-edit"): 8,
    }
    assert Counter(truth(folder)["category"] for folder in MASKS).keys() == set(MASK_CATEGORIES)


def test_both_sets_weigh_little():
    assert sum(file.stat().st_size for file in HELD_OUT.rglob("*") if file.is_file()) < 7_000_000


def test_no_clip_is_there_twice():
    prompts = [(truth(f)["source_prompt"], truth(f)["target_prompt"]) for f in EDITS]
    assert len(set(prompts)) == len(prompts)


@pytest.mark.parametrize("folder", EDITS[::6], ids=lambda folder: folder.name)
def test_a_clip_for_edits_is_a_project_whose_words_fit(folder):
    request, clip = load_request(load_project(folder / "project.json"))
    assert clip.frames.shape == (16, 256, 256, 3)
    told = truth(folder)
    assert request.target_prompt == told["target_prompt"]
    found = find_token_spans(load_tokenizer(), told["target_prompt"], [region["prompt"] for region in told["regions"]])
    assert not found.dropped
    assert [span is not None for span in found.spans] == [bool(region["prompt"]) for region in told["regions"]]


@pytest.mark.parametrize("split", ["tune", "report"])
def test_targets_of_two_things_differ_from_each_other_and_from_what_was_there(split):
    for told in (truth(folder) for folder in EDITS):
        if (told["split"], told["level"]) == (split, "instance"):
            names = [region[when] for region in told["regions"] for when in ("before", "after")]
            assert len(set(names)) == 4
            assert set(names) <= set(NAMES)


@pytest.mark.parametrize("folder", MASKS, ids=lambda folder: folder.name)
def test_a_click_of_the_first_frame_lies_in_its_mask(folder):
    arrays = masks(folder)
    for region in truth(folder)["regions"]:
        click = region["click"]
        assert click["frame"] == 0
        assert arrays[region["name"]].shape == (24, 256, 256)
        assert arrays[region["name"]][0, click["y"], click["x"]]


def test_a_thing_that_re_enters_was_out_of_the_picture_for_some_frames():
    for folder in MASKS:
        if truth(folder)["category"] == "re-entering":
            seen = [[bool(frame.any()) for frame in mask] for mask in masks(folder).values()]
            there = next(s for s in seen if not all(s))
            assert there[0]
            assert there[-1]
            assert there.count(False) >= 3


def test_things_that_cross_change_sides():
    for folder in MASKS:
        if truth(folder)["category"].startswith("crossing"):
            first, second = masks(folder).values()
            before, after = (_column(first[f]) - _column(second[f]) for f in (0, -1))
            assert before * after < 0


def _column(mask: np.ndarray) -> float:
    return float(np.nonzero(mask)[1].mean())


def test_equal_seeds_draw_equal_scripts_and_other_seeds_others(world):
    one, again, other = (Improviser(world, seed).two("a clip") for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_what_is_put_on_a_bare_head_has_a_region_before_it_is_there(world):
    script = Improviser(world, 3).put_on("hat", "top hat")
    assert script.actors[0].worn == ""
    assert "wearing a top hat" in script.target_prompt
    assert masks_of(world, script, play(world, script))["top hat"].any((1, 2)).all()


def test_a_worn_cap_gets_another_colour(world):
    target = Improviser(world, 4).recolour("cap", "cap").targets[0]
    assert target.part == "worn"
    assert target.before != target.after
    assert {target.before.split()[-1], target.after.split()[-1]} == {"cap"}


def test_a_background_edit_keeps_the_thing_and_changes_the_words_around_it(world):
    script = Improviser(world, 5).elsewhere("there")
    thing = script.source_prompt.split(" on ")[0].split(" in ")[0]
    assert script.target_prompt.startswith(thing[:4])
    assert script.background not in script.source_prompt
