"""Grounded cross-attention: while it learns, the denoiser is told which words each pixel shows.

A denoiser of this size finds shorter ways than the words: with a text tower of its own it learns to sum a caption up in
the padding, and half of the attention lies there. It then draws well, but an edit that sends each region to its own
words has nothing to move. Large models, which have read hundreds of millions of captions, follow the words unaided.
So, as in TokenCompose (Wang et al., CVPR 2024, eq. 4), the cross-attention of a training step is compared with the
masks, which this world knows exactly. Nothing of it is left in the weights' format or in their use.
"""

from typing import cast

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttentionProcessor
from einops import rearrange
from torch import Tensor

from training.world import NO_OWNER
from videograin.diffusion.attention.processors import CrossAttentionProcessor, project, project_out
from videograin.diffusion.attention.step import AttentionStep

_SMALLEST = 8  # coarser attention mixes objects within a pixel


class Grounding:
    """The cross-attention of one forward pass, measured against who is where.

    Args:
        unet: gets processors whose attention is measured; self-attention keeps its own.
    """

    def __init__(self, unet: UNet2DConditionModel) -> None:
        self._wanted: dict[int, Tensor] = {}
        self._misses: list[Tensor] = []
        processors = {
            name: GroundedCrossAttentionProcessor(self) if isinstance(present, CrossAttentionProcessor) else present
            for name, present in unet.attn_processors.items()
        }
        unet.set_attn_processor(cast(dict[str, AttentionProcessor], processors))

    def expect(self, owners: Tensor, told: Tensor) -> None:
        """Say what the next forward pass shows.

        Args:
            owners: (B, 32, 32) int64, whose each latent cell is.
            told: (B, 40) int64, whom each token speaks of, or `NO_OWNER`.
        """
        self._misses.clear()
        spoken_of = (told[:, :, None] == torch.arange(NO_OWNER + 1, device=told.device)).any(1)
        side = owners.shape[-1]
        while side >= _SMALLEST:
            step = owners.shape[-1] // side
            cells = owners[:, step // 2 :: step, step // 2 :: step].flatten(1)
            # An object that no token speaks of is seen by the tokens that speak of none.
            cells = torch.where(spoken_of.gather(1, cells), cells, NO_OWNER)
            self._wanted[side * side] = cells[:, :, None] == told[:, None]
            side //= 2

    def measure(self, probabilities: Tensor) -> None:
        """Take note of a layer's cross-attention (B, heads, h·w, 40)."""
        wanted = self._wanted.get(probabilities.shape[2])
        if wanted is not None:
            share = (probabilities.mean(1) * wanted).sum(-1)
            self._misses.append(-(share + 1e-4).log().mean())

    def loss(self) -> Tensor:
        """Return −ln of the share of attention that a pixel gives to the words for what it shows, mean over layers."""
        return torch.stack(self._misses).mean()


class GroundedCrossAttentionProcessor:
    """Plain cross-attention whose probabilities are measured."""

    def __init__(self, grounding: Grounding) -> None:
        self.grounding = grounding

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,  # noqa: ARG002 (diffusers passes it)
        temb: Tensor | None = None,  # noqa: ARG002
        step: AttentionStep | None = None,  # noqa: ARG002
    ) -> Tensor:
        """Attend from hidden states (B, h·w, C) to text embeddings (B, 40, C'); same shape out."""
        projected = project(attn, hidden_states, encoder_hidden_states)
        query, key, value = (rearrange(x, "b n (h d) -> b h n d", h=attn.heads) for x in projected)
        probabilities = (query @ key.mT * attn.scale).float().softmax(-1)
        self.grounding.measure(probabilities)
        return project_out(attn, rearrange(probabilities.to(value.dtype) @ value, "b h n d -> b n (h d)"))
