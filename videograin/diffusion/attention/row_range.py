"""Exact largest and smallest query-key product of every query row, without the N×N matrix.

The modulation (`modulation.py`) needs M_i = max_j q_i·k_j and m_i = min_j q_i·k_j. On CUDA one Triton kernel folds each
tile of scores into running extremes in registers; elsewhere query chunks are multiplied out in turn.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from videograin.diffusion.attention.kernels import triton_applies

CHUNK_BYTES = 256 * 2**20
"""Largest block of scores that the chunked path holds at once."""

CPU_CHUNK_BYTES = 8 * 2**20
"""The same on a CPU, where a block of this size stays in the cache: three times as fast as one of `CHUNK_BYTES`."""

_divisor: ContextVar[int] = ContextVar("divisor", default=1)


def row_range(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Return the extremes of query·keyᵀ over all keys, unscaled.

    Args:
        query: (B, H, Nq, d) float.
        key: (B, H, Nk, d) of the same dtype, Nk ≥ 1.

    Returns:
        (maximum, minimum), each (B, H, Nq) float32; float64 where the query is.
    """
    if triton_applies(query):
        from videograin.diffusion.attention.kernels.row_range_kernel import row_range_triton

        return row_range_triton(query, key)
    return _row_range_chunked(query, key)


def query_chunk(heads: int, keys: int, bytes_per_score: int = 4) -> int:
    """Return how many query rows of one batch element fit into a block of scores, at least one."""
    return max(1, CHUNK_BYTES // _divisor.get() // (heads * keys * bytes_per_score))


@contextmanager
def smaller_chunks(divisor: int) -> Iterator[None]:
    """Let the blocks of scores be smaller than `CHUNK_BYTES` by a divisor for a while: less memory, less speed."""
    token = _divisor.set(divisor)
    try:
        yield
    finally:
        _divisor.reset(token)


def _row_range_chunked(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    batch, heads, rows, _ = query.shape
    precision = torch.float64 if query.dtype == torch.float64 else torch.float32
    maximum = query.new_empty(batch, heads, rows, dtype=precision)
    minimum = torch.empty_like(maximum)
    step = query_chunk(heads, key.shape[2])
    if query.device.type == "cpu":
        step = max(1, min(step, CPU_CHUNK_BYTES // (heads * key.shape[2] * 4)))
    for b in range(batch):
        keys = key[b].to(precision).transpose(-1, -2)
        for start in range(0, rows, step):
            chunk = slice(start, start + step)
            products = query[b, :, chunk].to(precision) @ keys
            # Each by itself is vectorised on processors; aminmax is not.
            maximum[b, :, chunk], minimum[b, :, chunk] = products.amax(-1), products.amin(-1)
    return maximum, minimum
