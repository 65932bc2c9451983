"""Triton kernels of sums and products that PyTorch computes in several passes over memory."""
# Triton compiles the kernels itself; its Python stubs do not describe what a kernel may write.
# pyright: reportArgumentType=false, reportCallIssue=false, reportGeneralTypeIssues=false

import torch
import triton
import triton.language as tl
from torch import Tensor

COLUMNS = 64
"""Channels of a tile, a line of the cache."""

ROWS = 64
"""Rows of a tile."""


def add_channels_last(hidden: Tensor, residual: Tensor, bias: Tensor) -> Tensor:
    """Return hidden + residual + bias, (B, C, H, W) twice, dense with channels last, and (C,), on a CUDA device."""
    channels = hidden.shape[1]
    rows = hidden.numel() // channels
    out = torch.empty_like(hidden, memory_format=torch.channels_last)
    with torch.cuda.device_of(hidden):
        _add_kernel[triton.cdiv(channels, COLUMNS) * triton.cdiv(rows, ROWS),](
            hidden, residual, bias, out, rows, channels, ROWS=ROWS, COLUMNS=COLUMNS
        )
    return out


def gated_gelu(hidden: Tensor) -> Tensor:
    """Return a · gelu(b), the exact GELU, of dense rows (..., 2 C) that are a and b, on a CUDA device; (..., C)."""
    channels = hidden.shape[-1] // 2
    rows = hidden.numel() // hidden.shape[-1]
    out = torch.empty(*hidden.shape[:-1], channels, dtype=hidden.dtype, device=hidden.device)
    with torch.cuda.device_of(hidden):
        _gated_gelu_kernel[triton.cdiv(channels, COLUMNS) * triton.cdiv(rows, ROWS),](
            hidden, out, rows, channels, ROWS=ROWS, COLUMNS=COLUMNS
        )
    return out


@triton.jit
def _tile(rows, channels, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Return rows and columns of a tile, and which of them are real; tiles beside each other run together."""
    across = tl.cdiv(channels, COLUMNS)
    row = (tl.program_id(0) // across).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.program_id(0) % across * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    return row, column, (row < rows) & (column < channels)


@triton.jit
def _add_kernel(hidden, residual, bias, out, rows, channels, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row, column, inside = _tile(rows, channels, ROWS, COLUMNS)
    place = row * channels + column
    total = tl.load(hidden + place, mask=inside, other=0.0).to(tl.float32)
    total += tl.load(residual + place, mask=inside, other=0.0).to(tl.float32)
    total += tl.load(bias + column, mask=column < channels, other=0.0).to(tl.float32)
    tl.store(out + place, total.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _gated_gelu_kernel(hidden, out, rows, channels, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row, column, inside = _tile(rows, channels, ROWS, COLUMNS)
    own = hidden + row * (2 * channels) + column
    value = tl.load(own, mask=inside, other=0.0).to(tl.float32)
    gate = tl.load(own + channels, mask=inside, other=0.0).to(tl.float32)
    value *= 0.5 * gate * (1 + tl.erf(gate * 0.7071067811865476))  # 1/√2
    tl.store(out + row * channels + column, value.to(out.dtype.element_ty), mask=inside)
