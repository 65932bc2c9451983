"""Ballots and votes of a study; knows no component. The files that it shows have names that say nothing."""

import random
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from videograin.evaluation.votes import Ballot, Question, VoteStore, draw_ballot, find_edits

LEFT, RIGHT, NEITHER = "Left", "Right", "No difference"
"""Answers to each question."""

QUESTIONS = {
    Question.ACCURACY: "Which one shows what the words say, each object in its place?",
    Question.CONSISTENCY: "Which one is steadier from frame to frame?",
    Question.OVERALL: "Which one is better altogether?",
}


@dataclass(frozen=True)
class Voter:
    """A visitor: an unguessable name, and what is shown to it."""

    ballot: Ballot
    name: str = field(default_factory=lambda: secrets.token_urlsafe(16))


class Booth:
    """Shows pairs of a study's results and keeps what is said of them.

    Args:
        folder: of the study.
        scratch: an empty folder for copies of the results under names that say nothing.
    """

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.edits, self._store = find_edits(folder), VoteStore(folder)
        self._chance = random.SystemRandom()
        self._copies = {
            file: self._copy(file, scratch)
            for edit in self.edits
            for file in (*edit.results.values(), *([edit.source] if edit.source else []))
        }

    def enter(self) -> Voter:
        """Return a new voter with its first ballot."""
        return Voter(self._draw())

    def vote(self, voter: Voter, answers: Sequence[str | None]) -> Voter | None:
        """Keep the answers to all questions, in their order, and return the voter with its next ballot.

        None where an answer is missing: nothing is kept, and the ballot stays.
        """
        ballot = voter.ballot
        winners = {LEFT: ballot.left, RIGHT: ballot.right, NEITHER: ""}
        if not all(answer in winners for answer in answers):
            return None
        chosen = {question: winners[str(answer)] for question, answer in zip(Question, answers, strict=True)}
        self._store.add(ballot, chosen, voter.name)
        return Voter(self._draw(), voter.name)

    def shown(self, ballot: Ballot) -> tuple[Path | None, Path, Path]:
        """Return the files of the source, left and right clip of a ballot."""
        edit = ballot.edit
        source = self._copies[edit.source] if edit.source else None
        return source, self._copies[edit.results[ballot.left]], self._copies[edit.results[ballot.right]]

    def count(self) -> int:
        """Return how many ballots were answered."""
        return len(self._store.votes()) // len(Question)

    def _draw(self) -> Ballot:
        return draw_ballot(self.edits, self._store.votes(), self._chance)

    @staticmethod
    def _copy(file: Path, scratch: Path) -> Path:
        return Path(shutil.copyfile(file, scratch / f"{secrets.token_hex(8)}.mp4"))
