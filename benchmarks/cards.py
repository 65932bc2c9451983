"""Edit every example's middle frame for the picture on its card: python -m benchmarks.cards [NAME …]"""

import sys
import tempfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.files.atomic import write_whole
from videograin.models.loading import load_pipeline
from videograin.production.source_edit import SourceEdit
from videograin.project.examples import CARD, example_names, example_path
from videograin.project.project import load_project
from videograin.region import EditRequest

SIDE, QUALITY = 192, 88
"""Pixels of each of a card's two pictures, as browsers show them on dense screens, and WebP's quality."""


def main() -> None:
    """Write the card of each example, or of those that are named, to be looked at before it is kept."""
    pipeline = load_pipeline("emoji-world", device="cpu", offline=True)
    for name in sys.argv[1:] or example_names():
        before, after = before_and_after(pipeline, name)
        small = [cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for frame in (before, after)]
        content = BytesIO()
        Image.fromarray(np.concatenate(small, axis=1)).save(content, "WEBP", quality=QUALITY)
        file = example_path(name) / CARD
        write_whole(file, content.getvalue())
        print(f"{name}: {file}")


def before_and_after(pipeline: VideoGrainPipeline, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return an example's middle frame, where its scenes are posed, and its edit, (H, W, 3) uint8 RGB each."""
    project = load_project(example_path(name) / "project.json")
    with tempfile.TemporaryDirectory() as scratch:
        edit = SourceEdit.prepare(project, Path(scratch))
        assert edit.request is not None, f"{name} has nothing to draw"
        assert edit.crops is None, f"{name} is larger than its model draws"
        middle = len(edit.clip.frames) // 2
        return edit.clip.frames[middle], pipeline.edit(of_frame(edit.request, middle)).frames[0]


def of_frame(request: EditRequest, number: int) -> EditRequest:
    """Return what is asked for of one frame."""
    one = slice(number, number + 1)
    regions = [replace(region, masks=region.masks[one]) for region in request.regions]
    return replace(request, frames=request.frames[one], regions=regions)


if __name__ == "__main__":
    main()
