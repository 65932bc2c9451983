"""Accuracy against seconds: exact, standard and draft, each shortcut alone, and combinations of them, in one run.

    python -m benchmarks.draft --device cpu --json output/draft.json    # in some minutes; --points curve takes days
    python -m benchmarks.draft --packed clips.npz --clips 16 --workers 4 --json output/draft.json
    python -m benchmarks.draft --points qualities    # exact, standard and draft alone

Clips are the editing table's report clips of two objects. Edits are kept line by line beside the JSON file, with the
ending .jsonl, so that a run that was stopped goes on where it was. Each process makes a short edit first, in which
kernels are chosen and compiled. The JSON holds a row for each combination; seconds are the median over the clips.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from statistics import fmean, median
from typing import Self

import torch

from benchmarks.clips import Library
from benchmarks.emoji_world import Line, fingerprint, key_of, read_lines, run, select
from benchmarks.options import add_clip_options, add_crew_options, library_of
from benchmarks.scoring import Bench, Score, Task
from benchmarks.table import print_table
from benchmarks.variants import Variant, changed
from videograin.files.atomic import write_whole
from videograin.models.bundles import EMOJI_WORLD_SETTINGS
from videograin.models.presets import Quality, apply_quality
from videograin.settings import EditSettings

ALONE = (
    "num_inference_steps=12",
    "num_inference_steps=10",
    "num_inference_steps=8",
    "num_inference_steps=6",
    "num_inference_steps=12,sampler=dpm_solver++",
    "num_inference_steps=8,sampler=dpm_solver++",
    "num_inference_steps=6,sampler=dpm_solver++",
    "guidance_end=0.7",
    "guidance_end=0.5",
    "guidance_start=0.1,guidance_end=0.6",
    "modulated_fraction=0.35",
    "key_frames=1",
    "key_frames=2",
    "key_frames=4",
    "cache_interval=2",
    "cache_interval=3",
    "inversion=False",
)
"""Each shortcut by itself, as a change to the exact settings."""

TOGETHER = (
    "num_inference_steps=12,cache_interval=3,guidance_end=0.7",
    "num_inference_steps=12,cache_interval=3,guidance_end=0.7,inversion=False",
    "num_inference_steps=10,cache_interval=3",
    "num_inference_steps=10,cache_interval=3,inversion=False",
    "num_inference_steps=10,cache_interval=3,key_frames=2,guidance_end=0.7",
    "num_inference_steps=8,cache_interval=2",
    "num_inference_steps=8,inversion=False",
    "num_inference_steps=8,cache_interval=3,key_frames=2,guidance_end=0.8",
    "num_inference_steps=12,sampler=dpm_solver++,guidance_end=0.7",
    "num_inference_steps=8,sampler=dpm_solver++,guidance_end=0.7",
    "num_inference_steps=8,sampler=dpm_solver++,guidance_end=0.5,key_frames=2",
    "num_inference_steps=8,sampler=dpm_solver++,guidance_end=0.5,key_frames=2,cache_interval=2",
    "num_inference_steps=8,sampler=dpm_solver++,guidance_end=0.5,inversion=False",
    "num_inference_steps=6,sampler=dpm_solver++,guidance_end=0.5,key_frames=2",
)
"""Candidates for the presets."""

WARM_STEPS = 3

CPU_CLIPS, CPU_FRAMES, CLIPS, FRAMES = 2, 8, 1000, 16
"""What is edited unless the user says otherwise: on a CPU what takes minutes, else all there is."""

COLUMNS = (
    "settings", "clips", "s", "of exact", "target", "of exact", "mixing", "outside to VAE, dB", "CLIP-F", "Warp-Err",
)  # fmt: skip


@dataclass(frozen=True)
class Point:
    """What a combination of settings scored: means over the clips, but the median of their seconds.

    Attributes:
        name: of the quality, or what is changed of the exact settings.
        clips: how many.
        seconds: of an edit, inversion included.
        target, mixing, clip_f, warp_error: as in `Score`.
        outside: dB, `Score.psnr_reconstruction`.
        settings: all of them.
    """

    name: str
    clips: int
    seconds: float
    target: float
    mixing: float
    outside: float
    clip_f: float
    warp_error: float
    settings: EditSettings

    @classmethod
    def of(cls, name: str, settings: EditSettings, scores: Sequence[Score]) -> Self:
        """Return the point of some edits."""
        return cls(
            name=name,
            clips=len(scores),
            seconds=median(score.seconds for score in scores),
            target=fmean(score.target for score in scores),
            mixing=fmean(score.mixing for score in scores),
            outside=fmean(score.psnr_reconstruction for score in scores),
            clip_f=fmean(score.clip_f for score in scores),
            warp_error=fmean(score.warp_error for score in scores),
            settings=settings,
        )

    def cells(self, exact: "Point") -> list[str]:
        """Return the row of a table, seconds and target also as shares of the exact edit's."""
        shares = [f"{self.seconds / exact.seconds:.3f}", f"{self.target / exact.target:.3f}"]
        return [
            self.name, str(self.clips), f"{self.seconds:.2f}", shares[0], f"{self.target:.3f}", shares[1],
            f"{self.mixing:.3f}", f"{self.outside:.1f}", f"{self.clip_f:.2f}", f"{self.warp_error:.2f}",
        ]  # fmt: skip


