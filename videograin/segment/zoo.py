"""Named segmenters and how they are loaded: the embedded one, GrabCut, SAM's own checkpoints, SAM 2.1 and EdgeTAM.

Weights are safetensors, or pickles of tensors alone (`weights_only`) where SAM's authors give nothing else.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
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
from videograin.files.assets import EMBEDDED_MODEL
from videograin.files.download import RemoteFile, download
from videograin.files.hub import WEIGHTS_LOCK, Layout, fetch, local_path, user_cache_dir
from videograin.progress import Report, ignore
from videograin.segment.grabcut import GrabCutNetwork
from videograin.segment.model import Network, SegmentModel
from videograin.segment.networks import Sam2Network, SamNetwork, SamShape, build_sam

DEFAULT_SEGMENTER = "emoji-world"

GRABCUT = "grabcut"
"""The segmenter without weights, for photographs where no other can be had."""

SAM_FILES = {
    "vit_b": RemoteFile(
        "https://dl.fbaipublicfiles.com/segment_anything/sam_vit_b_01ec64.pth",
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        375_042_383,
    ),
    "vit_l": RemoteFile(
        "https://dl.fbaipublicfiles.com/segment_anything/sam_vit_l_0b3195.pth",
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        1_249_524_607,
    ),
    "vit_h": RemoteFile(
        "https://dl.fbaipublicfiles.com/segment_anything/sam_vit_h_4b8939.pth",
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        2_564_550_879,
    ),
}
"""The checkpoints of `segment_anything`, by the names that it gives them."""

HUB_IDS = {
    "sam2.1-tiny": "facebook/sam2.1-hiera-tiny",
    "sam2.1-small": "facebook/sam2.1-hiera-small",
    "sam2.1-base-plus": "facebook/sam2.1-hiera-base-plus",
    "sam2.1-large": "facebook/sam2.1-hiera-large",
    "edgetam": "yonigozlan/EdgeTAM-hf",
}
"""The segmenters of transformers that also follow objects through a video: hub ids by our names."""

_WIDTHS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
_Model = TypeVar("_Model", bound=PreTrainedModel)


class Architecture(StrEnum):
    """Which classes a segmenter's weights belong to."""

    SAM = "sam"
    SAM2 = "sam2"
    EDGETAM = "edgetam"


def segmenter_names() -> tuple[str, ...]:
    """Return the segmenters that have a name, those that need no download first."""
    return (DEFAULT_SEGMENTER, GRABCUT, *SAM_FILES, *HUB_IDS)


def is_here(name: str, cache_dir: Path | None = None) -> bool:
    """Return whether a segmenter can be used without a download; nothing is loaded."""
    try:
        return name == GRABCUT or fetch_segmenter(name, offline=True, cache_dir=cache_dir).exists()
    except ModelError:
        return False


def reads_strokes(name: str) -> bool:
    """Return whether strokes say to a segmenter where the object is; to others a stroke is the mask as drawn."""
    return name == GRABCUT


def load_segmenter(
    name: str = DEFAULT_SEGMENTER,
    device: torch.device | str | None = None,
    *,
    offline: bool = False,
    cache_dir: Path | None = None,
    report: Report = ignore,
) -> SegmentModel:
    """Load a segmenter's weights, to be shared by all sessions of this process.

    Args:
        name: one of `segmenter_names`, a .pth file of `segment_anything`, a folder or a hub id.
        device: None takes the best there is.
        offline: whether to leave the network alone.
        cache_dir: where checkpoints are kept; None is the user's cache folder.
        report: told while a checkpoint is downloaded; may raise `Cancelled`.

    Raises:
        ModelError: it cannot be found, downloaded or loaded.
        SettingsError: the device is not there.
    """
    device = choose_device(device)
    if name == GRABCUT:
        return SegmentModel(name, GrabCutNetwork())
    path = fetch_segmenter(name, offline=offline, cache_dir=cache_dir, report=report)
    with WEIGHTS_LOCK, _naming_errors(name, path):
        network = _load_network(path)
    network.module.to(device)
    return SegmentModel(name, network)


def fetch_segmenter(
    name: str, *, offline: bool = False, cache_dir: Path | None = None, report: Report = ignore
) -> Path:
    """Return the file or folder of a segmenter's weights, downloading it where it is missing; as `load_segmenter`."""
    if name == DEFAULT_SEGMENTER:
        return EMBEDDED_MODEL / "sam"
    if name in SAM_FILES:
        source, file = SAM_FILES[name], sam_file(name, cache_dir)
        if offline and not file.is_file():
            raise ModelError(f"Segmenter '{name}' is not at '{file}'. Connect to the network, or fetch {source.url}.")
        return download(source, file, report)
    source = HUB_IDS.get(name, name)
    if "/" not in source and not local_path(source).exists():
        names = ", ".join(segmenter_names())
        raise ModelError(f"There is no segmenter '{name}'. Choose one of {names}, a .pth file, a folder or a hub id.")
    return fetch(source, Layout.NETWORK, offline, report)


def sam_file(name: str, cache_dir: Path | None = None) -> Path:
    """Return where a checkpoint of `SAM_FILES` is kept; None is the user's cache folder."""
    return (cache_dir or user_cache_dir()) / "segmenters" / f"sam_{name}.pth"


def architecture(path: Path) -> Architecture:
    """Return which classes the weights at a path, as `fetch_segmenter` returns it, belong to.

    Raises:
        ModelError: the folder says nothing about it, or something unknown.
    """
    if path.is_file():
        return Architecture.SAM
    try:
        config = json.loads((path / "config.json").read_text())
        kind = config.get("model_type", "sam" if "patch_size" in config else "")
        return Architecture(kind.removesuffix("_video"))
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(
            f"'{path}' holds no segmenter that is known here. It must be a SAM 2.1 or EdgeTAM of transformers, a sam "
            "folder of our own, or a .pth file of segment_anything."
        ) from error


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
