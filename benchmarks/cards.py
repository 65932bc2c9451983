"""Edit every example and keep its first frame as the picture on the example's card: python -m benchmarks.cards"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2

from videograin.models.loading import load_pipeline
from videograin.production.source_edit import SourceEdit
from videograin.project.examples import example_names, example_path
from videograin.project.project import load_project

FRAMES, SIDE, QUALITY = 1, 128, 90


def main() -> None:
    """Write `after.jpg` beside each example, or beside those that are named."""
    pipeline = load_pipeline("emoji-world", device="cpu", offline=True)
    for name in sys.argv[1:] or example_names():
        folder = example_path(name)
        project = load_project(folder / "project.json")
        project = replace(project, clip_options=replace(project.clip_options, max_frames=FRAMES))
        with tempfile.TemporaryDirectory() as scratch:
            request = SourceEdit.prepare(project, Path(scratch)).request
            assert request is not None, f"{name} has nothing to draw"
            frame = pipeline.edit(request).frames[0]
        small = cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        cv2.imwrite(
            str(folder / "after.jpg"), cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
        )
        print(f"{name}: {project.target_prompt}")


if __name__ == "__main__":
    main()
