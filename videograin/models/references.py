"""IP-Adapter for Stable Diffusion 1.5: pictures become what the cross-attention of their regions sees besides words.

The paper is arXiv 2308.06721; the weights are `ip-adapter_sd15` with its CLIP image encoder.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import ImageProjection
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from videograin.diffusion.attention.reference import RegionReference
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.errors import ModelError
from videograin.files.hub import IMAGE_ENCODER, IMAGE_PROMPT, WEIGHTS_LOCK, Layout, fetch, first_line
from videograin.models.catalog import IMAGE_PROMPT_ID
from videograin.region import Region
from videograin.segment.zoo import load_pretrained

PICTURE_TOKENS = 4
"""Tokens that a picture becomes in `ip-adapter_sd15`."""


@dataclass(frozen=True, eq=False)
class ImagePrompts:
    """Turns pictures into keys and values of the UNet's cross-attention layers.

    Attributes:
        encoder: CLIP's image tower.
        projection: its embedding to tokens as wide as those of the text.
        layers: (to_k, to_v) of each cross-attention layer, in the UNet's order, each (heads·d, C).
    """

    encoder: CLIPVisionModelWithProjection
    projection: ImageProjection
    layers: Sequence[tuple[Tensor, Tensor]]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load the adapter and its image encoder onto the CPU.

        Raises:
            ModelError: files are missing, or hold something else.
        """
        try:
            state = {name: weight.float() for name, weight in load_file(folder / IMAGE_PROMPT).items()}
            with WEIGHTS_LOCK:
                encoder = load_pretrained(CLIPVisionModelWithProjection, folder / IMAGE_ENCODER)
            return cls(encoder.eval(), _projection(state), _layers(state))
        except (OSError, ValueError, RuntimeError, LookupError, SafetensorError) as error:
            raise ModelError(
                f"The IP-Adapter cannot be loaded from '{folder}' ({first_line(error)}). Delete it there and download "
                "it again."
            ) from error

    @staticmethod
    def pixels(picture: np.ndarray) -> Tensor:
        """Return what the image tower is given of a picture (H, W, 3) uint8 RGB, (1, 3, 224, 224)."""
        return CLIPImageProcessor()(picture, return_tensors="pt")["pixel_values"]

    @torch.no_grad()
    def read(self, picture: np.ndarray) -> Tensor:
        """Return the tokens (2, T, C) float32 of the empty picture and of a picture (H, W, 3) uint8 RGB."""
        embeds = self.encoder(self.pixels(picture)).image_embeds
        return self.projection(torch.cat([torch.zeros_like(embeds), embeds]))

    def references(self, regions: Sequence[Region], unet: UNet2DConditionModel) -> tuple[RegionReference, ...]:
        """Return what the regions that have a picture are drawn after.

        Raises:
            ModelError: the adapter was made for another family of models.
        """
        names = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
        layers = [unet.get_submodule(name.removesuffix(".processor")) for name in names]
        widths = [tuple(cast(nn.Linear, layer.to_k).weight.shape) for layer in layers]
        if widths != [tuple(key.shape) for key, _ in self.layers]:
            raise ModelError(
                "Reference pictures need a model of the family of Stable Diffusion 1.5. Choose one, or remove the "
                "pictures."
            )
        place = {"device": unet.device, "dtype": unet.dtype}
        found = []
        for number, region in enumerate(regions):
            if region.reference is not None and region.is_edited:
                tokens = self.read(region.reference.picture)
                keys = {
                    layer: ((tokens @ key.T).to(**place), (tokens @ value.T).to(**place))
                    for layer, (key, value) in zip(layers, self.layers, strict=True)
                }
                found.append(RegionReference(number, region.reference.weight, keys))
        return tuple(found)


@contextmanager
def drawn_after(pipeline: VideoGrainPipeline, regions: Sequence[Region], *, offline: bool = False) -> Iterator[None]:
    """Make a pipeline draw regions after their pictures within the block; without pictures nothing is loaded.

    Args:
        pipeline: as it was loaded; afterwards it is so again.
        regions: of the request that is carried out within the block.
        offline: whether to leave the hub alone.

    Raises:
        ModelError: the adapter cannot be had or loaded, or does not fit the model.
    """
    if any(region.reference is not None and region.is_edited for region in regions):
        prompts = ImagePrompts.load(fetch(IMAGE_PROMPT_ID, Layout.IMAGE_PROMPT, offline))
        pipeline.references = prompts.references(regions, pipeline.unet)
    try:
        yield
    finally:
        pipeline.references = ()


def _projection(state: dict[str, Tensor]) -> ImageProjection:
    weight = state["image_proj.proj.weight"]
    projection = ImageProjection(weight.shape[1], weight.shape[0] // PICTURE_TOKENS, PICTURE_TOKENS)
    names = {"image_embeds": "proj", "norm": "norm"}
    projection.load_state_dict(
        {
            f"{ours}.{kind}": state[f"image_proj.{theirs}.{kind}"]
            for ours, theirs in names.items()
            for kind in ("weight", "bias")
        }
    )
    return projection.eval()


def _layers(state: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Return the weights of the layers by their numbers; those of self-attention, which have none, are counted too."""
    numbers = sorted(int(name.split(".")[1]) for name in state if name.endswith("to_k_ip.weight"))
    return [
        (state[f"ip_adapter.{number}.to_k_ip.weight"], state[f"ip_adapter.{number}.to_v_ip.weight"])
        for number in numbers
    ]
