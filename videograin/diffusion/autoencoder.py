"""Frames to latents and back, a few frames at a time so that memory does not grow with the clip."""

from collections.abc import Iterator

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from videograin.errors import SettingsError
from videograin.progress import Phase, Report, track


def check_frame_size(frames: np.ndarray, multiple: int) -> None:
    """Raise SettingsError unless both sides of frames (F, H, W, 3) are multiples of the VAE's factor."""
    height, width = frames.shape[1:3]
    if height % multiple or width % multiple:
        raise SettingsError(
            f"Frames are {width}×{height}; both sides must be multiples of {multiple}. Resize the clip."
        )


@torch.no_grad()
def encode_frames(vae: AutoencoderKL, frames: np.ndarray, batch: int, device: torch.device, report: Report) -> Tensor:
    """Encode frames (F, H, W, 3) uint8 RGB to scaled latents (F, C, H/8, W/8) float32, the mean of each posterior.

    Args:
        vae: any AutoencoderKL.
        frames: (F, H, W, 3) uint8 RGB.
        batch: frames at once.
        device: where the VAE runs.
        report: told after every batch.
    """
    latents = []
    for chunk in track(Phase.ENCODE, np.array_split(frames, range(batch, len(frames), batch)), report):
        pixels = torch.from_numpy(np.ascontiguousarray(chunk)).to(device).movedim(-1, 1) / 127.5 - 1
        latents.append(vae.encode(pixels.to(vae.dtype), return_dict=False)[0].mode().float())
    # Frames have their channels last; left so, the latents would give other roundings than those from a cache.
    return torch.cat(latents).contiguous() * vae.config["scaling_factor"]


@torch.no_grad()
def decode_latents(vae: AutoencoderKL, latents: Tensor, batch: int, report: Report) -> Iterator[Tensor]:
    """Decode scaled latents (F, C, h, w), yielding pixels (≤ batch, 3, H, W) float32 in [0, 1] as they come."""
    for chunk in track(Phase.DECODE, latents.split(batch), report):
        pixels = vae.decode((chunk / vae.config["scaling_factor"]).to(vae.dtype), return_dict=False)[0]
        yield (pixels.float() / 2 + 0.5).clamp(0, 1)


def to_uint8(pixels: Tensor) -> np.ndarray:
    """Turn pixels (F, 3, H, W) float in [0, 1] into frames (F, H, W, 3) uint8 on the host."""
    return (pixels * 255).round().to(torch.uint8).movedim(1, -1).cpu().numpy()
