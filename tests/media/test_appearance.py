import os
from pathlib import Path

import numpy as np
import pytest

from videograin.media.appearance import looks_like_photograph
from videograin.media.video import ClipOptions, load_clip

DRAWN = sorted((Path(__file__).parents[2] / "assets/clips").glob("*/clip.mp4"))
SHARED = Path(os.environ.get("VIDEOGRAIN_CLIPS", Path(__file__).parents[3] / "shared" / "clips"))


@pytest.mark.parametrize("clip", DRAWN, ids=lambda path: path.parent.name)
def test_the_drawn_examples_are_no_photographs(clip):
    assert not looks_like_photograph(load_clip(clip, ClipOptions(max_frames=16)).frames)


@pytest.mark.parametrize("name", ["dog", "wolf", "blackswan", "pingpong"])
@pytest.mark.parametrize("side", [256, 512])
def test_filmed_clips_are_photographs_at_any_size(name, side):
    if not (SHARED / f"{name}.mp4").is_file():
        pytest.skip(f"no {name}.mp4 at {SHARED}; set VIDEOGRAIN_CLIPS")
    clip = load_clip(SHARED / f"{name}.mp4", ClipOptions(short_side=side, multiple=32, max_frames=4))
    assert looks_like_photograph(clip.frames)


def test_grain_and_soft_light_look_filmed_and_plain_colours_do_not():
    rows, columns = np.mgrid[0:90, 0:160].astype(np.float64)
    light = 90 + 60 * np.sin(rows / 40) * np.cos(columns / 60)
    grain = np.random.default_rng(0).normal(0, 6, (3, 90, 160, 3))
    filmed = (light[..., None] * [1.0, 0.95, 0.85] + grain).clip(0, 255).astype(np.uint8)
    drawn = np.zeros((3, 90, 160, 3), np.uint8)
    drawn[:, :, :80], drawn[:, :, 80:] = (240, 60, 40), (60, 160, 240)
    assert looks_like_photograph(filmed)
    assert not looks_like_photograph(drawn)


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (2, 1, 40, 3), (1, 3000, 1, 3)])
def test_frames_of_any_shape_have_an_answer(shape):
    assert looks_like_photograph(np.random.default_rng(0).integers(0, 256, shape, np.uint8)) in (True, False)
