"""Estimate an edit's seconds and memory, and plan the quickest way to run it in the free memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np
import psutil
import torch
from diffusers import ControlNetModel
from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel
from torch import nn

from videograin.diffusion.attention.row_range import CHUNK_BYTES
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.windows.plan import Window, plan_windows
from videograin.errors import SettingsError
from videograin.models.flops import controlnet_flops, matmul_speed, unet_flops, vae_flops
from videograin.region import AttentionMode, Convention, EditSettings

ClipShape = tuple[int, int, int]
"""(F, H, W) of a clip, `frames.shape[:3]`."""

GIB = 2**30

EFFICIENCY = {"cuda": 0.3, "mps": 0.3, "cpu": 0.6}
"""Share of a large matrix product's speed that whole forwards reach. Measured for CUDA (NVIDIA H100, SD 1.5 in fp16,
16 frames of 512×512) and for the CPU (two cores, Emoji World, 8 frames of 256×256); a guess for mps."""

MODULATION_COST = {"cuda": 0.4, "mps": 23.0, "cpu": 3.0}
"""What modulating self-attention costs on top, in units of the plain attention: the search for the rows' extremes and
the longer head vectors. Measured for CUDA and the CPU, as above; a guess for mps."""

UNET_VALUES = 26
"""Values alive at the peak of a UNet forward, per frame, latent pixel and channel of the first level; the widest
tensors are those of the first level's feed-forward layers. 26.0 to 26.2 for SD 1.5 and Emoji World."""

CONTROLNET_VALUES = 7
"""The same for a ControlNet's residuals, which wait for the UNet's way up."""

INJECTED_VALUES = 7
"""The same for features kept to be injected."""

VAE_VALUES = 3.75
"""Values alive at the peak of decoding, per frame, pixel and channel of the VAE's second level."""

CHUNKED_BLOCKS = 6
"""Blocks of scores that the chunked attention holds at once where there is no fused kernel."""

LEAN_DIVISOR = 8
"""By which blocks of scores are smaller where memory ran out."""

USABLE = 0.9
"""Share of the free memory that is planned with; allocators waste some."""


@dataclass(frozen=True)
class MemoryPlan:
    """How an edit is run.

    Attributes:
        frames_per_vae_batch: frames that the VAE works on at once.
        offload: "model" keeps a network on the device only while it works.
        chunk_divisor: for `smaller_chunks`, around the edit.
    """

    frames_per_vae_batch: int = 4
    offload: Literal["none", "model"] = "none"
    chunk_divisor: int = 1


PLANS = (MemoryPlan(4), MemoryPlan(1), MemoryPlan(1, "model"))
"""Quickest first."""


@dataclass(frozen=True)
class Estimate:
    """What an edit will cost.

    Attributes:
        seconds: from frames to frames.
        inversion_seconds: the part of them that a cached inversion saves.
        peak_bytes: on the device, weights included.
    """

    seconds: float
    inversion_seconds: float
    peak_bytes: int

    @property
    def peak_gib(self) -> float:
        """Peak memory in GiB."""
        return self.peak_bytes / GIB


def estimate_edit(
    pipeline: VideoGrainPipeline,
    clip_shape: ClipShape,
    settings: EditSettings,
    device: torch.device,
    plan: MemoryPlan = PLANS[0],
    speed: float | None = None,
) -> Estimate:
    """Say what an edit will cost on a device; all of the pipeline's ControlNets are counted in.

    Args:
        pipeline: loaded on any device.
        clip_shape: (F, H, W).
        settings: steps, guidance, modulation and the other settings that cost time or memory.
        device: where it will run. The first estimate on a device times it for a moment.
        plan: how it will run.
        speed: operations a second of a large matrix product; None measures it.
    """
    _, height, width = clip_shape
    halves = _halves(settings)
    forward, modulation = _forward_flops(pipeline, clip_shape, settings)
    inversion = forward * settings.inversion_steps
    injection = forward * halves * min(settings.inject_steps, settings.inversion_steps)
    edit = forward * halves * settings.steps_run
    modulated_halves = 1 if settings.convention == Convention.RELEASE else halves
    modulation *= settings.modulated_steps * modulated_halves * MODULATION_COST[device.type]
    denoised = sum(len(window.frames) for window in _windows(clip_shape, settings))
    pixels = vae_flops(pipeline.vae, height, width) * denoised
    speed = EFFICIENCY[device.type] * (speed or matmul_speed(device, pipeline.unet.dtype))
    total = inversion + injection + edit + modulation + pixels
    return Estimate(total / speed, inversion / speed, peak_bytes(pipeline, clip_shape, settings, device, plan))


