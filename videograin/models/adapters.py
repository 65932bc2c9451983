"""LoRAs and textual inversions: which files they are, and for which family of models they were made."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from videograin.errors import ModelError, SettingsError
from videograin.files.hub import ADAPTER_SUFFIXES, local_path

if TYPE_CHECKING:
    from torch import Tensor

MAX_ADAPTERS = 8
MAX_WEIGHT = 4.0

MAX_PICKLE_BYTES = 16 * 2**20
"""Of a textual inversion in a pickle, which is read whole: 75 vectors have a tenth of a megabyte at most."""

SD1, SD2, SDXL = "Stable Diffusion 1.x", "Stable Diffusion 2.x", "Stable Diffusion XL"

FAMILY_OF_WIDTH = {768: SD1, 1024: SD2, 2048: SDXL, 1280: SDXL}
"""Families by the width of the text embedding that their UNets attend to; XL has a second text encoder of 1280."""

_FOREIGN = {
    "Flux": re.compile(r"(double_blocks|single_blocks|single_transformer_blocks)[._]\d"),
    "Wan": re.compile(r"(^|[._])blocks[._]\d+[._](self_attn|cross_attn|ffn)"),
    "Stable Diffusion 3": re.compile(r"joint_blocks[._]\d|transformer_blocks\.\d+\.attn\.add_[qkv]_proj"),
    SDXL: re.compile(r"lora_te2_|text_encoder_2\."),
}
"""How the layers of other families are called in their LoRAs."""

_TEXT_KEYS = re.compile(r"attn2[._]to_[kv][._](lora_down|lora_A|lora\.down|down)")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(/[\w./ -]+\.(safetensors|pt|bin))?", re.ASCII)
_EMBEDDING_KEYS = ("emb_params", "clip_l", "clip_g")


class AdapterKind(StrEnum):
    """An addition to a model's weights: low-rank changes of its layers, or embeddings of new words."""

    LORA = "lora"
    EMBEDDING = "textual inversion"


@dataclass(frozen=True)
class Adapter:
    """A LoRA or a textual inversion that an edit uses.

    Attributes:
        file: .safetensors, or of a textual inversion also .pt or .bin; None where `hub_id` names it.
        hub_id: owner/name, or owner/name/file.safetensors where a repository has several.
        weight: how much of a LoRA is added, from -4 to 4.
        words: of a LoRA, trigger words that the target prompt ends with; of a textual inversion, the word that stands
            for it in prompts, its file's name where empty.

    Raises:
        SettingsError: it has no source or two, or a weight outside its range.
    """

    file: Path | None = None
    hub_id: str = ""
    weight: float = 1.0
    words: str = ""

    def __post_init__(self) -> None:
        if (self.file is None) == (not self.hub_id):
            raise SettingsError("A LoRA or textual inversion is given either as a file or as a hub id.")
        if self.hub_id and not _HUB_ID.fullmatch(self.hub_id):
            raise SettingsError(
                f"'{self.hub_id}' is no hub id. Give owner/name, or owner/name/file.safetensors where a repository has "
                "several."
            )
        if not -MAX_WEIGHT <= self.weight <= MAX_WEIGHT:
            raise SettingsError(
                f"{self.title}: weight is {self.weight}; choose a value from {-MAX_WEIGHT:g} to {MAX_WEIGHT:g}."
            )

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"'{self.file.name if self.file else self.hub_id}'"


@dataclass(frozen=True)
class AdapterFile:
    """What a file turned out to be.

    Attributes:
        path: of the file.
        kind: LoRA or textual inversion.
        family: of models that it was made for; empty where its layers do not tell.
    """

    path: Path
    kind: AdapterKind
    family: str


