"""Features of one UNet forward, kept to be injected into another (PnP, arXiv 2211.12572, section 4)."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from diffusers import UNet2DConditionModel
from torch import Tensor, nn

INJECTED_RESNETS = ("up_blocks.1.resnets.0", "up_blocks.1.resnets.1", "up_blocks.2.resnets.0")
"""Residual blocks whose output, before the skip sum, is injected."""

INJECTED_ATTENTIONS = tuple(
    f"up_blocks.{block}.attentions.{index}.transformer_blocks.0.attn1"
    for block, index in [(1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0)]
)
"""Self-attention layers whose queries and keys are injected."""


@dataclass(frozen=True)
class Features:
    """What PnP takes over from inversion at one timestep.

    Attributes:
        query_key: by layer, queries and keys (halves·F, h·w, C).
        residuals: by residual block, (halves·F, C, h, w).
    """

    query_key: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    residuals: dict[str, Tensor] = field(default_factory=dict)


def can_inject(unet: UNet2DConditionModel) -> bool:
    """Return whether the UNet has all the layers that PnP names, as Stable Diffusion's have."""
    return {*INJECTED_RESNETS, *INJECTED_ATTENTIONS} <= {name for name, _ in unet.named_modules()}


@contextmanager
def exchange_residuals(unet: UNet2DConditionModel, record: Features | None, inject: Features | None) -> Iterator[None]:
    """While open, record the residual blocks' outputs into `record` and replace them by those of `inject`."""
    with ExitStack() as hooks:
        for name in INJECTED_RESNETS if record is not None or inject is not None else ():
            convolution = unet.get_submodule(f"{name}.conv2")
            hooks.callback(convolution.register_forward_hook(_residual_hook(name, record, inject)).remove)
        yield


def _residual_hook(
    name: str, record: Features | None, inject: Features | None
) -> Callable[[nn.Module, tuple[Tensor], Tensor], Tensor]:
    def hook(_module: nn.Module, _inputs: tuple[Tensor], output: Tensor) -> Tensor:
        if record is not None:
            record.residuals[name] = output
        if inject is not None:
            output = inject.residuals[name]
        return output

    return hook
