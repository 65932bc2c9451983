"""ST-Layout attention as the paper's released code computes it: every head's N×N scores in half precision."""

import torch
from torch import Tensor

from videograin.diffusion.attention.modulation import SharedRegions


def materialized_attention(
    query: Tensor, key: Tensor, value: Tensor, strength: Tensor, regions: SharedRegions, scale: float
) -> Tensor:
    """Compute what `modulated_attention` computes (same arguments) the memory-hungry way."""
    out = torch.empty_like(query)
    same = regions.same().to(query.dtype)  # (B, Nq, Nk)
    for batch in range(query.shape[0]):
        shared = same[min(batch, len(same) - 1)]
        weight = strength[min(batch, len(strength) - 1), :, None].to(query.dtype)
        for head in range(query.shape[1]):
            scores = query[batch, head] @ key[batch, head].T * scale
            low, high = torch.aminmax(scores, dim=-1, keepdim=True)
            scores = scores + shared * weight * (high - scores) - (1 - shared) * weight * (scores - low)
            out[batch, head] = scores.softmax(-1) @ value[batch, head]
    return out
