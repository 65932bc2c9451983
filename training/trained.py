"""The networks of a run, loaded from the weights that its stages saved."""

from pathlib import Path
from typing import TypeVar

import torch
from diffusers import AutoencoderKL, ControlNetModel
from segment_anything.modeling import Sam
from torch import Tensor, nn

from training.compute import working_precision
from training.networks import Clip, Denoiser, make_controlnet, make_sam, make_vae
from training.tokenizer import load as load_tokenizer
from training.weights import load_weights

Device = torch.device | str
Module = TypeVar("Module", bound=nn.Module)


def load_vae(folder: Path, device: Device = "cpu") -> AutoencoderKL:
    """Load the autoencoder of a run."""
    return _filled(make_vae(), _under("vae.", load_weights(folder, "vae")[0]), device)


def load_clip(folder: Path, device: Device = "cpu") -> Clip:
    """Load the mini CLIP and the judge of a run."""
    return _filled(Clip(load_tokenizer()), load_weights(folder, "clip")[0], device)


def load_denoiser(folder: Path, device: Device = "cpu") -> Denoiser:
    """Load the denoiser of a run, with the text tower that was trained along; in bfloat16 on a GPU."""
    denoiser = _filled(Denoiser(Clip(load_tokenizer()).clip.text_model), load_weights(folder, "unet")[0], device)
    return denoiser.to(working_precision(device))


def load_controlnet(folder: Path, denoiser: Denoiser, device: Device = "cpu") -> ControlNetModel:
    """Load the ControlNet of a run."""
    return _filled(make_controlnet(denoiser.unet), load_weights(folder, "controlnet")[0], device)


def load_sam(folder: Path, device: Device = "cpu") -> Sam:
    """Load the segmenter of a run."""
    return _filled(make_sam(), load_weights(folder, "sam")[0], device)


def frozen(module: Module) -> Module:
    """Return the module ready for use: in evaluation mode, without gradients, channels last."""
    module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] (torch does not declare it)
    return module.eval().requires_grad_(False)


def _filled(module: Module, state: dict[str, Tensor], device: Device) -> Module:
    module.load_state_dict(state)
    module.to(device)
    return module


def _under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
