"""Render the demo clips with their truth: MP4, masks, and the edit that each is for.

    python -m training.demo_clips            # writes assets/clips/<name>/

A folder holds clip.mp4 (256×256), masks.npz (one (F, 256, 256) bool array a region, by its name), project.json (the
edit, for `python -m videograin edit`) and clip.json (level, prompts, clicks, and the names of the objects before and
after).
"""

import argparse
from pathlib import Path

from training.scripts import SCRIPTS
from training.staging import describe, masks_of, play, project, write_clip, write_json
from training.world import World

TARGET = Path("assets/clips")


def main() -> None:
    """Write all clips."""
    parser = argparse.ArgumentParser(prog="python -m training.demo_clips")
    parser.add_argument("--target", type=Path, default=TARGET)
    arguments = parser.parse_args()
    world = World("cpu")
    for script in SCRIPTS:
        clip, folder = play(world, script), arguments.target / script.name
        masks = masks_of(world, script, clip)
        write_clip(folder, script, clip, masks)
        write_json(folder / "clip.json", describe(script, masks))
        write_json(folder / "project.json", project(script))


if __name__ == "__main__":
    main()
