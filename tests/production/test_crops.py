import numpy as np
import pytest

from videograin.media.video import ClipOptions
from videograin.production.crop_plan import BORDER_PIXELS, plan_crops
from videograin.production.crops import Crops
from videograin.production.stitch import stitch

OPTIONS = ClipOptions(short_side=256, multiple=32)
PORTRAIT, LANDSCAPE = (1080, 1920), (1920, 1080)


def moving(frames: int = 90, side: float = 200, step: float = 10) -> np.ndarray:
    """Bounds of a square that moves down and, far slower, to the right, (1, F, 4)."""
    left, top = np.arange(frames) * 0.5 + 300, np.arange(frames) * step + 100
    return np.stack([left, top, left + side, top + side], axis=1)[None]


def squares(*corners: tuple[float, float], side: float = 200, frames: int = 3) -> np.ndarray:
    """Bounds of squares that stand still, (R, F, 4)."""
    return np.array([[(left, top, left + side, top + side)] * frames for left, top in corners])


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
    assert (crops.corners <= np.ceil(inside[..., :2])).all()
    assert (crops.corners + crops.box >= np.floor(inside[..., 2:])).all()


def test_a_crop_s_proportions_are_those_of_its_frame() -> None:
    bounds = np.tile([300.0, 200, 500, 900], (1, 3, 1))
    crops = plan_crops(bounds, PORTRAIT, OPTIONS)
    assert crops.box[0] / crops.box[1] == pytest.approx(crops.size[0] / crops.size[1], rel=0.01)
    assert all(side % 32 == 0 for side in crops.size)


def test_a_crop_moves_smoothly() -> None:
    bounds = moving(step=10)
    bounds += np.random.default_rng(0).normal(0, 6, (1, 90, 1))  # a tracker's trembling
    corners = plan_crops(bounds, PORTRAIT, OPTIONS).corners[0, 10:-10]
    assert np.abs(np.diff(corners, n=2, axis=0)).mean() < 3 < np.abs(np.diff(bounds, n=2, axis=1)).mean()


def test_a_crop_stands_still_around_an_object_that_hardly_moves() -> None:
    crops = plan_crops(moving(frames=20, step=0.1), PORTRAIT, OPTIONS)
    assert (crops.corners == crops.corners[:, :1]).all()


@pytest.mark.parametrize(
    ("bounds", "source"),
    [
        (np.array([[[0.0, 0, 1000, 1900]]]), PORTRAIT),
        (np.full((1, 2, 4), np.nan), PORTRAIT),
        (moving(3) / 8, (256, 256)),
    ],
    ids=["a large object", "no object", "a source no larger than the model's frame"],
)
def test_the_whole_frame_is_edited_where_a_crop_would_gain_nothing(bounds: np.ndarray, source: tuple[int, int]) -> None:
    crops = plan_crops(bounds, source, OPTIONS)
    assert crops.box == source
    assert (crops.corners == 0).all()


def test_regions_that_lie_far_apart_have_crops_of_their_own_and_are_drawn_as_large_as_they_are() -> None:
    crops = plan_crops(squares((60, 100), (1600, 700)), LANDSCAPE, OPTIONS)
    assert (crops.size, crops.scale) == ((512, 256), 1.0)
    for (left, top), (x, y) in zip(crops.corners[:, 0].tolist(), ((60, 100), (1600, 700)), strict=True):
        assert left <= x < x + 200 <= left + 256
        assert top <= y < y + 200 <= top + 256


@pytest.mark.parametrize(
    "bounds",
    [
        squares((60, 100), (400, 100)),
        squares((60, 100), (700, 400), (1340, 700)),
        np.concatenate([moving(40, step=20), squares((300, 1500), frames=40)]),
    ],
    ids=["a crop of both draws them nearly as large", "one between them belongs to either", "they meet"],
)
def test_regions_share_a_crop_where_two_would_not_be_worth_it_or_would_meet(bounds: np.ndarray) -> None:
    assert len(plan_crops(bounds, LANDSCAPE, OPTIONS).corners) == 1


@pytest.mark.parametrize("extent", [(150, 150), (120, 400), (400, 90)], ids=["square", "high", "wide"])
def test_two_crops_take_no_more_than_the_largest_single_one_and_meet_away_from_their_regions(
    extent: tuple[int, int],
) -> None:
    width, height = extent
    way = np.linspace(0, 300, 60)[:, None] * [1, 0, 1, 0]
    bounds = way + np.array([[[100, 100, 100 + width, 100 + height]], [[1100, 500, 1100 + width, 500 + height]]])
    crops = plan_crops(bounds, LANDSCAPE, OPTIONS)
    assert len(crops.corners) == 2
    assert np.prod(crops.size) <= 1.05 * 2 * 256**2  # sides are multiples of 32
    axis, scale = int(crops.is_stacked), crops.tile[0] / crops.box[0]
    ends = crops.corners[0, :, axis] + crops.box[axis] - bounds[0, :, axis + 2]
    starts = bounds[1, :, axis] - crops.corners[1, :, axis]
    assert min(ends.min(), starts.min()) * scale >= BORDER_PIXELS - 1


@pytest.mark.parametrize("is_stacked", [False, True])
def test_each_of_two_crops_is_laid_where_it_comes_from(is_stacked: bool) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    crops = Crops(np.array([[[2, 3]], [[50, 35]]]), (24, 16), (24, 16), is_stacked)
    drawn = crops.cut(0, picture)
    assert drawn.shape[1::-1] == crops.size == ((24, 32) if is_stacked else (48, 16))
    result = stitch(0, picture, 255 - drawn, np.ones(drawn.shape[:2], np.float32), crops)
    wanted = picture.copy()
    wanted[3:19, 2:26], wanted[35:51, 50:74] = 255 - picture[3:19, 2:26], 255 - picture[35:51, 50:74]
    assert np.array_equal(result, wanted)


def test_where_the_edit_covers_nothing_the_source_stays_to_the_last_bit() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    crops = Crops(np.array([[[10, 20]]]), (40, 30), (20, 15))
    opacity = np.zeros((15, 20), np.float32)
    opacity[5:10, 5:15] = 1
    result = stitch(0, picture, np.full((15, 20, 3), 255, np.uint8), opacity, crops)
    assert (result[32:38, 24:36] == 255).all()
    outside = np.ones((60, 80), bool)
    outside[28:42, 18:42] = False
    assert np.array_equal(result[outside], picture[outside])