def plan_memory(
    pipeline: VideoGrainPipeline,
    clip_shape: ClipShape,
    settings: EditSettings,
    device: torch.device,
    free: int | None = None,
) -> MemoryPlan:
    """Choose the quickest plan that fits.

    Args:
        pipeline: loaded on any device.
        clip_shape: (F, H, W).
        settings: steps, guidance, modulation and the other settings that cost time or memory.
        device: where it will run.
        free: bytes that may be used, weights included; None asks the device.

    Raises:
        SettingsError: not even the leanest plan fits; the message says how many frames would.
    """
    if free is None:
        free = int(USABLE * (free_bytes(device) + _bytes_on(pipeline, device)))
    plans = [plan for plan in PLANS if plan.offload == "none" or device.type != "cpu"]
    for plan in plans:
        if peak_bytes(pipeline, clip_shape, settings, device, plan) <= free:
            return plan
    raise SettingsError(_advice(pipeline, clip_shape, settings, device, plans[-1], free))


def leanest_plan(device: torch.device) -> MemoryPlan:
    """Return the plan to try when memory ran out in spite of a plan, whatever time it takes."""
    return MemoryPlan(1, "none" if device.type == "cpu" else "model", LEAN_DIVISOR)


def apply_plan(pipeline: VideoGrainPipeline, plan: MemoryPlan, device: torch.device) -> None:
    """Make the pipeline's next edits run by a plan on a device."""
    pipeline.frames_per_vae_batch = plan.frames_per_vae_batch
    pipeline.remove_all_hooks()
    if plan.offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.to(device)


def peak_bytes(
    pipeline: VideoGrainPipeline, clip_shape: ClipShape, settings: EditSettings, device: torch.device, plan: MemoryPlan
) -> int:
    """Return the most bytes that an edit will hold on its device, weights included."""
    _, height, width = clip_shape
    windows = _windows(clip_shape, settings)
    frames = max(len(window.frames) + len(window.anchors) for window in windows)
    vae, text_encoder = _bytes_of(pipeline.vae), _bytes_of(pipeline.text_encoder)
    unet = _bytes_of(pipeline.unet)
    controlnets = sum(map(_bytes_of, _controlnets(pipeline)))
    latent_pixels = frames * height * width // pipeline.vae_scale_factor**2
    path = 2 * 4 * (settings.inversion_steps + 1) * latent_pixels * 4  # float32, four channels, a list and a stack
    denoising = unet + controlnets + vae + path + _denoising_bytes(pipeline, latent_pixels, settings, device)
    second_width = pipeline.vae.config["block_out_channels"][1]
    batch = min(frames, plan.frames_per_vae_batch)
    decoding = vae + controlnets + VAE_VALUES * batch * height * width * second_width * pipeline.vae.dtype.itemsize
    if plan.offload == "none":
        denoising, decoding = denoising + text_encoder, decoding + text_encoder + unet
    return int(max(denoising, decoding))


def free_bytes(device: torch.device) -> int:
    """Return how much memory is free on a device, that which torch holds in reserve included."""
    if device.type == "cuda":
        reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserve
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return free_host_bytes()


def free_host_bytes() -> int:
    """Return how much of the machine's memory is free, or of the container's."""
    return min([psutil.virtual_memory().available, *_container_limit()])


