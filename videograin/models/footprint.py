"""What an edit holds in memory, part by part, while its networks work."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from videograin.diffusion.attention.row_range import CHUNK_BYTES
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.windows.plan import Window, plan_windows
from videograin.models.flops import attention_inputs
from videograin.region import AttentionMode, EditSettings

ClipShape = tuple[int, int, int]
"""(F, H, W) of a clip, `frames.shape[:3]`."""

UNET_VALUES = 26
"""Values alive at the peak of a UNet forward, per frame, latent pixel and channel of the first level; the widest
tensors are those of the first level's feed-forward layers. 26.0 to 26.2 for SD 1.5 and Emoji World."""

CONTROLNET_VALUES = 7
"""The same for a ControlNet's residuals, which wait for the UNet's way up."""

INJECTED_VALUES = 7
"""The same for features kept to be injected."""

VAE_VALUES = 3.75
"""Values alive at the peak of decoding, per frame, pixel and channel of the VAE's second level."""

WORKSPACE = {"cuda": 0, "mps": 6 * CHUNK_BYTES, "cpu": 256 * 2**20}
"""Bytes that kernels and the allocator take besides. On mps, which has no fused kernel, blocks of scores. Measured for
the CPU: of Emoji World with a ControlNet, 6 frames of 256×256, 697 MiB were held at the peak, of which 369 are counted
otherwise."""

LATENT_BYTES = 4
"""Latents are float32 whatever the networks are."""

TABLE_BYTES = 5
"""An entry of a table of paths: an int32 token, and whether it is real."""


@dataclass(frozen=True)
class Footprint:
    """Bytes of one edit.

    Attributes:
        unet, controlnets, vae, text_encoder: weights.
        path: of a window's inversion and of its anchors'.
        tables: of the paths along optical flow.
        controls: control images and their embeddings.
        activations: at the peak of a denoising step.
        decoding: of one frame, at the peak of the VAE's way back.
        workspace: of kernels and allocator, whatever is done.
        frames: of the longest window.
        bank: what all forwards over a shot's anchors give to self-attention, if all of it is kept.
    """

    unet: int
    controlnets: int
    vae: int
    text_encoder: int
    path: int
    tables: int
    controls: int
    activations: int
    decoding: int
    workspace: int
    frames: int
    bank: int

    def peak(self, frames_per_vae_batch: int, offload: bool) -> int:
        """Return the most that is held on the device beside a bank; with `offload`, one network at a time is there."""
        working = self.path + self.tables + self.controls
        denoising = self.unet + self.controlnets + self.vae + working + self.activations
        decoding = self.vae + self.controlnets + self.path + self.decoding * min(self.frames, frames_per_vae_batch)
        if not offload:
            denoising, decoding = denoising + self.text_encoder, decoding + self.text_encoder + self.unet
        return max(denoising, decoding) + self.workspace


def footprint(
    pipeline: VideoGrainPipeline, clip_shape: ClipShape, settings: EditSettings, device: torch.device
) -> Footprint:
    """Count what an edit will hold.

    Args:
        pipeline: loaded on any device.
        clip_shape: (F, H, W).
        settings: steps, guidance, windows and the other settings that take memory.
        device: where it will run.
    """
    _, height, width = clip_shape
    grid = latent_grid(pipeline, clip_shape)
    longest = max(clip_windows(clip_shape, settings), key=lambda window: len(window.frames))
    frames, anchors = len(longest.frames), len(longest.anchors)
    cells = grid[0] * grid[1]
    channels, unet_width = (pipeline.unet.config[name] for name in ("in_channels", "block_out_channels"))
    levels = settings.inversion_steps + 1
    # A list and a stack of the window's; of the anchors, where the steps of editing began as well.
    paths = (2 * frames + 2 * anchors) * levels * channels * cells * LATENT_BYTES
    second_width, vae_size = pipeline.vae.config["block_out_channels"][1], pipeline.vae.dtype.itemsize
    first = cells * unet_width[0] * pipeline.unet.dtype.itemsize
    return Footprint(
        unet=bytes_of(pipeline.unet),
        controlnets=sum(map(bytes_of, pipeline.controlnets)),
        vae=bytes_of(pipeline.vae),
        text_encoder=bytes_of(pipeline.text_encoder),
        path=paths,
        tables=_tables(frames, cells, settings),
        controls=len(pipeline.controlnets) * frames * (1 + halves_of(settings)) * (3 * height * width * 4 + first),
        activations=_activations(pipeline, frames * first, settings),
        decoding=int(VAE_VALUES * height * width * second_width * vae_size),
        workspace=WORKSPACE[device.type],
        frames=frames,
        bank=anchors * _forward_halves(settings) * attention_inputs(pipeline.unet, grid) * pipeline.unet.dtype.itemsize,
    )


def clip_windows(clip_shape: ClipShape, settings: EditSettings) -> list[Window]:
    """Return the windows of a clip without cuts whose objects are always in sight."""
    frames = clip_shape[0]
    if settings.attention_mode != AttentionMode.WINDOWS:
        return [Window(0, frames)]
    return plan_windows(
        np.ones((1, frames), bool), settings.window_frames, settings.anchor_frames, settings.window_overlap
    )


def latent_grid(pipeline: VideoGrainPipeline, clip_shape: ClipShape) -> tuple[int, int]:
    """Return (h, w) of a clip's latents."""
    return clip_shape[1] // pipeline.vae_scale_factor, clip_shape[2] // pipeline.vae_scale_factor


def halves_of(settings: EditSettings) -> int:
    """Return how many copies of the clip a step denoises."""
    return 2 if settings.guidance_scale > 1 else 1


def bytes_of(network: nn.Module) -> int:
    """Return the size of a network's weights."""
    return sum(weight.nbytes for weight in network.parameters())


def _forward_halves(settings: EditSettings) -> int:
    """Return how many halves all forwards of an edit have together."""
    injected = min(settings.inject_steps, settings.inversion_steps)
    halves = [settings.halves_at(index) for index in range(settings.steps_run)]
    return settings.inversion_steps + sum(halves) + sum(halves[:injected])


def _tables(frames: int, cells: int, settings: EditSettings) -> int:
    """Return the bytes of a window's paths, and of what trajectory attention and smoothing make of them."""
    uses = settings.trajectory_attention + (settings.temporal_smoothing > 0)
    return (1 + uses) * TABLE_BYTES * frames * cells * frames if uses else 0


def _activations(pipeline: VideoGrainPipeline, first: int, settings: EditSettings) -> int:
    """Return the bytes at the peak of a denoising step, `first` of one half's at the first level's width."""
    values = UNET_VALUES + CONTROLNET_VALUES * len(pipeline.controlnets) + INJECTED_VALUES * (settings.inject_steps > 0)
    return values * halves_of(settings) * first
