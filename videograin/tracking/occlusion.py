"""Which of two things that overlap is in front, judged by whose looks the picture shows where both should be.

One pixel says little, least of all of twins; all pixels of an overlap together say it clearly, and it stays so while
they overlap.
"""

from collections.abc import Collection, Iterable, Mapping
from itertools import combinations

import numpy as np

from videograin.tracking.object_memory import Appearance, Picture

MIN_OVERLAP = 20  # pixels
MIN_EVIDENCE = 15.0  # pixels by which one explains the picture better, before it is in front
MEMORY = 0.8  # of what the frames before said


class Layers:
    """The order of objects while they overlap.

    Args:
        nested: pairs, in both orders, of part and whole, of which neither hides the other.
    """

    def __init__(self, nested: Collection[tuple[str, str]]) -> None:
        self._nested = nested
        self._lead: dict[tuple[str, str], float] = {}  # by how much the first explains their overlaps better

    def look(self, appearances: Mapping[str, Appearance], picture: Picture) -> None:
        """Learn from one more frame where each object should be and how it should look there."""
        fits = {name: appearance.fit(picture) for name, appearance in appearances.items()}
        for pair in combinations(appearances, 2):
            if pair in self._nested:
                continue
            one, other = pair
            both = appearances[one].shape & appearances[other].shape
            if np.count_nonzero(both) < MIN_OVERLAP:
                self._lead.pop(pair, None)
                continue
            said = float((fits[one][both] - fits[other][both]).sum())
            self._lead[pair] = MEMORY * self._lead.get(pair, 0.0) + said

    def in_front_of(self, name: str) -> frozenset[str]:
        """Return the objects that hide a part of this one."""
        behind = {one for (one, other), lead in self._lead.items() if other == name and lead > MIN_EVIDENCE}
        return frozenset(behind | {b for (a, b), lead in self._lead.items() if a == name and lead < -MIN_EVIDENCE})

    def front_first(self, names: Iterable[str]) -> list[str]:
        """Return the names so that each comes after those that hide a part of it, as far as that is possible."""
        return sorted(names, key=lambda name: len(self.in_front_of(name)))
