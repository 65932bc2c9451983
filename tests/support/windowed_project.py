"""An edit of four windows for a tiny model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from fake_jobs import ANN
from fakes import tiny_pipeline
from PIL import Image
from synthetic_video import make

from videograin.jobs.store import JobStore
from videograin.masks.load import MaskSource
from videograin.media.video import ClipOptions
from videograin.project.project import Project, ProjectRegion
from videograin.region import EditSettings

FRAMES, FPS, WINDOWS = 10, 8, 4
WHOLE = ClipOptions(short_side=None, multiple=1)


def windowed_project(folder: Path) -> Project:
    """Write a clip of ten frames with sound, a mask and a tiny model into a folder."""
    tiny_pipeline().save_pretrained(folder / "tiny")
    make(folder / "clip.mp4", f"testsrc=s=96x64:r={FPS}:d=1.25", "-f", "lavfi", "-i", "sine=440:d=1.25", "-shortest")
    mask = np.zeros((64, 96), np.uint8)
    mask[16:48, 32:64] = 255
    Image.fromarray(mask).save(folder / "ball.png")
    return Project(
        clip=folder / "clip.mp4",
        regions=(ProjectRegion(MaskSource(folder / "ball.png"), "a red panda", "ball"),),
        source_prompt="a dog",
        model=str(folder / "tiny"),
        clip_options=ClipOptions(max_frames=16, short_side=32, multiple=16),
        settings=EditSettings(num_inference_steps=2, window_frames=5, anchor_frames=1, window_overlap=1),
    )


def kept(store: JobStore, project: Project, owner: str = ANN) -> Project:
    """Return a project whose files are an owner's."""
    (region,) = project.regions
    masks = replace(region.masks, path=store.keep(owner, region.masks.path))
    return replace(project, clip=store.keep(owner, project.clip), regions=(replace(region, masks=masks),))
