"""Anchors: frames that all windows of a shot see, denoised once, on their own, before the windows."""

from dataclasses import dataclass

from torch import Tensor

from videograin.diffusion.attention.step import AttentionStep, LayoutModulation


@dataclass(frozen=True, eq=False)
class Anchors:
    """The anchors of a shot: their latents at every step, whichever window looks at them.

    A window's forward carries them along, for it needs their keys and values; what it predicts of them is not used.

    Attributes:
        frames: their numbers in the clip.
        source: (K, A, 4, h, w), their inversion path.
        latents: (K, A, 4, h, w), where each denoising step begins.
        step: an unmodulated forward over the anchors alone.
        modulation: of their attention to one another.
    """

    frames: tuple[int, ...]
    source: Tensor
    latents: Tensor
    step: AttentionStep
    modulation: LayoutModulation
