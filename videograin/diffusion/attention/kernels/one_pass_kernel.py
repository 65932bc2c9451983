"""The Triton kernel of ST-Layout attention in one walk over the keys, without a pass for the rows' extremes.

Keys are sorted by class, and each program holds a block of queries of one class, so that every tile of scores lies
wholly in keys that share a region with the block or wholly in others. Both kinds have an accumulator of their own, in
which the strength a_i only scales the scores, g = (1 − a_i) · scale; the penalty p_i = a_i (M_i − m_i) · scale is a
constant of the row, and M_i and m_i are known when all keys have passed. Then the two are merged:

    out = (w₁·acc₁ + w₂·acc₂) / (w₁·l₁ + w₂·l₂),  w₁ = exp(g·max₁ − r),  w₂ = exp(g·max₂ − p − r),

with r the larger of the two exponents. Nothing is rounded to half precision but the weights of the values, so that the
error is that of plain attention.
"""
# Triton compiles the kernel itself; its Python stubs do not describe what a kernel may write.
# pyright: reportArgumentType=false, reportCallIssue=false, reportGeneralTypeIssues=false

from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from videograin.diffusion.attention.class_runs import BLOCK_ROWS, ClassRuns
from videograin.diffusion.attention.kernels import descriptor_memory

LOG2_E = 1.4426950408889634
"""exp(x) = 2^(x·log₂e): the processor has a power of two."""

SMALLEST_TILE = 16
"""Columns that the matrix units take at least."""

MOST_COUNTED = 64
"""Columns of values among which a spare one counts. With 40 of 48 in use it took 21.65 ms instead of 23.47, with 160 of
192 0.52 instead of 0.46 (H200)."""

COLUMNS_STEP = 8
"""Head vectors in half precision that are fetched by tiles are a multiple of this in length."""

SECOND_TILE = 64
"""Columns of a second tile that has more, at least; one of 32 was not measured."""

RESERVED = 4096
"""Bytes of shared memory that reductions and barriers may take."""

FAR = tl.constexpr(1e30)
"""Beyond every product; not infinite, since g = 0 where a_i = 1, and 0 · ∞ is no number."""


@dataclass(frozen=True)
class KernelShape:
    """How the kernel is cut: keys of a tile, warps, and tiles that are fetched ahead."""

    keys: int
    warps: int
    stages: int

    def shared_memory(self, columns: int) -> int:
        """Return the bytes that a block's queries and the tiles ahead take, in half precision and of some columns."""
        return 2 * columns * (BLOCK_ROWS + 2 * self.stages * self.keys)


SHAPES = {
    64: [KernelShape(keys=64, warps=4, stages=3)],
    128: [KernelShape(keys=128, warps=8, stages=3), KernelShape(keys=64, warps=8, stages=2)],
    256: [KernelShape(keys=64, warps=8, stages=2), KernelShape(keys=32, warps=8, stages=2)],
}
"""By the most columns: the quickest of those measured on an H200, then one that fits into less shared memory."""


def one_pass_attention(
    query: Tensor, key: Tensor, value: Tensor, strength: Tensor, runs: ClassRuns, scale: float
) -> Tensor:
    """Compute ST-Layout attention as `modulated_attention` does, of float16 or bfloat16 tensors on a CUDA device.

    Args:
        query: (B, H, Nq, d), d a multiple of 8.
        key: (B, H, Nk, d).
        value: (B, H, Nk, d).
        strength: a_i, (B or 1, Nq) float32, at most 1.
        runs: the queries in blocks, the keys' order, and which keys share a region with a block.
        scale: factor of the scores.

    Returns:
        (B, H, Nq, d) in the dtype of `query`.
    """
    batch, heads, rows, dim = query.shape
    query = query if query.stride(-1) == 1 else query.contiguous()
    order = runs.key_order[:, None, :, None]
    head, tail = _tiles(dim)
    shape = _shape(head + tail, query.device)
    key, value = torch.take_along_dim(key, order, 2), _counted(torch.take_along_dim(value, order, 2), head + tail)
    out = torch.empty(batch, heads, rows, dim, dtype=query.dtype, device=query.device)
    triton.set_allocator(descriptor_memory)
    with torch.cuda.device_of(query):
        _one_pass_kernel[runs.blocks.shape[1], batch * heads](
            query, key, value, out, strength, runs.query_order, runs.blocks, runs.runs,
            heads, rows, key.shape[2], scale * LOG2_E, runs.runs.shape[3],
            *query.stride()[:3],
            *(x.stride(0) if x.shape[0] > 1 else 0 for x in (strength, runs.query_order, runs.blocks, runs.runs)),
            DIM=dim, VALUE_DIM=value.shape[-1], HEAD=head, TAIL=tail, ROWS=BLOCK_ROWS, KEYS=shape.keys,
            num_warps=shape.warps, num_stages=shape.stages,
        )  # fmt: skip
    return out


