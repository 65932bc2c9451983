"""The Triton kernel behind `row_range`: a matrix product whose tiles never leave the chip.

Each program keeps one block of query rows and walks over all keys. The extremes are folded element by element into
two tiles and reduced across columns only once, at the end; that is cheaper than a reduction per tile.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

CONFIGS = [
    triton.Config({"ROWS": rows, "KEYS": keys}, num_warps=warps, num_stages=stages)
    for rows, keys, warps, stages in [(128, 64, 4, 3), (128, 64, 8, 3), (128, 128, 8, 3), (64, 64, 4, 4)]
]


def row_range_triton(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Return the extremes as `row_range` does, for (B, H, N, d) float16 or bfloat16 tensors on a CUDA device."""
    batch, heads, rows, dim = query.shape
    query, key = (x if x.stride(-1) == 1 else x.contiguous() for x in (query, key))
    maximum = torch.empty(batch, heads, rows, dtype=torch.float32, device=query.device)
    minimum = torch.empty_like(maximum)

    def grid(config: dict[str, int]) -> tuple[int, int]:
        return -(-rows // config["ROWS"]), batch * heads

    with torch.cuda.device_of(query):
        _row_range_kernel[grid](
            query, key, maximum, minimum, heads, rows, key.shape[2],
            *query.stride()[:3], *key.stride()[:3],
            DIM=dim, PADDED_DIM=max(16, triton.next_power_of_2(dim)),
        )  # fmt: skip
    return maximum, minimum


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
    # A row or key past the end repeats the last one: extremes do not change, and no mask is needed.
    safe_row = tl.minimum(row, rows - 1).to(tl.int64)
    query_plane = query + batch * query_batch + head * query_head
    q = tl.load(query_plane + safe_row[:, None] * query_row + dim[None, :], mask=dim[None, :] < DIM, other=0.0)
    key_plane = key + batch * key_batch + head * key_head
    high = tl.full([ROWS, KEYS], float("-inf"), tl.float32)
    low = tl.full([ROWS, KEYS], float("inf"), tl.float32)
    for start in range(0, keys, KEYS):
        index = tl.minimum(start + tl.arange(0, KEYS), keys - 1).to(tl.int64)
        k = tl.load(key_plane + index[None, :] * key_row + dim[:, None], mask=dim[:, None] < DIM, other=0.0)
        scores = tl.dot(q, k)
        high = tl.maximum(high, scores)
        low = tl.minimum(low, scores)
    out = plane.to(tl.int64) * rows + row
    tl.store(maximum + out, tl.max(high, 1), mask=row < rows)
    tl.store(minimum + out, tl.min(low, 1), mask=row < rows)
