"""Plain self-attention among the frames of a clip, for methods that choose the frames themselves."""

import torch
from einops import rearrange
from torch import Tensor

from videograin.diffusion.attention.plain import attention


def attend_jointly(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Attend from all frames to all: (halves, F, n, heads, d) → (halves, F·n, heads·d)."""
    query, key, value = (rearrange(x, "b f n h d -> b h (f n) d") for x in (query, key, value))
    return rearrange(attention(query, key, value, scale), "b h n d -> b n (h d)")


def attend_to_own_and_middle(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Attend from each frame to itself and to the clip's middle frame; shapes as in `attend_jointly`."""
    key, value = (_beside_middle(x) for x in (key, value))
    halves = len(query)
    query, key, value = (rearrange(x, "b f n h d -> (b f) h n d") for x in (query, key, value))
    return rearrange(attention(query, key, value, scale), "(b f) h n d -> b (f n) (h d)", b=halves)


def _beside_middle(tokens: Tensor) -> Tensor:
    """Put the middle frame's tokens behind those of each frame: (halves, F, 2n, heads, d)."""
    middle = tokens[:, tokens.shape[1] // 2, None]
    return torch.cat([tokens, middle.expand_as(tokens)], dim=2)