def _counted(value: Tensor, columns: int) -> Tensor:
    """Return values with a column of ones behind them, in which the matrix units add the weights up, if one is free."""
    spare = columns - value.shape[-1]
    if not spare or columns > MOST_COUNTED:
        return value
    longer = F.pad(value, (0, COLUMNS_STEP))
    longer[..., value.shape[-1]] = 1
    return longer


def _tiles(dim: int) -> tuple[int, int]:
    """Return the columns of the two tiles that a head vector is cut into, powers of two; the second may have none."""
    head = 1 << (dim.bit_length() - 1)
    rest = dim - head
    if rest == 0:
        return head, 0
    tail = SMALLEST_TILE if rest <= SMALLEST_TILE else max(SECOND_TILE, 1 << (rest - 1).bit_length())
    return (head, tail) if tail < head else (2 * head, 0)


def _shape(columns: int, device: torch.device) -> KernelShape:
    room = _shared_memory(device) - RESERVED
    candidates = next(shapes for most, shapes in SHAPES.items() if columns <= most)
    return next((shape for shape in candidates if shape.shared_memory(columns) <= room), candidates[-1])


@cache
def _shared_memory(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).shared_memory_per_block_optin


@triton.jit
def _take_tile(
    acc, acc_tail, total, high, low, q, q_tail, k_tiles, k_tail_tiles, v_tiles, v_tail_tiles, first, end, gain,
    TAIL: tl.constexpr, KEYS: tl.constexpr, IS_COUNTED: tl.constexpr, IS_CUT: tl.constexpr,
):  # fmt: skip
    """Add a tile of keys to an accumulator; where it is cut, its keys from `end` on are another run's."""
    scores = tl.dot(q, k_tiles.load([first, 0]).T)
    if TAIL:
        scores = tl.dot(q_tail, k_tail_tiles.load([first, 0]).T, scores)
    if IS_CUT:
        is_own = (first + tl.arange(0, KEYS) < end)[None, :]
        low = tl.minimum(low, tl.min(tl.where(is_own, scores, FAR), 1))
        scores = tl.where(is_own, scores, -FAR)
    else:
        low = tl.minimum(low, tl.min(scores, 1))
    higher = tl.maximum(high, tl.max(scores, 1))
    weights = tl.math.exp2(scores * gain[:, None] - (higher * gain)[:, None])
    if IS_CUT:
        weights = tl.where(is_own, weights, 0.0)
    fade = tl.math.exp2((high - higher) * gain)
    if not IS_COUNTED:
        total = total * fade + tl.sum(weights, 1)
    weights = weights.to(q.dtype)
    acc = tl.dot(weights, v_tiles.load([first, 0]), acc * fade[:, None])
    if TAIL:
        acc_tail = tl.dot(weights, v_tail_tiles.load([first, 0]), acc_tail * fade[:, None])
    return acc, acc_tail, total, higher, low


