"""The editing table: held-out clips of two objects under several settings, judged region by region; and other edits.

    python -m benchmarks.emoji_world --split tune --variants source default factors --workers 8
    python -m benchmarks.emoji_world --split report --variants source default ablation --workers 8

Results are kept line by line in a file, so that a run that was stopped goes on where it was; edits that are in it are
not made again while the weights, the settings and the number of frames are the same. A machine without ffmpeg reads
the clips from a packed file: `--pack clips.npz` writes it there, `--packed clips.npz` reads it here.

Outside the union of the edited regions nothing should change. The part that may change is larger by `mask_growth`
pixels and by what is left of the latents at its edge, so growth costs PSNR in the columns "outside"; the column
"beyond" leaves that rim out. The Q-edit-like score is the share of targets found, in percent, over the warp error.
"""

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np

from benchmarks.clips import Library, Told, pack
from benchmarks.crew import keep_results, work_off
from benchmarks.options import add_clip_options, add_crew_options, devices_of, library_of
from benchmarks.scoring import Bench, Score, Task
from benchmarks.table import print_table
from benchmarks.variants import Variant, changed, find_variants
from videograin.evaluation.metrics import q_edit
from videograin.models.bundles import EMOJI_WORLD_SETTINGS, find_bundle

COLUMNS = (
    "variant", "clips", "target", "mixing", "target beside", "mixing beside", "kept",
    "outside to VAE, dB", "outside to source, dB", "beyond, dB", "CLIP-F", "CLIP-F source", "Warp-Err", "Q", "s",
)  # fmt: skip

Hire = Callable[[str], Bench]
"""Makes a worker on a device."""

SHARES = ("target", "mixing", "target_beside", "mixing_beside", "kept")


@dataclass(frozen=True)
class Line:
    """One line of the file of results: a task, what it was done with, and its score."""

    variant: str
    settings: str
    clip: str
    kind: str
    frames: int
    weights: str
    score: Score

    @classmethod
    def of(cls, task: Task, weights: str, score: Score) -> Self:
        """Return the line of a finished task."""
        told, variant = task.told, task.variant
        return cls(variant.label, settings_text(variant), told.name, told.kind, task.frames, weights, score)

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a line."""
        document = json.loads(text)
        return cls(**document | {"score": Score(**document["score"])})

    @property
    def key(self) -> tuple:
        """What makes two edits the same; the variant's label does not."""
        return self.settings, self.clip, self.frames, self.weights


def key_of(task: Task, weights: str) -> tuple:
    """Return the key of the line that a task will write."""
    return settings_text(task.variant), task.told.name, task.frames, weights


def settings_text(variant: Variant) -> str:
    """Return a variant's settings as one text."""
    return json.dumps(asdict(variant.settings)) if variant.settings else ""


def read_lines(file: Path) -> list[Line]:
    """Read the results so far; a line that was cut off is left out."""
    text = file.read_text() if file.exists() else ""
    return [Line.read(line) for line in text.splitlines() if line.endswith("}}")]


def select(library: Library, split: str, kinds: Sequence[str], clips: int) -> dict[str, Told]:
    """Return the first clips of each kind, by their numbers; where there are none, end with what there is instead."""
    chosen: dict[str, Told] = {}
    known = {number: Told.read(document) for number, document in library.documents().items()}
    for number, told in known.items():
        before = sum(other.kind == told.kind for other in chosen.values())
        if told.split == split and told.kind in (kinds or [told.kind]) and before < clips:
            chosen[number] = told
    if not chosen:
        found = Counter(f"{told.split} {told.kind}" for told in known.values())
        wanted = f"up to {clips} clips of the split '{split}', of {' or '.join(kinds) or 'any kind'}"
        listed = ", ".join(f"{count} of {name}" for name, count in found.items()) or "no clips at all"
        raise SystemExit(f"There are no such clips: {wanted}. Found: {listed}. Choose another split or kind.")
    return chosen


