"""The table of methods on held-out clips: what is kept of a run, and how its figures are written."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.clips import Told
from benchmarks.methods import Edit, Line, Scores, print_leads, read_lines, rows
from videograin.region import EditSettings

TOLD = Told("two-00", "report", "object", "a snail", "a wolf", "", ())


def scores(target: float, q: float = 10.0) -> Scores:
    return Scores(
        target=target, mixing=0.0, clip_f=97.0, clip_t=30.0, warp_error=3.0, q=q, outside=35.0, seconds=2.0,
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
    assert capsys.readouterr().out == "target, VideoGrain before blending: +0.500 (+0.500 to +0.500)\n"
