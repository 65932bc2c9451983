"""Which of the objects on a frame a description means."""

from collections.abc import Sequence

import numpy as np
import pytest

from videograin.errors import NothingFoundError
from videograin.finding.finder import FoundObject, Hits, find_objects
from videograin.progress import Report, ignore

FRAME = np.zeros((100, 200, 3), np.uint8)


def at(name: str, x: int, y: int, side: int = 20, score: float = 0.9) -> FoundObject:
    mask = np.zeros(FRAME.shape[:2], bool)
    mask[y : y + side, x : x + side] = True
    return FoundObject(name, mask, score)


BEARS = [at("bear", 150, 60), at("bear", 10, 60, score=0.8), at("bear", 80, 20, side=30, score=0.7)]
RIGHT, LEFT, UPPER = BEARS
HATS = [at("hat", 155, 48, side=10), at("hat", 15, 48, side=10, score=0.6), at("hat", 190, 0, side=8)]


class Known:
    """Knows where everything is."""

    def find(self, frame: np.ndarray, nouns: Sequence[str], report: Report = ignore) -> Hits:
        assert len(set(nouns)) == len(nouns)
        return {noun: {"bear": BEARS, "hat": HATS, "cap": HATS[:1]}.get(noun, []) for noun in nouns}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bear", [LEFT, UPPER, RIGHT]),
        ("the bears", [LEFT, UPPER, RIGHT]),
        ("two bears", [LEFT, RIGHT]),
        ("the left bear", [LEFT]),
        ("the two right bears", [UPPER, RIGHT]),
        ("the bears on the left", [LEFT, UPPER]),
        ("top bear", [UPPER]),
        ("largest bear", [UPPER]),
        ("bear in the middle", [UPPER]),
        ("right bear's hat", [HATS[0]]),
        ("the bears' hats", [HATS[1], HATS[0]]),
        ("right bear and left hat", [HATS[1], RIGHT]),
        ("hat and cap", [HATS[1], HATS[0], HATS[2]]),
    ],
)
def test_the_objects_that_are_meant_come_from_left_to_right(text: str, expected: list[FoundObject]) -> None:
    assert find_objects(Known(), FRAME, text) == expected


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(NothingFoundError, match="No fox was found on this frame"):
        find_objects(Known(), FRAME, "the two bears and a fox")
    with pytest.raises(NothingFoundError, match="'bear' out to see each hat"):
        find_objects(Known(), FRAME, "the top bear's hat")
