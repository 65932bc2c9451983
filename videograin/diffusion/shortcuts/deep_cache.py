"""DeepCache (arXiv 2312.00858): what the UNet computes below its largest resolution serves several steps.

What changes quickly from step to step is what the largest resolution sees. So in the steps between, the first block on
the way down and the last one on the way up are computed alone, and the deep features come from an earlier step.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn


@dataclass(eq=False)
class DeepFeatures:
    """What the deep part has left for later steps.

    Attributes:
        features: (halves·F, C, h, w), what the last block on the way up is given from below; None before the first
            forward.
        residuals: what ControlNets add to the skip tensors of the largest resolution, (halves·F, C, h, w) each; None
            where none act.
    """

    features: Tensor | None = None
    residuals: Sequence[Tensor] | None = None

    def last(self, batch: int) -> "tuple[Tensor, list[Tensor] | None]":
        """Return features and residuals of the last frames of the batch, those of the conditional half."""
        assert self.features is not None, "a forward that keeps them comes first"
        residuals = None if self.residuals is None else [each[-batch:] for each in self.residuals]
        return self.features[-batch:], residuals


@contextmanager
def keeping_deep(unet: UNet2DConditionModel, kept: DeepFeatures, residuals: Sequence[Tensor] | None) -> Iterator[None]:
    """While open, a forward leaves its deep features in `kept`, beside the ControlNets' residuals for it."""

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        kept.features = output

    kept.residuals = None if residuals is None else residuals[: len(cast(nn.ModuleList, unet.up_blocks[-1].resnets))]
    hook = unet.up_blocks[-2].register_forward_hook(keep)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def without_deep(unet: UNet2DConditionModel, features: Tensor) -> Iterator[None]:
    """While open, a UNet is its blocks of the largest resolution, with deep features in place of all between them."""
    network = cast(Any, unet)  # diffusers says more narrowly than it needs what its blocks are
    down, middle, up = network.down_blocks, network.mid_block, network.up_blocks
    smaller = down[0].downsamplers
    network.down_blocks, network.mid_block, network.up_blocks = down[:1], _Remembered(features), up[-1:]
    down[0].downsamplers = None
    try:
        yield
    finally:
        network.down_blocks, network.mid_block, network.up_blocks = down, middle, up
        down[0].downsamplers = smaller


class _Remembered(nn.Module):
    """Takes the place of the deep part and gives what that gave before."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.register_buffer("features", features, persistent=False)

    def forward(self, _hidden: Tensor, _time: Tensor) -> Tensor:
        return cast(Tensor, self.features)


def no_residual(features: Tensor) -> Tensor:
    """Return what a ControlNet adds to the middle of a UNet without its deep part."""
    return torch.zeros((), dtype=features.dtype, device=features.device)
