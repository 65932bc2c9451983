"""The models in assets/models/emoji-world: they load by the standard classes, and know their world."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from segment_anything import SamPredictor

from training.networks import make_sam
from videograin.media.video import ClipOptions, load_clip
from videograin.models.bundles import find_bundle
from videograin.models.loading import load_pipeline

ASSETS = Path(__file__).parents[2] / "assets"
MODELS = ASSETS / "models/emoji-world"
CLIPS = ASSETS / "clips"

pytestmark = pytest.mark.skipif(
    not (MODELS / "model_index.json").is_file(), reason="assets/models/emoji-world is not assembled"
)

load_frames = partial(load_clip, options=ClipOptions(short_side=256, multiple=32))


@pytest.fixture(scope="module")
def predictor() -> SamPredictor:
    sam = make_sam(json.loads((MODELS / "sam/config.json").read_text()))
    sam.load_state_dict(load_file(MODELS / "sam/model.safetensors"))
    return SamPredictor(sam.eval())


def clicked_mask(predictor: SamPredictor, frame: np.ndarray, click: dict[str, int]) -> np.ndarray:
    predictor.set_image(frame)
    masks, scores, _ = predictor.predict(np.array([[click["x"], click["y"]]]), np.array([1]))
    return np.asarray(masks[scores.argmax()])


def test_the_embedded_model_is_the_offline_default():
    pipeline = load_pipeline(find_bundle("emoji-world"), device="cpu", offline=True)
    assert pipeline.unet.dtype == torch.float32
    assert pipeline.vae.config.latent_channels == pipeline.unet.config.in_channels


@pytest.mark.parametrize("name", ["friends", "one-of-two", "reef"])
def test_a_click_finds_the_thing_under_it(predictor, name):
    frames = load_frames(CLIPS / name / "clip.mp4").frames
    with np.load(CLIPS / name / "masks.npz") as masks:
        for region in json.loads((CLIPS / name / "clip.json").read_text())["regions"]:
            found, truth = clicked_mask(predictor, frames[0], region["click"]), masks[region["name"]][0]
            assert (found & truth).sum() / (found | truth).sum() > 0.7, region["name"]


def test_the_embedded_models_are_small_and_in_small_files():
    sizes = [file.stat().st_size for file in MODELS.rglob("*") if file.is_file()]
    assert max(sizes) < 15_000_000
    assert sum(sizes) < 90_000_000
