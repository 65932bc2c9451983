"""Arithmetic of a forward, counted and not guessed, and the speed of a device.

A network of the same configuration runs once on the meta device, where tensors have shapes but no content: a fraction
of a second at any size.
"""

import json
import time
from collections.abc import Callable
from functools import lru_cache
from typing import cast

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from videograin.attention.processors import install_layout_attention
from videograin.attention.step import AttentionStep
from videograin.layout import TEXT_TOKENS
from videograin.region import AttentionMode

_PROJECTIONS = (torch.ops.aten.addmm, torch.ops.aten.mm)
"""What an attention layer does besides the attention itself."""


def unet_flops(
    unet: UNet2DConditionModel, frames: int, grid: tuple[int, int], mode: AttentionMode
) -> tuple[int, tuple[int, ...]]:
    """Count the operations of a forward over a clip, one half, unmodulated.

    Args:
        unet: only its configuration is read.
        frames: F.
        grid: (h, w) of the latents.
        mode: which frames self-attention sees.

    Returns:
        All operations, and those of self-attention alone by level, largest grid first.
    """
    return _unet_flops(unet.to_json_string(), frames, grid, mode)


def controlnet_flops(network: ControlNetModel, height: int, width: int, grid: tuple[int, int]) -> int:
    """Count the operations of a ControlNet on one frame of height×width pixels and latents (h, w) = `grid`."""
    return _controlnet_flops(network.to_json_string(), height, width, grid)


def vae_flops(vae: AutoencoderKL, height: int, width: int) -> int:
    """Count the operations of encoding and decoding one frame of height×width pixels."""
    return _vae_flops(vae.to_json_string(), height, width)


@lru_cache
def matmul_speed(device: torch.device, dtype: torch.dtype) -> float:
    """Return the operations a second of a large matrix product, measured once per process in some milliseconds."""
    side = 1024 if device.type == "cpu" else 8192
    matrix = torch.ones(side, side, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(5):  # the first one warms up; others may be disturbed by what else runs here
        started = time.perf_counter()
        (matrix @ matrix)[0, 0].item()
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best


@lru_cache
def _unet_flops(config: str, frames: int, grid: tuple[int, int], mode: AttentionMode) -> tuple[int, tuple[int, ...]]:
    with torch.device("meta"):
        unet = cast(UNet2DConditionModel, UNet2DConditionModel.from_config(json.loads(config)))
        install_layout_attention(unet)
        sample, embeds = _inputs(unet, frames, grid)
        step = {"step": AttentionStep(frames, mode)}
        counter = FlopCounterMode(display=False)
        levels = [0] * len(unet.config["block_out_channels"])
        for name, layer in unet.named_modules():
            if name.endswith("attn1"):
                _count_attention(layer, counter, levels, _level_of(name, len(levels)))
        _count(lambda: unet(sample, torch.tensor(1), embeds, cross_attention_kwargs=step), counter)
    return counter.get_total_flops(), tuple(levels)


@lru_cache
def _controlnet_flops(config: str, height: int, width: int, grid: tuple[int, int]) -> int:
    with torch.device("meta"):
        network = cast(ControlNetModel, ControlNetModel.from_config(json.loads(config)))
        sample, embeds = _inputs(network, 1, grid)
        image = torch.empty(1, 3, height, width)
        return _count(lambda: network(sample, torch.tensor(1), embeds, image)).get_total_flops()


@lru_cache
def _vae_flops(config: str, height: int, width: int) -> int:
    with torch.device("meta"):
        vae = cast(AutoencoderKL, AutoencoderKL.from_config(json.loads(config)))
        image = torch.empty(1, 3, height, width)
        return _count(lambda: vae(image)).get_total_flops()


@torch.no_grad()
def _count(forward: Callable[[], object], counter: FlopCounterMode | None = None) -> FlopCounterMode:
    with counter or FlopCounterMode(display=False) as counter:
        forward()
    return counter


def _count_attention(layer: nn.Module, counter: FlopCounterMode, levels: list[int], level: int) -> None:
    """Add what a layer attends to its level's count.

    The counter's own table of layers is of no use: it mixes in the layers that other threads run meanwhile.
    """

    def attended() -> int:
        operations = counter.get_flop_counts().get("Global", {})
        return sum(count for operation, count in operations.items() if operation not in _PROJECTIONS)

    def begin(*_: object) -> None:
        levels[level] -= attended()

    def end(*_: object) -> None:
        levels[level] += attended()

    layer.register_forward_pre_hook(begin)
    layer.register_forward_hook(end)


def _inputs(
    network: UNet2DConditionModel | ControlNetModel, frames: int, grid: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    sample = torch.empty(frames, network.config["in_channels"], *grid)
    return sample, torch.empty(frames, TEXT_TOKENS, network.config["cross_attention_dim"])


def _level_of(layer: str, levels: int) -> int:
    """Return the level at which a layer works, by its name: "up_blocks.1.attentions.…"."""
    block, index, *_ = layer.split(".")
    if block == "down_blocks":
        return int(index)
    return levels - 1 - int(index) if block == "up_blocks" else levels - 1
