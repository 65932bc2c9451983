import json
import shutil
from pathlib import Path

import pytest
import torch
from fakes import tiny_controlnet, tiny_frames, tiny_pipeline, tiny_regions, tiny_unet
from safetensors.torch import load_file, save_file

from videograin.device import choose_device, choose_dtype
from videograin.errors import ModelError, SettingsError
from videograin.files import hub
from videograin.files.hub import Layout, fetch
from videograin.models.bundles import find_bundle, named_bundles
from videograin.models.loading import load_pipeline
from videograin.region import ControlKind

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model on disk as Stable Diffusion 1.5 comes: with a safety checker in its index."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_pipeline().save_pretrained(folder)
    index = json.loads((folder / "model_index.json").read_text())
    del index["controlnet"]
    index["_class_name"] = "StableDiffusionPipeline"
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["feature_extractor"] = ["transformers", "CLIPImageProcessor"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


class _Trap:
    """What an attacker puts into a pickle."""

    def __reduce__(self) -> tuple:
        return pytest.fail, ("the pickle was run",)


@pytest.fixture
def own_copy(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "copy"))


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(weight, theirs[name]) for name, weight in one.state_dict().items())


def test_a_folder_is_loaded_with_its_weights_and_without_a_safety_checker(tiny_model: Path, tmp_path: Path) -> None:
    pipeline = load_pipeline(str(tiny_model), device="cpu", cache_dir=tmp_path)
    assert same_weights(pipeline.unet, tiny_pipeline().unet)
    assert "safety_checker" not in pipeline.components
    assert pipeline.dtype == torch.float32


def test_a_loaded_pipeline_keeps_inversions_between_edits(tiny_model: Path, tmp_path: Path) -> None:
    pipeline = load_pipeline(str(tiny_model), device="cpu", cache_dir=tmp_path)
    pipeline(tiny_frames(), tiny_regions(), "a dog", num_inference_steps=2)
    assert len(list((tmp_path / "inversions").glob("*.safetensors"))) == 1


def test_a_controlnet_in_the_folder_is_its_canny_one(own_copy: Path, tmp_path: Path) -> None:
    tiny_controlnet(tiny_unet()).save_pretrained(own_copy / "controlnet")
    assert list(find_bundle(str(own_copy)).controls) == [ControlKind.CANNY]
    pipeline = load_pipeline(str(own_copy), [ControlKind.CANNY], device="cpu", cache_dir=tmp_path)
    assert pipeline.controlnet is not None
    with pytest.raises(ModelError, match=r"has no ControlNet for 'depth'\. Its kinds: canny"):
        load_pipeline(str(own_copy), [ControlKind.DEPTH], device="cpu")


def test_a_controlnet_of_another_model_is_refused(own_copy: Path) -> None:
    tiny_controlnet(tiny_unet((8, 24))).save_pretrained(own_copy / "controlnet")
    with pytest.raises(ModelError, match="'canny' ControlNet does not fit this model"):
        load_pipeline(str(own_copy), [ControlKind.CANNY], device="cpu")


def test_a_local_model_says_its_own_size(tiny_model: Path) -> None:
    bundle = find_bundle(str(tiny_model))
    assert (bundle.short_side, bundle.multiple) == (16, 16)


@pytest.mark.parametrize(
    ("part", "pickled"),
    [
        ("unet", "diffusion_pytorch_model.bin"),
        ("vae", "diffusion_pytorch_model.bin"),
        ("text_encoder", "pytorch_model.bin"),
    ],
)
def test_a_pickle_is_read_for_its_tensors_and_never_run(own_copy: Path, part: str, pickled: str) -> None:
    (weights,) = (own_copy / part).glob("*.safetensors")
    torch.save(load_file(weights) | {"trap": _Trap()}, own_copy / part / pickled)
    weights.unlink()
    with pytest.raises(ModelError, match=r"tensors alone|more than tensors"):
        load_pipeline(str(own_copy), device="cpu")


def test_a_checkpoint_that_runs_code_is_refused(tmp_path: Path) -> None:
    torch.save({"model": _Trap()}, tmp_path / "evil.ckpt")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_pipeline(str(tmp_path / "evil.ckpt"), device="cpu")


def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    save_file({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(1)}, tmp_path / "odd.safetensors")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_pipeline(str(tmp_path / "odd.safetensors"), device="cpu")


def test_a_single_file_needs_its_architecture_once(tmp_path: Path, no_network: None) -> None:
    save_file({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(8, 4, 3, 3)}, tmp_path / "my.safetensors")
    with pytest.raises(ModelError, match="stable-diffusion-v1-5' is not in the hub's local cache"):
        load_pipeline(str(tmp_path / "my.safetensors"), device="cpu", offline=True)


def test_a_damaged_model_is_named(own_copy: Path) -> None:
    (weights,) = (own_copy / "unet").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"Model '.*copy' cannot be loaded from '.*copy'"):
        load_pipeline(str(own_copy), device="cpu")


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_pipeline(str(tmp_path), device="cpu")


@pytest.mark.parametrize("source", ["/nowhere/model", "gone.safetensors", "./gone", "a/b/c", "no such model"])
def test_a_path_that_does_not_exist_is_not_sought_on_the_hub(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "list_repository", lambda *_: pytest.fail("the hub was asked"))
    with pytest.raises(ModelError, match=source):
        fetch(source, Layout.NETWORK)


def test_offline_never_asks_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "list_repository", lambda *_: pytest.fail("the hub was asked"))
    with pytest.raises(ModelError, match="not in the hub's local cache"):
        load_pipeline("nowhere/nothing", device="cpu", offline=True)


def test_the_embedded_model_comes_first_and_sd15_has_three_controlnets() -> None:
    bundles = named_bundles()
    assert list(bundles) == ["emoji-world", "sd15", "sd2.1-base", "sd2.1"]
    assert set(bundles["sd15"].controls) == set(ControlKind)


def test_precision_follows_the_device() -> None:
    assert choose_dtype(CPU) == torch.float32
    assert choose_dtype(CPU, torch.bfloat16) == torch.bfloat16
    assert choose_dtype(torch.device("cuda")) == choose_dtype(torch.device("mps")) == torch.float16
    with pytest.raises(SettingsError, match="float16 is several times slower on a CPU"):
        choose_dtype(CPU, torch.float16)


@pytest.mark.parametrize("device", ["cuda:99", "toaster"])
def test_a_device_that_is_not_here_is_named(device: str) -> None:
    with pytest.raises(SettingsError, match=f"Device '{device}' is not on this machine"):
        choose_device(device)
    assert choose_device("cpu") == CPU


def test_emoji_world_loads(tmp_path: Path) -> None:
    pipeline = load_pipeline("emoji-world", device="cpu", offline=True, cache_dir=tmp_path)
    assert pipeline.vae_scale_factor == 8
