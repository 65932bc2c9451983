"""Edit every example and keep its first frame as the picture on the example's card: python -m benchmarks.cards"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.errors import RegionError
from videograin.models.loading import load_pipeline
from videograin.production.source_edit import SourceEdit
from videograin.project.examples import example_names, example_path
from videograin.project.project import load_project

FRAMES, SIDE, QUALITY = 1, 128, 90


def main() -> None:
    """Write `after.jpg` beside each example, or beside those that are named, to be looked at before it is kept."""
    pipeline = load_pipeline("emoji-world", device="cpu", offline=True)
    for name in sys.argv[1:] or example_names():
        try:
            frame = edited_frame(pipeline, name)
        except RegionError as error:  # an object enters later: its card would show nothing of it
            print(f"{name}: no card. {error}")
            continue
        small = cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        file = str(example_path(name) / "after.jpg")
        cv2.imwrite(file, cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        print(f"{name}: {file}")


def edited_frame(pipeline: VideoGrainPipeline, name: str) -> np.ndarray:
    """Return an example's first frame, edited, (H, W, 3) uint8 RGB.

    Raises:
        RegionError: an object is not on it.
    """
    project = load_project(example_path(name) / "project.json")
    project = replace(project, clip_options=replace(project.clip_options, max_frames=FRAMES))
    with tempfile.TemporaryDirectory() as scratch:
        request = SourceEdit.prepare(project, Path(scratch)).request
        assert request is not None, f"{name} has nothing to draw"
        return pipeline.edit(request).frames[0]


if __name__ == "__main__":
    main()
