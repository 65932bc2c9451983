"""The regions' masks as an edit uses them, in pixels: how far edited regions may grow, and which pixels change."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from videograin.region import EditRequest


@dataclass(frozen=True, eq=False)
class RegionMasks:
    """The masks of all regions of an edit.

    Attributes:
        masks: (R, F, H, W) bool, edited regions grown by the settings' `mask_growth`.
        is_edited: for each region, whether it has a prompt.
    """

    masks: Tensor
    is_edited: tuple[bool, ...]

    @classmethod
    def of(cls, request: EditRequest, device: torch.device | str = "cpu") -> Self:
        """Take the masks of a request to a device and let its edited regions grow."""
        masks = torch.from_numpy(np.stack([region.masks for region in request.regions])).to(device)
        is_edited = tuple(region.is_edited for region in request.regions)
        return cls(make_room(masks, is_edited, request.settings.mask_growth), is_edited)

    @property
    def edited_part(self) -> Tensor:
        """The union of the edited regions, (F, H, W) bool."""
        return self.masks[list(self.is_edited)].any(0)


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
