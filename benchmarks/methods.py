"""The method beside others on the held-out clips: the paper's tables 1 and 2, and its table 3 with `--ablate`.

    python -m benchmarks.methods --clips 16 --json output/methods.jsonl
    python -m benchmarks.methods --device cpu --clips 1 --frames 4 --steps 3 --methods paper tokenflow

Every method (`videograin/comparison/`) edits the same clips with the same masks, words, model, steps and seed, all
frames together. Edits are kept line by line in a file; those that are in it are not made again while weights, settings
and frames are the same. `--strips FOLDER` lays all methods out in one picture of each clip; edits whose frames are not
kept there are made again. A machine without ffmpeg reads the clips from a packed file (`benchmarks.emoji_world --split
report --kinds two --pack FILE.npz`). Figures are means over clips with their 95 % intervals by bootstrap.

"target" is how often an edited region is what it should become, "mixing" how often it is what another should become,
both named by the judge of Emoji World in the region's own crop. Q-edit is CLIP-T over Warp-Err, clip by clip. A
ControlNet (canny) is given to those methods alone that have nothing else to hold them to the source.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np

from benchmarks.clips import Library, Told
from benchmarks.crew import keep_results, work_off
from benchmarks.emoji_world import fingerprint, select
from benchmarks.options import add_clip_options, add_crew_options, devices_of, library_of
from benchmarks.scoring import Bench, Task
from benchmarks.sheets import Sheets
from benchmarks.table import print_table
from benchmarks.variants import Variant, changed
from videograin.comparison.compare import request_of
from videograin.comparison.cost import measure_cost
from videograin.comparison.methods import ABLATION, ABSENT, find_methods
from videograin.diffusion.control import control_images
from videograin.evaluation.intervals import Statistic, bootstrap, mean_interval
from videograin.evaluation.metrics import clip_t, q_edit
from videograin.models.bundles import EMOJI_WORLD_SETTINGS
from videograin.progress import ignore
from videograin.region import ControlKind, EditSettings

FORMS = {
    "target": ".3f",
    "mixing": ".3f",
    "clip_f": ".2f",
    "clip_t": ".2f",
    "warp_error": ".2f",
    "q": ".1f",
    "outside": ".1f",
    "seconds": ".2f",
    "device_gib": ".2f",
    "host_gib": ".2f",
}
"""The columns and how they are written."""

MEASURES: dict[str, Callable[[Callable[[str], np.ndarray]], np.ndarray]] = {
    "target": lambda mean: mean("target"),
    "q": lambda mean: mean("q"),
    "clip_t / warp_error": lambda mean: mean("clip_t") / mean("warp_error"),
    "100 target / warp_error": lambda mean: 100 * mean("target") / mean("warp_error"),
}
"""In what VideoGrain's lead is told, by the means of columns over clips. The third is Q-edit as the rows of the paper's
table 1 agree with (36.56 / 1.42 = 25.75): one clip that hardly moves weighs no more there than another. The fourth asks
who is who instead of CLIP."""

ALONE = ("seconds", "device_gib", "host_gib")
"""Columns without intervals."""


@dataclass(frozen=True)
class Scores:
    """What one edit came to.

    Attributes:
        target, mixing: shares of regions and frames.
        clip_f, clip_t: percent.
        warp_error: thousandths.
        q: clip_t over warp_error.
        outside: dB outside the edited regions, to the source.
        seconds: of the edit, inversion included.
        device_gib, host_gib: most that was held meanwhile.
    """

    target: float
    mixing: float
    clip_f: float
    clip_t: float
    warp_error: float
    q: float
    outside: float
    seconds: float
    device_gib: float
    host_gib: float

    def __str__(self) -> str:
        return f"{self.target:.2f} in {self.seconds:.1f} s"


@dataclass(frozen=True)
class Line:
    """One line of the file of results: an edit and its scores."""

    method: str
    settings: str
    clip: str
    frames: int
    weights: str
    scores: Scores

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a line."""
        document = json.loads(text)
        return cls(**document | {"scores": Scores(**document["scores"])})

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        """What makes two edits the same."""
        return self.method, self.settings, self.clip, self.frames, self.weights


@dataclass(frozen=True)
class Edit:
    """A clip that a method, by its name, is to edit."""

    number: str
    told: Told
    method: str
    frames: int
    settings: EditSettings

    def __str__(self) -> str:
        return f"{self.told.name}, {self.method}"

    def key(self, weights: str) -> tuple[str, str, str, int, str]:
        """Return the key of the line that this will write."""
        return self.method, json.dumps(asdict(self.settings)), self.told.name, self.frames, weights


@dataclass(frozen=True)
class Comparer:
    """A model that edits by any method, and those that judge.

    Attributes:
        bench: of the editing table.
        sheets: keeps some frames of each edit, or None.
    """

    bench: Bench
    sheets: Sheets | None

    @classmethod
    def hire(cls, device: str, model: str, library: Library, sheets: Sheets | None) -> Self:
        """Make a worker on a device."""
        return cls(Bench.load(model, device, library, controls=[ControlKind.CANNY]), sheets)

    def measure(self, edit: Edit) -> Scores:
        """Carry out one edit and score it."""
        bench, [method] = self.bench, find_methods([edit.method])
        known = bench.reference(edit.number, edit.told, edit.frames)
        guides = [control_images(known.request.frames, ControlKind.CANNY)] if method.needs_control else []
        request = request_of(method, replace(known.request, settings=edit.settings), guides)
        result, cost = measure_cost(lambda: method.edit(bench.pipeline, request, ignore), bench.pipeline.device)
        frames = result.frames
        if self.sheets:
            self.sheets.keep(edit.told.name, "source", request.frames)
            self.sheets.keep(edit.told.name, method.name, frames)
        task = Task(edit.number, edit.told, Variant(method.title, edit.settings), edit.frames)
        score = bench.score(task, known, frames, frames, cost.seconds)
        fit = clip_t(bench.scorer, frames, edit.told.target_prompt)
        return Scores(
            target=score.target,
            mixing=score.mixing,
            clip_f=score.clip_f,
            clip_t=fit,
            warp_error=score.warp_error,
            q=q_edit(fit, score.warp_error),
            outside=min(score.psnr_source, 100.0),  # infinite where nothing changed
            seconds=cost.seconds,
            device_gib=cost.device_bytes / 2**30,
            host_gib=cost.host_bytes / 2**30,
        )


