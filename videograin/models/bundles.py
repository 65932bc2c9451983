"""Named models, what each of them knows, and how any Stable Diffusion 1.x or 2.x is loaded: folder, file or hub id.

Weights are safetensors, or pickles of tensors alone (`weights_only`) in a single .ckpt; code is never loaded.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock

import torch
from diffusers import ControlNetModel
from diffusers.loaders.single_file_utils import fetch_diffusers_config, load_single_file_checkpoint
from huggingface_hub import model_info, snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError

from videograin.diffusion.control import ControlKind
from videograin.diffusion.inversion import InversionCache
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.errors import ModelError, SettingsError, VideoGrainError
from videograin.region import Convention, EditSettings

HUB_SECONDS = 4.0
"""How long the hub may take to answer before it counts as unreachable."""

WEIGHTS_LOCK = RLock()
"""Held while weights are loaded: diffusers and transformers change settings of the whole process meanwhile."""

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}

DEFAULT_MODEL = "emoji-world"

EMOJI_WORLD_SETTINGS = EditSettings(
    num_inference_steps=20,
    guidance_scale=5.0,
    strength=0.75,
    modulated_fraction=0.5,
    cross_strength=4.0,
    convention=Convention.PAPER,
    temporal_smoothing=1.0,
)
"""What edits best (benchmarks/RESULTS.md). From 75 % noise the modulation has faded to 1 % after half of the steps."""

_CONFIGS = ("*.json", "*.txt")
_PIPELINE_FILES = (*_CONFIGS, "*/*.safetensors")  # weights at the top are the same model once more, in one file
_NETWORK_FILES = ("*.json", "*.safetensors")
_UNUSED_FILES = ("safety_checker/*", "feature_extractor/*", "*.fp16.*", "*.non_ema.*", "*.fp16-*")
_SINGLE_FILES = (".safetensors", ".ckpt")

_SD15_CONTROLS = {
    ControlKind.CANNY: "lllyasviel/control_v11p_sd15_canny",
    ControlKind.DEPTH: "lllyasviel/control_v11f1p_sd15_depth",
    ControlKind.POSE: "lllyasviel/control_v11p_sd15_openpose",
}


@dataclass(frozen=True)
class ModelBundle:
    """A Stable Diffusion checkpoint, the ControlNets that fit it, and the settings that suit it.

    Attributes:
        name: what a project, `--model` and the page call it.
        source: a folder in diffusers' layout, a single .safetensors or .ckpt file, or a hub id.
        knows: a sentence on what it can draw.
        short_side: pixels of a clip's shorter side at which it draws best.
        multiple: both sides of a clip are multiples of this.
        settings: where an edit starts from.
        controls: folder or hub id of the ControlNet of each kind.
    """

    name: str
    source: str
    knows: str
    short_side: int = 512
    multiple: int = 64
    settings: EditSettings = field(default_factory=EditSettings)
    controls: Mapping[ControlKind, str] = field(default_factory=dict)


def named_bundles() -> dict[str, ModelBundle]:
    """Return the models that have a name, by name, the embedded one first."""
    bundles = [_emoji_world(), _sd15()]
    return {bundle.name: bundle for bundle in bundles}


def find_bundle(name: str) -> ModelBundle:
    """Return the bundle of a name, or one made up for a folder, a single file or a hub id; nothing is loaded."""
    return named_bundles().get(name) or _unnamed(name)


def load_pipeline(
    bundle: ModelBundle | str,
    controls: Sequence[ControlKind] = (),
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    offline: bool = False,
    cache_dir: Path | None = None,
) -> VideoGrainPipeline:
    """Load a model, ready to edit. The hub is asked only for what its local cache lacks.

    Args:
        bundle: what to load, or its name, folder, file or hub id.
        controls: kinds of ControlNet, in the order in which their images will be passed.
        device: None takes the best there is.
        dtype: None takes float32 on a CPU and float16 elsewhere.
        offline: whether to leave the network alone.
        cache_dir: where inversions are kept between edits; None is the user's cache folder.

    Raises:
        ModelError: it cannot be found or loaded, or its ControlNets do not fit.
        SettingsError: the device is not there, or the dtype is useless on it.
    """
    bundle = find_bundle(bundle) if isinstance(bundle, str) else bundle
    device = choose_device(device)
    dtype = choose_dtype(device, dtype)
    networks = [_load_controlnet(bundle, kind, dtype, offline) for kind in controls]
    controlnet = networks[0] if len(networks) == 1 else networks or None
    folder = fetch(bundle.source, _PIPELINE_FILES, offline)
    with WEIGHTS_LOCK, _naming_errors(f"Model '{bundle.name}'", folder):
        if folder.is_file():
            pipeline = _load_single_file(folder, controlnet, dtype, offline)
        else:
            pipeline = VideoGrainPipeline.from_pretrained(
                folder, controlnet=controlnet, dtype=dtype, use_safetensors=True, local_files_only=True
            )
    for kind, network in zip(controls, networks, strict=True):
        _check_fit(pipeline, kind, network)
    pipeline.inversion_cache = InversionCache(inversions_folder(cache_dir))
    return pipeline.to(device)


def load_lora(pipeline: VideoGrainPipeline, source: str, scale: float = 1.0, *, offline: bool = False) -> None:
    """Merge a LoRA into the weights of a pipeline; it stays until the model is loaded anew.

    Args:
        pipeline: of the architecture that the LoRA was made for.
        source: a .safetensors file, a folder that holds one, or a hub id.
        scale: how much of it is added.
        offline: whether to leave the network alone.
    """
    path = fetch(source, _NETWORK_FILES, offline)
    with _naming_errors(f"LoRA '{source}'", path):
        pipeline.load_lora_weights(str(path), use_safetensors=True, local_files_only=True)
    pipeline.fuse_lora(lora_scale=scale)
    pipeline.unload_lora_weights()  # the layers that held it apart; merged, it costs nothing


def is_available_offline(bundle: ModelBundle) -> bool:
    """Whether the bundle's own weights (not its ControlNets) are on this machine."""
    try:
        fetch(bundle.source, _PIPELINE_FILES, offline=True)
    except ModelError:
        return False
    return True


