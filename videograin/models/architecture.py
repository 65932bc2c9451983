"""Which models can be edited with: what a checkpoint is, from its descriptions alone, before minutes of work."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from videograin.errors import ModelError
from videograin.files.hub import FP16, Layout, files_in, needed_files

LATENT_CHANNELS = 4

_OTHER_INPUTS = {
    5: "a depth-to-image model, whose UNet takes a depth map besides the latents",
    7: "an upscaler, whose UNet takes a small picture besides the latents",
    8: "an InstructPix2Pix model, whose UNet takes the source's latents besides its own",
    9: "an inpainting model, whose UNet takes a mask and masked latents besides its own",
}
"""What a UNet of the Stable Diffusion family with a number of input channels is."""

_MOTION = "UNetMotionModel"
_FIRST_LAYER = "model.diffusion_model.input_blocks.0.0.weight"  # of the UNet, by its authors' names
_CLASS_LAYER = "model.diffusion_model.label_emb.0.0.weight"  # where a picture's embedding or a class goes in


def check_unet(name: str, config: Mapping[str, Any], latent_channels: int = LATENT_CHANNELS) -> None:
    """Raise ModelError where a UNet is not a plain one of Stable Diffusion 1.x or 2.x.

    Args:
        name: of the model, for the message.
        config: of its UNet.
        latent_channels: of its VAE.
    """
    channels = config.get("in_channels", latent_channels)
    if config.get("addition_embed_type"):
        problem = "a Stable Diffusion XL model"
    elif config.get("_class_name") == _MOTION:
        problem = "a model with motion modules"
    elif channels != latent_channels:
        problem = _OTHER_INPUTS.get(channels, f"a model whose UNet takes {channels} channels")
    elif config.get("class_embed_type") or config.get("num_class_embeds"):
        problem = "a model whose UNet takes a picture's embedding besides words (unCLIP), or a class"
    else:
        return
    raise ModelError(
        f"Model '{name}' is {problem}; it cannot edit here. Choose a plain Stable Diffusion 1.x or 2.x, the one that "
        "it was made from, for example."
    )


def check_folder(name: str, folder: Path) -> None:
    """Raise ModelError where the model in a folder in diffusers' layout is of another kind than can be edited with."""
    try:
        index, unet, vae = (
            json.loads((folder / file).read_text())
            for file in ("model_index.json", "unet/config.json", "vae/config.json")
        )
    except (OSError, ValueError):  # loading the model names the missing part
        return
    if isinstance(index, dict) and isinstance(unet, dict) and isinstance(vae, dict):
        if "transformer" in index or "prior" in index:
            raise ModelError(
                f"Model '{name}' has no UNet of Stable Diffusion ({index.get('_class_name')}). Choose a Stable "
                "Diffusion 1.x or 2.x."
            )
        check_unet(name, unet, vae.get("latent_channels", LATENT_CHANNELS))


def weights_variant(folder: Path) -> str | None:
    """Return "fp16" where a folder holds a part of its weights in half precision alone, None for plain weights."""
    chosen = needed_files(files_in(folder), Layout.PIPELINE) + needed_files(files_in(folder), Layout.NETWORK)
    return FP16 if any(f".{FP16}" in name for name in chosen) else None


def check_weights(name: str, shapes: Mapping[str, Sequence[int]]) -> None:
    """Raise ModelError where a single file holds a model of another kind than can be edited with.

    Args:
        name: of the model, for the message.
        shapes: of the tensors in it, by their names.
    """
    if _FIRST_LAYER not in shapes:
        raise ModelError(
            f"Model '{name}' is no checkpoint of Stable Diffusion 1.x or 2.x: its first tensor is "
            f"'{min(shapes, default='')}'. A LoRA or an embedding is given beside a model."
        )
    is_xl = any(key.startswith("conditioner.") for key in shapes)
    check_unet(
        name,
        {
            "in_channels": shapes[_FIRST_LAYER][1],
            "addition_embed_type": "text_time" if is_xl else None,
            "class_embed_type": "projection" if _CLASS_LAYER in shapes else None,
        },
    )
