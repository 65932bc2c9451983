"""Triton kernels of group normalisation where channels lie last, with what surrounds it in residual blocks.

A value is shifted by its channel, normalised in its group, scaled by its channel and passed through SiLU: two walks
over the input and one over the output, where PyTorch's own operations take nine. Statistics are float32: sums of
differences from the first pixel of each channel, which lose nothing where a mean is far from 0, merged by the rule of
Chan, Golub and LeVeque (1979) over the channels of a group.
"""
# Triton compiles the kernels itself; its Python stubs do not describe what a kernel may write.
# pyright: reportArgumentType=false, reportCallIssue=false, reportGeneralTypeIssues=false

import torch
import triton
import triton.language as tl
from torch import Tensor

COLUMNS = 64
"""Channels of a tile: a row of it is a line of the cache, and all widths of Stable Diffusion are multiples."""

ROWS = 64
"""Pixels of a tile."""

SPAN = 512
"""Pixels of which one program adds up the moments: at 32 frames of 64×64 that keeps a whole H200 busy."""

NORMALISED_SPAN = 128
"""Pixels that one program normalises."""

SLOTS = 64
"""Partial sums that are merged at once."""


def group_norm_channels_last(
    hidden: Tensor, shift: Tensor | None, weight: Tensor, bias: Tensor, groups: int, eps: float, silu: bool
) -> Tensor:
    """Normalise as `group_norm` does, tensors that are dense with channels last, on a CUDA device."""
    batch, channels, height, width = hidden.shape
    pixels, group = height * width, channels // groups
    slots = triton.cdiv(pixels, SPAN)
    sums = torch.empty(2, batch, slots, channels, dtype=torch.float32, device=hidden.device)
    factors = torch.empty(2, batch, channels, dtype=torch.float32, device=hidden.device)
    out = torch.empty_like(hidden, memory_format=torch.channels_last)
    columns = triton.cdiv(channels, COLUMNS)
    shift_batch = 0 if shift is None or len(shift) == 1 else shift.stride(0)
    given = (hidden, hidden if shift is None else shift)
    with torch.cuda.device_of(hidden):
        _moments_kernel[columns, slots, batch](
            *given, sums[0], sums[1], pixels, channels, slots, shift_batch,
            HAS_SHIFT=shift is not None, ROWS=ROWS, COLUMNS=COLUMNS, SPAN=SPAN,
        )  # fmt: skip
        _factors_kernel[groups, batch](
            *given, sums[0], sums[1], weight, bias, factors[0], factors[1], pixels, channels, slots, group, eps,
            shift_batch, HAS_SHIFT=shift is not None, SLOTS=SLOTS, WIDTH=triton.next_power_of_2(group),
        )  # fmt: skip
        _normalise_kernel[columns * triton.cdiv(pixels, NORMALISED_SPAN), batch](
            hidden, factors[0], factors[1], out, pixels, channels,
            SILU=silu, ROWS=ROWS, COLUMNS=COLUMNS, SPAN=NORMALISED_SPAN,
        )  # fmt: skip
    return out


@triton.jit
def _origin(hidden, shift, batch, column, real, pixels, channels, shift_batch, HAS_SHIFT: tl.constexpr):
    """Return each channel's first pixel, from which differences are taken, and its shift."""
    origin = tl.load(hidden + batch * pixels * channels + column, mask=real, other=0.0).to(tl.float32)
    if HAS_SHIFT:
        own_shift = tl.load(shift + batch * shift_batch + column, mask=real, other=0.0).to(tl.float32)
    else:
        own_shift = tl.zeros_like(origin)
    return origin, own_shift


