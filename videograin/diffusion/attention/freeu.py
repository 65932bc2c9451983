"""FreeU (arXiv 2309.11497): skip connections count less and the backbone more where the UNet is coarse."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from diffusers import UNet2DConditionModel


@dataclass(frozen=True)
class FreeUFactors:
    """Factors at the UNet's two lowest resolutions, by diffusers' names.

    Attributes:
        s1, s2: on the low frequencies of the skip connections.
        b1, b2: on half of the backbone's channels.
    """

    s1: float
    s2: float
    b1: float
    b2: float


SD1_FACTORS = FreeUFactors(s1=0.9, s2=0.2, b1=1.5, b2=1.6)
SD2_FACTORS = FreeUFactors(s1=0.9, s2=0.2, b1=1.4, b2=1.6)
"""What diffusers' documentation gives for Stable Diffusion 1.5 and 2.1."""

_SD2_TEXT_WIDTH = 1024


def factors_for(unet: UNet2DConditionModel) -> FreeUFactors:
    """Return the factors that suit a UNet, which its text embeddings' width tells."""
    return SD2_FACTORS if unet.config["cross_attention_dim"] == _SD2_TEXT_WIDTH else SD1_FACTORS


@contextmanager
def freeu(unet: UNet2DConditionModel) -> Iterator[None]:
    """While open, a UNet's forwards go by FreeU."""
    factors = factors_for(unet)
    unet.enable_freeu(s1=factors.s1, s2=factors.s2, b1=factors.b1, b2=factors.b2)
    try:
        yield
    finally:
        unet.disable_freeu()