def fingerprint(model: str) -> str:
    """Return a short digest of a model's weights."""
    digest = hashlib.sha256()
    for file in sorted(Path(find_bundle(model).source).rglob("*.safetensors")):
        if {"controlnet", "sam"}.isdisjoint(file.parts):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def row(name: str, scores: Sequence[Score]) -> list[str]:
    """Return the means of some edits' scores as cells."""
    mean = {f.name: _mean([getattr(score, f.name) for score in scores]) for f in fields(Score)}
    q = q_edit(100 * mean["target"], mean["warp_error"])
    shares = [_cell(mean[name], ".3f") for name in SHARES]
    ratios = [_cell(mean[name], ".1f") for name in ("psnr_reconstruction", "psnr_source", "psnr_beyond")]
    rest = [_cell(mean[name], ".2f") for name in ("clip_f", "clip_f_source", "warp_error")]
    return [name, str(len(scores)), *shares, *ratios, *rest, _cell(q, ".1f"), _cell(mean["seconds"], ".2f")]


def print_tables(lines: Iterable[Line], variants: Sequence[Variant], title: str) -> None:
    """Print a table a kind of edit, its rows in the variants' order."""
    lines = list(lines)
    for kind in dict.fromkeys(line.kind for line in lines):
        rows = []
        for variant in variants:
            settings = settings_text(variant)
            scores = [line.score for line in lines if (line.kind, line.settings) == (kind, settings)]
            rows += [row(variant.label, scores)] if scores else []
        print_table(f"{kind}: {title}", COLUMNS, rows)


def run(tasks: Sequence[Task], args: argparse.Namespace, weights: str, kept: Path, hire: Hire | None = None) -> None:
    """Carry out tasks and append their scores to a file of lines.

    Args:
        tasks: in this order.
        args: device, workers, model, clips, strips and seconds.
        weights: the model's fingerprint.
        kept: the file.
        hire: makes a worker on a device; None is `hire_bench`.
    """
    hire = hire or partial(hire_bench, model=args.model, library=library_of(args), strips=args.strips)
    finished = work_off(hire, devices_of(args, len(tasks)), tasks, args.seconds)
    keep_results(finished, len(tasks), kept, lambda task, score: Line.of(task, weights, score))


def hire_bench(device: str, model: str, library: Library, strips: Path | None) -> Bench:
    """Make a worker on a device."""
    return Bench.load(model, device, library, strips)


def main() -> None:
    """Pack the clips, or make the edits that are missing and print the tables."""
    args = _arguments()
    told = select(library_of(args), args.split, args.kinds, args.clips)
    if args.pack:
        pack(library_of(args), told, args.pack)
        return
    base = changed(EMOJI_WORLD_SETTINGS, args.base)
    variants, weights = find_variants(args.variants, base), fingerprint(args.model)
    # Clip by clip, so that a run which is stopped has compared its variants on the same clips.
    every = [Task(number, clip, variant, args.frames) for number, clip in told.items() for variant in variants]
    tasks = {key_of(task, weights): task for task in every}
    known = {line.key for line in read_lines(args.json)}
    missing = [task for key, task in tasks.items() if key not in known]
    if missing:
        run(missing, args, weights, args.json)
    lines = {line.key: line for line in read_lines(args.json) if line.key in tasks}
    print_tables(lines.values(), variants, f"{args.split}, {args.frames} frames, {args.device}, weights {weights}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.emoji_world")
    parser.add_argument("--split", choices=["tune", "report"], default="tune")
    parser.add_argument("--kinds", nargs="+", default=[], help="two, put-on, recolour, background, solely; all if none")
    parser.add_argument(
        "--variants",
        nargs="+",
        default=["source", "default"],
        metavar="NAME",
        help="source, default, ablation, factors, or changes such as strength=0.9,mask_growth=12",
    )
    parser.add_argument("--base", default="", help="changes to the default that all variants start from")
    parser.add_argument("--strips", type=Path, help="folder for a picture of each edit")
    parser.add_argument("--pack", type=Path, metavar="FILE.npz", help="write the clips into one file, do nothing else")
    add_clip_options(parser, clips=1000, file="output/editing-table.jsonl")
    add_crew_options(parser)
    return parser.parse_args()


def _mean(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _cell(value: float, form: str) -> str:
    return "–" if np.isnan(value) else format(value, form)


if __name__ == "__main__":
    main()
