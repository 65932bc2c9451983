"""Render the clips that edits and masks are measured on: seeds that training never uses, with their truth.

    python -m training.held_out              # writes benchmarks/held_out/{edits,masks}/NN/

A folder of `edits/` is like one of assets/clips, and its clip.json says besides which half it belongs to: settings are
tuned on "tune" and reported on "report". A folder of `masks/` holds clip.mp4, masks.npz with the visible pixels of
every object (with what it wears) and of every worn part, by name, and clip.json with its category and where a user
would click in the first frame.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from training.evaluate import HELD_OUT
from training.improvised import MASK_CATEGORIES, Improviser
from training.scripts import Script
from training.staging import click_on, describe, masks_of, play, project, write_clip, write_json
from training.world import World

TARGET = Path("benchmarks/held_out")
TUNE, REPORT, BACKGROUNDS, SOLELY = 12, 32, 8, 8
PUT_ON = ("sunglasses", "top hat", "crown", "sunglasses", "bow")
RECOLOURED = ("cap", "bow", "cap", "dress", "shirt")
MASK_CLIPS = dict.fromkeys(MASK_CATEGORIES, 6) | {"crossing": 3, "crossing twins": 3}


def edits(improviser: Improviser) -> Iterator[tuple[str, Script]]:
    """Yield which half each clip for the editing table belongs to, and its script."""
    for i in range(TUNE):
        yield "tune", improviser.two(f"tune-{i:02d}")
    for i in range(REPORT):
        yield "report", improviser.two(f"two-{i:02d}")
    for i, wearable in enumerate(PUT_ON):
        yield "report", improviser.put_on(f"put-on-{i:02d}", wearable)
    for i, noun in enumerate(RECOLOURED):
        yield "report", improviser.recolour(f"recolour-{i:02d}", noun)
    for i in range(BACKGROUNDS):
        yield "report", improviser.elsewhere(f"background-{i:02d}")
    for i in range(SOLELY):
        yield "report", improviser.two(f"solely-{i:02d}", "solely-edit", edited=1)


def write_edits(world: World, folder: Path) -> None:
    """Write the clips for the editing table."""
    for i, (split, script) in enumerate(edits(Improviser(world, HELD_OUT + 1000))):
        masks = _write(world, script, folder / f"{i:02d}", crf=16)
        write_json(folder / f"{i:02d}/clip.json", {"split": split} | describe(script, masks))
        write_json(folder / f"{i:02d}/project.json", project(script))


def write_masks(world: World, folder: Path) -> None:
    """Write the clips for mask propagation."""
    improviser = Improviser(world, HELD_OUT + 2000)
    names = [(category, f"{category}-{i}") for category, count in MASK_CLIPS.items() for i in range(count)]
    for i, (category, name) in enumerate(names):
        script = improviser.hard_to_follow(name.replace(" ", "-"), category)
        masks = _write(world, script, folder / f"{i:02d}", crf=19)
        write_json(folder / f"{i:02d}/clip.json", describe_masks(script, masks))


def describe_masks(script: Script, masks: dict[str, np.ndarray]) -> dict:
    """Return what clip.json says of a clip for mask propagation."""
    regions = [
        {"name": t.name, "thing": t.before, "part": bool(t.part), "click": click_on(masks[t.name])}
        for t in script.targets
    ]
    return {
        "name": script.name,
        "category": script.level,
        "frames": script.frames,
        "fps": script.fps,
        "source_prompt": script.source_prompt,
        "regions": regions,
    }


def _write(world: World, script: Script, folder: Path, crf: int) -> dict[str, np.ndarray]:
    clip = play(world, script)
    masks = masks_of(world, script, clip)
    write_clip(folder, script, clip, masks, crf)
    return masks


def main() -> None:
    """Write both sets."""
    parser = argparse.ArgumentParser(prog="python -m training.held_out")
    parser.add_argument("--target", type=Path, default=TARGET)
    parser.add_argument("--only", choices=["edits", "masks"])
    arguments = parser.parse_args()
    world = World("cpu")
    for name, write in {"masks": write_masks, "edits": write_edits}.items():
        if arguments.only in (None, name):
            write(world, arguments.target / name)


if __name__ == "__main__":
    main()
