"""Votes on results of the same edit, two at a time: who wins how often, and how sure that is.

The study's folder holds one folder for each edit, as `videograin compare` writes it: an MP4 for each method, perhaps
`source.mp4` and a `scores.json` with the target prompt. Votes lie beside them in `votes.sqlite`.
"""

import json
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations
from pathlib import Path

from videograin.errors import ProjectError
from videograin.evaluation.intervals import Interval, share_interval

SOURCE, SIDE_BY_SIDE, SCORES, STORE = "source.mp4", "side-by-side.mp4", "scores.json", "votes.sqlite"
"""Files of a study that are no results."""

BUSY_SECONDS = 10.0
"""That a vote waits for another one to be written."""


class Question(StrEnum):
    """What is asked of each pair: the three of the paper's user study."""

    ACCURACY = "accuracy"
    CONSISTENCY = "consistency"
    OVERALL = "overall"


@dataclass(frozen=True)
class RatedEdit:
    """An edit of which there are several results.

    Attributes:
        name: of its folder.
        prompt: the target; empty where the folder does not say.
        source: the clip before; None where it is not there.
        results: the MP4 of each method by its name, two or more.
    """

    name: str
    prompt: str
    source: Path | None
    results: Mapping[str, Path]


@dataclass(frozen=True)
class Ballot:
    """Two results of one edit, in the order in which they are shown."""

    edit: RatedEdit
    left: str
    right: str


@dataclass(frozen=True)
class Vote:
    """An answer to one question; the winner is a method, empty where neither is better."""

    edit: str
    left: str
    right: str
    question: Question
    winner: str


@dataclass(frozen=True)
class WinRate:
    """How often a method was preferred to another one.

    Attributes:
        question: which one.
        method: its name.
        votes: on pairs that it is in.
        share: of wins, a tie as half a win, with the Wilson interval.
    """

    question: Question
    method: str
    votes: int
    share: Interval


def find_edits(folder: Path) -> list[RatedEdit]:
    """Return the edits of a study's folder, or the one edit that the folder itself is.

    Raises:
        ProjectError: no folder in it has two results.
    """
    places = [folder, *sorted(place for place in folder.iterdir() if place.is_dir())] if folder.is_dir() else []
    edits = [edit for edit in map(_read_edit, places) if len(edit.results) > 1]
    if not edits:
        raise ProjectError(
            f"In '{folder}' no folder has two results. Make some with 'videograin compare PROJECT -o "
            f"{folder}/NAME', or put one MP4 for each method into a folder for each edit."
        )
    return edits


def _read_edit(folder: Path) -> RatedEdit:
    source = folder / SOURCE
    files = [file for file in sorted(folder.glob("*.mp4")) if file.name not in (SOURCE, SIDE_BY_SIDE)]
    return RatedEdit(
        folder.name, _prompt(folder / SCORES), source if source.exists() else None, {f.stem: f for f in files}
    )


def _prompt(scores: Path) -> str:
    """Return the target prompt that a file of scores names; empty where it names none."""
    try:
        documents = json.loads(scores.read_text(encoding="utf-8"))
        return str(next(iter(documents.values()))["scores"]["target_prompt"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return ""


def draw_ballot(edits: Sequence[RatedEdit], votes: Sequence[Vote], chance: random.Random) -> Ballot:
    """Draw one of the pairs with the fewest votes, in random order."""
    pairs = [Ballot(edit, *pair) for edit in edits for pair in combinations(sorted(edit.results), 2)]
    counts = Counter((vote.edit, min(vote.left, vote.right), max(vote.left, vote.right)) for vote in votes)
    seen = [counts[ballot.edit.name, ballot.left, ballot.right] for ballot in pairs]
    drawn = chance.choice([ballot for ballot, count in zip(pairs, seen, strict=True) if count == min(seen)])
    return drawn if chance.random() < 0.5 else replace(drawn, left=drawn.right, right=drawn.left)


class VoteStore:
    """The votes of a study, in SQLite; several processes may write at once.

    Args:
        folder: of the study.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / STORE
        with self._connection() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS votes (edit TEXT NOT NULL, left_method TEXT NOT NULL, "
                "right_method TEXT NOT NULL, question TEXT NOT NULL, winner TEXT NOT NULL, voter TEXT NOT NULL, "
                "seconds REAL NOT NULL)"
            )

    def add(self, ballot: Ballot, winners: Mapping[Question, str], voter: str) -> None:
        """Keep the answers to a ballot, all of them or none.

        Args:
            ballot: what was shown.
            winners: for each question a method of the ballot, or empty for neither.
            voter: an unguessable name of the session; nothing else is kept of who votes.
        """
        if set(winners) != set(Question) or not set(winners.values()) <= {ballot.left, ballot.right, ""}:
            raise ValueError(f"answers {dict(winners)} do not fit {ballot.left} against {ballot.right}")
        now = time.time()
        rows = [
            (ballot.edit.name, ballot.left, ballot.right, question.value, winner, voter, now)
            for question, winner in winners.items()
        ]
        with self._connection() as connection:
            connection.executemany("INSERT INTO votes VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def votes(self) -> list[Vote]:
        """Return all votes in their order."""
        with self._connection() as connection:
            rows = connection.execute("SELECT edit, left_method, right_method, question, winner FROM votes").fetchall()
        return [Vote(edit, left, right, Question(question), winner) for edit, left, right, question, winner in rows]

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction."""
        try:
            with closing(sqlite3.connect(self.file, timeout=BUSY_SECONDS)) as connection, connection:
                yield connection
        except sqlite3.Error as error:
            raise ProjectError(f"The votes in '{self.file}' cannot be read or written ({error}).") from error


def win_rates(votes: Sequence[Vote]) -> list[WinRate]:
    """Return how often each method was preferred, question by question, the best first."""
    rates = []
    for question in Question:
        asked = [vote for vote in votes if vote.question == question]
        methods = sorted({method for vote in asked for method in (vote.left, vote.right)})
        rates += sorted((_rate(question, method, asked) for method in methods), key=lambda rate: -rate.share.value)
    return rates


def _rate(question: Question, method: str, votes: Sequence[Vote]) -> WinRate:
    own = [vote for vote in votes if method in (vote.left, vote.right)]
    wins = sum(1.0 if vote.winner == method else 0.5 * (not vote.winner) for vote in own)
    return WinRate(question, method, len(own), share_interval(wins, len(own)))
