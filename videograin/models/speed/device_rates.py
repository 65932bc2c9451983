"""How quickly a device does what edits consist of: measured at first use, kept on disk.

A rate is a share of the speed of a large matrix product, which is measured when an estimate is made: what else the
device has to do slows both. Which share convolutions and attention reach is the device's and the model's own.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from threading import Lock
from typing import cast

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention

from videograin.diffusion.attention.kernels.one_core_threads import on_one_core
from videograin.diffusion.attention.layout import TEXT_TOKENS
from videograin.diffusion.attention.modulation import SharedRegions, modulated_attention
from videograin.diffusion.attention.plain import attention
from videograin.diffusion.attention.step import AttentionStep
from videograin.errors import VideoGrainError
from videograin.files.atomic import write_whole
from videograin.files.hub import user_cache_dir
from videograin.models.flops import ForwardKeys, Operations, unet_flops
from videograin.region import AttentionMode

FILE = "device-rates.json"

FRAMES, REPEATS = 2, 2

TOKENS = {"cpu": 2048, "cuda": 32768, "mps": 2048}
"""Of the attention that is timed: enough that starting it counts for nothing, few enough that all takes no second."""

SIDES = {"cpu": 1024, "cuda": 8192, "mps": 4096}
"""Of the square matrices whose product is timed."""

STRENGTH = 0.3
"""a_i of the modulated attention that is timed; any other takes as long."""


@dataclass(frozen=True)
class DeviceRates:
    """Shares of a large matrix product's speed.

    Attributes:
        layers: that convolutions and projections reach.
        attention: that plain attention reaches.
        modulation: time that modulation adds, in units of the plain attention's.
    """

    layers: float
    attention: float
    modulation: float

    def seconds(self, operations: Operations, modulated: float, speed: float) -> float:
        """Return how long an amount of arithmetic takes.

        Args:
            operations: all of it.
            modulated: operations of the attention among it that is modulated.
            speed: operations a second of a large matrix product.
        """
        shares = operations.layers / self.layers
        shares += (operations.attention + self.modulation * modulated) / self.attention
        return shares / speed


USUAL_RATES = {
    "cuda": DeviceRates(layers=0.3, attention=0.3, modulation=0.16),
    "mps": DeviceRates(layers=0.3, attention=0.3, modulation=23.0),
    "cpu": DeviceRates(layers=0.6, attention=0.6, modulation=0.4),
}
"""For a device that cannot be timed, since it is lent for an edit alone or is not here. Those of CUDA are an NVIDIA
H100's and H200's (SD 1.5 in fp16, 16 frames of 512×512), those of the CPU two cores' (Emoji World, 8 frames of
256×256); no Apple GPU was to be had, so that those of mps are a guess."""

_lock = Lock()


def device_rates(unet: UNet2DConditionModel, device: torch.device, kept: Path | None = None) -> DeviceRates:
    """Return a device's rates for a model, measured once and read from a file from then on.

    Args:
        unet: on the device.
        device: where edits run.
        kept: the file; None is one in the user's cache folder.
    """
    kept = kept or user_cache_dir() / FILE
    key = _key(unet, device)
    with _lock:
        known = _read(kept)
        if key not in known:
            known[key] = measure_rates(unet, device)
            _write(kept, known)
        return known[key]


def measure_rates(unet: UNet2DConditionModel, device: torch.device) -> DeviceRates:
    """Time a short forward, and attention at the largest resolution with and without modulation.

    A CPU is timed on one core: where programs beside it want the others, OpenMP's helpers wait awake for one another,
    and a share that is none would be kept.
    """
    measure = partial(_measure_rates, unet, device)
    return on_one_core(measure) if device.type == "cpu" else measure()


@torch.no_grad()
def _measure_rates(unet: UNet2DConditionModel, device: torch.device) -> DeviceRates:
    layer = _first_attention(unet)
    dim = cast(torch.nn.Linear, layer.to_q).out_features // layer.heads
    tokens = TOKENS[device.type]
    query, key, value = torch.randn(3, 1, layer.heads, tokens, dim, device=device, dtype=unet.dtype)
    classes = torch.arange(tokens, device=device)[None] * 3 // tokens
    regions = SharedRegions(classes, classes, torch.eye(3, dtype=torch.bool, device=device))
    strength = torch.full((1, tokens), STRENGTH, device=device)
    matrix = torch.ones(SIDES[device.type], SIDES[device.type], device=device, dtype=unet.dtype)
    speed = 2 * len(matrix) ** 3 / _time(lambda: matrix @ matrix, device)
    plain = _time(lambda: attention(query, key, value, layer.scale), device)
    modulated = _time(lambda: modulated_attention(query, key, value, strength, regions, layer.scale), device)
    per_second = 4 * layer.heads * tokens**2 * dim / plain
    side = unet.config["sample_size"]
    counted = unet_flops(unet, (side, side), ForwardKeys(FRAMES, AttentionMode.PER_FRAME)).whole
    forward = _time(lambda: _forward(unet, side, device), device)
    layers = counted.layers / max(forward - counted.attention / per_second, forward / 4)
    return DeviceRates(layers / speed, per_second / speed, max(0.0, modulated / plain - 1))


def _forward(unet: UNet2DConditionModel, side: int, device: torch.device) -> object:
    sample = torch.zeros(FRAMES, unet.config["in_channels"], side, side, device=device, dtype=unet.dtype)
    text = sample.new_zeros(FRAMES, TEXT_TOKENS, unet.config["cross_attention_dim"])
    step = AttentionStep(FRAMES, AttentionMode.PER_FRAME)
    return unet(sample, torch.tensor(1, device=device), text, cross_attention_kwargs={"step": step})


def _time(work: Callable[[], object], device: torch.device) -> float:
    """Return how long work takes, on a CPU in time of this thread: shares are the same whatever else it has to do."""
    clock = time.thread_time if device.type == "cpu" else time.perf_counter
    seconds = []
    for _ in range(1 + REPEATS):  # the first one warms up
        started = clock()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(clock() - started)
    return median(seconds[1:])


def _first_attention(unet: UNet2DConditionModel) -> Attention:
    return next(cast(Attention, module) for name, module in unet.named_modules() if name.endswith("attn1"))


def _key(unet: UNet2DConditionModel, device: torch.device) -> str:
    """Name a device and a model: its architecture, and the classes that compute it, for fused ones are quicker."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    classes = " ".join(type(module).__qualname__ for module in unet.modules())
    model = hashlib.sha256(f"{unet.to_json_string()} {classes}".encode()).hexdigest()[:12]
    return f"{name}, {unet.dtype}, torch {torch.__version__}, {model}"


def _read(file: Path) -> dict[str, DeviceRates]:
    """Return what is known; nothing where the file is missing or damaged, for it can be measured again."""
    try:
        return {key: DeviceRates(**rates) for key, rates in json.loads(file.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(file: Path, known: dict[str, DeviceRates]) -> None:
    """Keep what is known; where nothing can be written it is measured again by the next process."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps({key: asdict(rates) for key, rates in known.items()}, indent=1).encode())
    except (OSError, VideoGrainError):
        return