@triton.jit
def _moments_kernel(
    hidden, shift, sums, squares, pixels, channels, slots, shift_batch,
    HAS_SHIFT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Add up each channel's differences from its first pixel, and their squares, over a span of pixels."""
    slot, batch = tl.program_id(1), tl.program_id(2).to(tl.int64)
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    real = column < channels
    origin, _ = _origin(hidden, shift, batch, column, real, pixels, channels, shift_batch, HAS_SHIFT)
    own = hidden + batch * pixels * channels
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    square = tl.zeros([ROWS, COLUMNS], tl.float32)
    end = tl.minimum((slot + 1) * SPAN, pixels)
    for first in range(slot * SPAN, end, ROWS):
        row = first + tl.arange(0, ROWS)
        inside = (row < end)[:, None] & real[None, :]
        value = tl.load(own + row[:, None].to(tl.int64) * channels + column[None, :], mask=inside, other=0.0)
        away = tl.where(inside, value.to(tl.float32) - origin[None, :], 0.0)
        total += away
        square += away * away
    place = (batch * slots + slot) * channels + column
    tl.store(sums + place, tl.sum(total, 0), mask=real)
    tl.store(squares + place, tl.sum(square, 0), mask=real)


@triton.jit
def _factors_kernel(
    hidden, shift, sums, squares, weight, bias, gains, offsets, pixels, channels, slots, group, eps, shift_batch,
    HAS_SHIFT: tl.constexpr, SLOTS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Merge the sums of a group's channels; what comes of it is a factor and a summand for each channel."""
    batch = tl.program_id(1).to(tl.int64)
    member = tl.arange(0, WIDTH)
    real = member < group
    column = tl.program_id(0) * group + member
    origin, own_shift = _origin(hidden, shift, batch, column, real, pixels, channels, shift_batch, HAS_SHIFT)
    total = tl.zeros([SLOTS, WIDTH], tl.float32)
    square = tl.zeros([SLOTS, WIDTH], tl.float32)
    for first in range(0, slots, SLOTS):
        slot = first + tl.arange(0, SLOTS)
        inside = (slot < slots)[:, None] & real[None, :]
        place = (batch * slots + slot)[:, None] * channels + column[None, :]
        total += tl.load(sums + place, mask=inside, other=0.0)
        square += tl.load(squares + place, mask=inside, other=0.0)
    away = tl.sum(total, 0) / pixels
    mean = origin + own_shift + away
    centre = tl.sum(tl.where(real, mean, 0.0), 0) / group
    spread = tl.sum(square, 0) / pixels - away * away + (mean - centre) * (mean - centre)
    variance = tl.sum(tl.where(real, spread, 0.0), 0) / group
    gain = tl.load(weight + column, mask=real, other=0.0).to(tl.float32) * tl.rsqrt(variance + eps)
    offset = tl.load(bias + column, mask=real, other=0.0).to(tl.float32) + (own_shift - centre) * gain
    tl.store(gains + batch * channels + column, gain, mask=real)
    tl.store(offsets + batch * channels + column, offset, mask=real)


@triton.jit
def _normalise_kernel(
    hidden, gains, offsets, out, pixels, channels,
    SILU: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Scale and shift each channel, and pass it through SiLU, over a span of pixels."""
    batch, across = tl.program_id(1).to(tl.int64), tl.cdiv(channels, COLUMNS)
    column = tl.program_id(0) % across * COLUMNS + tl.arange(0, COLUMNS)
    real = column < channels
    gain = tl.load(gains + batch * channels + column, mask=real, other=0.0)[None, :]
    offset = tl.load(offsets + batch * channels + column, mask=real, other=0.0)[None, :]
    for first in range(0, SPAN, ROWS):
        row = tl.program_id(0) // across * SPAN + first + tl.arange(0, ROWS)
        inside = (row < pixels)[:, None] & real[None, :]
        place = (batch * pixels + row[:, None]) * channels + column[None, :]
        value = tl.load(hidden + place, mask=inside, other=0.0).to(tl.float32) * gain + offset
        if SILU:
            value *= tl.sigmoid(value)
        tl.store(out + place, value.to(out.dtype.element_ty), mask=inside)
