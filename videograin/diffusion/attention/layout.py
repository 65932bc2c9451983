"""Regions at the UNet's latent resolutions: who shares a region with whom, and how large the regions are.

A token's class is its distinct set of regions. The modulation only ever asks whether two sets intersect, so a table
over classes replaces the N×N map of the paper's released code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from videograin.diffusion.attention.modulation import SharedRegions
from videograin.region import AttentionMode, Convention

TEXT_TOKENS = 77
"""Length of Stable Diffusion's token sequence, padding included."""

REGION_SHARE = 0.2
"""Share of a latent cell that edited regions must cover for the cell to be theirs in attention. With a half, the new
object does not reach the tips of the old one."""

Resize = Callable[[Tensor, tuple[int, int]], Tensor]
"""Reduces masks (R, F, H, W) bool to the cells of a grid (h, w): (R, F, h, w) bool."""


@dataclass(frozen=True)
class LayoutLevel:
    """The layout at one latent resolution.

    Attributes:
        masks: (R, F, h, w) bool.
        classes: (F, h·w) int64, each token's class.
        memberships: (C, R) bool, the regions of each class.
        anchors: of the last frames, how many are seen in self-attention and see nothing themselves.
    """

    masks: Tensor
    classes: Tensor
    memberships: Tensor
    anchors: int = 0

    @property
    def frames(self) -> int:
        """Number of frames F, anchors included."""
        return self.masks.shape[1]

    @property
    def own_frames(self) -> int:
        """Number of frames without the anchors."""
        return self.frames - self.anchors

    @property
    def tokens(self) -> int:
        """Tokens of one frame, h·w."""
        return self.classes.shape[1]

    @property
    def overlaps(self) -> Tensor:
        """(C, C) float32, how many regions two classes have in common."""
        members = self.memberships.float()
        return members @ members.T

    def self_regions(self, mode: AttentionMode) -> SharedRegions:
        """Return the classes of queries and keys in self-attention; the batch is 1, or F where frames are apart.

        Args:
            mode: which frames a query sees.
        """
        if mode.is_joint:
            queries, keys = self.classes[: self.own_frames].reshape(1, -1), self.classes.reshape(1, -1)
        else:
            queries, keys = self.classes, gather_keys(self.classes[None], mode)
        return SharedRegions(queries, keys, self.overlaps > 0)

    def cross_regions(self, token_regions: Tensor) -> SharedRegions:
        """Return the classes of pixels and text tokens.

        Args:
            token_regions: (77, R) bool, the regions whose phrase a token belongs to.
        """
        sets, token_classes = torch.unique(token_regions, dim=0, return_inverse=True)
        shares = (self.memberships.float() @ sets.float().T) > 0
        return SharedRegions(self.classes[: self.own_frames], token_classes[None], shares)

    def self_sizes(self, mode: AttentionMode, convention: Convention) -> Tensor:
        """Return size_i of every query in self-attention, (1, F·h·w) or (F, h·w) float32 like `self_regions`."""
        regions = self.self_regions(mode)
        sizes = self._sizes(regions.key_classes, convention)
        if mode.is_joint and convention == Convention.RELEASE:
            sizes = sizes / self.frames  # the release divides by F²·h·w, not by its F·h·w keys
        return sizes.gather(1, regions.query_classes)

    def cross_sizes(self, convention: Convention) -> Tensor:
        """Return size_i of every query in cross-attention, (F, h·w) float32: area of its regions in its frame."""
        own = self.classes[: self.own_frames]
        return self._sizes(own, convention).gather(1, own)

    def _sizes(self, key_classes: Tensor, convention: Convention) -> Tensor:
        """Share of keys that lie in each class's regions, (B, C); the release counts a key once for every region."""
        weights = self.overlaps if convention == Convention.RELEASE else (self.overlaps > 0).float()
        counts = weights.new_zeros(len(key_classes), len(weights))
        counts.scatter_add_(1, key_classes, torch.ones_like(key_classes, dtype=counts.dtype))
        return counts @ weights / key_classes.shape[1]


@dataclass(frozen=True)
class Layout:
    """The regions of a clip at every resolution of the UNet.

    Attributes:
        levels: one `LayoutLevel` for each number of tokens of a frame, largest first.
        region_strengths: (R,) float32.
    """

    levels: dict[int, LayoutLevel]
    region_strengths: Tensor


def nearest_cells(masks: Tensor, grid: tuple[int, int], keep_small: bool = True) -> Tensor:
    """Return the cells (R, F, h, w) bool whose nearest pixel, floor(x·H/h), lies in a mask (R, F, H, W).

    With `keep_small`, a mask that would vanish from a frame keeps the one cell that it covers most.
    """
    small = F.interpolate(masks.float(), size=grid, mode="nearest") > 0.5
    return _keep_small(masks, small) if keep_small else small


