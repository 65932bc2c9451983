"""ST-Layout attention in one walk over blocks of scores on a CPU, where a block stays in the cache.

The scores of a block of queries of one class are computed once and serve both the rows' extremes and the attention, of
which the augmented form computes one each, the latter of head vectors twice as long.
"""

import math

import torch
from torch import Tensor

from videograin.diffusion.attention.class_runs import ClassRuns, Run

BLOCK_BYTES = 2 * 2**20
"""Of the scores of a block: measured at 4,096 and 8,192 keys, 2 MiB are as quick as 4, and smaller ones slower."""

LOG2_E = 1 / math.log(2)
"""exp(x) = 2^(x·log₂e), and powers of two are four times as quick here."""


def one_pass_cpu(query: Tensor, key: Tensor, value: Tensor, strength: Tensor, runs: ClassRuns, scale: float) -> Tensor:
    """Compute ST-Layout attention; arguments as in `modulated_attention`, with the tokens' order by class.

    Scores are float32, float64 where the query is.
    """
    precision = torch.float64 if query.dtype == torch.float64 else torch.float32
    out = torch.empty_like(query)
    for b in range(len(query)):
        place = min(b, len(runs.key_order) - 1)
        queries, keys = runs.query_order[place].long(), runs.key_order[place]
        rows = query[b][:, queries].to(precision)
        columns = (key[b][:, keys].to(precision) * (scale * LOG2_E)).transpose(1, 2).contiguous()
        values = torch.nn.functional.pad(value[b][:, keys].to(precision), (0, 1), value=1.0)  # adds the weights up
        own = strength[min(b, len(strength) - 1), queries, None].to(precision)
        sorted_out = torch.empty_like(rows)
        for first, last, number in runs.blocks[place].tolist():
            others = [(start, end) for start, end in runs.runs[place, number, 1].tolist() if start < end]
            step = max(1, BLOCK_BYTES // (columns.shape[-1] * columns.itemsize))
            for start in range(first, last, step):
                part = slice(start, min(start + step, last))
                for head in range(len(rows)):
                    sorted_out[head, part] = _block(rows[head, part], columns[head], values[head], own[part], others)
        out[b, :, queries] = sorted_out.to(out.dtype)
    return out


def _block(rows: Tensor, columns: Tensor, values: Tensor, strength: Tensor, others: list[Run]) -> Tensor:
    """Attend from queries of one class.

    Args:
        rows: (n, d), the queries.
        columns: (d, N), the keys, scaled.
        values: (N, d + 1), the last column 1.
        strength: (n, 1), a_i.
        others: runs of keys that share no region with the queries.
    """
    scores = rows @ columns
    penalty = strength * (scores.amax(1, keepdim=True) - scores.amin(1, keepdim=True))
    scores *= 1 - strength
    for start, end in others:
        scores[:, start:end] -= penalty
    scores -= scores.amax(1, keepdim=True)
    gathered = scores.exp2_() @ values
    return gathered[:, :-1] / gathered[:, -1:]
