"""Arithmetic of a forward, counted and not guessed, and the speed of a device.

A network of the same configuration runs once on the meta device, where tensors have shapes but no content: a second or
less at any size. It runs with one frame; what any number of frames takes follows from that exactly.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from statistics import median
from typing import Any, Self, cast

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from videograin.diffusion.attention.layout import TEXT_TOKENS, gather_keys
from videograin.diffusion.attention.processors import install_layout_attention
from videograin.diffusion.attention.step import AttentionStep
from videograin.diffusion.shortcuts.deep_cache import DeepFeatures, keeping_deep, without_deep
from videograin.diffusion.shortcuts.key_frames import key_frame_table
from videograin.region import AttentionMode

_PROJECTIONS = (torch.ops.aten.addmm, torch.ops.aten.mm)
"""What an attention layer does besides the attention itself."""


@dataclass(frozen=True)
class ForwardKeys:
    """Which frames a forward over a clip computes, and whose keys they see.

    Attributes:
        frames: F.
        mode: which frames self-attention sees.
        anchors: frames that these see besides; of theirs, keys and values are counted in.
        key_frames: as in `EditSettings`.
    """

    frames: int
    mode: AttentionMode
    anchors: int = 0
    key_frames: int = 0


@dataclass(frozen=True)
class Operations:
    """An amount of arithmetic.

    Attributes:
        layers: in convolutions and projections.
        attention: in self-attention itself.
    """

    layers: float = 0.0
    attention: float = 0.0

    @property
    def total(self) -> float:
        """All of them."""
        return self.layers + self.attention

    def __add__(self, other: Self) -> Self:
        return replace(self, layers=self.layers + other.layers, attention=self.attention + other.attention)

    def times(self, count: float) -> Self:
        """Return as much arithmetic `count` times over."""
        return replace(self, layers=count * self.layers, attention=count * self.attention)


@dataclass(frozen=True)
class UNetFlops:
    """Operations of one half of a forward.

    Attributes:
        whole: of one in which every frame sees all that its mode names.
        plain: of one with fewer key frames.
        shallow: of that without the deep part (`diffusion/shortcuts/deep_cache.py`).
        levels: of the self-attention in `whole` by level, largest grid first.
    """

    whole: Operations
    plain: Operations
    shallow: Operations
    levels: tuple[int, ...]


def unet_flops(unet: UNet2DConditionModel, grid: tuple[int, int], keys: ForwardKeys) -> UNetFlops:
    """Count the operations of a forward over a clip, one half, unmodulated.

    Args:
        unet: only its configuration is read.
        grid: (h, w) of the latents.
        keys: frames and what they see.
    """
    whole, shallow = _frame_flops(unet.to_json_string(), grid)
    seen = [gather_keys(torch.empty(1, keys.frames + keys.anchors, 1), keys.mode).shape[1]] * len(whole.levels)
    table = key_frame_table(keys.frames, keys.anchors, keys.key_frames, torch.device("cpu"))
    fewer = seen if table is None or not keys.mode.is_joint else [table.shape[1], *seen[1:]]
    return UNetFlops(
        whole=whole.times(keys, seen),
        plain=whole.times(keys, fewer),
        shallow=shallow.times(keys, fewer),
        levels=whole.attention(keys, seen),
    )


def attention_inputs(unet: UNet2DConditionModel, grid: tuple[int, int]) -> int:
    """Count the numbers that self-attention is given of one frame, one half, in all layers; (h, w) = `grid`."""
    return _attention_inputs(unet.to_json_string(), grid)


def controlnet_flops(network: ControlNetModel, height: int, width: int, grid: tuple[int, int]) -> int:
    """Count the operations of a ControlNet on one frame of height×width pixels and latents (h, w) = `grid`."""
    return _controlnet_flops(network.to_json_string(), height, width, grid)


def vae_flops(vae: AutoencoderKL, height: int, width: int) -> int:
    """Count the operations of encoding and decoding one frame of height×width pixels."""
    return _vae_flops(vae.to_json_string(), height, width)


@lru_cache
def matmul_speed(device: torch.device, dtype: torch.dtype) -> float:
    """Return the operations a second of a large matrix product, measured once per process in some milliseconds."""
    return measure_speed(device, dtype)


def measure_speed(device: torch.device, dtype: torch.dtype) -> float:
    """Measure the operations a second of a large matrix product beside whatever else the device is doing."""
    side = 1024 if device.type == "cpu" else 8192
    matrix = torch.ones(side, side, device=device, dtype=dtype)
    seconds = []
    for _ in range(7):  # the first one warms up
        started = time.perf_counter()
        (matrix @ matrix)[0, 0].item()
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / median(seconds[1:])


@dataclass(frozen=True)
class _FrameFlops:
    """Operations of a forward of one frame that sees itself alone, of which those of any number of frames follow.

    Attributes:
        layers: in convolutions and projections.
        anchor: in projections to keys and values, for each anchor.
        levels: of self-attention by level, for each frame whose keys are seen, largest grid first.
    """

    layers: int
    anchor: int
    levels: tuple[int, ...]

    @classmethod
    def of(cls, unet: UNet2DConditionModel, grid: tuple[int, int], beside: Mapping[str, Tensor]) -> Self:
        """Count them, given the states of one anchor."""
        alone, seeing = (
            _count(unet, partial(_forward, unet, grid, AttentionStep(1, anchor_states=states)))
            for states in (None, beside)
        )
        levels = [0] * len(unet.down_blocks)  # without the deep part there is one
        for layer, operations in alone.attention.items():
            levels[_level_of(layer, len(levels))] += operations
        layers, seeing_layers = (int(each.operations.layers) for each in (alone, seeing))
        return cls(layers, seeing_layers - layers, tuple(levels))

    def times(self, keys: ForwardKeys, seen: Sequence[int]) -> Operations:
        """Return those of all frames; arguments as in `attention`."""
        return Operations(keys.frames * self.layers + keys.anchors * self.anchor, sum(self.attention(keys, seen)))

    def attention(self, keys: ForwardKeys, seen: Sequence[int]) -> tuple[int, ...]:
        """Return those of the self-attention of all frames by level, given how many frames each sees there.

        Args:
            keys: how many frames there are.
            seen: by level, of which there may be more than are computed.
        """
        return tuple(keys.frames * each * count for each, count in zip(self.levels, seen, strict=False))


@lru_cache
def _frame_flops(config: str, grid: tuple[int, int]) -> tuple[_FrameFlops, _FrameFlops]:
    """Return those of a whole forward, and of one without the deep part."""
    unet, beside, deep = _meta_unet(config), dict[str, Tensor](), DeepFeatures()
    with keeping_deep(unet, deep, None):
        _forward(unet, grid, AttentionStep(1, keep_states=beside.__setitem__))
    whole = _FrameFlops.of(unet, grid, beside)
    with without_deep(unet, deep.last(1)[0]):
        return whole, _FrameFlops.of(unet, grid, beside)


@lru_cache
def _attention_inputs(config: str, grid: tuple[int, int]) -> int:
    inputs: dict[str, Tensor] = {}
    _forward(_meta_unet(config), grid, AttentionStep(1, keep_states=inputs.__setitem__))
    return sum(each.numel() for each in inputs.values())


@lru_cache
def _controlnet_flops(config: str, height: int, width: int, grid: tuple[int, int]) -> int:
    with torch.device("meta"):
        network = cast(ControlNetModel, ControlNetModel.from_config(json.loads(config)))
        sample, embeds = _inputs(network, 1, grid)
        image = torch.empty(1, 3, height, width)
        return _count(network, lambda: network(sample, torch.tensor(1), embeds, image)).total


@lru_cache
def _vae_flops(config: str, height: int, width: int) -> int:
    with torch.device("meta"):
        vae = cast(AutoencoderKL, AutoencoderKL.from_config(json.loads(config)))
        image = torch.empty(1, 3, height, width)
        return _count(vae, lambda: vae(image)).total


class _OperationCounter(TorchDispatchMode):
    """Counts what one thread does with one network.

    torch's own FlopCounterMode hooks into the modules of all threads: two that count at the same time, or one that
    counts while a job runs, would disturb each other.

    Attributes:
        total: operations so far.
        attention: those of each self-attention layer by its name, without the projections.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.total = 0
        self.attention: Counter[str] = Counter()
        self._layer = ""
        for name, module in network.named_modules():
            if name.endswith("attn1"):
                module.register_forward_pre_hook(lambda *_, name=name: self._enter(name))
                module.register_forward_hook(lambda *_: self._enter(""))

    @property
    def operations(self) -> Operations:
        """What was counted."""
        attention = sum(self.attention.values())
        return Operations(self.total - attention, attention)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count it."""
        result = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func.overloadpacket):
            operations = count(*args, **(kwargs or {}), out_val=result)
            self.total += operations
            if self._layer and func.overloadpacket not in _PROJECTIONS:
                self.attention[self._layer] += operations
        return result

    def _enter(self, layer: str) -> None:
        self._layer = layer


@torch.no_grad()
def _count(network: nn.Module, forward: Callable[[], object]) -> _OperationCounter:
    with _OperationCounter(network) as counter:
        forward()
    return counter


def _meta_unet(config: str) -> UNet2DConditionModel:
    with torch.device("meta"):
        unet = cast(UNet2DConditionModel, UNet2DConditionModel.from_config(json.loads(config)))
    install_layout_attention(unet)
    return unet


@torch.no_grad()
def _forward(unet: UNet2DConditionModel, grid: tuple[int, int], step: AttentionStep) -> object:
    with torch.device("meta"):
        sample, embeds = _inputs(unet, step.frames, grid)
        return unet(sample, torch.tensor(1), embeds, cross_attention_kwargs={"step": step})


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