def build_layout(
    masks: Tensor,
    grid: tuple[int, int],
    num_levels: int,
    strengths: Sequence[float],
    resize: Resize = nearest_cells,
    anchors: int = 0,
) -> Layout:
    """Reduce pixel masks to the layouts of all latent resolutions.

    Args:
        masks: (R, F, H, W) bool; the layout is built on their device.
        grid: (h, w) of the latents, the first level; each further level halves it, rounded up.
        num_levels: resolutions of the UNet.
        strengths: one factor for each region.
        resize: what counts as a region's cells: `assign_cells` in the paper's convention, `nearest_cells` in the
            release's.
        anchors: of the last frames, how many are seen in self-attention and see nothing themselves.
    """
    levels: dict[int, LayoutLevel] = {}
    for _ in range(num_levels):
        levels[grid[0] * grid[1]] = _level(resize(masks, grid), anchors)
        grid = (-(-grid[0] // 2), -(-grid[1] // 2))
    return Layout(levels, torch.tensor(strengths, dtype=torch.float32, device=masks.device))


def region_sets(masks: Tensor) -> Tensor:
    """Return which regions each cell lies in, bit r for region r: (F, h, w) int64 of masks (R, F, h, w) bool."""
    return (masks * _bits(masks).view(-1, 1, 1, 1)).sum(0)


def assign_cells(masks: Tensor, grid: tuple[int, int], is_edited: Sequence[bool]) -> Tensor:
    """Return the cells (R, F, h, w) bool of each region.

    Unlike the nearest neighbour, which samples each cell's corner, this does not shift outlines.
    A cell of which `REGION_SHARE` lies in edited regions belongs to the one that covers most of it; of the other cells,
    those that lie as far in kept regions belong to these alike. A region that would vanish from a frame shares the one
    cell that it covers most.

    Args:
        masks: (R, F, H, W) bool, as good as disjoint.
        grid: (h, w).
        is_edited: for each region, whether it has a prompt.
    """
    cover, cells = _cover(masks, grid), torch.zeros(*masks.shape[:2], *grid, dtype=torch.bool, device=masks.device)
    free = torch.ones_like(cells[0])
    for edited in (True, False):
        group = [region for region, own in enumerate(is_edited) if own == edited]
        if group:
            covered = free & (_cover(masks[group].any(0, keepdim=True), grid)[0] >= REGION_SHARE)
            cells[group] = covered & (cover[group] == cover[group].amax(0))
            free &= ~covered
    return _keep_small(masks, cells)


def _cover(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the share of each cell that a mask covers, (R, F, h, w) float32; one region at a time spares memory."""
    return torch.stack([F.adaptive_avg_pool2d(mask.float(), grid) for mask in masks])


def _keep_small(masks: Tensor, small: Tensor) -> Tensor:
    """Give masks that vanished from a frame when they were resized the one cell that they cover most."""
    lost = masks.any(dim=(-1, -2)) & ~small.any(dim=(-1, -2))
    if lost.any():
        grid = (small.shape[-2], small.shape[-1])
        cover = F.adaptive_avg_pool2d(masks[lost].float(), grid).flatten(1)
        best = F.one_hot(cover.argmax(1), cover.shape[1]).bool()
        small[lost] = best.view(-1, *grid)
    return small


def gather_keys(tokens: Tensor, mode: AttentionMode) -> Tensor:
    """Collect for every query sequence the tokens that its keys come from.

    Args:
        tokens: (halves, F, n, ...) tokens of each frame.
        mode: full, windows: all frames; first_frame: the first; sparse_causal: the first and the previous frame;
            per_frame: the own frame.

    Returns:
        (halves, F·n, ...) for full and windows, (halves·F, 2n, ...) for sparse_causal, (halves·F, n, ...) for
        first_frame and per_frame.
    """
    if mode.is_joint:
        return tokens.flatten(1, 2)
    if mode == AttentionMode.FIRST_FRAME:
        tokens = tokens[:, :1].expand_as(tokens)
    if mode == AttentionMode.SPARSE_CAUSAL:
        first = tokens[:, :1].expand_as(tokens)
        previous = torch.cat([tokens[:, :1], tokens[:, :-1]], dim=1)
        tokens = torch.cat([first, previous], dim=2)
    return tokens.flatten(0, 1)


def span_regions(spans: Sequence[tuple[int, int] | None], device: torch.device, tokens: int = TEXT_TOKENS) -> Tensor:
    """Return (tokens, R) bool: token j belongs to region r when it lies in r's span (start, stop)."""
    token_regions = torch.zeros(tokens, len(spans), dtype=torch.bool)
    for region, span in enumerate(spans):
        if span is not None:
            token_regions[span[0] : span[1], region] = True
    return token_regions.to(device)


def _level(masks: Tensor, anchors: int) -> LayoutLevel:
    distinct, classes = torch.unique(region_sets(masks).flatten(1), return_inverse=True)
    return LayoutLevel(masks, classes, (distinct[:, None] & _bits(masks)) != 0, anchors)


def _bits(masks: Tensor) -> Tensor:
    return 1 << torch.arange(len(masks), device=masks.device)
