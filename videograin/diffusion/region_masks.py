"""The regions' masks as an edit uses them, in pixels: who decides overlaps, how far edited ones may grow, what changes.

Where regions overlap the smaller one decides: a kept face stays inside an edited man, an edited shirt changes on a kept
man. The released code knows no regions that are kept; its attention sees overlaps as belonging to all of their regions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from videograin.diffusion.attention.layout import Resize, assign_cells, nearest_cells
from videograin.region import Convention, EditRequest

SHOWN_BESIDE = 1
"""Cells around a region into whose latents the VAE encodes its pixels, and whose latents it decodes into them."""


@dataclass(frozen=True, eq=False)
class RegionMasks:
    """The masks of all regions of an edit.

    Attributes:
        masks: (R, F, H, W) bool, where attention sees each region; edited ones grown by the settings' `mask_growth`.
        decided: (R, F, H, W) bool, where each region decides whether the source changes, grown alike.
        is_edited: for each region, whether it has a prompt.
        resize: what attention takes for the cells of `masks`; in the release's convention cells of which the nearest
            pixel lies outside all regions are edited all the same.
    """

    masks: Tensor
    decided: Tensor
    is_edited: tuple[bool, ...]
    resize: Resize

    @classmethod
    def of(cls, request: EditRequest, frames: Sequence[int], device: torch.device | str = "cpu") -> Self:
        """Take the masks of some frames of a request to a device, settle their overlaps, let edited regions grow."""
        marked = torch.from_numpy(np.stack([region.masks[list(frames)] for region in request.regions])).to(device)
        is_edited = tuple(region.is_edited for region in request.regions)
        growth = request.settings.mask_growth
        # Ranks are those of the whole clip, so that no overlap changes hands from window to window.
        ranks = [region.rank for region in request.regions]
        decided = make_room(smallest_decides(marked, ranks), is_edited, growth)
        if request.settings.convention == Convention.RELEASE:
            return cls(make_room(marked, is_edited, growth), decided, is_edited, nearest_cells)
        return cls(decided, decided, is_edited, partial(assign_cells, is_edited=is_edited))

    def cells(self, grid: tuple[int, int]) -> Tensor:
        """Return the cells of a grid (h, w) that each region decides, (R, F, h, w) bool."""
        return assign_cells(self.decided, grid, self.is_edited)

    def edited_cells(self, grid: tuple[int, int]) -> Tensor:
        """Return the cells that may change, (F, h, w) bool."""
        return self.cells(grid)[list(self.is_edited)].any(0)

    def fresh_share(self, grid: tuple[int, int], request: EditRequest) -> Tensor | None:
        """Return the share of fresh noise in place of the inversion's, (F, 1, h, w) float32 for a grid; None for none.

        Without an inversion all noise is fresh: to mix it with itself would make it stronger.
        """
        if not request.settings.inversion:
            return None
        variation = request.settings.variation
        shares = [1.0 if each.is_new else variation if each.is_edited else 0.0 for each in request.regions]
        if not any(shares):
            return None
        weights = torch.tensor(shares, device=self.decided.device)[:, None, None, None]
        return (self.cells(grid) * weights).amax(0)[:, None]

    def shown_cells(self, grid: tuple[int, int]) -> Tensor:
        """Return the cells whose latents show something of an edited region, (F, h, w) bool: all that it touches, and
        those beside them."""
        touched = F.adaptive_max_pool2d(self.edited_part[:, None].float(), grid)
        return F.max_pool2d(touched, 2 * SHOWN_BESIDE + 1, 1, SHOWN_BESIDE)[:, 0] > 0

    @property
    def edited_part(self) -> Tensor:
        """The pixels that an edited region decides, (F, H, W) bool."""
        return self.decided[list(self.is_edited)].any(0)

    @property
    def kept_part(self) -> Tensor:
        """The pixels that a region without a prompt decides, (F, H, W) bool; the source stays there."""
        return self.decided[[not edited for edited in self.is_edited]].any(0)


def smallest_decides(masks: Tensor, ranks: Sequence[tuple[float, bool]]) -> Tensor:
    """Leave each pixel of masks (R, F, H, W) bool to the region of the lowest `Region.rank` of those that cover it.

    Regions of one rank share their overlap.
    """
    result, taken = torch.zeros_like(masks), torch.zeros_like(masks[0])
    for rank in sorted(set(ranks)):
        members = [region for region, own in enumerate(ranks) if own == rank]
        result[members] = masks[members] & ~taken
        taken |= masks[members].any(0)
    return result


def make_room(masks: Tensor, edited: Sequence[bool], pixels: int) -> Tensor:
    """Grow the edited ones of the masks (R, F, H, W) bool by `pixels`, but not over other regions."""
    if pixels == 0:
        return masks
    claims = masks.sum(0)
    grown = grow_masks(masks, pixels) & (claims - masks.int() == 0)
    return torch.where(torch.tensor(edited, device=masks.device)[:, None, None, None], grown | masks, masks)


def grow_masks(masks: Tensor, pixels: int) -> Tensor:
    """Dilate (..., H, W) bool masks by a square of `pixels` on every side."""
    if pixels == 0:
        return masks
    planes = masks.reshape(-1, 1, *masks.shape[-2:]).float()
    for side in ((2 * pixels + 1, 1), (1, 2 * pixels + 1)):  # a square is a column of rows
        planes = F.max_pool2d(planes, side, 1, (side[0] // 2, side[1] // 2))
    return (planes > 0.5).view_as(masks)
