"""Where an edit's noise comes from: one source for a window that is alone, else one for each frame, in any window."""

from collections.abc import Sequence

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from videograin.diffusion.windows.plan import Window
from videograin.region import MAX_SEED

Noise = torch.Generator | list[torch.Generator]
"""A source of noise, or one for each frame."""

FRAME_SEED_FACTOR = 1_000_003
"""A prime that keeps the seeds of the frames of neighbouring seeds apart."""


def noise_source(seed: int, generator: torch.Generator | None, window: Window) -> Noise:
    """Return one source of noise for a window that is alone, else one for each frame, whatever the window."""
    if window.is_alone:
        return generator or torch.Generator().manual_seed(seed)
    return frame_generators(generator.initial_seed() if generator else seed, window.frames)


def frame_generators(seed: int, frames: Sequence[int]) -> list[torch.Generator]:
    """Return a source of noise for each frame, by its number in the clip: the same in every window that has it."""
    seeds = [(seed * FRAME_SEED_FACTOR + frame) % MAX_SEED for frame in frames]
    return [torch.Generator().manual_seed(each) for each in seeds]


def draw_noise(shape: torch.Size, generator: Noise, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Draw standard normal noise; what the host draws goes to a GPU without waiting until that has done its work."""
    first = generator[0] if isinstance(generator, list) else generator
    if device.type != "cuda" or first.device.type != "cpu":
        return randn_tensor(shape, generator, device, dtype)
    return randn_tensor(shape, generator, torch.device("cpu"), dtype).pin_memory().to(device, non_blocking=True)
