"""The Triton kernel behind `trajectory_attention`: keys and values are gathered straight into registers.

Each program keeps the queries of a block of tokens of one head and walks over their entries with an online softmax,
so that nothing but the output is written. Blocks of one head run together: its keys and values (10 MB at 65,536
tokens of 40 fp16 numbers) then come from the L2 cache for all entries but the first to touch them.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from videograin.diffusion.attention.kernels import tuning

CONFIGS = [
    triton.Config({"TOKENS": tokens}, num_warps=warps)
    for tokens, warps in [(32, 2), (32, 4), (64, 4), (64, 8), (128, 8)]
]


def trajectory_attention_triton(
    query: Tensor, key: Tensor, value: Tensor, keys: Tensor, valid: Tensor, scale: float
) -> Tensor:
    """Return what `trajectory_attention_chunked` does, for tensors on one CUDA device."""
    batch, heads, tokens, dim = query.shape
    query, key, value = (x if x.stride(-1) == 1 else x.contiguous() for x in (query, key, value))
    out = torch.empty_like(query)

    def grid(config: dict[str, int]) -> tuple[int, int]:
        return -(-tokens // config["TOKENS"]), batch * heads

    with tuning, torch.cuda.device_of(query):
        _trajectory_kernel[grid](
            query, key, value, out, keys.contiguous(), valid.contiguous(), tokens, heads, scale,
            *query.stride()[:3], *key.stride()[:3], *value.stride()[:3], *out.stride()[:3],
            ENTRIES=keys.shape[1], DIM=dim, PADDED_DIM=triton.next_power_of_2(dim),
        )  # fmt: skip
    return out


# Strides are compile-time constants so that the compiler can prove rows of 40 fp16 numbers aligned to 16 bytes
# and load them in vectors; as plain arguments only multiples of 16 elements are.
@triton.autotune(configs=CONFIGS, key=["ENTRIES", "DIM"])
@triton.jit
def _trajectory_kernel(
    query, key, value, out, keys, valid, tokens, heads, scale,
    query_batch: tl.constexpr, query_head: tl.constexpr, query_token: tl.constexpr,
    key_batch: tl.constexpr, key_head: tl.constexpr, key_token: tl.constexpr,
    value_batch: tl.constexpr, value_head: tl.constexpr, value_token: tl.constexpr,
    out_batch: tl.constexpr, out_head: tl.constexpr, out_token: tl.constexpr,
    ENTRIES: tl.constexpr, DIM: tl.constexpr, PADDED_DIM: tl.constexpr, TOKENS: tl.constexpr,
):  # fmt: skip
    plane = tl.program_id(1)
    batch, head = (plane // heads).to(tl.int64), (plane % heads).to(tl.int64)
    row = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    column = tl.arange(0, PADDED_DIM)[None, :]
    safe_row = tl.minimum(row, tokens - 1).to(tl.int64)  # a row past the end repeats the last one
    real = column < DIM
    key_plane = key + batch * key_batch + head * key_head + column
    value_plane = value + batch * value_batch + head * value_head + column
    query_plane = query + batch * query_batch + head * query_head + column
    q = tl.load(query_plane + safe_row[:, None] * query_token, mask=real, other=0.0).to(tl.float32)
    q *= scale * 1.4426950408889634  # log2(e): the softmax is taken to base 2

    largest = tl.full([TOKENS], float("-inf"), tl.float32)
    total = tl.zeros([TOKENS], tl.float32)
    mean = tl.zeros([TOKENS, PADDED_DIM], tl.float32)
    for entry in range(ENTRIES):
        token = tl.load(keys + safe_row * ENTRIES + entry).to(tl.int64)[:, None]
        is_valid = tl.load(valid + safe_row * ENTRIES + entry) != 0
        k = tl.load(key_plane + token * key_token, mask=real, other=0.0).to(tl.float32)
        v = tl.load(value_plane + token * value_token, mask=real, other=0.0).to(tl.float32)
        score = tl.where(is_valid, tl.sum(q * k, axis=1), float("-inf"))
        new_largest = tl.maximum(largest, score)  # finite from the first entry on: that is the token itself
        shrink = tl.exp2(largest - new_largest)
        weight = tl.exp2(score - new_largest)
        total = total * shrink + weight
        mean = mean * shrink[:, None] + weight[:, None] * v
        largest = new_largest
    mean /= total[:, None]
    out_plane = out + batch * out_batch + head * out_head + column
    inside = (row < tokens)[:, None] & real
    tl.store(out_plane + safe_row[:, None] * out_token, mean.to(out.dtype.element_ty), mask=inside)
