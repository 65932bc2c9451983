import numpy as np
import pytest

from videograin.media.video import ClipOptions
from videograin.production.crops import Crops, plan_crops
from videograin.production.stitch import stitch

OPTIONS = ClipOptions(short_side=256, multiple=32)
PORTRAIT = (1080, 1920)


def moving(frames: int = 90, side: float = 200, step: float = 10) -> np.ndarray:
    """Bounds of a square that moves down and, far slower, to the right."""
    left, top = np.arange(frames) * 0.5 + 300, np.arange(frames) * step + 100
    return np.stack([left, top, left + side, top + side], axis=1)


def test_an_object_of_200_pixels_is_drawn_at_200_pixels_or_more() -> None:
    crops = plan_crops(moving(), PORTRAIT, OPTIONS)
    assert 200 * crops.size[1] / crops.box[1] >= 200
    assert min(crops.size) == 256


@pytest.mark.parametrize("step", [0, 3, 10, -12])
def test_a_crop_holds_its_objects_in_every_frame_and_stays_in_the_picture(step: float) -> None:
    bounds = moving(step=step) + (900 * (step < 0)) * np.array([0, 1, 0, 1])
    crops = plan_crops(bounds, PORTRAIT, OPTIONS)
    assert (crops.corners >= 0).all()
    assert (crops.corners + crops.box <= PORTRAIT).all()
    inside = np.clip(bounds, 0, [*PORTRAIT, *PORTRAIT])
    assert (crops.corners <= np.ceil(inside[:, :2])).all()
    assert (crops.corners + crops.box >= np.floor(inside[:, 2:])).all()


def test_a_crop_s_proportions_are_those_of_its_frame() -> None:
    bounds = np.tile([300.0, 200, 500, 900], (3, 1))
    crops = plan_crops(bounds, PORTRAIT, OPTIONS)
    assert crops.box[0] / crops.box[1] == pytest.approx(crops.size[0] / crops.size[1], rel=0.01)
    assert all(side % 32 == 0 for side in crops.size)


def test_a_crop_moves_smoothly() -> None:
    bounds = moving(step=10)
    bounds += np.random.default_rng(0).normal(0, 6, (90, 1))  # a tracker's trembling
    corners = plan_crops(bounds, PORTRAIT, OPTIONS).corners[10:-10]
    assert np.abs(np.diff(corners, n=2, axis=0)).mean() < 3 < np.abs(np.diff(bounds, n=2, axis=0)).mean()


def test_a_crop_stands_still_around_an_object_that_hardly_moves() -> None:
    crops = plan_crops(moving(frames=20, step=0.1), PORTRAIT, OPTIONS)
    assert (crops.corners == crops.corners[0]).all()


@pytest.mark.parametrize(
    ("bounds", "source"),
    [(np.array([[0.0, 0, 1000, 1900]]), PORTRAIT), (np.full((2, 4), np.nan), PORTRAIT), (moving(3) / 8, (256, 256))],
    ids=["a large object", "no object", "a source no larger than the model's frame"],
)
def test_the_whole_frame_is_edited_where_a_crop_would_gain_nothing(bounds: np.ndarray, source: tuple[int, int]) -> None:
    crops = plan_crops(bounds, source, OPTIONS)
    assert crops.box == source
    assert (crops.corners == 0).all()


def test_where_the_edit_covers_nothing_the_source_stays_to_the_last_bit() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    crops = Crops(np.array([[10, 20]]), (40, 30), (20, 15))
    opacity = np.zeros((15, 20), np.float32)
    opacity[5:10, 5:15] = 1
    result = stitch(0, picture, np.full((15, 20, 3), 255, np.uint8), opacity, crops)
    assert (result[32:38, 24:36] == 255).all()
    outside = np.ones((60, 80), bool)
    outside[28:42, 18:42] = False
    assert np.array_equal(result[outside], picture[outside])
