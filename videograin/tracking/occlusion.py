"""The order of objects that overlap, judged by whose appearance the frame shows where both should be.

One pixel says little, least of all where the objects look alike; all pixels of an overlap together decide, and the
decision is kept while they overlap.
"""

from collections.abc import Collection, Iterable, Mapping
from itertools import combinations

import numpy as np

from videograin.tracking.object_memory import Appearance, Picture

MIN_OVERLAP = 20
"""Pixels of an overlap that can be judged."""

MIN_LEAD = 15.0
"""Pixels by which one object must explain the overlap better, over the last frames, to be in front."""

MEMORY = 0.8
"""Share of the lead that is carried over from frame to frame: about five frames decide."""


class OcclusionOrder:
    """Which objects are in front of which while they overlap.

    Args:
        nested: pairs, in both orders, of part and whole; neither hides the other.
    """

    def __init__(self, nested: Collection[tuple[str, str]]) -> None:
        self._nested = nested
        self._lead: dict[tuple[str, str], float] = {}  # by how much the first explains their overlaps better

    def update(self, appearances: Mapping[str, Appearance], picture: Picture) -> None:
        """Compare the expected appearance of each object with one more frame."""
        fits = {name: appearance.fit(picture) for name, appearance in appearances.items()}
        for pair in combinations(appearances, 2):
            if pair in self._nested:
                continue
            one, other = pair
            both = appearances[one].shape & appearances[other].shape
            if np.count_nonzero(both) < MIN_OVERLAP:
                self._lead.pop(pair, None)
                continue
            gain = float((fits[one][both] - fits[other][both]).sum())
            self._lead[pair] = MEMORY * self._lead.get(pair, 0.0) + gain

    def in_front_of(self, name: str) -> frozenset[str]:
        """Return the objects that hide a part of this one."""
        behind = {one for (one, other), lead in self._lead.items() if other == name and lead > MIN_LEAD}
        return frozenset(behind | {b for (a, b), lead in self._lead.items() if a == name and lead < -MIN_LEAD})

    def front_first(self, names: Iterable[str]) -> list[str]:
        """Return the names so that each comes after those that hide a part of it, as far as that is possible."""
        return sorted(names, key=lambda name: len(self.in_front_of(name)))
