"""Pictures from prompts: plain DDIM with classifier-free guidance, for the evaluation."""

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from training.compute import mixed_precision
from training.networks import LATENT_CHANNELS, LATENT_SIZE, Denoiser, decode
from training.noise import cumulative_alphas


@torch.no_grad()
def pictures(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Return images (B, 3, 256, 256) in [−1, 1] of latents (B, 8, 32, 32), in mixed precision."""
    with mixed_precision(latents.device):
        images = [decode(vae, part).float() for part in latents.split(32)]
    return torch.cat(images).clamp(-1, 1)


@torch.no_grad()
def sample(denoiser: Denoiser, ids: Tensor, empty: Tensor, guidance: float, steps: int, seed: int) -> Tensor:
    """Denoise latents under prompts (Song et al. 2021, eq. 12 with σ = 0).

    Args:
        ids: (B, 40) token ids of the prompts; empty: (1, 40) of the empty one.

    Returns:
        latents (B, 8, 32, 32).
    """
    device = ids.device
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(len(ids), LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE, generator=generator).to(device)
    alphas, stride = cumulative_alphas(device), 1000 // steps
    both = torch.cat([empty.expand_as(ids), ids])
    for timestep in range((steps - 1) * stride + 1, 0, -stride):
        twice = torch.cat([latents, latents]).contiguous(memory_format=torch.channels_last)
        noise = denoiser(twice, torch.full((len(twice),), timestep, device=device), both)
        without, prompted = noise.chunk(2)
        noise = without + guidance * (prompted - without)
        now, then = alphas[timestep], alphas[max(timestep - stride, 0)]
        clean = (latents - (1 - now).sqrt() * noise) / now.sqrt()
        latents = then.sqrt() * clean + (1 - then).sqrt() * noise
    return latents
