import numpy as np
import pytest
import torch

from videograin.diffusion.region_masks import RegionMasks, grow_masks, make_room, smallest_decides
from videograin.region import Convention, EditRequest, EditSettings, Region


def test_masks_grow_by_pixels_on_every_side():
    masks = torch.zeros(1, 9, 9, dtype=torch.bool)
    masks[0, 4, 5] = True
    assert grow_masks(masks, 2).nonzero().amin(0).tolist() == [0, 2, 3]
    assert grow_masks(masks, 2).nonzero().amax(0).tolist() == [0, 6, 7]
    assert grow_masks(masks, 0) is masks


def test_edited_regions_take_room_that_no_other_region_has():
    masks = torch.zeros(3, 1, 3, 9, dtype=torch.bool)
    masks[0, 0, 1, 1] = masks[1, 0, 1, 3] = masks[2, 0, 1, 7] = True
    roomy = make_room(masks, [True, True, False], 2)
    assert roomy[0, 0].any(0).nonzero().flatten().tolist() == [0, 1, 2, 3]
    assert not roomy[0, 0, 1, 3]
    assert not roomy[1, 0, 1, 1]
    assert torch.equal(roomy[2], masks[2])
    assert torch.equal(make_room(masks, [True, True, False], 0), masks)


def test_overlapping_regions_keep_what_they_share():
    masks = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    masks[:, 0, 1, 1] = True
    assert make_room(masks, [True, True], 1)[:, 0, 1, 1].all()


def rows(*spans: tuple[int, int], frames: int = 1) -> torch.Tensor:
    """Masks (R, F, 1, 9), each from one column to another."""
    columns = torch.arange(9).view(1, 1, 9)
    return torch.stack([((columns >= start) & (columns < stop)).repeat(frames, 1, 1) for start, stop in spans])


def test_of_regions_that_overlap_the_smaller_decides():
    man, shirt, button = rows((0, 9), (2, 7), (3, 4))
    decided = smallest_decides(torch.stack([man, shirt, button]), [(9, True), (5, True), (1, False)])
    assert torch.equal(decided, torch.stack([man & ~shirt, shirt & ~button, button]))


def test_a_region_s_size_is_its_area_where_it_is_shown():
    man = rows((0, 4), frames=4)[0]
    man[1:] = False  # 4 pixels in all
    assert Region(man.numpy(), "a fox").mean_area == 4


def test_regions_of_one_size_share_their_overlap_unless_one_of_them_is_kept():
    masks = rows((0, 4), (2, 6))
    assert torch.equal(smallest_decides(masks, [(4, True), (4, True)]), masks)
    assert smallest_decides(masks, [(4, True), (4, False)])[0].sum() == 2


@pytest.mark.parametrize("convention", Convention)
def test_only_the_release_s_attention_sees_overlaps(convention):
    man, face = (np.asarray(mask) for mask in rows((0, 9), (3, 5)))
    request = EditRequest(
        np.zeros((1, 1, 9, 3), np.uint8),
        [Region(man, "a robot"), Region(face)],
        "a man",
        settings=EditSettings(convention=convention, mask_growth=4),
    )
    regions = RegionMasks.of(request, range(len(request.frames)))
    assert np.array_equal(regions.edited_part, man & ~face)
    assert np.array_equal(regions.kept_part, face)
    assert np.array_equal(regions.masks[0], man if convention == Convention.RELEASE else man & ~face)


def disc(row: float, column: float, radius: float) -> np.ndarray:
    """A mask (1, 64, 64) of a disc."""
    rows, columns = np.mgrid[:64, :64] + 0.5
    return (np.hypot(rows - row, columns - column) < radius)[None]


def test_in_the_paper_s_convention_the_edited_cells_are_those_that_attention_gives_to_edited_regions():
    regions = [Region(disc(21, 22, 9), "a fox"), Region(disc(30, 34, 7), "a cat"), Region(disc(50, 50, 10))]
    masks = RegionMasks.of(EditRequest(np.zeros((1, 64, 64, 3), np.uint8), regions, "two dogs"), range(1))
    for side in (2, 8, 16):
        seen = masks.resize(masks.masks, (side, side))
        assert torch.equal(seen[:2].any(0), masks.edited_cells((side, side)))
        assert not (seen[2] & seen[:2].any(0)).any() or side == 2


def test_a_whisker_is_too_thin_to_be_edited_and_is_shown_by_its_cells_and_those_beside_them():
    whisker = disc(36, 36, 8)
    whisker[0, 36, 4:30] = True  # one row of the eight of its cells
    regions = [Region(whisker, "a fox"), Region(disc(5, 60, 3))]
    masks = RegionMasks.of(EditRequest(np.zeros((1, 64, 64, 3), np.uint8), regions, "a cat"), range(1))
    edited, shown = masks.edited_cells((8, 8))[0], masks.shown_cells((8, 8))[0]
    assert edited[4].tolist() == [False] * 3 + [True] * 3 + [False] * 2
    assert shown[4].tolist() == [True] * 7 + [False]
    assert shown[:, 1].tolist() == [False] * 3 + [True] * 3 + [False] * 2
