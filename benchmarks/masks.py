"""How well does one click follow an object through a clip, and what does one correction mend?

    python -m benchmarks.masks [--clips 36] [--json output/masks.json]

The clips are those of benchmarks/held_out/masks. Each object gets one click, in the first frame that shows it. J&F is
the mean over all frames, the clicked one included (its mask is an answer too), then over objects. For
the correction the worst frame of each clip is mended: where an object is off, at the middle of its largest error, up
to three clicks; by brush, which is the truth, where they do not bring J to 0.9. The rest of the clip is followed again.
"""

import argparse
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.davis import j_and_f, region_similarity
from benchmarks.table import print_table
from videograin.errors import SegmentError
from videograin.media.video import ClipOptions, load_clip
from videograin.segment.model import EmbeddingCache, SegmentModel
from videograin.segment.names import DEFAULT_SEGMENTER
from videograin.segment.segmenter import Segmenter
from videograin.segment.zoo import load_segmenter
from videograin.tracking.flow_engine import FlowEngine
from videograin.tracking.propagator import Propagator
from videograin.tracking.sam_opinion import deepest
from videograin.tracking.tracks import UNSURE, Track

CLIPS = Path("benchmarks/held_out/masks")
CLIPS_IN_ALL = 36
TWINS = "crossing twins"
THREADS = 2
MAX_CLICKS = 3  # of a correction, before the brush
GOOD = 0.9  # J from which nothing is corrected
MATCH = 0.85  # J of masks that need not be looked at


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A clip and its truth; objects by name."""

    category: str
    frames: np.ndarray
    truth: dict[str, np.ndarray]
    clicks: dict[str, tuple[int, float, float]]


@dataclass
class Outcome:
    """What was measured on one clip."""

    category: str
    one_click: list[float]
    corrected: list[float] = field(default_factory=list)
    crossings: int = 0
    swaps: int = 0
    mended_by_clicks: int = 0
    mended_by_brush: int = 0
    seconds: float = 0.0
    followed: int = 0
    click_seconds: list[float] = field(default_factory=list)
    confidence_and_j: list[tuple[float, float]] = field(default_factory=list)


def load(folder: Path) -> HeldOut:
    """Load a clip of `CLIPS`."""
    told = json.loads((folder / "clip.json").read_text())
    clip = load_clip(folder / "clip.mp4", ClipOptions(short_side=256, multiple=32))
    with np.load(folder / "masks.npz") as masks:
        truth = {region["name"]: masks[region["name"]] for region in told["regions"]}
    clicks = {r["name"]: (r["click"]["frame"], r["click"]["x"], r["click"]["y"]) for r in told["regions"]}
    return HeldOut(told["category"], clip.frames, truth, clicks)


def measure(model: SegmentModel, clip: HeldOut) -> Outcome:
    """Click, follow, correct the worst frame, follow again."""
    cache = EmbeddingCache()
    segmenter = Segmenter(model, cache)
    propagator = Propagator(clip.frames, FlowEngine(model, cache))
    outcome = Outcome(clip.category, [])
    for name, (frame, x, y) in clip.clicks.items():
        segmenter.set_frame(clip.frames[frame])
        started = time.monotonic()
        answer = segmenter.click([[x, y]], [1])
        propagator.correct(name, frame, answer.mask, answer.confidence)
        outcome.click_seconds.append(time.monotonic() - started)
    started = time.monotonic()
    propagator.propagate()
    outcome.seconds = time.monotonic() - started
    outcome.followed = len(clip.truth) * (len(clip.frames) - 1)
    first = scores(clip, propagator.tracks)
    outcome.confidence_and_j = confidence_and_j(clip, propagator.tracks)
    outcome.one_click = [score.mean() for score in first.values()]
    if clip.category == TWINS:
        outcome.crossings, outcome.swaps = crossings(clip, propagator.tracks)
    correct(segmenter, clip, propagator, outcome, int(np.mean(list(first.values()), axis=0).argmin()))
    propagator.propagate()
    outcome.corrected = [score.mean() for score in scores(clip, propagator.tracks).values()]
    return outcome


def correct(segmenter: Segmenter, clip: HeldOut, propagator: Propagator, outcome: Outcome, frame: int) -> None:
    """Mend the objects that are off in one frame."""
    segmenter.set_frame(clip.frames[frame])
    for name, truth in clip.truth.items():
        mask, wanted = propagator.tracks[name].masks[frame], truth[frame]
        if region_similarity(mask, wanted) >= GOOD:
            continue
        clicked = click_until_good(segmenter, mask, wanted)
        outcome.mended_by_clicks += clicked is not None
        outcome.mended_by_brush += clicked is None
        propagator.correct(name, frame, wanted if clicked is None else clicked)


def click_until_good(segmenter: Segmenter, mask: np.ndarray, wanted: np.ndarray) -> np.ndarray | None:
    """Click up to `MAX_CLICKS` times at the middle of the largest error; None where that does not do."""
    points: list[tuple[float, float]] = []
    labels: list[int] = []
    previous = segmenter.as_previous(mask) if mask.any() else None
    for _ in range(MAX_CLICKS):
        point = deepest(mask != wanted)
        points.append(point)
        labels.append(int(wanted[int(point[1]), int(point[0])]))
        try:
            answer = segmenter.click(points, labels, previous=previous)
        except SegmentError:
            return None
        mask, previous = answer.mask, answer.logits
        if region_similarity(mask, wanted) >= GOOD:
            return mask
    return None


def scores(clip: HeldOut, tracks: Mapping[str, Track]) -> dict[str, np.ndarray]:
    """Return J&F of each object in each frame (F,)."""
    return {name: j_and_f(tracks[name].masks, truth) for name, truth in clip.truth.items()}


def confidence_and_j(clip: HeldOut, tracks: Mapping[str, Track]) -> list[tuple[float, float]]:
    """Return the confidence in every mask that is not empty, and its J."""
    return [
        (float(tracks[name].confidence[t]), region_similarity(tracks[name].masks[t], truth[t]))
        for name, truth in clip.truth.items()
        for t in range(len(truth))
        if tracks[name].masks[t].any()
    ]


def crossings(clip: HeldOut, tracks: Mapping[str, Track]) -> tuple[int, int]:
    """Return how often two twins cross, and after how many of these crossings they have exchanged their masks."""
    first, second = clip.truth
    order = np.array([_order(a, b) for a, b in zip(clip.truth[first], clip.truth[second], strict=True)])
    seen = np.flatnonzero(order)
    changes = [after for before, after in pairwise(seen) if order[before] != order[after]]
    ends = [*changes[1:], len(order)]
    swaps = sum(
        _agreement(tracks, {first: clip.truth[second], second: clip.truth[first]}, range(start, stop))
        > _agreement(tracks, clip.truth, range(start, stop))
        for start, stop in zip(changes, ends, strict=True)
    )
    return len(changes), swaps


def _order(one: np.ndarray, other: np.ndarray) -> int:
    """Return on which side of the other a mask lies, -1 or 1; 0 where one of them is not to be seen."""
    if not one.any() or not other.any():
        return 0
    return int(np.sign(np.nonzero(one)[1].mean() - np.nonzero(other)[1].mean()))


def _agreement(tracks: Mapping[str, Track], truth: Mapping[str, np.ndarray], frames: range) -> float:
    return sum(region_similarity(tracks[name].masks[t], masks[t]) for name, masks in truth.items() for t in frames)


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return all figures, by the names they have in the JSON file."""
    categories = dict.fromkeys(outcome.category for outcome in outcomes)
    confidence, j = np.array([pair for outcome in outcomes for pair in outcome.confidence_and_j]).T
    crossed = sum(outcome.crossings for outcome in outcomes)
    return {
        "one_click_jf": _mean(score for outcome in outcomes for score in outcome.one_click),
        "one_click_jf_by_category": {
            category: _mean(s for outcome in outcomes if outcome.category == category for s in outcome.one_click)
            for category in categories
        },
        "identity_swap_rate": sum(outcome.swaps for outcome in outcomes) / crossed if crossed else None,
        "crossings": crossed,
        "jf_after_one_correction": _mean(score for outcome in outcomes for score in outcome.corrected),
        "mended_by_clicks": sum(outcome.mended_by_clicks for outcome in outcomes),
        "mended_by_brush": sum(outcome.mended_by_brush for outcome in outcomes),
        "seconds_per_frame_and_object": sum(o.seconds for o in outcomes) / sum(o.followed for o in outcomes),
        "seconds_per_cached_click": _mean(s for outcome in outcomes for s in outcome.click_seconds),
        "confidence_j_correlation": float(np.corrcoef(confidence, j)[0, 1]),
        "flagged_of_j_above_0.85": float((confidence[j > MATCH] < UNSURE).mean()),
        "clips": len(outcomes),
    }


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def rows(figures: Mapping[str, Any]) -> list[list[str]]:
    """Return the table: what, measured, aim."""
    swaps = figures["identity_swap_rate"]
    mended = f"{figures['mended_by_clicks']} objects by clicks, {figures['mended_by_brush']} by brush"
    return [
        ["one click: mean J&F", f"{figures['one_click_jf']:.3f}", "0.85"],
        *([f"… {name}", f"{jf:.3f}", ""] for name, jf in figures["one_click_jf_by_category"].items()),
        [
            f"twins exchanged, of {figures['crossings']} crossings",
            "none crossed" if swaps is None else f"{swaps:.0%}",
            "5 %",
        ],
        [f"after one correction ({mended}): mean J&F", f"{figures['jf_after_one_correction']:.3f}", "0.92"],
        ["correlation of confidence and J", f"{figures['confidence_j_correlation']:.2f}", ""],
        ["flagged of masks with J > 0.85", f"{figures['flagged_of_j_above_0.85']:.1%}", ""],
        ["seconds a frame and object", f"{figures['seconds_per_frame_and_object']:.3f}", "0.25"],
        ["seconds a click, frame known", f"{figures['seconds_per_cached_click']:.4f}", "0.060"],
    ]


def main() -> None:
    """Print the table and, if asked, write the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.masks", description=__doc__)
    parser.add_argument("--clips", type=int, default=CLIPS_IN_ALL, help="how many, spread over the categories")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--segmenter", default=DEFAULT_SEGMENTER)
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    cv2.setNumThreads(THREADS)
    model = load_segmenter(arguments.segmenter, "cpu")
    folders = sorted(folder for folder in CLIPS.iterdir() if folder.is_dir())
    chosen = np.linspace(0, len(folders) - 1, min(arguments.clips, len(folders))).round().astype(int)
    figures = summary([measure(model, load(folders[index])) for index in chosen])
    print_table(
        f"Masks: {figures['clips']} held-out clips, {arguments.segmenter}", ["what", "measured", "aim"], rows(figures)
    )
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
