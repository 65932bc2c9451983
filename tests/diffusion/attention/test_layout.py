from collections.abc import Callable

import numpy as np
import pytest
import torch
from golden_pipeline import RELEASE, SETS, golden_layout, golden_token_regions
from torch import Tensor

from videograin.diffusion.attention.layout import (
    assign_cells,
    build_layout,
    gather_keys,
    nearest_cells,
    span_regions,
)
from videograin.region import MAX_REGIONS, AttentionMode, Convention

CPU = torch.device("cpu")


def random_masks(regions: int = 3, frames: int = 4, side: int = 16, seed: int = 0) -> Tensor:
    return torch.rand(regions, frames, side, side, generator=torch.Generator().manual_seed(seed)) < 0.3


def level_of(masks: Tensor):
    grid = (masks.shape[-2], masks.shape[-1])
    return build_layout(masks, grid, 1, [1.0] * len(masks)).levels[grid[0] * grid[1]]


def shared(first: Tensor, second: Tensor) -> Tensor:
    """same_ij by its definition, from (R, N) and (R, M) masks."""
    return (first.float().T @ second.float()) > 0


# Resizing


def test_a_cell_is_edited_from_a_fifth_of_it_on():
    masks = torch.zeros(1, 1, 10, 20, dtype=torch.bool)
    masks[..., :2, :10] = True  # a fifth of the left cell
    masks[..., :1, 10:] = True  # a tenth of the right one
    assert assign_cells(masks, (1, 2), [True]).flatten().tolist() == [True, False]
    assert assign_cells(masks[..., 10:], (1, 1), [True]).all(), "a mask that would vanish keeps its best cell"


def test_a_cell_belongs_to_the_edited_region_that_covers_most_of_it_then_to_kept_ones():
    masks = torch.zeros(3, 1, 1, 30, dtype=torch.bool)
    masks[0, ..., 0:6] = masks[1, ..., 6:10] = True  # six and four tenths of the first cell
    masks[0, ..., 10] = masks[1, ..., 11] = True  # two tenths of the second cell together
    masks[2, ..., 12:] = True
    both_edited = assign_cells(masks, (1, 3), [True, True, False]).flatten(1).int().tolist()
    assert both_edited == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    one_edited = assign_cells(masks, (1, 3), [True, False, False]).flatten(1).int().tolist()
    assert one_edited == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]  # the second, which has no other cell, shares its best


def test_a_cell_takes_the_pixel_at_its_upper_left():
    masks = torch.arange(64).reshape(1, 1, 8, 8) % 5 == 0
    assert torch.equal(nearest_cells(masks, (4, 2), keep_small=False), masks[..., ::2, ::4])


def test_a_region_smaller_than_a_cell_keeps_its_best_cell():
    masks = torch.zeros(1, 2, 8, 8, dtype=torch.bool)
    masks[0, 0, 5:8, 3] = True  # column 3 is never sampled; rows 6 and 7 are in cell (3, 1)
    small = nearest_cells(masks, (4, 4))
    assert small[0, 0].nonzero().tolist() == [[3, 1]]
    assert not small[0, 1].any()


def test_levels_halve_the_grid_and_round_up():
    layout = build_layout(random_masks(), (10, 6), 4, [1.0] * 3)
    assert list(layout.levels) == [10 * 6, 5 * 3, 3 * 2, 2 * 1]


# Who shares a region


def test_tokens_share_a_region_when_a_mask_covers_both():
    masks = random_masks()
    same = level_of(masks).self_regions(AttentionMode.FULL).same()
    assert torch.equal(same[0], shared(masks.flatten(1), masks.flatten(1)))


@pytest.mark.parametrize("mode", [AttentionMode.FIRST_FRAME, AttentionMode.SPARSE_CAUSAL, AttentionMode.PER_FRAME])
def test_other_modes_share_with_the_frames_they_see(mode):
    masks = random_masks()
    same = level_of(masks).self_regions(mode).same()
    tokens = masks.flatten(2).movedim(0, -1)  # F, n, R
    keys = gather_keys(tokens[None], mode)
    expected = torch.stack([shared(query.T, key.T) for query, key in zip(tokens, keys, strict=True)])
    assert torch.equal(same, expected)


def test_keys_of_each_mode_come_from_its_frames():
    tokens = torch.arange(3).repeat_interleave(2).view(1, 3, 2)
    assert gather_keys(tokens, AttentionMode.FULL).tolist() == [[0, 0, 1, 1, 2, 2]]
    assert gather_keys(tokens, AttentionMode.PER_FRAME).tolist() == [[0, 0], [1, 1], [2, 2]]
    assert gather_keys(tokens, AttentionMode.FIRST_FRAME).tolist() == [[0, 0], [0, 0], [0, 0]]
    assert gather_keys(tokens, AttentionMode.SPARSE_CAUSAL).tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1]]


def test_spans_are_marked_in_as_many_tokens_as_the_text_encoder_has():
    assert span_regions([(2, 5)], CPU).shape == (77, 1)
    assert span_regions([(2, 5)], CPU, tokens=40).flatten().nonzero().flatten().tolist() == [2, 3, 4]


def test_pixels_share_a_region_with_the_tokens_of_its_phrase():
    masks = random_masks(regions=2)
    token_regions = span_regions([(2, 5), None], CPU)
    same = level_of(masks).cross_regions(token_regions).same()
    assert torch.equal(same[..., 2:5], masks[0].flatten(1)[..., None].expand(-1, -1, 3))
    assert not same[..., :2].any()
    assert not same[..., 5:].any()


