"""Estimate an edit's seconds and memory, and plan the quickest way to run it in the free memory."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import torch

from videograin.device import free_host_bytes
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.windows.anchor_bank import BankRoom
from videograin.errors import SettingsError
from videograin.models.flops import matmul_speed
from videograin.models.footprint import (
    ClipShape,
    bytes_of,
    footprint,
)
from videograin.models.speed.device_rates import USUAL_RATES, DeviceRates
from videograin.models.speed.edit_flops import edit_flops
from videograin.models.time_left import GIB, Estimate
from videograin.region import MAX_WINDOW_FRAMES, AttentionMode, EditSettings

LEAN_DIVISOR = 8
"""By which blocks of scores are smaller where memory ran out."""

USABLE = 0.9
"""Share of the free memory that is planned with; allocators waste some."""

BANK_SHARE = 0.5
"""Share of what an edit leaves free that the anchors' bank may take, for other programs need memory as well."""

SHORTEST_WINDOW = 8
"""Frames to which windows are shortened, anchors included, where memory is short; with fewer, overlaps are most of the
work."""


@dataclass(frozen=True)
class MemoryPlan:
    """How an edit is run.

    Attributes:
        frames_per_vae_batch: frames that the VAE works on at once.
        offload: "model" keeps a network on the device only while it works.
        chunk_divisor: for `smaller_chunks`, around the edit.
        bank_room: for the anchors of a long clip.
        window_frames: most frames of a window, where those of the settings would not fit.
    """

    frames_per_vae_batch: int = 4
    offload: Literal["none", "model"] = "none"
    chunk_divisor: int = 1
    bank_room: BankRoom = field(default_factory=BankRoom)
    window_frames: int = MAX_WINDOW_FRAMES

    def fitted(self, settings: EditSettings) -> EditSettings:
        """Return settings whose windows fit."""
        return replace(settings, window_frames=min(settings.window_frames, self.window_frames))


PLANS = (MemoryPlan(4), MemoryPlan(1), MemoryPlan(1, "model"))
"""Quickest first."""


def estimate_edit(
    pipeline: VideoGrainPipeline,
    clip_shape: ClipShape,
    settings: EditSettings,
    device: torch.device,
    plan: MemoryPlan | None = None,
    speed: float | None = None,
    rates: DeviceRates | None = None,
) -> Estimate:
    """Say what an edit will cost on a device; all of the pipeline's ControlNets are counted in.

    Args:
        pipeline: loaded on any device.
        clip_shape: (F, H, W).
        settings: steps, guidance, modulation and the other settings that cost time or memory.
        device: where it will run. The first estimate on a device times it for a moment.
        plan: how it will run; None stands for the quickest way, with room for the whole bank.
        speed: operations a second of a large matrix product; None measures it.
        rates: of the device, as `device_rates` measures them; None takes those of a usual one.
    """
    counted = edit_flops(pipeline, clip_shape, settings, _lacking(pipeline, clip_shape, settings, plan))
    speed, rates = speed or matmul_speed(device, pipeline.unet.dtype), rates or USUAL_RATES[device.type]
    inversion = rates.seconds(counted.inversion, 0, speed)
    edit = rates.seconds(counted.edit + counted.pixels, counted.modulated, speed)
    peak = peak_bytes(pipeline, clip_shape, settings, device, plan or PLANS[0])
    return Estimate(inversion + edit, inversion, peak)


def plan_memory(
    pipeline: VideoGrainPipeline,
    clip_shape: ClipShape,
    settings: EditSettings,
    device: torch.device,
    free: int | None = None,
) -> MemoryPlan:
    """Choose the quickest plan that fits; where none does with the settings' windows, with the longest that do.

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
    for shorter in _shorter_windows(settings, clip_shape[0]):
        held = footprint(pipeline, clip_shape, shorter, device)
        for plan in plans:
            spare = free - held.peak(plan.frames_per_vae_batch, plan.offload == "model")
            if spare >= 0:
                return replace(
                    plan, bank_room=_bank_room(held.bank, spare, device), window_frames=shorter.window_frames
                )
    raise SettingsError(_advice(pipeline, clip_shape, settings, device, plans[-1], free))


def leanest_plan(device: torch.device) -> MemoryPlan:
    """Return the plan to try when memory ran out in spite of a plan, whatever time it takes."""
    return MemoryPlan(1, "none" if device.type == "cpu" else "model", LEAN_DIVISOR, BankRoom(0, 0))


def apply_plan(pipeline: VideoGrainPipeline, plan: MemoryPlan, device: torch.device) -> None:
    """Make the pipeline's next edits run by a plan on a device."""
    pipeline.frames_per_vae_batch = plan.frames_per_vae_batch
    pipeline.bank_room = plan.bank_room
    pipeline.remove_all_hooks()
    if plan.offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.to(device)


def peak_bytes(
    pipeline: VideoGrainPipeline, clip_shape: ClipShape, settings: EditSettings, device: torch.device, plan: MemoryPlan
) -> int:
    """Return the most bytes that an edit will hold on its device, weights included."""
    held = footprint(pipeline, clip_shape, settings, device)
    return held.peak(plan.frames_per_vae_batch, plan.offload == "model")


def free_bytes(device: torch.device) -> int:
    """Return how much memory is free on a device, that which torch holds in reserve included."""
    if device.type == "cuda":
        reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserve
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return free_host_bytes()


def _shorter_windows(settings: EditSettings, frames: int) -> Iterator[EditSettings]:
    """Yield settings with ever shorter windows, as they are first."""
    yield settings
    if settings.attention_mode == AttentionMode.WINDOWS:
        for length in range(min(settings.window_frames, frames) - 1, SHORTEST_WINDOW - 1, -1):
            yield replace(settings, window_frames=length)


def _bank_room(needed: int, spare: int, device: torch.device) -> BankRoom:
    """Return where a bank of some bytes may lie, given what an edit leaves of its device."""
    beside = min(needed, int(BANK_SHARE * spare))
    if device.type == "cpu":
        return BankRoom(0, beside)
    return BankRoom(beside, min(needed - beside, int(BANK_SHARE * free_host_bytes())))


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


def _lacking(
    pipeline: VideoGrainPipeline, clip_shape: ClipShape, settings: EditSettings, plan: MemoryPlan | None
) -> float:
    """Return the share of the anchors' forwards that a plan's bank has no room for; a clip of one window has none."""
    needed = footprint(pipeline, clip_shape, settings, torch.device("cpu")).bank
    if plan is None or not needed:
        return 0.0
    return max(0.0, 1 - (plan.bank_room.device_bytes + plan.bank_room.host_bytes) / needed)


def _bytes_on(pipeline: VideoGrainPipeline, device: torch.device) -> int:
    networks = [pipeline.unet, pipeline.vae, pipeline.text_encoder, *pipeline.controlnets]
    return sum(bytes_of(network) for network in networks if next(network.parameters()).device.type == device.type)
