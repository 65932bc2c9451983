import numpy as np
from fake_tracking import GREEN, RED, of_colour, squares, tiny_sam2_video

from videograin.tracking.propagator import Propagator
from videograin.tracking.tracks import FrameState
from videograin.tracking.video_engine import VideoEngine


def test_sam2_follows_two_objects_from_the_middle_in_both_directions():
    frames = squares(frames=4)
    propagator = Propagator(frames, VideoEngine(*tiny_sam2_video()))
    for name, colour in (("red", RED), ("green", GREEN)):
        propagator.correct(name, 1, of_colour(frames[1], colour))
    tracks = propagator.propagate()
    for name, colour in (("red", RED), ("green", GREEN)):
        assert FrameState.UNTRACKED not in tracks[name].states
        assert np.array_equal(tracks[name].masks[1], of_colour(frames[1], colour))
        assert ((tracks[name].confidence >= 0) & (tracks[name].confidence <= 1)).all()


def test_an_object_that_comes_later_leaves_the_others_as_they_are():
    frames = squares(frames=3)
    propagator = Propagator(frames, VideoEngine(*tiny_sam2_video()))
    propagator.correct("red", 0, of_colour(frames[0], RED))
    before = propagator.propagate()["red"]
    propagator.correct("green", 0, of_colour(frames[0], GREEN))
    assert np.array_equal(propagator.propagate()["red"].masks, before.masks)
