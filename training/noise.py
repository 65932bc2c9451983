"""Stable Diffusion's noise: how much of it there is at a timestep, noisy latents, and the weights of their losses."""

import torch
from einops import rearrange
from torch import Tensor

from training.scene import Dice
from training.traces import trace_weight

_GAMMA = 5.0  # min-SNR weights, Hang et al. 2023


def cumulative_alphas(device: torch.device) -> Tensor:
    """Return ᾱ (1000,) of Stable Diffusion's scaled-linear schedule."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0).float().to(device)


class Noise:
    """Noisy latents of clips, and the weights of their losses. A picture is a clip of one frame.

    All frames of a clip are at one timestep. Edits start from inverted noise, of which a still background has the same
    in all frames; so that noise which agrees is not taken for content, half of the clips share a part of theirs.
    """

    def __init__(self, dice: Dice) -> None:
        self.dice, self.alphas = dice, cumulative_alphas(dice.device)
        ratio = self.alphas / (1 - self.alphas)
        weights = ratio.clamp(max=_GAMMA) / ratio
        self.weights = weights / weights.mean()

    def add(self, latents: Tensor, levels: Tensor, former: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Add noise to latents.

        Args:
            latents: (B, F, C, h, w).
            levels: (B,) int64; each clip is at a timestep below its own.
            former: (B, F, C, h, w), what leaves a trace in the noise; None leaves none.

        Returns:
            noisy latents ((B F), C, h, w), timesteps ((B F),), and the noise ((B F), C, h, w) that leads back.
        """
        clips, frames = latents.shape[:2]
        own, common = (self._draw(clips, n, *latents.shape[2:]) for n in (frames, 1))
        part = self.dice.uniform(0, 1, clips, 1, 1, 1, 1) * self.dice.chance(0.5, clips, 1, 1, 1, 1)
        noise = rearrange((1 - part).sqrt() * own + part.sqrt() * common, "b f c h w -> (b f) c h w")
        timestep = (self.dice.uniform(0, 1, clips) * levels).long().repeat_interleave(frames)
        alpha = self.alphas[timestep][:, None, None, None]
        noisy = alpha.sqrt() * latents.flatten(0, 1) + (1 - alpha).sqrt() * noise
        if former is not None:
            trace = trace_weight(timestep)[:, None, None, None] * (former - latents).flatten(0, 1)
            noisy = noisy + alpha.sqrt() * trace
            noise = noise + (alpha / (1 - alpha)).sqrt() * trace
        return noisy.contiguous(memory_format=torch.channels_last), timestep, noise

    def loss(self, predicted: Tensor, noise: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighted loss and the plain squared error."""
        error = (predicted - noise).square().mean((1, 2, 3))
        return (error * self.weights[timestep]).mean(), error.mean()

    def _draw(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.dice.generator, device=self.dice.device)
