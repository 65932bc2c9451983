from pathlib import Path

import numpy as np
import pytest
from synthetic_video import moving_scene

from videograin.media.shot_cuts import shot_of, shot_starts
from videograin.media.video import ClipOptions, load_clip

CLIPS = Path(__file__).parents[2] / "assets/clips"


def frames_of(name: str) -> np.ndarray:
    return load_clip(CLIPS / name / "clip.mp4", ClipOptions(short_side=256, multiple=32)).frames


def test_two_clips_one_after_the_other_are_two_shots():
    assert shot_starts(np.concatenate([frames_of("reef")[:5], frames_of("friends")[:4]])) == (0, 5)


@pytest.mark.parametrize("name", ["crossing", "visitors", "seasons"])
def test_fast_things_and_a_moving_camera_are_no_cut(name):
    assert shot_starts(frames_of(name)) == (0,)


def test_every_other_frame_of_a_moving_scene_is_one_shot():
    assert shot_starts(moving_scene()[::2]) == (0,)


def test_a_cloud_before_the_sun_is_no_cut():
    frames = frames_of("friends")[:6]
    assert shot_starts(np.concatenate([frames[:3], (frames[3:] * 0.7).astype(np.uint8)])) == (0,)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_one_colour_is_one_shot(frames):
    assert shot_starts(np.full((frames, 20, 30, 3), 128, np.uint8)) == (0,)


def test_a_frame_lies_between_the_starts_around_it():
    assert [shot_of(t, (0, 3, 5), 7) for t in (0, 2, 3, 4, 5, 6)] == [
        range(3),
        range(3),
        range(3, 5),
        range(3, 5),
        range(5, 7),
        range(5, 7),
    ]
