"""The page of a study is blind: what reaches a browser names no method."""

import json
from pathlib import Path

from ui.study.booth import LEFT, NEITHER, QUESTIONS, RIGHT, Booth
from ui.study.vote_page import INCOMPLETE, build_vote_page
from videograin.evaluation.votes import VoteStore

METHODS = ("paper", "tokenflow")


def booth_of(tmp_path: Path) -> Booth:
    edit, scratch = tmp_path / "study/cats", tmp_path / "scratch"
    edit.mkdir(parents=True)
    scratch.mkdir()
    for name in (*METHODS, "source"):
        (edit / f"{name}.mp4").write_text(name)
    return Booth(tmp_path / "study", scratch)


def test_a_visitor_sees_two_results_and_is_not_told_whose_they_are(tmp_path: Path) -> None:
    booth = booth_of(tmp_path)
    page = build_vote_page(booth)
    enter, vote = (page.fns[number].fn for number in sorted(page.fns))
    assert enter is not None
    assert vote is not None
    voter, prompt, source, left, right, *rest = enter()
    assert {Path(left).read_text(), Path(right).read_text()} == set(METHODS)
    assert Path(source["value"]).read_text() == "source"
    told = json.dumps([page.get_config_file(), prompt, source, left, right, rest], default=str)
    assert not any(name in told for name in METHODS)

    assert vote(voter, LEFT, RIGHT, None)[-1] == f"**{INCOMPLETE}**"
    assert VoteStore(tmp_path / "study").votes() == []
    following, *_, notice = vote(voter, LEFT, RIGHT, NEITHER)
    assert notice == "1 pair judged so far."
    assert following.name == voter.name
    shown = voter.ballot
    assert [kept.winner for kept in VoteStore(tmp_path / "study").votes()] == [shown.left, shown.right, ""]
    assert len(QUESTIONS) == 3
