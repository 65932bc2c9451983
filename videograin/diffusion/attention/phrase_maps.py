"""Attention maps of the regions' phrases: cross-attention, gathered at one low resolution."""

import torch
from torch import Tensor

from videograin.diffusion.attention.layout import Layout
from videograin.diffusion.attention.modulation import SharedRegions, modulate

CHUNK_BYTES = 2**26
"""Scores that are held at once."""


class PhraseMaps:
    """Adds up how much each pixel attends to each phrase, over heads, layers and steps.

    Nothing but the sum is kept: 4 bytes for each region, frame and pixel of the resolution.

    Args:
        layout: the edit's regions; attention is gathered at its second resolution, or at its only one.
        token_regions: (77, R) bool, the regions whose phrase a text token belongs to.
    """

    def __init__(self, layout: Layout, token_regions: Tensor) -> None:
        level = list(layout.levels.values())[:2][-1]
        self._tokens = level.tokens
        self._token_regions = token_regions.float()
        self._sum = torch.zeros(
            token_regions.shape[1],
            level.own_frames,
            *level.masks.shape[2:],
            dtype=torch.float32,
            device=token_regions.device,
        )
        self._count = 0

    def add(
        self, query: Tensor, key: Tensor, scale: float, strength: Tensor | None, regions: SharedRegions | None
    ) -> None:
        """Add one layer's attention in one step; layers of other resolutions are passed over.

        Args:
            query: (F, H, h·w, d) of the half that hears the target prompt.
            key: (F, H, 77, d).
            scale: factor of the scores.
            strength: a_i of the modulation, (F, h·w); None where the step is not modulated.
            regions: classes of queries and text tokens; None where the step is not modulated.
        """
        frames, heads, tokens, _ = query.shape
        if tokens != self._tokens:
            return
        at_once = max(1, CHUNK_BYTES // (4 * heads * tokens * key.shape[2]))
        same = None if regions is None else regions.same()
        for start in range(0, frames, at_once):
            part = slice(start, start + at_once)
            scores = query[part].float() @ key[part].float().transpose(-1, -2) * scale
            if strength is not None and same is not None:
                scores = modulate(scores, strength[part, None, :, None], same[part, None])
            attended = scores.softmax(-1).mean(1) @ self._token_regions
            self._sum[:, part] += attended.movedim(-1, 0).reshape(self._sum[:, part].shape)
        self._count += 1

    def mean(self) -> Tensor:
        """Return (R, F, h, w) float32 on the CPU, the share of attention that each phrase had, 0 to 1."""
        return (self._sum / max(1, self._count)).cpu()