def parse_adapter(text: str) -> Adapter:
    """Return what "style.safetensors:0.8" or "owner/name" means: a file where there is one, or else a hub id.

    Raises:
        SettingsError: the weight is outside its range.
        ModelError: it can be neither.
    """
    source, separator, weight = text.rpartition(":")
    try:
        source, number = (source, float(weight)) if separator else (text, 1.0)
    except ValueError:  # a colon in a path
        source, number = text, 1.0
    path = local_path(source)
    is_file = path.is_file() or path.is_absolute() or source.startswith(".") or "/" not in source
    return Adapter(file=path, weight=number) if is_file else Adapter(hub_id=source, weight=number)


def read_adapter(path: Path) -> AdapterFile:
    """Return what a file is; safetensors are told by their header alone, pickles are read as tensors alone.

    Raises:
        ModelError: it is of another format, or holds neither a LoRA nor a textual inversion.
    """
    if is_pickle(path):
        return AdapterFile(path, AdapterKind.EMBEDDING, _embedding_family([read_pickle(path).shape]))
    try:
        with safe_open(path, "np") as opened:
            shapes = {name: opened.get_slice(name).get_shape() for name in opened.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"'{path.name}' cannot be read as safetensors ({error}). Give a LoRA as .safetensors, a textual inversion "
            "as .safetensors, .pt or .bin."
        ) from error
    if any("hada_" in name or "lokr_" in name for name in shapes):
        raise ModelError(f"'{path.name}' is a LyCORIS (LoHa or LoKr), which cannot be used here. Choose a plain LoRA.")
    if _is_embedding(shapes):
        return AdapterFile(path, AdapterKind.EMBEDDING, _embedding_family(shapes.values()))
    if not any("lora" in name for name in shapes):
        raise ModelError(f"'{path.name}' holds neither a LoRA nor a textual inversion. Choose another file.")
    return AdapterFile(path, AdapterKind.LORA, lora_family(shapes))


def lora_family(shapes: Mapping[str, Sequence[int]]) -> str:
    """Return the family of models that a LoRA was made for, by its layers' names and widths; empty where neither tells.

    Args:
        shapes: of its tensors, by their names.
    """
    for family, names in _FOREIGN.items():
        if any(names.search(name) for name in shapes):
            return family
    widths = {shape[-1] for name, shape in shapes.items() if shape and _TEXT_KEYS.search(name)}
    return FAMILY_OF_WIDTH.get(max(widths), "") if widths else ""


def is_pickle(path: Path) -> bool:
    """Return whether a file's name is that of a pickle."""
    return path.suffix.lower() in ADAPTER_SUFFIXES[1:]


def read_pickle(path: Path) -> "Tensor":
    """Return the vectors (n, d) or (d,) of a textual inversion that webui (.pt) or diffusers (.bin) has pickled.

    Raises:
        ModelError: it is no pickle of tensors alone, or holds anything else.
    """
    import torch  # which reading a project does not need

    if path.stat().st_size > MAX_PICKLE_BYTES:
        raise ModelError(f"'{path.name}' is too large for a textual inversion. Give a LoRA as .safetensors.")
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, LookupError, UnpicklingError) as error:
        raise ModelError(
            f"'{path.name}' is no file of tensors alone, and code from files is not run here. Convert it to "
            ".safetensors, or choose a copy in that format."
        ) from error
    vectors = held.get("string_to_param", held) if isinstance(held, dict) else {}
    found = [each for each in vectors.values() if isinstance(each, torch.Tensor)] if isinstance(vectors, dict) else []
    if len(found) != 1 or len(vectors) != 1 or found[0].ndim not in (1, 2):
        raise ModelError(f"'{path.name}' holds no textual inversion. Give a LoRA as .safetensors.")
    return found[0]


def _embedding_family(shapes: Iterable[Sequence[int]]) -> str:
    return FAMILY_OF_WIDTH.get(max(shape[-1] for shape in shapes if shape), "")


def _is_embedding(shapes: Mapping[str, Sequence[int]]) -> bool:
    return any(shapes.get(name) for name in _EMBEDDING_KEYS) or (
        len(shapes) == 1 and all(1 <= len(each) <= 2 for each in shapes.values()) and "lora" not in next(iter(shapes))
    )
