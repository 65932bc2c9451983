"""The table of methods on held-out clips: what is kept of a run, how its figures are written, and its pictures."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.clips import Told, ToldRegion
from benchmarks.crew import Done, keep_results
from benchmarks.methods import Edit, Line, Scores, print_leads, read_lines, rows
from benchmarks.sheets import COLUMNS, EDIT_GAP, FRAME_GAP, SHOWN, SIDE, Sheets
from videograin.comparison.methods import find_methods
from videograin.comparison.pictures import BAR
from videograin.region import EditSettings

SNAIL = ToldRegion(name="left", prompt="a wolf", before="snail", after="wolf")
TOLD = Told("two-00", "report", "object", "a snail", "a wolf", "", (SNAIL,))


def scores(target: float, q: float = 10.0, warp_error: float = 3.0) -> Scores:
    return Scores(
        target=target, mixing=0.0, clip_f=97.0, clip_t=30.0, warp_error=warp_error, q=q, outside=35.0, seconds=2.0,
        device_gib=1.5, host_gib=2.5,
    )  # fmt: skip


def line(method: str, clip: str, own: Scores) -> Line:
    return Line(method=method, settings="{}", clip=clip, frames=16, weights="0", scores=own)


def test_a_run_that_was_cut_off_goes_on_behind_its_last_whole_line(tmp_path: Path) -> None:
    edit = Edit("00", TOLD, "paper", 16, EditSettings())
    done = Line(*edit.key("weights"), scores=scores(0.9))
    text = json.dumps(asdict(done))
    (tmp_path / "methods.jsonl").write_text(f"{text}\n{text[: len(text) // 2]}")
    [read] = read_lines(tmp_path / "methods.jsonl")
    assert read == done
    assert read.key == edit.key("weights") != edit.key("others")
    assert read_lines(tmp_path / "none.jsonl") == []


def test_a_row_has_the_means_of_a_methods_clips_with_their_intervals() -> None:
    lines = [line("paper", str(clip), scores(target)) for clip, target in enumerate([1.0, 0.5])]
    lines.append(line("tokenflow", "0", scores(0.25)))
    [ours, other] = rows(lines, ["paper", "inversion", "tokenflow"])
    assert ours[:3] == ["VideoGrain", "2", "0.750 (0.500 to 1.000)"]
    assert ours[-3:] == ["2.00", "1.50", "2.50"]
    assert other[:2] == ["after TokenFlow", "1"]


def test_leads_are_those_on_clips_that_both_have_edited(capsys: pytest.CaptureFixture[str]) -> None:
    pairs = {"0": (1.0, 0.5), "1": (0.75, 0.25)}
    lines = [line("paper", clip, scores(ours)) for clip, (ours, _) in pairs.items()]
    lines += [line("blending", clip, scores(theirs)) for clip, (_, theirs) in pairs.items()]
    print_leads([*lines, line("blending", "2", scores(1.0))], "target")
    [printed] = capsys.readouterr().out.splitlines()
    assert printed == "target: VideoGrain 0.875, blending 0.375, lead +0.500 (+0.500 to +0.500)"


def test_a_clip_that_hardly_moves_does_not_decide_the_q_edit_of_the_means(capsys: pytest.CaptureFixture[str]) -> None:
    ours = [line("paper", "still", scores(1.0, q=100.0, warp_error=0.3)), line("paper", "fast", scores(1.0))]
    theirs = [line("blending", "still", scores(0.0, q=300.0, warp_error=0.1)), line("blending", "fast", scores(0.0))]
    for measure in ("q", "clip_t / warp_error", "100 target / warp_error"):
        print_leads([*ours, *theirs], measure)
    mean, of_means, of_targets = capsys.readouterr().out.splitlines()
    assert "VideoGrain 55.000, blending 155.000" in mean
    assert "VideoGrain 18.182, blending 19.355" in of_means
    assert "VideoGrain 60.606, blending 0.000" in of_targets


def test_an_edit_that_failed_leaves_no_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edits = [Edit("00", TOLD, name, 16, EditSettings()) for name in ("paper", "blending")]
    finished = [Done(edits[0], None, "out of memory"), Done(edits[1], scores(0.9))]
    keep_results(finished, 2, tmp_path / "new" / "results", lambda edit, own: Line(*edit.key("0"), scores=own))
    assert [kept.method for kept in read_lines(tmp_path / "new" / "results")] == ["blending"]
    assert capsys.readouterr().out == "1/2 two-00, paper failed:\nout of memory\n2/2 two-00, blending: 0.90 in 2.0 s\n"


def test_a_picture_has_the_source_once_and_every_method_whose_frames_are_kept(tmp_path: Path) -> None:
    sheets, methods = Sheets(tmp_path), find_methods(["paper", "blending", "tokenflow"])
    assert sheets.write(TOLD, methods) is None
    for name, grey in (("source", 50), ("paper", 100), ("tokenflow", 200)):
        sheets.keep("two-00", name, np.full((3, 64, 64, 3), grey, np.uint8))
    assert sheets.has("two-00", "paper")
    assert not sheets.has("two-00", "blending")
    picture = sheets.write(TOLD, methods)
    assert picture
    width = min(SHOWN, 3) * (SIDE + FRAME_GAP) + EDIT_GAP
    pixels = np.asarray(Image.open(picture).convert("L")).astype(int)
    assert pixels.shape == (2 * (BAR + SIDE), COLUMNS * width)
    middles = [pixels[BAR + SIDE // 2, SIDE // 2], pixels[BAR + SIDE // 2, width + SIDE // 2]]
    assert [*middles, pixels[2 * BAR + SIDE + SIDE // 2, SIDE // 2]] == pytest.approx([50, 100, 200], abs=2)
