"""The recorded setting of the authors' code, rebuilt from our own classes: networks, layout, trajectories."""

from collections.abc import Callable
from dataclasses import replace

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor

from videograin.attention.processors import install_layout_attention
from videograin.attention.step import AttentionStep, LayoutModulation, modulate_layout
from videograin.attention.modulation import timestep_weight
from videograin.denoiser import Conditioning, Denoiser
from videograin.flow import Trajectories
from videograin.layout import Layout, build_layout, span_regions
from videograin.region import Convention, EditSettings

RELEASE = EditSettings(convention=Convention.RELEASE, joint_group_norm=True)


def golden_denoiser(load: Callable[[str], dict[str, Tensor]], config: Callable[[str], dict]) -> Denoiser:
    """The recorded UNet and ControlNet in the ordinary diffusers classes, fp32."""
    unet = UNet2DConditionModel.from_config(config("unet_config"))
    unet.load_state_dict({name: value.float() for name, value in load("unet_weights").items()})
    controlnet = ControlNetModel.from_config(config("controlnet_config"))
    controlnet.load_state_dict({name: value.float() for name, value in load("controlnet_weights").items()})
    install_layout_attention(unet)
    return Denoiser(unet.eval(), controlnet.eval())


def golden_layout(layouts: dict[str, Tensor], name: str) -> Layout:
    """One recorded set of regions at all four resolutions, without our rule for vanishing regions."""
    masks = layouts[f"{name}.layouts"][:, :, 0].bool().transpose(0, 1)
    return build_layout(masks, tuple(masks.shape[-2:]), 4, [1.0] * len(masks), keep_small=False)


def golden_token_regions(layouts: dict[str, Tensor], name: str) -> Tensor:
    """(77, R) bool from the recorded spans; the release skips a phrase that is absent."""
    spans = layouts[f"{name}.spans"].tolist()
    return span_regions([(start, start + width) if start > 0 else None for start, width in spans], torch.device("cpu"))


def golden_modulation(layouts: dict[str, Tensor], name: str) -> LayoutModulation:
    """The modulation of the release's convention."""
    return modulate_layout(golden_layout(layouts, name), golden_token_regions(layouts, name), RELEASE, halves=2)


def half_precision_strength(sizes: Tensor, timestep: int, strength: float = 0.3) -> Tensor:
    """a_i as the release rounds it even in a run in fp32: fp16(fp16(fp16(1 − size)·λ)·((t−1)/1000)⁵)."""
    return ((1 - sizes).half() * strength * timestep_weight(timestep)).float()


def golden_step(modulation: LayoutModulation, timestep: int, **changes: object) -> AttentionStep:
    """A modulated step whose self-attention strengths are rounded as the release rounds them."""
    levels = {}
    for (tokens, level), full in zip(modulation.at(timestep).items(), modulation.full_strength.values(), strict=True):
        sizes = 1 - full.self_strength / RELEASE.self_strength
        levels[tokens] = replace(level, self_strength=half_precision_strength(sizes, timestep))
    frames = next(iter(levels.values())).cross_strength.shape[0]
    step = AttentionStep(frames, modulations=levels, modulated_self=(True, False), modulated_cross=(False, True))
    return replace(step, **changes)


def golden_trajectories(recorded: dict[str, Tensor], flow: str, side: int, frames: int = 4) -> Trajectories:
    """A recorded table of trajectories, so that its own choice among conflicting paths is kept."""
    window = 5 if side == 16 else 3
    table, valid = recorded[f"{flow}.traj{side}"].long(), recorded[f"{flow}.mask{side}"].bool()
    path = slice(window * window, None)
    tokens = (table[:, path, 0] * side + table[:, path, 1]) * side + table[:, path, 2]
    return Trajectories((frames, side, side), window, tokens.int(), valid[:, path])
