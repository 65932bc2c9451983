"""One frame of an edit is the frame of the clip, with its masks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_work import OPTIONS, make_clip, square

from videograin.errors import RegionError
from videograin.media.video import load_clip
from videograin.project.single_frame import frame_options, single_frame
from videograin.project.workspace import MarkedObject, Workspace


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    masks = square(10, 10, 20, frames=5)
    masks.masks[4] = False
    masks.masks[2, :12] = False
    ball = MarkedObject(1, "ball", prompt="a red panda")
    return Workspace(
        clip=make_clip(tmp_path, 5), source_prompt="a ball", clip_options=OPTIONS, objects=(ball,), masks={1: masks}
    )


@pytest.mark.parametrize("fps", [None, 3.0, 30000 / 1001])
@pytest.mark.parametrize("start", [0.0, 0.13])
def test_a_frame_is_the_one_that_the_clip_has(work, fps, start):
    options = replace(OPTIONS, fps=fps, start=start)
    clip = load_clip(work.clip, options)
    for number, frame in enumerate(clip.frames):
        alone = load_clip(work.clip, frame_options(options, clip, number))
        assert np.array_equal(alone.frames, frame[None])


def test_it_has_the_masks_of_that_frame(work):
    alone = single_frame(work, 2)
    (region,) = alone.load_regions(load_clip(alone.clip, alone.clip_options))
    assert np.array_equal(region.masks, work.masks[1].masks[2:3])
    assert region.prompt == "a red panda"


def test_a_frame_without_what_changes_is_refused(work):
    with pytest.raises(RegionError, match="This frame shows none of the objects that change"):
        single_frame(work, 4)
    with pytest.raises(RegionError, match="Frame 5 is not in the clip; it has 5"):
        single_frame(work, 5)
