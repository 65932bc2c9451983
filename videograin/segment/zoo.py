"""How named segmenters are loaded: the embedded one, GrabCut, SAM's own checkpoints, SAM 2.1 and EdgeTAM.

Weights are safetensors, or pickles of tensors alone (`weights_only`) where SAM's authors give nothing else.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeVar, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam
from transformers import EdgeTamModel, PreTrainedModel, Sam2ImageProcessor, Sam2Model

from videograin.device import choose_device
from videograin.errors import ModelError
from videograin.files.hub import WEIGHTS_LOCK
from videograin.segment.grabcut import GrabCutNetwork
from videograin.segment.model import Network, SegmentModel
from videograin.segment.names import DEFAULT_SEGMENTER, GRABCUT, Architecture, architecture, fetch_segmenter
from videograin.segment.networks import Sam2Network, SamNetwork, SamShape, build_sam

_WIDTHS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
_Model = TypeVar("_Model", bound=PreTrainedModel)


def load_segmenter(
    name: str = DEFAULT_SEGMENTER,
    device: torch.device | str | None = None,
    *,
    offline: bool = False,
) -> SegmentModel:
    """Load a segmenter's weights, to be shared by all sessions of this process.

    Args:
        name: one of `segmenter_names`, a .pth file of `segment_anything`, a folder or a hub id.
        device: None takes the best there is.
        offline: whether to leave the network alone.

    Raises:
        ModelError: it cannot be found, downloaded or loaded.
        SettingsError: the device is not there.
    """
    device = choose_device(device)
    if name == GRABCUT:
        return SegmentModel(name, GrabCutNetwork())
    path = fetch_segmenter(name, offline=offline)
    with WEIGHTS_LOCK, _naming_errors(name, path):
        network = _load_network(path)
    network.module.to(device)
    return SegmentModel(name, network)


def _load_network(path: Path) -> Network:
    match architecture(path):
        case Architecture.SAM:
            return SamNetwork(_load_file(path) if path.is_file() else _load_folder(path))
        case Architecture.SAM2:
            model = load_pretrained(Sam2Model, path)
        case Architecture.EDGETAM:
            model = load_pretrained(EdgeTamModel, path)
    return Sam2Network(model, Sam2ImageProcessor.from_pretrained(path, local_files_only=True))


def load_pretrained(kind: type[_Model], folder: Path) -> _Model:
    """Load a model of transformers, and refuse it if weights are missing; by itself transformers fills them with noise.

    Raises:
        LookupError: the folder has no weights for a part of the model.
    """
    loaded = kind.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    model, info = cast(tuple[_Model, dict[str, set[str]]], loaded)
    if info["missing_keys"]:
        raise LookupError(f"no weights for {min(info['missing_keys'])}")
    return model


def _load_folder(folder: Path) -> Sam:
    sam = build_sam(SamShape(**json.loads((folder / "config.json").read_text())))
    sam.load_state_dict(load_file(folder / "model.safetensors"))
    return sam


def _load_file(file: Path) -> Sam:
    weights = torch.load(file, map_location="cpu", weights_only=True)
    width = len(weights["image_encoder.patch_embed.proj.weight"])
    sam = sam_model_registry[_WIDTHS[width]]()
    sam.load_state_dict(weights)
    return sam


@contextmanager
def _naming_errors(name: str, path: Path) -> Iterator[None]:
    try:
        yield
    except ImportError as error:  # EdgeTAM's image encoder is timm's
        raise ModelError(
            f"Segmenter '{name}' needs a package that is not here: {' '.join(str(error).split())}"
        ) from error
    except (OSError, RuntimeError, LookupError, TypeError, EOFError, UnpicklingError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
        raise ModelError(
            f"Segmenter '{name}' cannot be loaded from '{path}' ({reason}). Delete it there and download it again."
        ) from error
