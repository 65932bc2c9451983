"""Attention along trajectories: every token attends to itself and to its own path through the frames (FLATTEN).

Cong et al., "FLATTEN: optical flow-guided attention for consistent text-to-video editing", ICLR 2024; in the form
of the VideoGrain release. It follows full-frame attention at the highest resolution, before the output projection.
"""

from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

from videograin.diffusion.attention.trajectories import Trajectories

GATHER_BYTES = 32 * 2**20
"""Largest block of gathered keys and values that the chunked path holds at once; twice as fast as 256 MB on a CPU."""


def trajectory_attention(query: Tensor, key: Tensor, value: Tensor, trajectories: Trajectories, scale: float) -> Tensor:
    """Attend from every token to the entries of its trajectory: softmax(scale q·kᵀ) v over those alone.

    The release takes query and key of the layer and, as value, the output of its full-frame attention; with its
    `old_qk=0` that output takes all three places.

    Args:
        query, key, value: (B, heads, F·h·w, d) float, one dtype and device; B counts the guidance halves.
        trajectories: of the same (F, h, w), on the same device.
        scale: 1/√d as a rule.

    Returns:
        (B, heads, F·h·w, d).
    """
    keys, valid = trajectories.entries
    assert query.shape == key.shape == value.shape, "one query, key and value per token"
    assert query.shape[2] == len(keys), f"{query.shape[2]} tokens but trajectories of {len(keys)}"
    if query.is_cuda and find_spec("triton") is not None:
        from videograin.diffusion.attention.kernels.trajectory_kernel import trajectory_attention_triton

        return trajectory_attention_triton(query, key, value, keys, valid, scale)
    return trajectory_attention_chunked(query, key, value, keys, valid, scale)


def trajectory_attention_chunked(
    query: Tensor, key: Tensor, value: Tensor, keys: Tensor, valid: Tensor, scale: float
) -> Tensor:
    """Gather the entries of a chunk of tokens at a time; the oracle of the Triton kernel.

    Args:
        query, key, value: (B, heads, N, d) float.
        keys: (N, L) int32, tokens that each token attends to.
        valid: (N, L) bool, which of them are real; the first, the token itself, always is.
    """
    batch, heads, tokens, dim = query.shape
    entries = keys.shape[1]
    step = max(1, GATHER_BYTES // (2 * batch * heads * entries * dim * query.element_size()))
    out = torch.empty_like(query)
    for start in range(0, tokens, step):
        chunk = slice(start, start + step)
        index = keys[chunk].flatten()
        near_key, near_value = (x.index_select(2, index).unflatten(2, (-1, entries)) for x in (key, value))
        rows = query[:, :, chunk, None]
        near = F.scaled_dot_product_attention(rows, near_key, near_value, valid[chunk, None], scale=scale)
        out[:, :, chunk] = near[..., 0, :]
    return out
