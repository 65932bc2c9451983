import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from videograin.errors import RegionError, SettingsError
from videograin.masks.shapes import (
    Combination,
    combine,
    drop_specks,
    everything_else,
    feather,
    fill_holes,
    grow,
    label_map,
    shrink,
)

SHAPE = (2, 6, 9)
RADII = st.floats(0, 8)


@st.composite
def masks_of(draw: st.DrawFn) -> np.ndarray:
    """Anything from empty to full: blobs, specks and holes."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return random.random(SHAPE) < draw(st.sampled_from([0.0, 0.02, 0.3, 0.6, 0.97, 1.0]))


MASKS = masks_of()


def disc(radius: float, size: int = 21) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size // 2
    return (x**2 + y**2 <= radius**2)[None]


def within(smaller: np.ndarray, larger: np.ndarray) -> bool:
    return not (smaller & ~larger).any()


@pytest.mark.parametrize("radius", [0, 0.9, 1, 1.42, 2, 2.2, 5, 7.07])
def test_a_pixel_grows_to_the_disc_of_that_radius(radius: float) -> None:
    assert np.array_equal(grow(disc(0), radius), disc(radius))


@given(MASKS, RADII)
def test_growing_adds_exactly_the_pixels_within_reach(masks: np.ndarray, radius: float) -> None:
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    for before, after in zip(masks, grow(masks, radius), strict=True):
        inside = np.argwhere(before)
        squares = (y[..., None] - inside[:, 0]) ** 2 + (x[..., None] - inside[:, 1]) ** 2
        assert np.array_equal(after, (squares <= radius**2).any(-1))


@given(MASKS, RADII, RADII)
def test_more_growth_gives_more(masks: np.ndarray, one: float, other: float) -> None:
    assert within(masks, grow(masks, min(one, other)))
    assert within(grow(masks, min(one, other)), grow(masks, max(one, other)))


@given(MASKS, MASKS, RADII)
def test_growth_of_a_union_is_the_union_of_growths(one: np.ndarray, other: np.ndarray, radius: float) -> None:
    assert np.array_equal(grow(one | other, radius), grow(one, radius) | grow(other, radius))


@given(MASKS, RADII)
def test_shrinking_mirrors_growing(masks: np.ndarray, radius: float) -> None:
    assert np.array_equal(shrink(masks, radius), ~grow(~masks, radius))
    assert within(shrink(masks, radius), masks)
    assert within(masks, shrink(grow(masks, radius), radius))
    assert within(grow(shrink(masks, radius), radius), masks)


@given(MASKS, RADII)
def test_closing_twice_changes_nothing_more(masks: np.ndarray, radius: float) -> None:
    closed = shrink(grow(masks, radius), radius)
    assert np.array_equal(shrink(grow(closed, radius), radius), closed)


def test_an_object_at_the_picture_s_edge_is_not_shrunk_from_there() -> None:
    masks = np.zeros(SHAPE, bool)
    masks[:, :4] = True
    assert np.array_equal(shrink(masks, 1)[0, :, 0], [True] * 3 + [False] * 3)


@given(MASKS, RADII)
def test_a_feathered_mask_is_over_one_half_exactly_inside(masks: np.ndarray, radius: float) -> None:
    alpha = feather(masks, radius)
    assert alpha.dtype == np.float32
    assert 0 <= alpha.min() <= alpha.max() <= 1
    assert np.array_equal(alpha > 0.5, masks)
    assert np.allclose(alpha + feather(~masks, radius), 1, atol=1e-6)


def test_the_ramp_of_a_feathered_edge_is_straight() -> None:
    masks = np.zeros((1, 3, 8), bool)
    masks[..., 4:] = True
    assert np.allclose(feather(masks, 2)[0, 0], [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1])


def test_a_hole_is_filled_and_a_bay_is_not() -> None:
    masks = np.array([[[0, 1, 1, 1, 0], [1, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]]], bool)
    filled = masks.copy()
    filled[0, 1, 1] = True
    assert np.array_equal(fill_holes(masks, 1), filled)


def test_the_inside_of_a_ring_stays_when_it_is_larger_than_allowed() -> None:
    ring, inside = disc(6) & ~disc(3), disc(3)
    share = inside.sum() / ring.sum()
    assert np.array_equal(fill_holes(ring, share + 1e-9), disc(6))
    assert np.array_equal(fill_holes(ring, share - 1e-9), ring)


@given(MASKS, st.floats(0, 1))
def test_filling_holes_only_adds_and_never_at_the_edge(masks: np.ndarray, share: float) -> None:
    filled = fill_holes(masks, share)
    assert within(masks, filled)
    assert within(filled, fill_holes(masks, 1))
    for side in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
        assert np.array_equal(filled[side], masks[side])


@given(MASKS, st.floats(0, 1))
def test_dropping_specks_keeps_the_largest_piece_and_is_done_at_once(masks: np.ndarray, share: float) -> None:
    kept = drop_specks(masks, share)
    assert within(kept, masks)
    assert np.array_equal(kept.any((1, 2)), masks.any((1, 2)))
    assert np.array_equal(drop_specks(kept, share), kept)
    for plane in kept:
        areas = cv2.connectedComponentsWithStats(plane.astype(np.uint8), connectivity=8)[2][1:, cv2.CC_STAT_AREA]
        assert (areas >= share * areas.max(initial=0)).all()


def test_a_piece_of_exactly_the_least_share_stays() -> None:
    masks = np.zeros(SHAPE, bool)
    masks[:, 1, 1:5] = True
    masks[:, 5, 5:7] = True
    assert drop_specks(masks, 0.51).sum() == 2 * 4
    assert drop_specks(masks, 0.5).sum() == 2 * 6


@given(MASKS, MASKS, MASKS)
def test_regions_combine_as_sets(one: np.ndarray, two: np.ndarray, three: np.ndarray) -> None:
    regions = [one, two, three]
    assert np.array_equal(combine(regions, Combination.UNION), one | two | three)
    assert np.array_equal(combine(regions, Combination.INTERSECTION), one & two & three)
    assert np.array_equal(combine(regions, Combination.DIFFERENCE), one & ~two & ~three)


def test_a_combination_is_a_copy() -> None:
    masks = np.zeros(SHAPE, bool)
    combine([masks], Combination.UNION)[:] = True
    assert not masks.any()


@given(st.lists(MASKS, max_size=3))
def test_everything_else_is_the_area_that_no_region_covers(regions: list[np.ndarray]) -> None:
    rest = everything_else(regions, SHAPE)
    assert not any((rest & masks).any() for masks in regions)
    assert combine([rest, *regions], Combination.UNION).all()


@given(st.lists(MASKS, min_size=1, max_size=4))
def test_the_topmost_region_wins_a_pixel(regions: list[np.ndarray]) -> None:
    labels = label_map(regions)
    for frame, y, x in np.ndindex(SHAPE):
        covering = [label for label, masks in enumerate(regions, 1) if masks[frame, y, x]]
        assert labels[frame, y, x] == max(covering, default=0)


def test_forty_objects_and_a_single_frame_are_no_trouble() -> None:
    masks = np.zeros((40, 1, 8, 8), bool)
    masks.reshape(40, 64)[np.arange(40), np.arange(40)] = True
    assert label_map(list(masks)).max() == 40


@pytest.mark.parametrize(
    "call",
    [
        lambda masks: grow(masks, 1),
        lambda masks: feather(masks, 1),
        lambda masks: fill_holes(masks, 1),
        lambda masks: drop_specks(masks, 1),
    ],
)
def test_arrays_that_are_no_masks_are_refused(call) -> None:
    for wrong in (np.zeros(SHAPE), np.zeros(SHAPE[1:], bool), np.zeros((0, 4, 4), bool)):
        with pytest.raises(RegionError, match=r"pass \(frames, height, width\) bool"):
            call(wrong)


def test_masks_that_do_not_fit_each_other_are_refused() -> None:
    with pytest.raises(RegionError, match="several shapes"):
        combine([np.zeros((1, 2, 3), bool), np.zeros((1, 3, 2), bool)], Combination.UNION)
    with pytest.raises(RegionError, match="There is no region"):
        label_map([])
    with pytest.raises(RegionError, match="256 regions; one picture can tell 255 apart"):
        label_map([np.zeros((1, 2, 2), bool)] * 256)


@pytest.mark.parametrize("radius", [-1, 257, float("nan")])
def test_a_radius_out_of_range_is_named(radius: float) -> None:
    with pytest.raises(SettingsError, match="choose 0 to 256"):
        grow(np.zeros(SHAPE, bool), radius)
