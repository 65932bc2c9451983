"""Assemble a run's weights into one folder, in the standard layouts of Stable Diffusion, CLIP and segment_anything.

    python -m training.assemble --folder output/training      # writes assets/models/emoji-world

Beside the networks: clip/vocabulary.json names what the judge's outputs mean, figures.json holds what the stages cost
and what the evaluation measured.
"""

import argparse
import json
import shutil
from pathlib import Path

from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file
from segment_anything.modeling import Sam
from torch import Tensor, nn
from transformers import CLIPImageProcessorPil

from training import tokenizer
from training.networks import CLIP_SIZE, SAM_SHAPE, make_scheduler
from training.trained import load_clip, load_controlnet, load_denoiser, load_sam, load_vae
from training.vocabulary import NAMES
from training.weights import load_weights

TARGET = Path("assets/models/emoji-world")
STAGES = ("vae", "clip", "sam", "unet", "controlnet")
_SHARD = "14MB"  # code hosts and mirrors refuse larger files sooner or later


def assemble(run: Path, target: Path) -> None:
    """Write every part again, float16; the tokenizer and a model card that are there stay.

    Args:
        run: folder of the stages' weights.
        target: where `StableDiffusionPipeline.from_pretrained` will find them.
    """
    denoiser, clip = load_denoiser(run), load_clip(run)
    pipeline = StableDiffusionPipeline(
        vae=load_vae(run),
        text_encoder=denoiser.text,
        tokenizer=tokenizer.load(),
        unet=denoiser.unet,
        scheduler=make_scheduler(),  # pyright: ignore[reportArgumentType]
        safety_checker=None,  # pyright: ignore[reportArgumentType]
        feature_extractor=None,  # pyright: ignore[reportArgumentType]
        requires_safety_checker=False,
    )
    networks = {name: part for name, part in pipeline.components.items() if isinstance(part, nn.Module)}
    networks |= {"controlnet": load_controlnet(run, denoiser), "clip": clip.clip}
    for name, network in networks.items():
        shutil.rmtree(target / name, ignore_errors=True)
        network.half().save_pretrained(target / name, max_shard_size=_SHARD)  # pyright: ignore[reportCallIssue]
    pipeline.scheduler.save_pretrained(target / "scheduler")
    pipeline.save_config(target)
    if target != TARGET:
        shutil.copytree(tokenizer.FOLDER, target / "tokenizer", dirs_exist_ok=True)
    complete_clip(clip.judge, target)
    save_sam(load_sam(run), target / "sam")
    (target / "figures.json").write_text(json.dumps(figures(run), indent=1) + "\n")


def complete_clip(judge: nn.Linear, target: Path) -> None:
    """Add to clip/ its processor, the judge, and the names of the judge's outputs."""
    folder = target / "clip"
    shutil.copytree(target / "tokenizer", folder, dirs_exist_ok=True)
    side, half = {"height": CLIP_SIZE, "width": CLIP_SIZE}, [0.5, 0.5, 0.5]
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": CLIP_SIZE}, crop_size=side, image_mean=half, image_std=half
    )
    processor.save_pretrained(folder)
    save_file(_float16(judge), folder / "judge.safetensors")
    (folder / "vocabulary.json").write_text(json.dumps(NAMES, indent=1) + "\n")


def save_sam(sam: Sam, folder: Path) -> None:
    """Write sam/: the weights, and the shape that `segment_anything`'s classes are built with."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_float16(sam), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(SAM_SHAPE, indent=1) + "\n")


def figures(run: Path) -> dict[str, dict]:
    """Return what each stage cost and what the evaluation measured."""
    measured: dict[str, float] = {}
    for file in sorted(run.glob("metrics-*.json")):
        measured |= json.loads(file.read_text())
    return {"training": {stage: load_weights(run, stage)[1] for stage in STAGES}, "measured": measured}


def _float16(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.half().contiguous() for name, tensor in module.state_dict().items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m training.assemble")
    parser.add_argument("--folder", type=Path, default=Path("output/training"))
    parser.add_argument("--target", type=Path, default=TARGET)
    arguments = parser.parse_args()
    assemble(arguments.folder, arguments.target)