def qualities() -> list[Variant]:
    """Return the qualities, exact first."""
    exact = EMOJI_WORLD_SETTINGS
    return [Variant(quality.value, apply_quality(quality, exact, exact)) for quality in reversed(Quality)]


def curve() -> list[Variant]:
    """Return the qualities, then the shortcuts alone and together."""
    shortcuts = (*ALONE, *TOGETHER)
    return [*qualities(), *(Variant(changes, changed(EMOJI_WORLD_SETTINGS, changes)) for changes in shortcuts)]


def points(lines: Sequence[Line], variants: Sequence[Variant]) -> Iterator[Point]:
    """Yield the points of those variants of which there are lines."""
    for variant in variants:
        scores = [line.score for line in lines if line.variant == variant.label]
        if scores and variant.settings:
            yield Point.of(variant.label, variant.settings, scores)


def hire_warm(device: str, model: str, library: Library, task: Task) -> Bench:
    """Make a worker on a device that has made an edit."""
    bench = Bench.load(model, device, library)
    settings = replace(EMOJI_WORLD_SETTINGS, num_inference_steps=WARM_STEPS)
    bench.measure(replace(task, variant=Variant("warm", settings)))
    return bench


def main() -> None:
    """Make the edits that are missing, write the curve and print it."""
    args = _arguments()
    told, weights = select(library_of(args), args.split, ["two"], args.clips), fingerprint(args.model)
    variants, kept = qualities() if args.points == "qualities" else curve(), args.json.with_suffix(".jsonl")
    tasks = [Task(number, clip, variant, args.frames) for number, clip in told.items() for variant in variants]
    known = {(line.variant, *line.key) for line in read_lines(kept)}
    missing = [task for task in tasks if (task.variant.label, *key_of(task, weights)) not in known]
    if missing:
        hire = partial(hire_warm, model=args.model, library=library_of(args), task=missing[0])
        run(missing, args, weights, kept, hire)
    wanted = {(task.variant.label, *key_of(task, weights)) for task in tasks}
    found = list(points([line for line in read_lines(kept) if (line.variant, *line.key) in wanted], variants))
    document = {"device": device_name(args.device), "frames": args.frames, "workers": args.workers, "weights": weights}
    write_whole(args.json, json.dumps({**document, "points": [asdict(each) for each in found]}, indent=1).encode())
    title = f"{args.split}, {args.frames} frames, {document['device']}, weights {weights}"
    print_table(title, COLUMNS, [each.cells(found[0]) for each in found])


def device_name(device: str) -> str:
    """Return what a device calls itself."""
    return torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.draft")
    parser.add_argument("--points", choices=["qualities", "curve"], help="the former on a CPU, unless this says so")
    parser.add_argument("--split", choices=["tune", "report"], default="report")
    add_clip_options(parser, clips=0, file="output/draft.json")
    add_crew_options(parser)
    parser.set_defaults(frames=0)
    args = parser.parse_args()
    on_cpu = args.device == "cpu"
    args.points = args.points or ("qualities" if on_cpu else "curve")
    args.clips = args.clips or (CPU_CLIPS if on_cpu else CLIPS)
    args.frames = args.frames or (CPU_FRAMES if on_cpu else FRAMES)
    return args


if __name__ == "__main__":
    main()
