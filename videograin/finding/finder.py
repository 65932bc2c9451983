"""Objects of a frame by their names: whatever finds them, and which of them a description means."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from videograin.errors import NothingFoundError
from videograin.finding.description import Description, Which, parse
from videograin.progress import Report, ignore

SAME_OBJECT = 0.6
"""Overlap (IoU) of two masks from which they are one object."""

REACH = 0.5
"""How far beyond its owner's box what belongs to it may lie, over the box's sides: a hat is above a head."""


@dataclass(frozen=True, eq=False)
class FoundObject:
    """An object on a frame that goes by a name.

    Attributes:
        name: in the singular.
        mask: (H, W) bool, not empty.
        score: how surely it is what the name says, 0 to 1.
    """

    name: str
    mask: np.ndarray
    score: float

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1) around the mask, in pixels."""
        rows, columns = np.nonzero(self.mask.any(1))[0], np.nonzero(self.mask.any(0))[0]
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y) of the middle of the box, in pixels."""
        x0, y0, x1, y1 = self.box
        return (x0 + x1) / 2, (y0 + y1) / 2


Hits = Mapping[str, Sequence[FoundObject]]
"""What was found by each noun, the surest first."""


class Finder(Protocol):
    """Finds all objects on a frame that go by some nouns."""

    def find(self, frame: np.ndarray, nouns: Sequence[str], report: Report = ignore) -> Hits:
        """Return the objects of each noun.

        Args:
            frame: (H, W, 3) uint8 RGB.
            nouns: in the singular, all different.
            report: told of the progress; may raise `Cancelled`.
        """
        ...


def find_objects(finder: Finder, frame: np.ndarray, text: str, report: Report = ignore) -> list[FoundObject]:
    """Find what a user describes, such as "the two bears" or "left man's hat".

    Args:
        finder: knows objects by their names.
        frame: (H, W, 3) uint8 RGB.
        text: the description.
        report: told of the progress; may raise `Cancelled`.

    Returns:
        At least one object, from left to right. Where one is described and several fit, all of these.

    Raises:
        PromptError: the text names no object.
        NothingFoundError: no object fits.
    """
    described = parse(text)
    owners = [each.owner.noun for each in described if each.owner]
    hits = finder.find(frame, list(dict.fromkeys([*(each.noun for each in described), *owners])), report)
    found = each_once((one for each in described for one in select(each, hits, frame.shape[1])), overlap, SAME_OBJECT)
    return sorted(found, key=lambda one: one.centre)


def select(wanted: Description, hits: Hits, width: int) -> list[FoundObject]:
    """Return which of the objects found are meant.

    Args:
        wanted: the description.
        hits: what was found by its noun and its owner's.
        width: of the frame in pixels.

    Raises:
        NothingFoundError: none of them.
    """
    found = list(hits[wanted.noun])
    if not found:
        raise NothingFoundError(
            f"No {wanted.noun} was found on this frame. Try another frame or another word, or click on the object."
        )
    if wanted.owner:
        found = _owned(found, select(wanted.owner, hits, width))
        if not found:
            raise NothingFoundError(
                f"The {wanted.owner.noun} and the {wanted.noun} on this frame are not together. Leave "
                f"'{wanted.owner.noun}' out to see each {wanted.noun}."
            )
    return _chosen(wanted, found, width)


def _chosen(wanted: Description, found: Sequence[FoundObject], width: int) -> list[FoundObject]:
    if wanted.which is None:
        return list(found[: wanted.count])
    ordered = sorted(found, key=lambda one: _order(wanted.which, one, width))
    if wanted.count or not wanted.is_plural:
        return ordered[: wanted.count or 1]
    if wanted.which in (Which.LEFT, Which.RIGHT):
        side = [one for one in ordered if (one.centre[0] < width / 2) == (wanted.which is Which.LEFT)]
        return side or ordered[:1]
    return ordered


def _order(which: Which | None, one: FoundObject, width: int) -> float:
    """Return what is the smaller, the better an object fits."""
    x, y = one.centre
    match which:
        case Which.LEFT | None:
            return x
        case Which.RIGHT:
            return -x
        case Which.TOP:
            return y
        case Which.BOTTOM:
            return -y
        case Which.MIDDLE:
            return abs(x - width / 2)
        case Which.LARGEST:
            return -float(one.mask.sum())
        case Which.SMALLEST:
            return float(one.mask.sum())


def _owned(parts: Sequence[FoundObject], owners: Sequence[FoundObject]) -> list[FoundObject]:
    """Return of the parts the one nearest to each owner, where one is within reach."""
    mine = []
    for owner in owners:
        near = [part for part in parts if _is_within_reach(part, owner)]
        mine += sorted(near, key=lambda part: np.hypot(*np.subtract(part.centre, owner.centre)))[:1]
    return mine


def _is_within_reach(part: FoundObject, owner: FoundObject) -> bool:
    x0, y0, x1, y1 = owner.box
    x, y = part.centre
    across, down = REACH * (x1 - x0), REACH * (y1 - y0)
    return part is not owner and x0 - across <= x <= x1 + across and y0 - down <= y <= y1 + down


def each_once(
    found: Iterable[FoundObject], likeness: Callable[[np.ndarray, np.ndarray], float], limit: float
) -> list[FoundObject]:
    """Leave out objects whose masks (H, W) bool are as alike as `limit`, or more, to that of one before them."""
    kept: list[FoundObject] = []
    for one in found:
        if all(likeness(one.mask, other.mask) < limit for other in kept):
            kept.append(one)
    return kept


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Return the IoU of two masks (H, W) bool, of which at least one is not empty."""
    return float((one & other).sum() / (one | other).sum())