def check_obtainable(bundle: ModelBundle, offline: bool) -> None:
    """Raise ModelError where it is certain that a bundle's weights are not to be had; nothing is downloaded."""
    if offline or not _is_hub_id(bundle.source):
        fetch(bundle.source, _PIPELINE_FILES, offline=True)


def choose_device(device: torch.device | str | None = None) -> torch.device:
    """Return the device asked for, or the best there is: CUDA, then Apple's GPU, then the CPU."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device is None:
        return torch.device(next(name for name, is_there in there.items() if is_there))
    with suppress(RuntimeError):  # torch's word for a device that it never heard of
        chosen = torch.device(device)
        if there.get(chosen.type) and (chosen.index or 0) < max(1, torch.cuda.device_count()):
            return chosen
    names = ", ".join(name for name, is_there in there.items() if is_there)
    raise SettingsError(f"Device '{device}' is not on this machine. Choose one of: {names}.")


def choose_dtype(device: torch.device, dtype: torch.dtype | None = None) -> torch.dtype:
    """Return the precision asked for, or the device's own: float32 on a CPU, float16 on a GPU."""
    if dtype is None:
        return torch.float32 if device.type == "cpu" else torch.float16
    if device.type == "cpu" and dtype == torch.float16:
        raise SettingsError("float16 is several times slower on a CPU. Choose float32 or bfloat16.")
    return dtype


def inversions_folder(cache_dir: Path | None) -> Path:
    """Return where inversions are kept; None is the user's cache folder."""
    return (cache_dir or user_cache_dir()) / "inversions"


