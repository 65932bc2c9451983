"""What a UNet predicts, noise or velocity, where its file does not come with a scheduler that says so.

Stable Diffusion 2-base and 2.1 have the same layers; taken for the other, either draws nothing but noise.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from videograin.models.bundles import Prediction

PROBE_SIDE = 16
"""Latent cells of the picture of noise that a UNet is asked about: a few milliseconds."""

PROBE_TIMESTEP = 999

IS_NOISE = 0.5
"""Correlation of prediction and input from which on noise is what is predicted.

At the last timestep the input is noise all but entirely: a prediction of noise repeats it (correlation near 1), one of
velocity, √ᾱ·ε − √(1−ᾱ)·x₀, is minus the picture that the words call for (correlation near 0).
"""


def stated_prediction(file: Path) -> Prediction | None:
    """Return what a checkpoint's own metadata (modelspec.org) says that it predicts; None where it says nothing."""
    metadata: dict[str, str] = {}
    try:
        with safe_open(file, "pt") as opened:
            metadata = opened.metadata() or {}
    except (SafetensorError, OSError):  # a .ckpt
        pass
    architecture = metadata.get("modelspec.architecture", "")
    stated = metadata.get("modelspec.prediction_type", metadata.get("modelspec.predict_key", ""))
    if stated.startswith("v") or architecture.endswith("768-v"):
        return Prediction.VELOCITY
    if stated.startswith("eps") or architecture.endswith(("v2-512", "-base")):
        return Prediction.NOISE
    return None


@torch.no_grad()
def probe_prediction(unet: nn.Module, empty_prompt: Tensor) -> Prediction:
    """Find out what a UNet predicts by asking it about a picture of noise.

    Args:
        unet: of four latent channels.
        empty_prompt: (1, tokens, d) embedding of the empty text.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 4, PROBE_SIDE, PROBE_SIDE, generator=generator)
    device, dtype = empty_prompt.device, empty_prompt.dtype
    predicted = unet(noise.to(device, dtype), PROBE_TIMESTEP, empty_prompt).sample.float().cpu()
    correlation = torch.corrcoef(torch.stack([noise.flatten(), predicted.flatten()]))[0, 1]
    return Prediction.NOISE if correlation > IS_NOISE else Prediction.VELOCITY