def read_lines(file: Path) -> list[Line]:
    """Read the results so far; a line that was cut off is left out."""
    text = file.read_text() if file.exists() else ""
    return [Line.read(line) for line in text.splitlines() if line.endswith("}}")]


def run(edits: Sequence[Edit], args: argparse.Namespace, weights: str, sheets: Sheets | None) -> None:
    """Make edits and append their scores to the file."""
    hire = partial(Comparer.hire, model=args.model, library=library_of(args), sheets=sheets)
    finished = work_off(hire, devices_of(args, len(edits)), edits, args.seconds)
    keep_results(finished, len(edits), args.json, lambda edit, scores: Line(*edit.key(weights), scores=scores))


def rows(lines: Sequence[Line], names: Sequence[str]) -> list[list[str]]:
    """Return a row of cells for each method that has edits, in the order of the names."""
    found = []
    for method in find_methods(names):
        own = [line.scores for line in lines if line.method == method.name]
        if own:
            cells = [cell(column, [getattr(scores, column) for scores in own]) for column in FORMS]
            found.append([method.title, str(len(own)), *cells])
    return found


def cell(column: str, values: Sequence[float]) -> str:
    """Return the mean of some edits' scores with its interval."""
    interval, form = mean_interval(values), FORMS[column]
    if np.isnan(interval.value):
        return "–"
    value, low, high = (format(each, form) for each in (interval.value, interval.low, interval.high))
    return value if column in ALONE else f"{value} ({low} to {high})"


def print_leads(lines: Sequence[Line], measure: str) -> None:
    """Print how far VideoGrain is ahead of each other method on the clips that both have edited, with intervals."""
    scores = {(line.method, line.clip): line.scores for line in lines}
    for name in dict.fromkeys(line.method for line in lines if line.method != "paper"):
        clips = [clip for method, clip in scores if method == name and ("paper", clip) in scores]
        if not clips:
            continue
        ours, theirs = (measured(measure, [scores[each, clip] for clip in clips]) for each in ("paper", name))
        lead, every = bootstrap(partial(_difference, ours, theirs), len(clips)), np.arange(len(clips))
        values = f"VideoGrain {ours(every):.3f}, {name} {theirs(every):.3f}"
        print(f"{measure}: {values}, lead {lead.value:+.3f} ({lead.low:+.3f} to {lead.high:+.3f})")


def measured(measure: str, scores: Sequence[Scores]) -> Statistic:
    """Return what a measure comes to (...) on the clips with the indices (..., n) int."""
    columns = {column: np.array([getattr(each, column) for each in scores]) for column in FORMS}
    return lambda drawn: MEASURES[measure](lambda column: columns[column][drawn].mean(-1))


def _difference(ours: Statistic, theirs: Statistic, drawn: np.ndarray) -> np.ndarray:
    return ours(drawn) - theirs(drawn)


def main() -> None:
    """Make the edits that are missing and print the table."""
    args = _arguments()
    names = [method.name for method in (ABLATION if args.ablate else find_methods(args.methods))]
    settings = changed(EMOJI_WORLD_SETTINGS, args.base)
    if args.steps:
        settings = replace(settings, num_inference_steps=args.steps)
    weights, told = fingerprint(args.model), select(library_of(args), "report", args.kinds, args.clips)
    sheets = Sheets(args.strips) if args.strips else None
    # Clip by clip, so that a run which is stopped has compared the methods on the same clips.
    every = [Edit(number, clip, name, args.frames, settings) for number, clip in told.items() for name in names]
    edits = {edit.key(weights): edit for edit in every}
    known = {line.key for line in read_lines(args.json)}
    missing = [
        edit
        for key, edit in edits.items()
        if key not in known or (sheets and not sheets.has(edit.told.name, edit.method))
    ]
    if missing:
        run(missing, args, weights, sheets)
    if sheets:
        for clip in told.values():
            sheets.write(clip, find_methods(names))
    lines = list({line.key: line for line in read_lines(args.json) if line.key in edits}.values())
    title = f"{args.frames} frames, {settings.steps_run} steps, {args.device}, weights {weights}"
    print_table(title, ["method", "clips", *FORMS], rows(lines, names))
    for measure in MEASURES if "paper" in names else ():
        print_leads(lines, measure)
    for name, needs in ABSENT.items():
        print(f"{name}: {needs}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.methods")
    parser.add_argument("--methods", nargs="+", default=[], metavar="NAME", help="as of 'videograin compare'")
    parser.add_argument(
        "--ablate", action="store_true", help="the parts of the method, and which frames attention sees"
    )
    parser.add_argument("--kinds", nargs="+", default=["two"], help="as of benchmarks.emoji_world")
    parser.add_argument("--steps", type=int, default=0, help="denoising steps; 0 takes the model's")
    parser.add_argument("--base", default="", help="changes to the settings that all methods go out from")
    parser.add_argument("--strips", type=Path, metavar="FOLDER", help="lay all methods out in a picture of each clip")
    add_clip_options(parser, clips=16, file="output/methods.jsonl")
    add_crew_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
