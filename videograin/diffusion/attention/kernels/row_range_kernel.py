"""The Triton kernel behind `row_range`: a matrix product whose tiles never leave the chip.

Each program keeps one block of query rows and walks over all keys, which a tensor descriptor fetches (on Hopper by
the TMA unit, in half the time of plain loads). The extremes are folded element by element into two tiles and reduced
across columns only once, at the end; that is cheaper than a reduction per tile.
"""
# Triton compiles the kernel itself; its Python stubs do not describe what a kernel may write.
# pyright: reportArgumentType=false, reportGeneralTypeIssues=false

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from videograin.diffusion.attention.kernels import descriptor_memory, tuning

CONFIGS = [
    triton.Config({"ROWS": rows, "KEYS": 64}, num_warps=warps, num_stages=stages)
    for rows, warps, stages in [(64, 4, 4), (128, 4, 3), (128, 8, 3)]
]

DESCRIPTOR_ALIGNMENT = 16
"""Bytes that the keys' address and strides must be multiples of."""


def row_range_triton(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Return the extremes as `row_range` does, for (B, H, N, d) float16 or bfloat16 tensors on a CUDA device."""
    batch, heads, rows, dim = query.shape
    query = query if query.stride(-1) == 1 else query.contiguous()
    key = key if _is_aligned(key) else F.pad(key, (0, -dim % 8)).contiguous()[..., :dim]
    maximum = torch.empty(batch, heads, rows, dtype=torch.float32, device=query.device)
    minimum = torch.empty_like(maximum)

    def grid(config: dict[str, int]) -> tuple[int, int]:
        return -(-rows // config["ROWS"]), batch * heads

    triton.set_allocator(descriptor_memory)
    with tuning, torch.cuda.device_of(query):
        _row_range_kernel[grid](
            query, key, maximum, minimum, heads, rows, key.shape[2],
            *query.stride()[:3], *key.stride()[:3],
            DIM=dim, PADDED_DIM=max(16, triton.next_power_of_2(dim)),
        )  # fmt: skip
    return maximum, minimum


def _is_aligned(key: Tensor) -> bool:
    steps = [stride * key.element_size() for stride in key.stride()[:3]]
    return key.stride(-1) == 1 and all(step % DESCRIPTOR_ALIGNMENT == 0 for step in [key.data_ptr(), *steps])


@triton.jit
def _fold(high, low, scores):
    return tl.maximum(high, scores), tl.minimum(low, scores)


@triton.autotune(configs=CONFIGS, key=["DIM"])
@triton.jit
def _row_range_kernel(
    query, key, maximum, minimum, heads, rows, keys,
    query_batch, query_head, query_row, key_batch, key_head, key_row,
    DIM: tl.constexpr, PADDED_DIM: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr,
):  # fmt: skip
    plane = tl.program_id(1)
    batch, head = (plane // heads).to(tl.int64), (plane % heads).to(tl.int64)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    dim = tl.arange(0, PADDED_DIM)
    # Rows past the end repeat the last one; they are not stored.
    safe_row = tl.minimum(row, rows - 1).to(tl.int64)
    query_plane = query + batch * query_batch + head * query_head
    q = tl.load(query_plane + safe_row[:, None] * query_row + dim[None, :], mask=dim[None, :] < DIM, other=0.0)
    key_plane = key + batch * key_batch + head * key_head
    tiles = tl.make_tensor_descriptor(
        key_plane, shape=[keys, DIM], strides=[key_row, 1], block_shape=[KEYS, PADDED_DIM]
    )
    high = tl.full([ROWS, KEYS], float("-inf"), tl.float32)
    low = tl.full([ROWS, KEYS], float("inf"), tl.float32)
    for tile in range(keys // KEYS):
        high, low = _fold(high, low, tl.dot(q, tiles.load([tile * KEYS, 0]).T))
    # The rest, filled up with the last key: extremes do not change, where the descriptor's zeros would.
    rest = tl.minimum(keys // KEYS * KEYS + tl.arange(0, KEYS), keys - 1).to(tl.int64)
    k = tl.load(key_plane + rest[None, :] * key_row + dim[:, None], mask=dim[:, None] < DIM, other=0.0)
    high, low = _fold(high, low, tl.dot(q, k))
    out = plane.to(tl.int64) * rows + row
    tl.store(maximum + out, tl.max(high, 1), mask=row < rows)
    tl.store(minimum + out, tl.min(low, 1), mask=row < rows)
