"""GroupNorm whose statistics span all frames of a clip, as the paper's released code has it.

That code inflates the UNet to five axes; its residual blocks then normalise over frames, height and width together.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from diffusers.models.resnet import ResnetBlock2D
from einops import rearrange
from torch import Tensor, nn


@contextmanager
def joint_group_norm(model: nn.Module, frames: int) -> Iterator[None]:
    """While open, the GroupNorms of the residual blocks and of the output take their statistics over all frames.

    The GroupNorms of the transformers stay per frame.

    Args:
        model: a UNet or ControlNet whose batch is (halves frames).
        frames: number of frames.
    """

    def join(_module: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        return rearrange(inputs[0], "(b f) c h w -> b c (f h) w", f=frames)

    def split(_module: nn.Module, _inputs: tuple[Tensor], output: Tensor) -> Tensor:
        return rearrange(output, "b c (f h) w -> (b f) c h w", f=frames)

    with ExitStack() as hooks:
        for norm in _clip_norms(model):
            hooks.callback(norm.register_forward_pre_hook(join).remove)
            hooks.callback(norm.register_forward_hook(split).remove)
        yield


def _clip_norms(model: nn.Module) -> Iterator[nn.Module]:
    for module in model.modules():
        if isinstance(module, ResnetBlock2D):
            yield from (module.norm1, module.norm2)
    if isinstance(output_norm := getattr(model, "conv_norm_out", None), nn.GroupNorm):
        yield output_norm
