"""Blocks of diffusers' networks whose channels lie last in memory and whose passes over it are few, on CUDA.

Convolutions in half precision work with channels last; between them PyTorch normalises with channels first, adds a
convolution's bias, the timestep and the residual in a pass each, and copies to tokens and back. The blocks here are
diffusers' own, with the same layers by the same names, and compute the same with the kernels of this room. Where they
cannot, on another device or with a layer that a LoRA wraps or that is watched, they are diffusers' own in that too.
"""

from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from diffusers.models.activations import GEGLU
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn

from videograin.diffusion.attention.kernels import triton_applies


class FusedGroupNorm(nn.GroupNorm):
    """Group normalisation that keeps channels last."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        """Normalise (B, C, ...)."""
        return group_norm(input, self) if _takes(input) else super().forward(input)


class FusedResnetBlock2D(ResnetBlock2D):
    """A residual block in four passes beside its convolutions."""

    def forward(self, input_tensor: Tensor, temb: Tensor | None = None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Map (B, C, H, W) and the timestep's embedding (B, T) to (B, C', H, W)."""
        layers = (self.norm1, self.conv1, self.norm2, self.conv2, *([self.conv_shortcut] if self.conv_shortcut else []))
        if not (_takes(input_tensor) and all(map(_is_bare, layers))):
            return cast(Tensor, super().forward(input_tensor, cast(Tensor, temb)))
        hidden = _without_bias(self.conv1, group_norm(input_tensor, self.norm1, silu=True))
        shift = cast(Tensor, self.conv1.bias)[None]
        if temb is not None and self.time_emb_proj is not None:
            shift = shift + self.time_emb_proj(F.silu(temb))
        hidden = _without_bias(self.conv2, group_norm(hidden, self.norm2, shift, silu=True))
        bias = cast(Tensor, self.conv2.bias)
        if self.conv_shortcut is not None:
            input_tensor = _without_bias(self.conv_shortcut, input_tensor)
            if self.conv_shortcut.bias is not None:
                bias = bias + self.conv_shortcut.bias
        return add(hidden, input_tensor, bias)


class FusedTransformer2DModel(Transformer2DModel):
    """A transformer whose tokens are a view of what it is given, and whose result is a view of its tokens."""

    def _operate_on_continuous_inputs(self, hidden_states: Tensor) -> tuple[Tensor, int]:
        if not (_takes(hidden_states) and _is_projection(self.proj_in)):
            return cast(tuple[Tensor, int], super()._operate_on_continuous_inputs(hidden_states))
        tokens = _project(self.proj_in, self.norm(hidden_states).permute(0, 2, 3, 1).flatten(1, 2))
        return tokens, tokens.shape[-1]

    def _get_output_for_continuous_inputs(
        self, hidden_states: Tensor, residual: Tensor, batch_size: int, height: int, width: int, inner_dim: int
    ) -> Tensor:
        if not (_takes(residual) and _is_projection(self.proj_out)):
            output = super()._get_output_for_continuous_inputs(
                hidden_states, residual, batch_size, height, width, inner_dim
            )
            return cast(Tensor, output)
        tokens = _project(self.proj_out, hidden_states)
        return tokens.unflatten(1, (height, width)).permute(0, 3, 1, 2) + residual


class FusedGEGLU(GEGLU):
    """A gated linear unit whose gate and product are one pass."""

    def forward(self, hidden_states: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Map tokens (B, N, C) to (B, N, C')."""
        if torch.is_grad_enabled() or not triton_applies(hidden_states):
            return cast(Tensor, super().forward(hidden_states))
        from videograin.diffusion.fused.elementwise_kernel import gated_gelu

        return gated_gelu(self.proj(hidden_states).contiguous())


FUSED: Mapping[type[nn.Module], type[nn.Module]] = {
    nn.GroupNorm: FusedGroupNorm,
    ResnetBlock2D: FusedResnetBlock2D,
    Transformer2DModel: FusedTransformer2DModel,
    GEGLU: FusedGEGLU,
}
"""What takes the place of which of diffusers' and torch's classes."""


def fuse(network: nn.Module, fused: Mapping[type[nn.Module], type[nn.Module]] = FUSED) -> None:
    """Lay a network's channels last and let its blocks be those of this file.

    Objects change their class, as with torch's own `fully_shard`: layers, their names and weights stay as they are.

    Args:
        network: a UNet, ControlNet or VAE of diffusers.
        fused: which classes take the place of which.
    """
    cast(Any, network).to(memory_format=torch.channels_last)  # torch's stubs know no such call
    for module in network.modules():
        if type(module) in fused and (not isinstance(module, ResnetBlock2D) or _is_ordinary(module)):
            cast(Any, module).__class__ = fused[type(module)]


def group_norm(hidden: Tensor, norm: nn.GroupNorm, shift: Tensor | None = None, silu: bool = False) -> Tensor:
    """Normalise what a layer is given, shifted by its channels, and pass it through SiLU.

    Args:
        hidden: (B, C, H, W) float16 or bfloat16 on a CUDA device.
        norm: the layer.
        shift: (B or 1, C), added to each pixel before; None adds nothing.
        silu: whether x · sigmoid(x) follows.

    Returns:
        (B, C, H, W) with channels last.
    """
    from videograin.diffusion.fused.group_norm_kernel import group_norm_channels_last

    hidden = hidden.contiguous(memory_format=torch.channels_last)
    return group_norm_channels_last(hidden, shift, norm.weight, norm.bias, norm.num_groups, norm.eps, silu)


def add(hidden: Tensor, residual: Tensor, bias: Tensor) -> Tensor:
    """Return hidden + residual + bias, (B, C, H, W) twice and (C,), with channels last, on a CUDA device."""
    from videograin.diffusion.fused.elementwise_kernel import add_channels_last

    hidden, residual = (x.contiguous(memory_format=torch.channels_last) for x in (hidden, residual))
    return add_channels_last(hidden, residual, bias)


def _takes(hidden: Tensor) -> bool:
    return hidden.ndim == 4 and not torch.is_grad_enabled() and triton_applies(hidden)


def _is_ordinary(block: ResnetBlock2D) -> bool:
    """Return whether a block does nothing beside what `FusedResnetBlock2D` does."""
    return (
        block.upsample is None
        and block.downsample is None
        and block.time_embedding_norm == "default"
        and not block.skip_time_act
        and block.output_scale_factor == 1
        and isinstance(block.nonlinearity, nn.SiLU)
        and not (block.training and block.dropout.p)
    )


def _is_bare(layer: nn.Module) -> bool:
    """Return whether a layer is no more than itself: not wrapped by a LoRA, nor watched or changed by a hook."""
    return type(layer) in (FusedGroupNorm, nn.GroupNorm, nn.Conv2d) and not (
        layer._forward_hooks or layer._forward_pre_hooks
    )


def _is_projection(layer: nn.Module) -> bool:
    """Return whether a layer maps tokens: a linear one, or a convolution of single pixels that nothing wraps."""
    return isinstance(layer, nn.Linear) or _is_bare(layer)


def _project(layer: nn.Module, tokens: Tensor) -> Tensor:
    if isinstance(layer, nn.Conv2d):
        return F.linear(tokens, layer.weight.flatten(1), layer.bias)
    return cast(Tensor, layer(tokens))


def _without_bias(layer: nn.Conv2d, hidden: Tensor) -> Tensor:
    return F.conv2d(hidden, layer.weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)
