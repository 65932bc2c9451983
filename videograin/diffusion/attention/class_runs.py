"""Tokens sorted by class: blocks of queries that share one class, and the runs of keys that share a region with it."""

from dataclasses import dataclass
from itertools import accumulate, groupby

import torch
from torch import Tensor

BLOCK_ROWS = 128
"""Queries of a block, at most: as many as two of the matrix units' tiles."""

Run = tuple[int, int]
"""First key of a run and the one behind its last, in sorted order."""


@dataclass(frozen=True)
class ClassRuns:
    """The tokens of one self-attention sorted by class; B is 1 where all batch elements agree.

    Attributes:
        query_order: (B, Nq) int32, the queries by class.
        key_order: (B, Nk) int64, the keys by class.
        blocks: (B, blocks, 3) int32, for each block of queries its first place in the order, the one behind its last,
            and its class. Blocks that a batch element has fewer of than another are empty.
        runs: (B, classes, 2, R, 2) int32, for each class of queries the runs of keys that share a region with it, and
            those of all other keys. Runs that one class has fewer of than another are empty.
    """

    query_order: Tensor
    key_order: Tensor
    blocks: Tensor
    runs: Tensor


def class_runs(query_classes: Tensor, key_classes: Tensor, shares: Tensor, rows: int = BLOCK_ROWS) -> ClassRuns:
    """Sort queries and keys by class.

    Args:
        query_classes: (B, Nq) int64.
        key_classes: (B, Nk) int64.
        shares: (query classes, key classes) bool, whether the two have a region in common.
        rows: queries of a block, at most.
    """
    blocks = [_blocks(bounds, rows) for bounds in _bounds(query_classes, shares.shape[0])]
    runs = [[_runs(bounds, own) for own in shares.tolist()] for bounds in _bounds(key_classes, shares.shape[1])]
    longest = max(map(len, blocks))
    most = max(len(kind) for element in runs for own in element for kind in own)
    same_blocks = [own + [(0, 0, 0)] * (longest - len(own)) for own in blocks]
    same_runs = [[[kind + [(0, 0)] * (most - len(kind)) for kind in own] for own in element] for element in runs]
    return ClassRuns(
        query_order=query_classes.argsort(dim=1, stable=True).int(),
        key_order=key_classes.argsort(dim=1, stable=True),
        blocks=torch.tensor(same_blocks, dtype=torch.int32, device=shares.device),
        runs=torch.tensor(same_runs, dtype=torch.int32, device=shares.device),
    )


def _bounds(classes: Tensor, count: int) -> list[list[Run]]:
    """Return where each class begins and ends among the sorted tokens of each batch element."""
    sizes = torch.stack([torch.bincount(own, minlength=count) for own in classes]).tolist()
    ends = [list(accumulate(own)) for own in sizes]
    return [list(zip([0, *own[:-1]], own, strict=True)) for own in ends]


def _blocks(bounds: list[Run], rows: int) -> list[tuple[int, int, int]]:
    return [
        (start, min(start + rows, end), index)
        for index, (first, end) in enumerate(bounds)
        for start in range(first, end, rows)
    ]


def _runs(bounds: list[Run], shares: list[bool]) -> tuple[list[Run], list[Run]]:
    """Return the runs of keys whose class shares a region with a query's, and of the others; neighbours are joined."""
    kinds: dict[bool, list[Run]] = {True: [], False: []}
    for kind, group in groupby(zip(bounds, shares, strict=True), key=lambda each: each[1]):
        joined = [own for own, _ in group]
        kinds[kind].append((joined[0][0], joined[-1][1]))
    return kinds[True], kinds[False]
