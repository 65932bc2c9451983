"""Votes on results, and how sure figures are."""

import json
import math
import random
from pathlib import Path

import pytest

from videograin.cli.main import OK, USAGE, main
from videograin.errors import ProjectError
from videograin.evaluation.intervals import mean_interval, share_interval
from videograin.evaluation.votes import Ballot, Question, Vote, VoteStore, draw_ballot, find_edits, win_rates


def study(folder: Path) -> Path:
    """Two edits by three methods, as `videograin compare` leaves them; the files are empty."""
    for name in ("cats", "dogs"):
        (folder / name).mkdir(parents=True)
        for file in ("paper.mp4", "release.mp4", "tokenflow.mp4", "source.mp4", "side-by-side.mp4"):
            (folder / name / file).touch()
        scores = {"paper": {"scores": {"target_prompt": f"two {name}"}}}
        (folder / name / "scores.json").write_text(json.dumps(scores))
    return folder


def test_a_study_is_a_folder_for_each_edit_with_a_file_for_each_method(tmp_path: Path) -> None:
    cats, dogs = find_edits(study(tmp_path))
    assert (cats.name, cats.prompt, dogs.prompt) == ("cats", "two cats", "two dogs")
    assert sorted(cats.results) == ["paper", "release", "tokenflow"]
    assert cats.source == tmp_path / "cats/source.mp4"
    assert [edit.name for edit in find_edits(tmp_path / "cats")] == ["cats"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProjectError, match="no folder has two results"):
        find_edits(tmp_path / "empty")


def test_pairs_with_the_fewest_votes_are_drawn_in_either_order(tmp_path: Path) -> None:
    edits, chance = find_edits(study(tmp_path)), random.Random(0)
    votes: list[Vote] = []
    for _ in range(12):
        ballot = draw_ballot(edits, votes, chance)
        votes.append(Vote(ballot.edit.name, ballot.left, ballot.right, Question.OVERALL, ""))
    pairs = [(vote.edit, *sorted((vote.left, vote.right))) for vote in votes]
    assert sorted(pairs[:6]) == sorted(pairs[6:]) == sorted(set(pairs))
    assert {vote.left < vote.right for vote in votes} == {True, False}


def test_votes_are_kept_whole_and_counted_with_ties_as_half_a_win(tmp_path: Path) -> None:
    [edit, _] = find_edits(study(tmp_path))
    store = VoteStore(tmp_path)
    for winner in ("paper", "paper", "release", ""):
        store.add(Ballot(edit, "release", "paper"), dict.fromkeys(Question, winner), "a visitor")
    with pytest.raises(ValueError, match="do not fit"):
        store.add(Ballot(edit, "release", "paper"), dict.fromkeys(Question, "tokenflow"), "a visitor")
    with pytest.raises(ValueError, match="do not fit"):
        store.add(Ballot(edit, "release", "paper"), {Question.OVERALL: "paper"}, "a visitor")
    votes = VoteStore(tmp_path).votes()
    assert len(votes) == 12
    first, second = win_rates(votes)[:2]
    assert (first.question, first.method, first.votes, first.share.value) == (Question.ACCURACY, "paper", 4, 0.625)
    assert second.share.value == 0.375
    assert win_rates([]) == []


def test_what_was_voted_is_printed_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [edit, _] = find_edits(study(tmp_path))
    VoteStore(tmp_path).add(Ballot(edit, "paper", "release"), dict.fromkeys(Question, "paper"), "a visitor")
    assert main(["vote", str(tmp_path), "--results"]) == OK
    said = capsys.readouterr().out
    assert said.startswith("1 pair judged.")
    assert "preferred in 100% of 1 (95 %: 21% to 100%)" in said
    assert main(["vote", str(tmp_path / "nowhere")]) == USAGE
    assert not (tmp_path / "nowhere").exists()


def test_wilsons_interval_is_that_of_the_textbook() -> None:
    interval = share_interval(8, 10)  # R: prop.test(8, 10, correct = FALSE)
    assert (interval.value, interval.low, interval.high) == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)
    assert share_interval(0, 5).low == pytest.approx(0, abs=1e-12)
    assert math.isnan(share_interval(0, 0).value)


def test_the_bootstrap_interval_of_a_mean_narrows_with_the_number_of_clips() -> None:
    values = random.Random(0).choices([0.0, 1.0], k=16)
    few, many = mean_interval(values), mean_interval(values * 16)
    assert few.value == many.value == pytest.approx(sum(values) / 16)
    assert few.low < many.low < few.value < many.high < few.high
    assert (many.high - many.low) == pytest.approx(2 * 1.96 * (few.value * (1 - few.value) / 256) ** 0.5, rel=0.1)
    assert mean_interval([3.0, math.nan]).high == 3
    assert math.isnan(mean_interval([]).low)