def user_cache_dir() -> Path:
    """Return the folder for what can be computed again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "videograin"


def fetch(source: str, files: Sequence[str], offline: bool = False) -> Path:
    """Return where a folder, file or hub id lies on this machine, downloading what the local cache lacks.

    Args:
        source: path or hub id.
        files: patterns of the files that are needed.
        offline: whether to raise instead of downloading.
    """
    path = Path(source).expanduser()
    if path.exists():
        return path
    if not _is_hub_id(source):
        raise ModelError(f"There is no model at '{source}'. Check the path.")
    with suppress(LocalEntryNotFoundError):
        return _snapshot(source, files, local_files_only=True)
    remedy = f"Connect to the network, fetch it elsewhere (hf download {source}), or give a local folder."
    if offline:
        raise ModelError(f"Model '{source}' is not in the hub's local cache. {remedy}")
    try:
        # One question with a short deadline: where nothing answers, the download itself would wait for minutes.
        model_info(source, timeout=HUB_SECONDS)
        return _snapshot(source, files, local_files_only=False)
    except Exception as error:  # the hub's network library has a family of errors of its own
        raise ModelError(f"Model '{source}' cannot be downloaded ({_first_line(error)}). {remedy}") from error


def _is_hub_id(source: str) -> bool:
    path = Path(source).expanduser()
    return not (path.exists() or path.is_absolute() or path.suffix in _SINGLE_FILES or source.startswith("."))


def _snapshot(hub_id: str, files: Sequence[str], local_files_only: bool) -> Path:
    try:
        folder = snapshot_download(
            hub_id, allow_patterns=[*files], ignore_patterns=[*_UNUSED_FILES], local_files_only=local_files_only
        )
    except HFValidationError as error:
        raise ModelError(f"'{hub_id}' is neither a folder, a file nor a hub id such as 'owner/model'.") from error
    return Path(folder)


def _emoji_world() -> ModelBundle:
    embedded = Path(__file__).parents[2] / "assets/models/emoji-world"
    elsewhere = os.environ.get("VIDEOGRAIN_EMOJI_WORLD")
    folder = Path(elsewhere, "models") if elsewhere and not embedded.is_dir() else embedded
    return ModelBundle(
        name="emoji-world",
        source=str(folder),
        knows="A small world of emoji: animals, vehicles, food, people and what they wear, on drawn backgrounds.",
        short_side=256,
        multiple=32,
        settings=EMOJI_WORLD_SETTINGS,
        controls=_own_controls(folder),
    )


def _sd15() -> ModelBundle:
    return ModelBundle(
        name="sd15",
        source="stable-diffusion-v1-5/stable-diffusion-v1-5",
        knows="Photographs, paintings and drawings of nearly anything (Stable Diffusion 1.5).",
        controls=_SD15_CONTROLS,
    )


def _unnamed(source: str) -> ModelBundle:
    folder = Path(source).expanduser()
    short_side = _trained_side(folder)
    return ModelBundle(
        name=source,
        source=source,
        knows="What its makers taught it; see its model card.",
        short_side=short_side,
        multiple=64 if short_side >= 512 else min(32, short_side),
        controls=_own_controls(folder) or _SD15_CONTROLS,
    )


def _own_controls(folder: Path) -> dict[ControlKind, str]:
    """Return the ControlNet that a folder brings along: edges, by our own convention."""
    controlnet = folder / "controlnet"
    return {ControlKind.CANNY: str(controlnet)} if controlnet.is_dir() else {}


def _trained_side(folder: Path) -> int:
    """Return the pixels of the pictures that a local model was trained on, 512 where it does not say."""
    try:
        latent_side = json.loads((folder / "unet/config.json").read_text())["sample_size"]
        levels = json.loads((folder / "vae/config.json").read_text())["block_out_channels"]
        return int(latent_side) * 2 ** (len(levels) - 1)
    except (OSError, ValueError, KeyError, TypeError):
        return 512


def _load_controlnet(bundle: ModelBundle, kind: ControlKind, dtype: torch.dtype, offline: bool) -> ControlNetModel:
    if kind not in bundle.controls:
        known = ", ".join(bundle.controls) or "none"
        raise ModelError(f"Model '{bundle.name}' has no ControlNet for '{kind}'. Its kinds: {known}.")
    folder = fetch(bundle.controls[kind], _NETWORK_FILES, offline)
    with WEIGHTS_LOCK, _naming_errors(f"ControlNet '{kind}'", folder):
        return ControlNetModel.from_pretrained(folder, dtype=dtype, use_safetensors=True, local_files_only=True)


def _load_single_file(
    file: Path, controlnet: ControlNetModel | list[ControlNetModel] | None, dtype: torch.dtype, offline: bool
) -> VideoGrainPipeline:
    """Load one file of weights; what describes them comes from the hub's folder of the same architecture."""
    architecture = fetch_diffusers_config(load_single_file_checkpoint(str(file)))["pretrained_model_name_or_path"]
    config = fetch(architecture, _CONFIGS, offline)
    return VideoGrainPipeline.from_single_file(
        str(file), config=str(config), controlnet=controlnet, dtype=dtype, local_files_only=True
    )


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
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, SafetensorError) as error:
        raise ModelError(
            f"{what} cannot be loaded from '{path}' ({_first_line(error)}). It must be a whole Stable Diffusion 1.x "
            "or 2.x of its kind, in safetensors."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