def _denoising_bytes(
    pipeline: VideoGrainPipeline, latent_pixels: int, settings: EditSettings, device: torch.device
) -> int:
    """Return the bytes of activations at the peak of a denoising step."""
    values = (
        UNET_VALUES + CONTROLNET_VALUES * len(_controlnets(pipeline)) + INJECTED_VALUES * (settings.inject_steps > 0)
    )
    first_width = pipeline.unet.config["block_out_channels"][0]
    activations = values * _halves(settings) * latent_pixels * first_width * pipeline.unet.dtype.itemsize
    return activations + (CHUNKED_BLOCKS * CHUNK_BYTES if device.type != "cuda" else 0)


def _advice(
    pipeline: VideoGrainPipeline,
    clip_shape: ClipShape,
    settings: EditSettings,
    device: torch.device,
    plan: MemoryPlan,
    free: int,
) -> str:
    def needed(frames: int) -> int:
        return peak_bytes(pipeline, (frames, *clip_shape[1:]), settings, device, plan)

    fitting = next((frames for frames in range(clip_shape[0] - 1, 0, -1) if needed(frames) <= free), 0)
    remedy = f"fewer frames (≤ {fitting}) or a smaller size" if fitting else "a smaller size or another device"
    return (
        f"The edit needs about {needed(clip_shape[0]) / GIB:.1f} GiB, {free / GIB:.1f} GiB are free on {device}: "
        f"choose {remedy}."
    )


def _forward_flops(pipeline: VideoGrainPipeline, clip_shape: ClipShape, settings: EditSettings) -> tuple[float, float]:
    """Return the operations of one half of all windows' forwards, and those of self-attention that may be modulated."""
    _, height, width = clip_shape
    grid = (height // pipeline.vae_scale_factor, width // pipeline.vae_scale_factor)
    control = sum(controlnet_flops(network, height, width, grid) for network in _controlnets(pipeline))
    first = 1 if settings.convention == Convention.RELEASE else 0  # the release leaves the largest grid plain
    windows = _windows(clip_shape, settings)
    forwards = [(len(window.frames), len(window.anchors)) for window in windows]
    if anchors := len(windows[0].anchors):
        forwards.append((anchors, 0))  # they are denoised by themselves first
    total = modulated = 0.0
    for frames, anchors in forwards:
        operations, by_level = unet_flops(pipeline.unet, frames, grid, settings.attention_mode, anchors)
        total += operations + (frames + anchors) * control
        modulated += sum(by_level[first:])
    return total, modulated


def _windows(clip_shape: ClipShape, settings: EditSettings) -> list[Window]:
    """Return the windows of a clip without cuts whose objects are always in sight."""
    frames = clip_shape[0]
    if settings.attention_mode != AttentionMode.WINDOWS:
        return [Window(0, frames)]
    return plan_windows(np.ones(frames, bool), settings.window_frames, settings.anchor_frames, settings.window_overlap)


def _controlnets(pipeline: VideoGrainPipeline) -> list[ControlNetModel]:
    if isinstance(pipeline.controlnet, MultiControlNetModel):
        return cast(list[ControlNetModel], [*pipeline.controlnet.nets])
    return [pipeline.controlnet] if pipeline.controlnet is not None else []


def _halves(settings: EditSettings) -> int:
    return 2 if settings.guidance_scale > 1 else 1


def _bytes_of(network: nn.Module) -> int:
    return sum(weight.nbytes for weight in network.parameters())


def _bytes_on(pipeline: VideoGrainPipeline, device: torch.device) -> int:
    networks = [pipeline.unet, pipeline.vae, pipeline.text_encoder, *_controlnets(pipeline)]
    return sum(_bytes_of(network) for network in networks if next(network.parameters()).device.type == device.type)


def _container_limit() -> list[int]:
    """Return what a container's own limit (cgroup v2) leaves, if it has one; the machine's memory is not its own."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return []
    return [] if limit == "max" else [int(limit) - int(used)]
