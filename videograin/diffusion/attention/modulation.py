"""The maths of ST-Layout attention: modulation strength, its memory-linear form, and the oracle it is tested against.

For query i and key j with scores s_ij = scale · q_i·k_j, row extremes M_i and m_i, and strength a_i
(VideoGrain, arXiv 2502.17258, eq. 4-7):

    s'_ij = s_ij + a_i (M_i − s_ij)   where i and j share a region,
    s'_ij = s_ij − a_i (s_ij − m_i)   elsewhere,                       then softmax.

Softmax ignores constants of a row, so s' ≡ (1 − a_i) s_ij − [not shared] p_i with p_i = a_i (M_i − m_i). Tokens
that lie in the same set of regions form a class; one ordinary attention over head vectors lengthened by one column
per key class then computes the same result without any N×N tensor:

    q⁺ = [(1 − a_i) q_i , p_i / scale where class g shares a region with i],   k⁺ = [k_j , onehot(class of j)].

p_i stands in two columns, its value in the working precision and what that rounding lost; with one column alone the
error in fp16 was 1.23 times that of plain attention, above the 1.2 that the tests allow. Where p_i / scale is too large
for the working precision (fp16 ends at 65,504, which the scores of Stable Diffusion 2.x reach), the key's columns hold
a power of two instead of 1, and the query's are divided by it.

On newer CUDA devices one kernel does all of it in a single walk over keys that are sorted by class
(`kernels/one_pass_kernel`), which takes hardly longer than plain attention and is as exact; on a CPU `one_pass_cpu`
does so block by block, in little more than half of the time.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from videograin.diffusion.attention.class_runs import ClassRuns, class_runs
from videograin.diffusion.attention.kernels import is_hopper, triton_applies
from videograin.diffusion.attention.kernels.one_pass_cpu import one_pass_cpu
from videograin.diffusion.attention.plain import attention
from videograin.diffusion.attention.row_range import query_chunk, row_range

HEAD_DIM_STEP = 32
"""Head vectors are lengthened to a multiple of this, so that shapes stay the same while the classes change."""

MAX_HEAD_DIM = 256
"""Longest head vector that the fast attention kernels take."""

MIN_ONE_PASS_KEYS = 1024
"""Fewest keys for which sorting them by class pays."""

MAX_COLUMN_EXPONENT = 15
"""Of the largest power of two in fp16; bonuses up to 2e9 fit with it, and bfloat16 never needs it."""


@dataclass(frozen=True)
class SharedRegions:
    """Which queries and keys share a region, by classes of tokens that lie in the same set of regions.

    Attributes:
        query_classes: (B, Nq) int64; B is 1 where all batch elements agree.
        key_classes: (B, Nk) int64, batched as `query_classes`.
        shares: (query classes, key classes) bool, True where the two sets of regions intersect.
    """

    query_classes: Tensor
    key_classes: Tensor
    shares: Tensor

    @cached_property
    def runs(self) -> ClassRuns:
        """The tokens sorted by class, once for all the steps and layers that these regions are used in."""
        return class_runs(self.query_classes, self.key_classes, self.shares)

    def same(self, rows: slice = slice(None)) -> Tensor:
        """Return same_ij for some query rows: (B, rows, Nk) bool."""
        per_query = self.shares[self.query_classes[:, rows]]
        keys = self.key_classes[:, None, :].expand(per_query.shape[0], per_query.shape[1], -1)
        return per_query.gather(-1, keys)


def timestep_weight(timestep: float) -> float:
    """Return ((t − 1)/1000)⁵, the fading of the modulation with the noise level, t up to 1000; 0 below 1."""
    return (max(timestep - 1, 0) / 1000) ** 5


def modulated_attention(
    query: Tensor, key: Tensor, value: Tensor, strength: Tensor, regions: SharedRegions, scale: float
) -> Tensor:
    """Compute ST-Layout attention by the quickest form that the device, the number of keys and the classes allow.

    Args:
        query: (B, H, Nq, d) float.
        key: (B, H, Nk, d).
        value: (B, H, Nk, d).
        strength: a_i, (B or 1, Nq) float32, at most 1; below 0 where the release's sizes of overlaps exceed 1.
        regions: the classes of queries and keys.
        scale: factor of the scores, usually 1/√d.

    Returns:
        (B, H, Nq, d) in the dtype of `query`.
    """
    if _one_pass_applies(query, key):
        from videograin.diffusion.attention.kernels.one_pass_kernel import one_pass_attention

        return one_pass_attention(query, key, value, strength, regions.runs, scale)
    if query.device.type == "cpu" and key.shape[2] >= MIN_ONE_PASS_KEYS:
        return one_pass_cpu(query, key, value, strength, regions.runs, scale)
    if query.shape[-1] + 2 * regions.shares.shape[1] <= MAX_HEAD_DIM:
        return augmented_attention(query, key, value, strength, regions, scale)
    return chunked_attention(query, key, value, strength, regions, scale)


def _one_pass_applies(query: Tensor, key: Tensor) -> bool:
    fits = query.shape[-1] % 8 == 0 and query.shape[-1] <= MAX_HEAD_DIM and key.shape[2] >= MIN_ONE_PASS_KEYS
    return fits and triton_applies(query) and is_hopper(query.device)


def augmented_attention(
    query: Tensor, key: Tensor, value: Tensor, strength: Tensor, regions: SharedRegions, scale: float
) -> Tensor:
    """Compute ST-Layout attention as one plain attention over lengthened head vectors (arguments as above)."""
    dim, classes = query.shape[-1], regions.shares.shape[1]
    coarse, fine = slice(dim, dim + classes), slice(dim + classes, dim + 2 * classes)
    padded = -(-fine.stop // HEAD_DIM_STEP) * HEAD_DIM_STEP
    high, low = row_range(query, key)
    # p_i / scale, (B, H, Nq, 1). The scale cancels, since the range is of unscaled products.
    bonus = (strength[:, None] * (high - low)).unsqueeze(-1)
    column_unit = _column_unit(bonus, query.dtype)
    bonus = bonus / column_unit
    rounded = bonus.to(query.dtype)
    shares = regions.shares[regions.query_classes][:, None]
    longer_query = query.new_zeros(*query.shape[:-1], padded)
    longer_query[..., :dim] = (1 - strength)[:, None, :, None] * query
    longer_query[..., coarse] = rounded * shares
    longer_query[..., fine] = (bonus - rounded) * shares
    longer_key = key.new_zeros(*key.shape[:-1], padded)
    longer_key[..., :dim] = key
    columns = F.one_hot(regions.key_classes, classes)[:, None] * column_unit
    longer_key[..., coarse] = longer_key[..., fine] = columns.to(key.dtype)
    longer_value = F.pad(value, (0, padded - dim))
    return attention(longer_query, longer_key, longer_value, scale)[..., :dim]


def _column_unit(bonus: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the power of two (B, H, 1, 1) by which each head's bonus (B, H, Nq, 1) is divided to fit into `dtype`."""
    excess = bonus.amax(2, keepdim=True) / (torch.finfo(dtype).max / 2)
    # Sizes of the release exceed 1 where regions overlap: a head whose bonuses are all below 0 needs no divisor either.
    return excess.clamp(min=1).log2().ceil().clamp(max=MAX_COLUMN_EXPONENT).exp2()


