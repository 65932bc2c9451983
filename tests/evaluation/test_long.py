import cv2
import numpy as np
import pytest

from benchmarks.long import ThereAndBack
from videograin.diffusion.windows.plan import request_windows
from videograin.evaluation.seams import seam_ratio
from videograin.media.flow import OpticalFlow
from videograin.region import EditRequest, EditSettings, Region

FRAMES, SIDE = 12, 32


class Counted:
    """A library of one clip whose frame t has the value t."""

    def documents(self) -> dict[str, dict]:
        return {}

    def pixels(self, number: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        frames = np.arange(4, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
        return frames, {"a cat": frames[..., 0] > 1}


def test_a_clip_is_played_there_and_back_until_it_is_long_enough() -> None:
    frames, masks = ThereAndBack(Counted(), 9).pixels("00")
    assert frames[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert masks["a cat"][:, 0, 0].tolist() == [value > 1 for value in frames[:, 0, 0, 0]]


def still_flow() -> OpticalFlow:
    still, seen = np.zeros((FRAMES - 1, 2, SIDE, SIDE), np.float32), np.zeros((FRAMES - 1, SIDE, SIDE), bool)
    return OpticalFlow(still, still, still[:, 0], seen, seen)


def whole_request(frames: np.ndarray) -> EditRequest:
    """The edit of all there is, in windows of six frames."""
    settings = EditSettings(window_frames=6, anchor_frames=0, window_overlap=0)
    return EditRequest(frames, [Region(np.ones((FRAMES, SIDE, SIDE), bool), "a fox")], "a cat", settings=settings)


@pytest.mark.parametrize(("jump", "expected"), [(0, 1.0), (3, 16.0)])
def test_the_seam_ratio_is_1_where_joints_change_no_more_than_other_frames(jump: int, expected: float) -> None:
    values = 10 + np.arange(FRAMES) + jump * (np.arange(FRAMES) >= 6)  # the second window begins at frame 6
    frames = np.full((FRAMES, SIDE, SIDE, 3), 1, np.uint8) * values.astype(np.uint8)[:, None, None, None]
    assert seam_ratio(frames, still_flow(), whole_request(frames)) == pytest.approx(expected, rel=1e-4)


def test_a_cut_is_no_seam() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    stills = [cv2.resize(each, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for each in pictures]
    frames = np.repeat(stills, 6, axis=0)  # the second window begins with the second picture
    request = whole_request(frames)
    assert len(request_windows(request)) == 2
    assert np.isnan(seam_ratio(frames, still_flow(), request))
