"""Edits of the shipped clips of two things under several settings, judged region by region.

`python -m benchmarks.emoji_world` prints one table and writes a strip of source and result for each clip to `output/`.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks.judge import Judge
from benchmarks.table import print_table
from videograin.models import find_bundle, load_pipeline
from videograin.pipeline import VideoGrainPipeline
from videograin.project import load_project, load_request
from videograin.region import AttentionMode, Convention, EditRequest, EditSettings
from videograin.visualize import comparison_strip

CLIPS = Path("assets/clips")
OUTPUT = Path("output")
DEFAULT = find_bundle("emoji-world").settings
VARIANTS: dict[str, EditSettings] = {
    "default": DEFAULT,
    "no modulation": replace(DEFAULT, self_strength=0.0, cross_strength=0.0),
    "cross-attention only": replace(DEFAULT, self_strength=0.0),
    "cross strength 1": replace(DEFAULT, cross_strength=1.0),
    "paper convention": replace(DEFAULT, convention=Convention.PAPER),
    "per-frame attention": replace(DEFAULT, attention_mode=AttentionMode.PER_FRAME),
    "no trajectories": replace(DEFAULT, trajectory_attention=False),
    "from full noise": replace(DEFAULT, strength=1.0),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", nargs="+", default=["friends", "twins", "crossing"])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--frames", type=int, default=6, help="of each clip, evenly spaced")
    args = parser.parse_args()
    OUTPUT.mkdir(exist_ok=True)
    bundle = find_bundle("emoji-world")
    pipeline, judge = load_pipeline(bundle), Judge.load(Path(bundle.source))
    rows = [[name, *measure(pipeline, judge, VARIANTS[name], name, args)] for name in args.variants]
    columns = ["setting", "target found", "other target found", "PSNR outside, dB", "seconds an edit"]
    print_table(
        f"Emoji World on {pipeline.device}, {args.frames} frames each of {', '.join(args.clips)}", columns, rows
    )


def measure(
    pipeline: VideoGrainPipeline, judge: Judge, settings: EditSettings, variant: str, args: argparse.Namespace
) -> list[str]:
    """Edit every clip under one setting; return the means."""
    found, mixed, kept = [], [], []
    started = time.monotonic()
    for name in args.clips:
        asked = evenly(load_request(load_project(CLIPS / name / "project.json"))[0], args.frames)
        frames = pipeline.edit(replace(asked, settings=settings)).frames
        targets = [region.prompt.removeprefix("a ").removeprefix("an ") for region in asked.regions]
        for index, region in enumerate(asked.regions):
            seen = judge.name_objects(frames, region.masks)
            found += [thing == targets[index] for thing in seen]
            mixed += [thing in targets and thing != targets[index] for thing in seen]
        outside = ~np.any([region.masks for region in asked.regions], axis=0)
        kept.append(10 * np.log10(255**2 / np.mean((frames.astype(float) - asked.frames)[outside] ** 2)))
        strip = comparison_strip(asked.frames, frames)
        cv2.imwrite(str(OUTPUT / f"{name}-{variant.replace(' ', '-')}.png"), cv2.cvtColor(strip, cv2.COLOR_RGB2BGR))
    seconds = (time.monotonic() - started) / len(args.clips)
    return [f"{np.mean(found):.2f}", f"{np.mean(mixed):.2f}", f"{np.mean(kept):.1f}", f"{seconds:.0f}"]


def evenly(asked: EditRequest, count: int) -> EditRequest:
    """Return the request with so many of its frames, evenly spaced."""
    pick = np.linspace(0, len(asked.frames) - 1, count).round().astype(int)
    regions = [replace(region, masks=region.masks[pick]) for region in asked.regions]
    return replace(asked, frames=asked.frames[pick], regions=regions)


if __name__ == "__main__":
    main()
