"""ST-Layout attention in one walk over blocks of scores on a CPU, where a block stays in the cache.

The scores of a block of queries of one class are computed once and serve both the rows' extremes and the attention, of
which the augmented form computes one each, the latter of head vectors twice as long.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from videograin.diffusion.attention.class_runs import ClassRuns, Run
from videograin.diffusion.attention.kernels.one_core_threads import share_out

BLOCK_BYTES = 2 * 2**20
"""Of the scores of a block: the quickest of 0.5 to 4 MiB at 8,192 keys, which takes 0.39 s where plain attention takes
0.29 and the augmented form 0.70 (4 heads of 16, one thread, AVX-512)."""

LOG2_E = 1 / math.log(2)
"""exp(x) = 2^(x·log₂e), and powers of two are four times as quick here."""


@dataclass(frozen=True)
class Block:
    """Scores that are computed at once, of one head.

    Attributes:
        head: its number.
        rows: queries of one class.
        others: runs of keys that share no region with them.
    """

    head: int
    rows: slice
    others: list[Run]


def one_pass_cpu(query: Tensor, key: Tensor, value: Tensor, strength: Tensor, runs: ClassRuns, scale: float) -> Tensor:
    """Compute ST-Layout attention; arguments as in `modulated_attention`, with the tokens' order by class.

    Scores are float32, float64 where the query is.
    """
    precision = torch.float64 if query.dtype == torch.float64 else torch.float32
    out = torch.empty_like(query)
    rows_at_once = max(1, BLOCK_BYTES // (key.shape[2] * precision.itemsize))
    for b in range(len(query)):
        place = min(b, len(runs.key_order) - 1)
        queries, keys = runs.query_order[place].long(), runs.key_order[place]
        rows = query[b][:, queries].to(precision)
        columns = (key[b][:, keys].to(precision) * (scale * LOG2_E)).transpose(1, 2).contiguous()
        values = value[b][:, keys].to(precision)
        own = strength[min(b, len(strength) - 1), queries, None].to(precision)
        sorted_out = torch.empty_like(rows)
        attend = partial(_attend_blocks, rows, columns, values, own, sorted_out)
        share_out(attend, _blocks(runs, place, len(rows), rows_at_once))
        out[b, :, queries] = sorted_out.to(out.dtype)
    return out


def _blocks(runs: ClassRuns, place: int, heads: int, rows_at_once: int) -> list[Block]:
    blocks = []
    for first, last, number in runs.blocks[place].tolist():
        others = [(start, end) for start, end in runs.runs[place, number, 1].tolist() if start < end]
        for start in range(first, last, rows_at_once):
            part = slice(start, min(start + rows_at_once, last))
            blocks += [Block(head, part, others) for head in range(heads)]
    return blocks


def _attend_blocks(
    rows: Tensor, columns: Tensor, values: Tensor, strength: Tensor, out: Tensor, blocks: Sequence[Block]
) -> None:
    """Write what some blocks of queries attend to.

    Args:
        rows: queries, (H, Nq, d).
        columns: keys, (H, d, Nk), scaled for powers of two.
        values: (H, Nk, d).
        strength: (Nq, 1), a_i.
        out: (H, Nq, d), is written to.
        blocks: which ones.
    """
    most = max((block.rows.stop - block.rows.start for block in blocks), default=0)
    memory = rows.new_empty(most, columns.shape[2])  # new memory for each block costs more than its scores
    for block in blocks:
        scores = memory[: block.rows.stop - block.rows.start]
        torch.mm(rows[block.head, block.rows], columns[block.head], out=scores)
        out[block.head, block.rows] = _attend(scores, values[block.head], strength[block.rows], block.others)


def _attend(scores: Tensor, values: Tensor, strength: Tensor, others: list[Run]) -> Tensor:
    """Attend from queries of one class.

    Args:
        scores: (n, N), which are overwritten.
        values: (N, d).
        strength: (n, 1), a_i.
        others: runs of keys that share no region with the queries.
    """
    penalty = strength * (scores.amax(1, keepdim=True) - scores.amin(1, keepdim=True))
    scores *= 1 - strength
    for start, end in others:
        scores[:, start:end] -= penalty
    scores -= scores.amax(1, keepdim=True)
    scores.exp2_()
    return (scores @ values) / scores.sum(1, keepdim=True)
