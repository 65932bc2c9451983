"""Objects of the small world, by the segmenter's proposals and the judge's names."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from videograin.errors import NothingFoundError
from videograin.finding import proposals
from videograin.finding.finder import find_objects
from videograin.finding.finders import load_finder
from videograin.finding.proposals import ProposalFinder, beside, meant_names, parts_of
from videograin.media.video import ClipOptions, load_clip
from videograin.project.examples import example_path
from videograin.project.project import load_project
from videograin.segment import suggest
from videograin.segment.model import EmbeddingCache
from videograin.segment.segmenter import Segmentation
from videograin.segment.zoo import load_segmenter

NAMES = ["dog", "bear", "polar bear", "top hat", "cap", "tree", "pine tree", "sunglasses"]
FRAME = np.zeros((20, 40, 3), np.uint8)


@pytest.mark.parametrize(
    ("noun", "names"),
    [
        ("bear", ("bear",)),
        ("polar bear", ("polar bear",)),
        ("big brown bear", ("bear",)),
        ("hat", ("top hat", "cap")),
        ("tree", ("tree", "pine tree")),
        ("glasses", ("sunglasses",)),
        ("puppy", ("dog",)),
    ],
)
def test_a_noun_means_names_of_the_small_world(noun: str, names: tuple[str, ...]) -> None:
    assert meant_names(noun, NAMES) == names


def test_a_word_that_the_small_world_lacks_is_answered_by_words_that_it_has() -> None:
    with pytest.raises(NothingFoundError, match=r"'beer' is no word .* It knows bear"):
        meant_names("beer", NAMES)


class KnownJudge:
    """Says of a mask what begins in its first column."""

    names = NAMES

    def probabilities(self, frame: np.ndarray, masks: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        likely = {1: {"dog": 0.9}, 20: {"dog": 0.8, "cap": 0.1}, 3: {"cap": 0.4, "top hat": 0.6}, 2: {"dog": 0.7}}
        found = [likely[int(np.nonzero(mask.any(0))[0][0])] for mask in masks]
        return np.array([[each.get(name, 0) for name in NAMES] for each in found])


def box(left: int, right: int, score: float) -> Segmentation:
    mask = np.zeros(FRAME.shape[:2], bool)
    mask[4:16, left:right] = True
    return Segmentation(mask, score, np.zeros((1, 1, 1), np.float32))


def test_of_proposals_of_one_object_the_surest_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, part, other, hat = box(1, 16, 0.9), box(1, 8, 0.7), box(20, 36, 0.9), box(3, 6, 0.9)
    two_in_one, everything = box(2, 34, 0.5), Segmentation(np.ones(FRAME.shape[:2], bool), 0.99, whole.logits)
    specked = replace(other, mask=other.mask.copy())
    specked.mask[0, 0] = True
    every = [everything, whole, part, specked, hat, two_in_one]
    monkeypatch.setattr(proposals, "propose", lambda *_, **__: every)
    judge: Any = KnownJudge()
    segmenter: Any = None
    found = find_objects(ProposalFinder(judge, segmenter, EmbeddingCache()), FRAME, "dogs and the left dog's hat")
    assert [(each.name, each.box[0], round(each.score, 2)) for each in found] == [
        ("top hat", 3, 0.54), ("dog", 1, 0.81), ("dog", 20, 0.72),
    ]  # fmt: skip


def test_an_object_is_judged_without_its_neighbours_with_its_parts_and_without_them() -> None:
    whole, part, other, hat = (each.mask for each in (box(1, 16, 1), box(1, 12, 1), box(20, 36, 1), box(3, 6, 1)))
    masks = np.stack([whole, part, other, hat])
    assert np.array_equal(beside(masks), [other, other, whole | part | hat, other])
    nothing = np.zeros_like(hat)
    assert np.array_equal(parts_of(masks), [hat, hat, nothing, nothing])  # more than half of it is no part
    judge: Any = SeesHats()
    segmenter: Any = None
    probabilities = ProposalFinder(judge, segmenter, EmbeddingCache())._judged(FRAME, masks)
    assert probabilities.tolist() == [[0.5], [0.5], [0.0], [0.0]]


class SeesHats:
    """Knows a dog unless it wears a hat that is not hidden; what else is seen is none."""

    def probabilities(self, frame: np.ndarray, masks: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        return np.array([[float((each & mask).any())] for mask, each in zip(masks, hidden, strict=True)])


def half(rows: slice, columns: slice, surety: float) -> torch.Tensor:
    """Return logits (64, 64) of a mask."""
    logits = torch.full((64, 64), -surety)
    logits[rows, columns] = surety
    return logits


def test_objects_that_touch_are_proposed_beside_what_they_make_together() -> None:
    both, left, right = (half(slice(8, 56), slice(*columns), 4) for columns in ((4, 60), (4, 24), (20, 60)))
    scores = torch.tensor([0.9, 0.7, 0.8])
    kept, _ = suggest._unlike(torch.stack([both, left, right, both]), torch.cat([scores, scores[:1] - 0.1]))
    assert [int((each > 0).sum()) for each in kept] == [48 * 56, 48 * 40, 48 * 20]
    assert len(suggest._distinct(torch.stack([both, left, right]), scores)[0]) == 2  # boxes lose one


@pytest.mark.slow
def test_the_two_friends_of_an_example_are_found_by_name() -> None:
    project = load_project(example_path("friends") / "project.json")
    frame = load_clip(project.clip, ClipOptions(max_frames=1, short_side=256, multiple=32)).frames[0]
    finder = load_finder("emoji-world", load_segmenter(device="cpu"), EmbeddingCache())
    cat, dog = find_objects(finder, frame, "the cat and the dog")
    assert (cat.name, dog.name) == ("cat", "dog")
    assert (cat.mask[164, 63], dog.mask[159, 193]) == (True, True)
    with pytest.raises(NothingFoundError, match="No giraffe"):
        find_objects(finder, frame, "giraffes")
