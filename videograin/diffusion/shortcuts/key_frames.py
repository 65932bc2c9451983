"""Fewer frames as keys: in plain self-attention at the largest resolution a frame sees itself and a few others."""

import torch
from einops import rearrange
from torch import Tensor

from videograin.diffusion.attention.plain import attention


def key_frame_table(own: int, others: int, count: int, device: torch.device) -> Tensor | None:
    """Return the frames whose keys each frame sees, (own, 1 + count) int64: itself and `count` others.

    Args:
        own: frames that attend.
        others: anchors that follow them and are seen besides; they are chosen first.
        count: how many others; None is returned where that is all there are, or 0, which stands for all.
        device: of the table.
    """
    if not count or 1 + count >= own + others:
        return None
    spread = torch.linspace(0, own - 1, max(1, 1 + count - others)).round().long().tolist()
    chosen = [*range(own, own + others), *spread][: 1 + count]
    table = []
    for frame in range(own):
        away = [each for each in chosen if each != frame]
        if len(away) > count:  # the frame is none of them: the nearest gives way to it
            away.remove(min(away, key=lambda each: abs(each - frame)))
        table.append([frame, *away])
    return torch.tensor(table, device=device)


def key_frame_attention(query: Tensor, key: Tensor, value: Tensor, table: Tensor, scale: float) -> Tensor:
    """Attend from each frame to the frames that a table names for it.

    Args:
        query: (halves, F, n, heads, d).
        key: (halves, F or more, n, heads, d), anchors last.
        value: like `key`.
        table: (F, k) int64, distinct frames in each row.
        scale: factor of the scores.

    Returns:
        (halves, F·n, heads, d).
    """
    halves = len(query)
    queries = rearrange(query, "b f n h d -> (b f) h n d")
    keys, values = (rearrange(x[:, table], "b f k n h d -> (b f) h (k n) d") for x in (key, value))
    return rearrange(attention(queries, keys, values, scale), "(b f) h n d -> b (f n) h d", b=halves)
