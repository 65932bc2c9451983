"""How well are objects found by their names?

    python -m benchmarks.finding [--clips 81] [--json output/finding.json]

The clips are those of benchmarks/held_out that nothing is tuned on: each is searched on the frame that shows most of
its objects, for the noun of each of them and for two nouns that are not there. An object counts as found where masks
agree by an IoU of a half. What else is found by a noun, and all that is found by a noun that is not there, counts
against precision.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.clips import Folders, Told
from benchmarks.masks import CLIPS, THREADS, load
from benchmarks.table import print_table
from videograin.finding.finder import Finder, FoundObject, overlap
from videograin.finding.finders import load_finder
from videograin.finding.proposals import ProposalFinder
from videograin.models.bundles import DEFAULT_MODEL
from videograin.segment.model import EmbeddingCache
from videograin.segment.zoo import load_segmenter

CLIPS_IN_ALL = 81
FOUND = 0.5  # IoU of a mask with the truth from which an object was found
SEEN = 0.002  # share of the frame from which an object is there to be found
ABSENT = 2  # nouns of each clip that are not there
AIM = 0.9


@dataclass(frozen=True, eq=False)
class Question:
    """A frame and where its objects are, by their nouns."""

    category: str
    frame: np.ndarray
    truth: Mapping[str, Sequence[np.ndarray]]


@dataclass
class Counts:
    """What was found, of what is there."""

    there: int = 0
    found: int = 0
    wrong: int = 0
    overlaps: list[float] = field(default_factory=list)

    @property
    def precision(self) -> float:
        """Share of what was found that is there."""
        return self.found / max(1, self.found + self.wrong)

    @property
    def recall(self) -> float:
        """Share of what is there that was found."""
        return self.found / max(1, self.there)


def questions() -> Iterator[Question]:
    """Yield a question about each held-out clip whose objects have nouns."""
    for folder in sorted(each for each in CLIPS.iterdir() if each.is_dir()):
        clip = load(folder)
        regions = json.loads((folder / "clip.json").read_text())["regions"]
        masks = [(region["thing"], clip.truth[region["name"]]) for region in regions]
        yield _question(clip.category, clip.frames, masks)
    library = Folders()
    for number, document in library.documents().items():
        told = Told.read(document)
        if told.split == "report" and told.level != "background" and all(region.before for region in told.regions):
            frames, truth = library.pixels(number)
            masks = [
                (region.before.split()[-1] if told.kind == "recolour" else region.before, truth[region.name])
                for region in told.regions
            ]
            yield _question(told.kind, frames, masks)


def _question(category: str, frames: np.ndarray, masks: Sequence[tuple[str, np.ndarray]]) -> Question:
    areas = np.stack([each.mean((1, 2)) for _, each in masks])
    index = int(areas.min(0).argmax())
    truth: dict[str, list[np.ndarray]] = defaultdict(list)
    for noun, each in masks:
        if each[index].mean() > SEEN:
            truth[noun].append(each[index])
    return Question(category, frames[index], truth)


def measure(finder: Finder, asked: Question, absent: Sequence[str]) -> Counts:
    """Search for what is there and for what is not."""
    counts = Counts()
    hits = finder.find(asked.frame, [*asked.truth, *absent])
    for noun, found in hits.items():
        _count(counts, found, asked.truth.get(noun, ()))
    return counts


def _count(counts: Counts, found: Sequence[FoundObject], truth: Sequence[np.ndarray]) -> None:
    left = list(truth)
    counts.there += len(left)
    for each in found:
        best = max(range(len(left)), key=lambda place: overlap(each.mask, left[place]), default=None)
        if best is not None and (agreement := overlap(each.mask, left[best])) >= FOUND:
            counts.found += 1
            counts.overlaps.append(agreement)
            del left[best]
        else:
            counts.wrong += 1


def absent_nouns(names: Sequence[str], asked: Question, seed: int) -> list[str]:
    """Return nouns of the small world that an asked frame does not show."""
    others = [name for name in names if not any(name in noun or noun in name for noun in asked.truth)]
    return [str(name) for name in np.random.default_rng(seed).choice(others, ABSENT, replace=False)]


def summed(counts: Sequence[Counts]) -> Counts:
    """Return several counts as one."""
    return Counts(
        there=sum(each.there for each in counts),
        found=sum(each.found for each in counts),
        wrong=sum(each.wrong for each in counts),
        overlaps=[overlap for each in counts for overlap in each.overlaps],
    )


def main() -> None:
    """Print the table and, if asked, write the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.finding", description=__doc__)
    parser.add_argument("--clips", type=int, default=CLIPS_IN_ALL, help="how many, spread over all")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    cv2.setNumThreads(THREADS)
    finder = load_finder(DEFAULT_MODEL, load_segmenter(device="cpu"), EmbeddingCache())
    assert isinstance(finder, ProposalFinder)
    every = list(questions())
    chosen = np.unique(np.linspace(0, len(every) - 1, min(arguments.clips, len(every))).round().astype(int))
    results, seconds = defaultdict(list), []
    for index in chosen:
        started = time.monotonic()
        counts = measure(finder, every[index], absent_nouns(finder.judge.names, every[index], int(index)))
        seconds.append(time.monotonic() - started)
        results[every[index].category].append(counts)
    figures = {name: summed(counts) for name, counts in results.items()}
    total = summed(list(figures.values()))
    rows = [
        [name, str(each.there), f"{each.precision:.3f}", f"{each.recall:.3f}", f"{np.mean(each.overlaps or [0]):.3f}"]
        for name, each in {"all": total, **figures}.items()
    ]
    title = f"Objects by name: {len(chosen)} held-out clips, {np.mean(seconds):.1f} s a search; aim {AIM} and {AIM}"
    print_table(title, ["clips", "objects", "precision", "recall", "IoU"], rows)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        told = {
            name: {"objects": each.there, "precision": each.precision, "recall": each.recall}
            for name, each in {"all": total, **figures}.items()
        }
        arguments.json.write_text(json.dumps(told | {"seconds_per_search": float(np.mean(seconds))}, indent=1) + "\n")


if __name__ == "__main__":
    main()
