"""Segmenters by name: where their weights come from, and whether they are on this machine. None is loaded."""

import json
from enum import StrEnum
from pathlib import Path

from videograin.errors import ModelError
from videograin.files.assets import EMBEDDED_MODEL
from videograin.files.download import RemoteFile, download
from videograin.files.hub import Layout, fetch, local_path, user_cache_dir

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


class Architecture(StrEnum):
    """Which classes a segmenter's weights belong to."""

    SAM = "sam"
    SAM2 = "sam2"
    EDGETAM = "edgetam"


def segmenter_names() -> tuple[str, ...]:
    """Return the segmenters that have a name, those that need no download first."""
    return (DEFAULT_SEGMENTER, GRABCUT, *SAM_FILES, *HUB_IDS)


def is_here(name: str) -> bool:
    """Return whether a segmenter can be used without a download; nothing is loaded."""
    try:
        return name == GRABCUT or fetch_segmenter(name, offline=True).exists()
    except ModelError:
        return False


def reads_strokes(name: str) -> bool:
    """Return whether strokes say to a segmenter where the object is; to others a stroke is the mask as drawn."""
    return name == GRABCUT


def fetch_segmenter(name: str, *, offline: bool = False) -> Path:
    """Return the file or folder of a segmenter's weights, downloading it where it is missing; as `load_segmenter`."""
    if name == DEFAULT_SEGMENTER:
        return EMBEDDED_MODEL / "sam"
    if name in SAM_FILES:
        source, file = SAM_FILES[name], sam_file(name)
        if offline and not file.is_file():
            raise ModelError(f"Segmenter '{name}' is not at '{file}'. Connect to the network, or fetch {source.url}.")
        return download(source, file)
    source = HUB_IDS.get(name, name)
    if "/" not in source and not local_path(source).exists():
        names = ", ".join(segmenter_names())
        raise ModelError(f"There is no segmenter '{name}'. Choose one of {names}, a .pth file, a folder or a hub id.")
    return fetch(source, Layout.NETWORK, offline)


def sam_file(name: str) -> Path:
    """Return where a checkpoint of `SAM_FILES` is kept, in the user's cache folder."""
    return user_cache_dir() / "segmenters" / f"sam_{name}.pth"


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
