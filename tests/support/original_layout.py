"""A pipeline's weights under the names of the original Stable Diffusion checkpoint, as `from_single_file` reads them.

The inverse of diffusers' `convert_ldm_unet_checkpoint` and its like, for four resolutions and two layers each.
"""

import re

from torch import Tensor

from videograin.diffusion.pipeline import VideoGrainPipeline

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def original_checkpoint(pipe: VideoGrainPipeline) -> dict[str, Tensor]:
    """All weights of UNet, VAE and text encoder in one dictionary."""
    text = pipe.text_encoder.state_dict()
    prefix = "" if any(name.startswith("text_model.") for name in text) else "text_model."
    return {
        **{f"model.diffusion_model.{_unet_name(name)}": value for name, value in pipe.unet.state_dict().items()},
        **{
            f"first_stage_model.{_vae_name(name)}": _vae_value(name, value)
            for name, value in pipe.vae.state_dict().items()
        },
        **{f"cond_stage_model.transformer.{prefix}{name}": value.clone() for name, value in text.items()},
    }


def _unet_name(name: str) -> str:
    for ours, original in ENDS.items():
        if name.startswith(f"{ours}."):
            return original + name.removeprefix(ours)
    place, rest = _unet_place(name)
    first, _, last = rest.partition(".")
    return f"{place}.{RESNET.get(first, first)}.{last}"


def _unet_place(name: str) -> tuple[str, str]:
    """Split a name into the original name of its block and the rest within it."""
    if match := re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name):
        kind, index, rest = match.groups()
        return f"middle_block.{1 if kind == 'attentions' else 2 * int(index)}", rest
    match = re.match(r"(down|up)_blocks\.(\d)\.(resnets|attentions|downsamplers|upsamplers)\.(\d)\.(.*)", name)
    assert match is not None, name
    way, block, kind, index, rest = match.groups()
    block, index = int(block), int(index)
    if kind == "downsamplers":
        return f"input_blocks.{3 * block + 3}.0", rest.replace("conv", "op")
    if kind == "upsamplers":  # the last module of its block, behind the attention where there is one
        return f"output_blocks.{3 * block + 2}.{1 if block == 0 else 2}", rest
    place = f"input_blocks.{3 * block + 1 + index}" if way == "down" else f"output_blocks.{3 * block + index}"
    return f"{place}.{int(kind == 'attentions')}", rest


def _vae_name(name: str, levels: int = 2) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda match: f"mid.block_{int(match[1]) + 1}", name)
    name = re.sub(r"mid_block\.attentions\.0\.(group_norm|to_[qkv]|to_out\.0)", _vae_attention, name)
    name = re.sub(r"down_blocks\.(\d)\.resnets\.", r"down.\1.block.", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0\.", r"down.\1.downsample.", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets\.", lambda match: f"up.{levels - 1 - int(match[1])}.block.", name)
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0\.", lambda match: f"up.{levels - 1 - int(match[1])}.upsample.", name)


def _vae_attention(match: re.Match[str]) -> str:
    return f"mid.attn_1.{VAE_ATTENTION[match[1]]}"


def _vae_value(name: str, value: Tensor) -> Tensor:
    """The original's attention is made of 1×1 convolutions."""
    is_projection = "attentions" in name and "norm" not in name and name.endswith("weight")
    return value[:, :, None, None].clone() if is_projection else value
