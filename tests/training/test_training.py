"""Weights on disk, the loop that all stages share, and the folder that a run is assembled into."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import ControlNetModel
from torch import nn
from transformers import CLIPModel

from training import weights
from training.assemble import assemble
from training.compute import Ranks
from training.loop import Options, Trainer, cosine, parse_options
from training.networks import Clip, Denoiser, make_controlnet, make_sam, make_vae
from training.tokenizer import load as load_tokenizer
from training.unpack import unpack
from training.vocabulary import NAMES
from training.weights import load_weights, save_weights, shortened
from videograin.diffusion.pipeline import VideoGrainPipeline


def options(folder: Path, steps: int, *, resume: bool = False) -> Options:
    return Options(float("inf"), folder, None, resume, 1, steps, 0, 1.0, False, 1e9)


def trained(folder: Path, steps: int, *, resume: bool = False) -> nn.Linear:
    torch.manual_seed(0)
    module = nn.Linear(3, 1)
    trainer = Trainer("line", module, options(folder, steps, resume=resume), Ranks(), {"": 0.1}, warmup=1)
    while trainer.running():
        trainer.fraction = 0.0  # the schedule follows the clock, which no test can wait for
        trainer.step((module(torch.ones(1, 3)) - trainer.steps).square().mean())
    trainer.finish()
    return module


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of stages that have learnt nothing."""
    folder = tmp_path_factory.mktemp("run")
    clip = Clip(load_tokenizer())
    denoiser = Denoiser(clip.clip.text_model)
    states = {"vae": {f"vae.{name}": tensor for name, tensor in make_vae().state_dict().items()}}
    states |= {"clip": clip.state_dict(), "unet": denoiser.state_dict(), "sam": make_sam().state_dict()}
    states |= {"controlnet": make_controlnet(denoiser.unet).state_dict()}
    for stage, state in states.items():
        save_weights(state, folder, stage, {"steps": "0"}, half=True)
    (folder / "metrics-vae.json").write_text('{"VAE PSNR, dB": 7.0}')
    return folder


@pytest.fixture(scope="module")
def assembled(run, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("assembled")
    assemble(run, folder)
    return folder


def test_weights_come_back_from_their_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "SHARD_BYTES", 100)
    tensors = {name: torch.randn(20) for name in "abc"}
    files = save_weights(tensors, tmp_path, "net", {"steps": "3"})
    loaded, facts = load_weights(tmp_path, "net")
    assert len(files) == 3
    assert facts == {"steps": "3"}
    assert all(torch.equal(tensors[name], loaded[name]) for name in tensors)


def test_a_missing_shard_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "SHARD_BYTES", 100)
    save_weights({name: torch.zeros(20) for name in "ab"}, tmp_path, "net", {})[1].unlink()
    with pytest.raises(FileNotFoundError, match="No complete weights of 'net'"):
        load_weights(tmp_path, "net")


def test_fewer_shards_replace_more(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "SHARD_BYTES", 100)
    save_weights({name: torch.zeros(20) for name in "abc"}, tmp_path, "net", {})
    save_weights({"a": torch.ones(20)}, tmp_path, "net", {})
    assert list(load_weights(tmp_path, "net")[0]) == ["a"]


def test_a_resumed_stage_ends_where_an_uninterrupted_one_does(tmp_path):
    whole = trained(tmp_path / "whole", 6)
    trained(tmp_path / "parts", 3)
    parts = trained(tmp_path / "parts", 6, resume=True)
    assert torch.equal(whole.weight, parts.weight)


def test_a_gradient_that_is_not_finite_changes_nothing(tmp_path):
    module = nn.Linear(3, 1)
    before = module.weight.clone()
    trainer = Trainer("line", module, options(tmp_path, 1), Ranks(), {"": 0.1})
    trainer.step(module(torch.full((1, 3), float("inf"))).sum())
    assert torch.equal(module.weight, before)


def test_weights_in_half_precision_follow_masters_that_keep_small_steps(tmp_path):
    torch.manual_seed(0)
    module = nn.Linear(3, 1, bias=False).to(torch.bfloat16)
    start = module.weight.detach().clone()
    trainer = Trainer("line", module, options(tmp_path, 50), Ranks(), {"": 1e-4}, warmup=1, weight_decay=0)
    for _ in range(50):  # each step is far below what bfloat16 resolves
        trainer.fraction = 0.0
        trainer.step(-module(torch.ones(1, 3, dtype=torch.bfloat16)).sum())
    moved = trainer.masters.parameters["weight"] - start.float()
    assert torch.allclose(moved, torch.full((1, 3), 50 * 1e-4), rtol=1e-3)
    assert torch.equal(module.weight, trainer.masters.parameters["weight"].bfloat16())