@pytest.mark.parametrize("regions", [32, MAX_REGIONS])
def test_as_many_regions_as_are_allowed_stay_distinct(regions):
    masks = random_masks(regions, frames=2, side=8)
    same = level_of(masks).self_regions(AttentionMode.FULL).same()
    assert torch.equal(same[0], shared(masks.flatten(1), masks.flatten(1)))


def test_the_order_of_regions_does_not_matter():
    masks = random_masks()
    one, other = level_of(masks), level_of(masks[[2, 0, 1]])
    for mode in AttentionMode:
        assert torch.equal(one.self_regions(mode).same(), other.self_regions(mode).same())
        assert torch.equal(one.self_sizes(mode, Convention.PAPER), other.self_sizes(mode, Convention.PAPER))


# Sizes


@pytest.mark.parametrize("mode", list(AttentionMode))
def test_in_the_paper_a_query_s_size_is_its_share_of_same_keys(mode):
    level = level_of(random_masks())
    same = level.self_regions(mode).same()
    assert torch.allclose(level.self_sizes(mode, Convention.PAPER), same.float().mean(-1))


def test_in_the_paper_the_cross_size_is_the_area_of_a_pixel_s_regions_in_its_frame():
    masks = random_masks()
    per_frame = level_of(masks).self_regions(AttentionMode.PER_FRAME).same()
    assert torch.allclose(level_of(masks).cross_sizes(Convention.PAPER), per_frame.float().mean(-1))


def test_the_release_counts_a_key_once_for_every_region_and_divides_by_the_frames_again():
    masks = random_masks()
    flat = masks.flatten(1).float()
    expected = (flat.T @ flat).sum(-1) / flat.shape[1] / masks.shape[1]
    level = level_of(masks)
    assert torch.allclose(level.self_sizes(AttentionMode.FULL, Convention.RELEASE)[0], expected)


def test_a_pixel_in_no_region_has_size_zero():
    level = level_of(torch.tensor(np.eye(4, dtype=bool))[None, None])
    outside = ~torch.eye(4, dtype=torch.bool).flatten()
    for convention in Convention:
        assert (level.self_sizes(AttentionMode.FULL, convention)[0, outside] == 0).all()
        assert (level.cross_sizes(convention)[0, outside] == 0).all()


# Goldens: the release's maps


def tokens_of_levels(golden: dict[str, Tensor], prefix: str) -> list[int]:
    return [int(name.removeprefix(prefix)) for name in golden if name.startswith(prefix)]


@pytest.mark.parametrize("name", SETS)
def test_golden_tokens_share_regions_as_recorded(load_golden: Callable[[str], dict[str, Tensor]], name):
    golden = load_golden("layouts")
    layout = golden_layout(golden, name)
    for tokens in tokens_of_levels(golden, f"{name}.sreg_maps."):
        regions = layout.levels[tokens].self_regions(AttentionMode.FULL)
        recorded = golden[f"{name}.sreg_maps.{tokens}"]
        assert torch.equal(regions.same(), recorded > 0)
        classes = regions.query_classes[0]
        assert torch.equal(layout.levels[tokens].overlaps[classes][:, classes], recorded[0].float())


@pytest.mark.parametrize("name", SETS)
def test_golden_pixels_share_regions_with_words_as_recorded(load_golden, name):
    golden = load_golden("layouts")
    layout, token_regions = golden_layout(golden, name), golden_token_regions(golden, name)
    for tokens in tokens_of_levels(golden, f"{name}.creg_maps."):
        same = layout.levels[tokens].cross_regions(token_regions).same()
        assert torch.equal(same, golden[f"{name}.creg_maps.{tokens}"][:, 0] > 0)


# The release sums and divides in the dtype of the layouts; the last digit of fp16 may round the other way.
FP16_DIGIT = 2**-11


@pytest.mark.parametrize("name", SETS)
def test_golden_sizes_in_self_attention(load_golden, name):
    golden = load_golden("layouts")
    layout = golden_layout(golden, name)
    for tokens in tokens_of_levels(golden, f"{name}.reg_sizes."):
        sizes = layout.levels[tokens].self_sizes(AttentionMode.FULL, RELEASE.convention)
        assert torch.allclose(1 - sizes, golden[f"{name}.reg_sizes.{tokens}"][..., 0].float(), rtol=0, atol=FP16_DIGIT)


@pytest.mark.parametrize("name", SETS)
def test_golden_sizes_in_cross_attention(load_golden, name):
    golden = load_golden("layouts")
    layout = golden_layout(golden, name)
    for tokens in tokens_of_levels(golden, f"{name}.reg_sizes_c."):
        sizes = layout.levels[tokens].cross_sizes(RELEASE.convention)
        assert torch.allclose(1 - sizes, golden[f"{name}.reg_sizes_c.{tokens}"][:, 0, :, 0], rtol=0, atol=1e-6)


def test_golden_sizes_of_layouts_in_half_precision(load_golden):
    golden = load_golden("layouts")
    name = "overlap2_gap"
    layout = golden_layout(golden, name)
    for tokens in tokens_of_levels(golden, f"{name}.half_layouts.reg_sizes."):
        level = layout.levels[tokens]
        of_self = golden[f"{name}.half_layouts.reg_sizes.{tokens}"][..., 0].float()
        of_cross = golden[f"{name}.half_layouts.reg_sizes_c.{tokens}"][:, 0, :, 0].float()
        self_sizes = level.self_sizes(AttentionMode.FULL, RELEASE.convention)
        assert torch.allclose(1 - self_sizes, of_self, rtol=0, atol=FP16_DIGIT)
        assert torch.allclose(1 - level.cross_sizes(RELEASE.convention), of_cross, rtol=0, atol=FP16_DIGIT)
