"""The networks of a run, loaded from the weights that its stages saved."""

from pathlib import Path

from diffusers import AutoencoderKL, ControlNetModel
from segment_anything.modeling import Sam
from torch import Tensor

from training.networks import Clip, make_controlnet, make_sam, make_vae
from training.tokenizer import load as load_tokenizer
from training.unet import Denoiser
from training.weights import load_weights


def load_vae(folder: Path) -> AutoencoderKL:
    """Load the autoencoder of a run."""
    vae = make_vae()
    vae.load_state_dict(under("vae.", load_weights(folder, "vae")[0]))
    return vae


def load_clip(folder: Path) -> Clip:
    """Load the mini CLIP and the judge of a run."""
    clip = Clip(load_tokenizer())
    clip.load_state_dict(load_weights(folder, "clip")[0])
    return clip


def load_denoiser(folder: Path) -> Denoiser:
    """Load the denoiser of a run, with the text tower that was trained along."""
    denoiser = Denoiser(Clip(load_tokenizer()).clip.text_model)
    denoiser.load_state_dict(load_weights(folder, "unet")[0])
    return denoiser


def load_controlnet(folder: Path, denoiser: Denoiser) -> ControlNetModel:
    """Load the ControlNet of a run."""
    controlnet = make_controlnet(denoiser.unet)
    controlnet.load_state_dict(load_weights(folder, "controlnet")[0])
    return controlnet


def load_sam(folder: Path) -> Sam:
    """Load the segmenter of a run."""
    sam = make_sam()
    sam.load_state_dict(load_weights(folder, "sam")[0])
    return sam


def under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the entries whose names start with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