def test_the_gradients_of_all_parameters_are_clipped_together(tmp_path):
    module = nn.Linear(2, 2)
    trainer = Trainer("line", module, options(tmp_path, 1), Ranks(), {"": 0.1})
    (3 * module.weight[0, 0] + 4 * module.bias[1]).backward()
    assert trainer.masters.collect().norm() == 5
    trainer.descend()
    assert not trainer.masters.gradient.any()


def test_the_rate_falls_from_one_to_its_floor():
    assert cosine(0.0) == 1
    assert cosine(1.0) == pytest.approx(0.02)
    assert cosine(0.3) > cosine(0.6)


def test_shortened_weights_err_little_and_end_early():
    exact = torch.randn(1000)
    short = shortened(exact, 5)
    assert short.dtype == torch.float16
    assert ((short.float() - exact) / exact).abs().max() < 2**-6 + 2**-10
    assert (short.view(torch.int16) & 0b11111 == 0).all()
    assert torch.equal(shortened(exact, 10), exact.half())


def test_what_a_stage_does_not_train_is_saved_as_it_was(tmp_path):
    torch.manual_seed(0)
    first, second = nn.Linear(3, 3), nn.Linear(3, 1)
    before = nn.Sequential(first, second).state_dict()
    save_weights(before, tmp_path, "line", {"steps": "1", "seconds": "1"}, half=True)
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1)).to(torch.bfloat16)
    module[0].requires_grad_(False)
    trainer = Trainer("line", module, options(tmp_path, 2, resume=True), Ranks(), {"": 0.1}, warmup=1)
    while trainer.running():
        trainer.step(module(torch.ones(1, 3, dtype=torch.bfloat16)).square().mean())
    trainer.finish()
    state = load_weights(tmp_path, "line")[0]
    assert torch.equal(state["0.weight"], first.weight.detach().half().float())
    assert not torch.equal(state["1.weight"], second.weight.detach().half().float())
    again = Trainer(
        "line", module, options(tmp_path, 2, resume=True), Ranks(), {"": 0.1}, warmup=1
    )  # of the full state
    assert torch.equal(again.weights()["0.weight"], first.weight.detach().half().float())


def test_minutes_are_counted_from_the_start_of_the_process():
    early, late = (parse_options("vae", 1, ["--minutes", minutes]).until for minutes in ("1", "3"))
    assert late - early == pytest.approx(120)


def test_an_assembled_run_loads_as_a_pipeline(assembled):
    controlnet = ControlNetModel.from_pretrained(assembled / "controlnet", dtype=torch.float32)
    pipeline = VideoGrainPipeline.from_pretrained(
        assembled, controlnet=controlnet, dtype=torch.float32, local_files_only=True
    )
    assert pipeline.unet.config.in_channels == pipeline.vae.config.latent_channels == 8
    assert pipeline.tokenizer.model_max_length == 40


def test_an_assembled_run_holds_what_was_trained(run, assembled):
    unet = load_weights(run, "unet")[0]
    pipeline = VideoGrainPipeline.from_pretrained(
        assembled, controlnet=None, dtype=torch.float32, local_files_only=True
    )
    assert all(torch.equal(tensor, unet[f"unet.{name}"]) for name, tensor in pipeline.unet.state_dict().items())
    assert all(torch.equal(t, unet[f"text.{name}"]) for name, t in pipeline.text_encoder.state_dict().items())


def test_unpacking_undoes_assembling(run, assembled, tmp_path):
    unpack(assembled, tmp_path)
    for stage in ("vae", "clip", "sam", "unet", "controlnet"):
        (before, facts), (after, facts_after) = load_weights(run, stage), load_weights(tmp_path, stage)
        assert facts == facts_after
        assert before.keys() == after.keys()
        assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_the_mini_clip_and_its_judge_load(assembled):
    clip = CLIPModel.from_pretrained(assembled / "clip", dtype=torch.float32)
    assert clip.vision_model.config.image_size == 128
    assert json.loads((assembled / "clip/vocabulary.json").read_text()) == list(NAMES)


def test_figures_are_those_of_the_run(assembled):
    figures = json.loads((assembled / "figures.json").read_text())
    assert figures["measured"] == {"VAE PSNR, dB": 7.0}
    assert set(figures["training"]) == {"vae", "clip", "sam", "unet", "controlnet"}


def test_no_file_of_the_models_is_too_large(assembled):
    sizes = [file.stat().st_size for file in assembled.rglob("*") if file.is_file()]
    assert max(sizes) < 15_000_000
    assert sum(sizes) < 90_000_000