def chunked_attention(
    query: Tensor, key: Tensor, value: Tensor, strength: Tensor, regions: SharedRegions, scale: float
) -> Tensor:
    """Compute ST-Layout attention as the formula is written, in chunks of query rows (arguments as above).

    Scores are float32 (float64 if the query is). This is the oracle of the tests.
    """
    precision = torch.float64 if query.dtype == torch.float64 else torch.float32
    out = torch.empty_like(query)
    step = query_chunk(query.shape[1], key.shape[2])
    for b in range(query.shape[0]):
        own = _batch_element(regions, b)
        keys, values = key[b].to(precision), value[b].to(precision)
        a = strength[min(b, strength.shape[0] - 1), None, :, None].to(precision)
        for start in range(0, query.shape[2], step):
            rows = slice(start, start + step)
            scores = query[b, :, rows].to(precision) @ rearrange(keys, "h n d -> h d n") * scale
            scores = modulate(scores, a[:, rows], own.same(rows))
            out[b, :, rows] = (scores.softmax(-1) @ values).to(out.dtype)
    return out


def modulate(scores: Tensor, strength: Tensor, same: Tensor) -> Tensor:
    """Raise the scores of keys that share a region with their query and lower all others.

    Args:
        scores: s_ij, (..., Nq, Nk).
        strength: a_i, broadcastable to (..., Nq, 1).
        same: same_ij, bool, broadcastable to `scores`.

    Returns:
        s'_ij, like `scores`.
    """
    low, high = torch.aminmax(scores, dim=-1, keepdim=True)
    return torch.where(same, scores + strength * (high - scores), scores - strength * (scores - low))


def _batch_element(regions: SharedRegions, index: int) -> SharedRegions:
    def pick(classes: Tensor) -> Tensor:
        return classes[min(index, classes.shape[0] - 1), None]

    return SharedRegions(pick(regions.query_classes), pick(regions.key_classes), regions.shares)
