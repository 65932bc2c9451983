"""Regions drawn after pictures: a second cross-attention, to a picture's tokens (IP-Adapter, arXiv 2308.06721)."""

from collections.abc import Mapping
from dataclasses import dataclass

from diffusers.models.attention_processor import Attention
from einops import rearrange
from torch import Tensor, nn

from videograin.diffusion.attention.layout import Layout
from videograin.diffusion.attention.plain import attention


@dataclass(frozen=True, eq=False)
class RegionReference:
    """A picture that a region is drawn after.

    Attributes:
        region: its number among those of the request, from 0.
        weight: factor on what is attended to in the picture.
        keys: by cross-attention layer, keys and values of the picture's tokens, each (2, T, heads·d): of the empty
            picture for the unconditional half, and of the picture.
    """

    region: int
    weight: float
    keys: Mapping[nn.Module, tuple[Tensor, Tensor]]

    def placed(self, layout: Layout) -> "PlacedReference":
        """Return it with the cells of its region in a layout, without those of anchors, which attend by themselves."""
        masks = {tokens: level.masks[self.region, : level.own_frames] for tokens, level in layout.levels.items()}
        return PlacedReference(self, {tokens: own.flatten(1).float() for tokens, own in masks.items()})


@dataclass(frozen=True, eq=False)
class PlacedReference:
    """A reference in some frames of a clip.

    Attributes:
        reference: the picture.
        cells: by number of tokens of a frame, where the region is, (F, h·w) float32, 0 or 1.
    """

    reference: RegionReference
    cells: Mapping[int, Tensor]

    def attend(self, attn: Attention, query: Tensor) -> Tensor:
        """Return what a layer's output gains, for queries (halves·F, heads, h·w, d), in their shape.

        In a region it is the weight times the attention to the picture's tokens, outside it is 0.
        """
        cells = self.cells[query.shape[2]].to(query)
        halves = len(query) // len(cells)
        key, value = (
            rearrange(x[-halves:].to(query), "b t (h d) -> b h t d", h=attn.heads).repeat_interleave(len(cells), 0)
            for x in self.reference.keys[attn]
        )
        weights = self.reference.weight * cells.repeat(halves, 1)
        return weights[:, None, :, None] * attention(query, key, value, attn.scale)