@triton.jit
def _walk(
    runs, count, q, q_tail, k_tiles, k_tail_tiles, v_tiles, v_tail_tiles, gain,
    DIM: tl.constexpr, HEAD: tl.constexpr, TAIL: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr,
    IS_COUNTED: tl.constexpr,
):  # fmt: skip
    """Gather some runs of keys: weighted values, sum of weights, extremes of the products, for each row."""
    acc = tl.zeros([ROWS, HEAD], tl.float32)
    acc_tail = tl.zeros([ROWS, TAIL if TAIL else 1], tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    high, low = tl.full([ROWS], -FAR, tl.float32), tl.full([ROWS], FAR, tl.float32)
    for run in range(count):
        start, end = tl.load(runs + 2 * run), tl.load(runs + 2 * run + 1)
        whole = (end - start) // KEYS
        for tile in range(whole):
            acc, acc_tail, total, high, low = _take_tile(
                acc, acc_tail, total, high, low, q, q_tail, k_tiles, k_tail_tiles, v_tiles, v_tail_tiles,
                start + tile * KEYS, end, gain, TAIL, KEYS, IS_COUNTED, False,
            )  # fmt: skip
        # At most one tile, yet a loop: outside of loops, the code that Triton 3.6 makes of these loads reads past its
        # shared memory (compute-sanitizer, H200).
        for tile in range(whole, tl.cdiv(end - start, KEYS)):
            acc, acc_tail, total, high, low = _take_tile(
                acc, acc_tail, total, high, low, q, q_tail, k_tiles, k_tail_tiles, v_tiles, v_tail_tiles,
                start + tile * KEYS, end, gain, TAIL, KEYS, IS_COUNTED, True,
            )  # fmt: skip
    if IS_COUNTED:
        if TAIL:
            total = tl.sum(tl.where((HEAD + tl.arange(0, TAIL) == DIM)[None, :], acc_tail, 0.0), 1)
        else:
            total = tl.sum(tl.where((tl.arange(0, HEAD) == DIM)[None, :], acc, 0.0), 1)
    return acc, acc_tail, total, high, low


@triton.jit(do_not_specialize=["count"])
def _one_pass_kernel(
    query, key, value, out, strength, query_order, blocks, runs,
    heads, rows, keys, unit, count,
    query_batch, query_head, query_row, strength_batch, order_batch, blocks_batch, runs_batch,
    DIM: tl.constexpr, VALUE_DIM: tl.constexpr, HEAD: tl.constexpr, TAIL: tl.constexpr,
    ROWS: tl.constexpr, KEYS: tl.constexpr,
):  # fmt: skip
    plane = tl.program_id(1)
    batch, head = (plane // heads).to(tl.int64), (plane % heads).to(tl.int64)
    block = blocks + batch * blocks_batch + 3 * tl.program_id(0)
    start, end, own_class = tl.load(block), tl.load(block + 1), tl.load(block + 2)
    if start < end:
        place = start + tl.arange(0, ROWS)
        row = tl.load(query_order + batch * order_batch + place, mask=place < end, other=0).to(tl.int64)
        a = tl.load(strength + batch * strength_batch + row)
        query_plane = query + batch * query_batch + head * query_head
        dim, dim_tail = tl.arange(0, HEAD), HEAD + tl.arange(0, TAIL if TAIL else 1)
        q = tl.load(query_plane + row[:, None] * query_row + dim[None, :], mask=dim[None, :] < DIM, other=0.0)
        q_tail = tl.load(
            query_plane + row[:, None] * query_row + dim_tail[None, :], mask=dim_tail[None, :] < DIM, other=0.0
        )
        first = plane.to(tl.int64) * keys
        keys_plane, values_plane = key + first * DIM, value + first * VALUE_DIM
        k_tiles = tl.make_tensor_descriptor(keys_plane, [keys, DIM], [DIM, 1], [KEYS, HEAD])
        v_tiles = tl.make_tensor_descriptor(values_plane, [keys, VALUE_DIM], [VALUE_DIM, 1], [KEYS, HEAD])
        k_tail_tiles, v_tail_tiles = k_tiles, v_tiles
        if TAIL:
            # Shifted to the tail's first column, so that what lies behind the last one is filled with zeros.
            k_tail_tiles = tl.make_tensor_descriptor(keys_plane + HEAD, [keys, DIM - HEAD], [DIM, 1], [KEYS, TAIL])
            v_tail_tiles = tl.make_tensor_descriptor(
                values_plane + HEAD, [keys, VALUE_DIM - HEAD], [VALUE_DIM, 1], [KEYS, TAIL]
            )
        gain = (1 - a) * unit
        own_runs = runs + batch * runs_batch + own_class * 4 * count
        acc1, tail1, total1, high1, low1 = _walk(
            own_runs, count, q, q_tail, k_tiles, k_tail_tiles, v_tiles, v_tail_tiles, gain,
            DIM, HEAD, TAIL, ROWS, KEYS, VALUE_DIM > DIM,
        )  # fmt: skip
        acc2, tail2, total2, high2, low2 = _walk(
            own_runs + 2 * count, count, q, q_tail, k_tiles, k_tail_tiles, v_tiles, v_tail_tiles, gain,
            DIM, HEAD, TAIL, ROWS, KEYS, VALUE_DIM > DIM,
        )  # fmt: skip
        penalty = a * (tl.maximum(high1, high2) - tl.minimum(low1, low2)) * unit
        # A kind without keys has no part, also where a_i = 1 and all exponents are 0.
        exponent1 = tl.where(total1 > 0, gain * high1, -FAR)
        exponent2 = tl.where(total2 > 0, gain * high2 - penalty, -FAR)
        top = tl.maximum(exponent1, exponent2)
        weight1, weight2 = tl.math.exp2(exponent1 - top), tl.math.exp2(exponent2 - top)
        total = total1 * weight1 + total2 * weight2
        weight1, weight2 = weight1 / total, weight2 / total
        out_rows = out + plane.to(tl.int64) * rows * DIM + row[:, None] * DIM
        is_row = (place < end)[:, None]
        merged = acc1 * weight1[:, None] + acc2 * weight2[:, None]
        tl.store(out_rows + dim[None, :], merged.to(q.dtype), mask=is_row & (dim[None, :] < DIM))
        if TAIL:
            merged_tail = tail1 * weight1[:, None] + tail2 * weight2[:, None]
            tl.store(out_rows + dim_tail[None, :], merged_tail.to(q.dtype), mask=is_row & (dim_tail[None, :] < DIM))
