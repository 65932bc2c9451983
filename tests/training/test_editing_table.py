"""The editing table's parts: which settings it compares, what an edit scores, and how a run is kept and resumed."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from crew_members import Squarer
from fakes import FRAMES, box, tiny_frames, tiny_pipeline

from benchmarks.clips import Folders, Packed, Told, pack, request_of
from benchmarks.crew import work_off
from benchmarks.emoji_world import COLUMNS, Line, key_of, print_tables, read_lines, row, select
from benchmarks.scoring import Bench, Score, Task, without_others
from benchmarks.variants import Variant, ablation, changed, factors, find_variants
from videograin.errors import SettingsError
from videograin.region import AttentionMode, Convention, EditSettings

BASE = EditSettings(num_inference_steps=2, strength=0.5, cross_strength=2.0, convention=Convention.RELEASE)
SCORE = Score(0.5, 0.0, 0.4, 0.1, math.nan, 30.0, 28.0, 40.0, 97.0, 98.0, 2.0, 3.0)


def document(level: str = "instance", name: str = "two-00", **changes: str) -> dict:
    left = {"name": "left", "prompt": "a red panda", "before": "dog", "after": "panda"}
    right = {"name": "right", "prompt": "a blue fox", "before": "man", "after": "fox"}
    return {
        "name": name,
        "split": "report",
        "level": level,
        "source_prompt": "a dog and a man",
        "target_prompt": "a red panda and a blue fox on grass",
        "background": "on grass",
        "regions": [left, right | changes],
    }


class Shelf:
    """Clips in memory."""

    def __init__(self, *documents: dict) -> None:
        self.known = {f"{i:02d}": document for i, document in enumerate(documents)}

    def documents(self) -> dict[str, dict]:
        return self.known

    def pixels(self, number: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        assert number in self.known
        return tiny_frames(), {"left": box(1, 1, 7, 12), "right": box(8, 4, 14, 14)}


class FixedJudge:
    """Sees a fox to the right of the middle, and a panda or a dog to the left."""

    names = ("dog", "man", "panda", "fox")

    def name_objects(self, frames: np.ndarray, masks: np.ndarray) -> list[str]:
        assert len(frames) == len(masks) == FRAMES
        return ["fox"] * 3 if masks[0, :, 8:].any() else ["panda", "fox", "dog"]


class FixedScorer:
    """Finds the last text in every frame, and all frames alike."""

    def choose(self, frames: np.ndarray, texts: list[str]) -> list[str]:
        return [texts[-1]] * len(frames)

    def embed_frames(self, frames: np.ndarray) -> torch.Tensor:
        return torch.ones(len(frames), 1)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(tiny_pipeline(), FixedJudge(), FixedScorer(), Shelf(document()))  # pyright: ignore[reportArgumentType]


def task(told: dict, settings: EditSettings | None = BASE) -> Task:
    return Task("00", Told.read(told), Variant("a variant", settings), FRAMES)


# Variants


def test_changes_are_read_with_the_type_of_their_field():
    settings = changed(BASE, "strength=0.9,mask_growth=12,joint_group_norm=True,attention_mode=per_frame")
    assert settings == replace(
        BASE, strength=0.9, mask_growth=12, joint_group_norm=True, attention_mode=AttentionMode.PER_FRAME
    )
    assert changed(BASE, "") == BASE


@pytest.mark.parametrize("changes", ["strenght=1", "strength", "strength=high", "joint_group_norm=1", "convention=x"])
def test_a_change_that_cannot_be_is_refused(changes):
    with pytest.raises(SettingsError, match=changes.partition("=")[0]):
        changed(BASE, changes)


def test_factors_change_one_field_at_a_time_and_leave_out_what_is_so_already():
    for variant in factors(BASE):
        assert variant.settings
        before, after = asdict(BASE), asdict(variant.settings)
        assert [f"{name}={after[name]}" for name in after if after[name] != before[name]] == [variant.label]


def test_the_ablation_adds_cross_then_self_in_both_conventions():
    steps = [(v.settings.convention, v.settings.cross_strength, v.settings.self_strength) for v in ablation(BASE)]  # pyright: ignore[reportOptionalMemberAccess]
    assert steps == [(c, *s) for c in Convention for s in [(0.0, 0.0), (2.0, 0.0), (2.0, 0.3)]]


def test_variants_are_found_by_group_or_by_their_changes_and_come_once():
    found = find_variants(["source", "default", "strength=1.0", "factors", "default"], BASE)
    assert [v.label for v in found[:3]] == ["source clip", "default", "strength=1.0"]
    assert found[0].settings is None
    assert len(set(found)) == len(found)


# Clips


def test_what_was_packed_is_unpacked_bit_by_bit(tmp_path):
    shelf, file = Shelf(document(), document(name="solely-00")), tmp_path / "clips.npz"
    pack(shelf, ["01"], file)
    frames, masks = shelf.pixels("01")
    unpacked, unpacked_masks = Packed(file).pixels("01")
    assert Packed(file).documents() == {"01": shelf.documents()["01"]}
    assert np.array_equal(unpacked, frames)
    assert all(np.array_equal(unpacked_masks[name], masks[name]) for name in masks)


def test_the_request_has_as_many_frames_as_were_asked_for_evenly_spaced():
    frames, masks = Shelf(document()).pixels("00")
    request = request_of(Told.read(document()), frames, masks, 2)
    assert np.array_equal(request.frames, frames[[0, 2]])
    assert [region.prompt for region in request.regions] == ["a red panda", "a blue fox"]
    assert len(request_of(Told.read(document()), frames, masks, 50).frames) == FRAMES


def test_so_many_clips_of_each_kind_are_selected():
    shelf = Shelf(*(document(name=name) for name in ("two-00", "two-01", "solely-00")))
    assert list(select(shelf, "report", [], 1)) == ["00", "02"]
    assert list(select(shelf, "report", ["two"], 9)) == ["00", "01"]


def test_where_no_clip_fits_a_run_ends_with_what_there_is():
    shelf = Shelf(*(document(name=name) for name in ("two-00", "two-01", "solely-00")))
    with pytest.raises(SystemExit, match=r"split 'tune', of two.*Found: 2 of report two, 1 of report solely"):
        select(shelf, "tune", ["two"], 9)


def test_every_shipped_clip_can_be_told():
    kinds = {Told.read(document).kind for document in Folders().documents().values()}
    assert kinds == {"tune", "two", "put-on", "recolour", "background", "solely"}


# Scores


def test_an_edit_is_scored_region_by_region(bench):
    score = bench.measure(task(document()))
    assert score.target == pytest.approx((1 / 3 + 1) / 2)
    assert score.mixing == pytest.approx((1 / 3 + 0) / 2)
    assert math.isnan(score.kept)
    assert score.seconds > 0


def test_the_source_itself_is_judged_by_what_is_in_it(bench):
    score = bench.measure(task(document(), None))
    assert score.target == pytest.approx((1 / 3 + 0) / 2)
    assert score.psnr_source == math.inf
    assert score.clip_f == score.clip_f_source == pytest.approx(100)
    assert score.seconds == 0


def test_a_region_without_a_prompt_counts_as_kept_and_its_pixels_as_outside(bench):
    told = document("solely-edit", prompt="", before="fox", after="fox")
    score = bench.measure(task(told, None))
    assert score.kept == 1
    assert math.isnan(score.mixing)


def test_a_neighbour_is_painted_out_before_a_region_is_named(bench):
    known = bench.reference("00", Told.read(document()), FRAMES)
    frames = known.request.frames.copy()
    frames[known.request.regions[1].masks] = (255, 0, 255)
    alone = without_others(frames, known.request, 0)
    assert np.array_equal(alone[~known.request.regions[1].masks], frames[~known.request.regions[1].masks])
    assert not (alone == (255, 0, 255)).all(-1).any()


def test_a_recoloured_thing_is_named_by_the_clip_out_of_all_colours(bench):
    told = Told.read(document("part", before="red cap", after="white cap"))
    known = bench.reference("00", told, FRAMES)
    assert bench.name_region(told, 1, known.request, known.request.frames) == ["a white cap"] * FRAMES


def test_a_new_background_is_named_by_the_clip_out_of_the_two_prompts(bench):
    assert bench.measure(task(document("background"))).target == 1
    assert bench.measure(task(document("background"), None)).target == 0


def test_the_rim_of_the_mask_counts_outside_but_not_beyond(bench):
    told = task(document(prompt="", before="fox", after="fox"), replace(BASE, mask_growth=0))
    known = bench.reference("00", told.told, FRAMES)
    frames = known.reconstruction.copy()
    frames[:, 1:12, 8:9] += 10  # beside the left region, which ends at column 7
    score = bench.score(told, known, frames, frames, 1.0)
    assert score.psnr_reconstruction < 50
    assert score.psnr_beyond == math.inf


# Table


def test_a_row_holds_means_and_leaves_out_what_was_not_judged():
    cells = row("default", [SCORE, replace(SCORE, target=1.0, warp_error=4.0)])
    assert " ".join(cells) == "default 2 0.750 0.000 0.400 0.100 – 30.0 28.0 40.0 97.00 98.00 3.00 25.0 3.00"
    assert len(cells) == len(COLUMNS)


def test_there_is_a_table_a_kind_and_a_row_a_variant(capsys):
    variants = [Variant("default", BASE), Variant("weak", replace(BASE, strength=0.2))]
    tasks = [Task("00", Told.read(document(name=name)), v, 4) for name in ("two-00", "solely-00") for v in variants]
    print_tables([Line.of(task, "abc", SCORE) for task in tasks], variants, "a title")
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if "title" in line] == ["two: a title", "solely: a title"]
    assert shown.count("| default ") == shown.count("| weak ") == 2


def test_results_are_read_again_and_a_line_that_was_cut_off_is_left_out(tmp_path):
    file = tmp_path / "results.jsonl"
    line = Line.of(task(document()), "abc", replace(SCORE, kept=1.0))
    text = json.dumps(asdict(line))
    file.write_text(text + "\n" + text[:50])
    assert read_lines(file) == [line]
    assert line.key == key_of(task(document()), "abc")
    assert read_lines(tmp_path / "none.jsonl") == []


def test_other_weights_settings_or_frames_are_another_edit():
    told = task(document())
    others = [key_of(replace(told, frames=2), "abc"), key_of(told, "def"), key_of(task(document(), None), "abc")]
    assert key_of(told, "abc") not in others
    assert key_of(replace(told, variant=Variant("another label", BASE)), "abc") == key_of(told, "abc")


# Processes


@pytest.mark.slow
def test_every_task_is_done_once_but_for_that_of_a_worker_that_dies(capfd):
    finished = list(work_off(Squarer, ["a", "b"], [99, 1, 2, 13, 4], seconds=60))
    assert {done.task: done.result for done in finished} == {1: 1, 2: 4, 13: None, 4: 16}
    assert "ValueError: thirteen" in next(done.error for done in finished if done.task == 13)
    assert "ended with code 3" in capfd.readouterr().err


@pytest.mark.slow
def test_no_task_is_begun_after_the_deadline():
    assert list(work_off(Squarer, ["a"], [1, 2], seconds=0)) == []
