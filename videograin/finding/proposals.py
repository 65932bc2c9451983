"""Objects of a small world by name: a segmenter proposes masks, the judge of that world says what each one shows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np

from videograin.errors import NothingFoundError
from videograin.evaluation.judge import Judge
from videograin.finding.finder import FoundObject, Hits, each_once
from videograin.masks.shapes import drop_specks, is_backdrop
from videograin.progress import Report, ignore
from videograin.segment.model import EmbeddingCache, SegmentModel
from videograin.segment.segmenter import Segmentation
from videograin.segment.suggest import propose

MIN_PROBABILITY = 0.5
"""Of a name, from which a proposal goes by it."""

MIN_SCORE = 0.3
"""Of a proposal, its name's probability times the segmenter's score; below are two objects in one mask, and pieces."""

POINTS_PER_SIDE = 8
"""Of the grid on which the segmenter is asked: an object of a 32nd of the frame's area holds a point of it."""

SPECK = 0.1
"""Pieces of a proposal below this share of its largest one are left out: the judge sees all of the square around it."""

INSIDE = 0.7
"""Share of the smaller of two proposals of one name inside the other from which they are one object."""

PART = 0.5
"""Share of an object's area below which a proposal inside it is a part, or is worn: a hat, not the head."""

_OTHER_WORDS = {
    "hat": ("top hat", "cap"),
    "ball": ("soccer ball", "basketball", "football", "baseball", "volleyball"),
    "flower": ("rose", "tulip", "sunflower", "cherry blossom"),
    "tree": ("tree", "pine tree", "palm tree", "christmas tree"),
    "glasses": ("sunglasses",),
    "puppy": ("dog",),
    "kitten": ("cat",),
    "bunny": ("rabbit",),
    "plane": ("airplane",),
    "boat": ("sailboat",),
    "bike": ("bicycle", "motorcycle"),
    "sofa": ("couch",),
    "present": ("gift",),
    "policeman": ("police officer",),
    "fireman": ("firefighter",),
    "grandma": ("grandmother",),
    "grandpa": ("grandfather",),
    "wizard": ("mage",),
}
"""Usual words for objects of the small world."""


@dataclass(frozen=True, eq=False)
class ProposalFinder:
    """Finds the objects of a small world.

    Attributes:
        judge: of that world.
        segmenter: proposes masks of drawn objects.
        embeddings: what the segmenter has seen.
    """

    judge: Judge
    segmenter: SegmentModel
    embeddings: EmbeddingCache

    def find(self, frame: np.ndarray, nouns: Sequence[str], report: Report = ignore) -> Hits:
        """Return the objects of each noun; as `Finder.find`.

        Raises:
            NothingFoundError: the judge does not know a noun.
        """
        known = {noun: meant_names(noun, self.judge.names) for noun in nouns}
        every = propose(frame, self.segmenter, self.embeddings, points_per_side=POINTS_PER_SIDE, report=report)
        proposals = [whole for whole in map(_whole, every) if not is_backdrop(whole.mask)]
        if not proposals:
            return dict.fromkeys(nouns, ())
        masks = np.stack([each.mask for each in proposals])
        probabilities = self._judged(frame, masks)
        return {noun: self._named(names, proposals, probabilities) for noun, names in known.items()}

    def _judged(self, frame: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """Return how likely each mask (N, H, W) bool shows each name, (N, names).

        It is the mean of what is seen with an object's parts and without them: a hat hides the dog below it, but ears
        tell a rabbit.
        """
        others, parts = beside(masks), parts_of(masks)
        probabilities = self.judge.probabilities(frame, masks, others)
        has_parts = parts.any((1, 2))
        if has_parts.any():
            hidden = (others | parts)[has_parts]
            without = self.judge.probabilities(frame, masks[has_parts], hidden)
            probabilities[has_parts] = (probabilities[has_parts] + without) / 2
        return probabilities

    def _named(
        self, names: Sequence[str], proposals: Sequence[Segmentation], probabilities: np.ndarray
    ) -> list[FoundObject]:
        """Return the proposals that go by one of the names, each object once, the surest first."""
        columns = [self.judge.names.index(name) for name in names]
        best = probabilities[:, columns]
        found = [
            FoundObject(names[int(row.argmax())], each.mask, float(row.max()) * each.score)
            for each, row in zip(proposals, best, strict=True)
            if row.max() >= MIN_PROBABILITY and row.max() * each.score >= MIN_SCORE
        ]
        return each_once(sorted(found, key=lambda one: -one.score), _share_inside, INSIDE)  # the surest of each stays


def beside(masks: np.ndarray) -> np.ndarray:
    """Return what the others of some proposals cover around each of them, (N, H, W) bool: the judge must not see it.

    Args:
        masks: (N, H, W) bool.
    """
    areas, shared = _areas(masks)
    is_other = shared < (1 - INSIDE) * np.minimum(areas, areas[:, None])
    return np.stack([masks[others].any(0) & ~mask for others, mask in zip(is_other, masks, strict=True)])


def parts_of(masks: np.ndarray) -> np.ndarray:
    """Return the parts of each of some proposals, and what it wears, as one mask each, (N, H, W) bool.

    Args:
        masks: (N, H, W) bool.
    """
    areas, shared = _areas(masks)
    is_part = (shared > INSIDE * areas) & (areas < PART * areas[:, None])  # [i, j]: j is a part of i
    return np.stack([masks[parts].any(0) for parts in is_part])


def _areas(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the areas (N,) of masks in pixels, and what each two of them share, (N, N)."""
    flat = masks.reshape(len(masks), -1).astype(np.float32)
    return flat.sum(1), flat @ flat.T


def meant_names(noun: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the known names that a noun means: "hat" is a top hat or a cap, "brown bear" a bear.

    Raises:
        NothingFoundError: none.
    """
    words = noun.split()
    for tail in (" ".join(words[start:]) for start in range(len(words))):
        meant = [*_OTHER_WORDS.get(tail, (tail,)), *(name for name in names if name.endswith(f" {tail}"))]
        exact = tuple(name for name in dict.fromkeys(meant) if name in names)
        if exact:
            return exact[:1] if tail in names and tail not in _OTHER_WORDS else exact
    close = get_close_matches(noun, names, n=3, cutoff=0.5) or names[:6]
    raise NothingFoundError(
        f"'{noun}' is no word of this model's small world. It knows {', '.join(close)} and {len(names)} names in all. "
        "Try another word, or click on the object."
    )


def _whole(proposal: Segmentation) -> Segmentation:
    """Return a proposal without its specks."""
    return replace(proposal, mask=drop_specks(proposal.mask[None], SPECK)[0])


def _share_inside(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / min(one.sum(), other.sum()))
