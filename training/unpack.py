"""Put shipped weights back into a run's folder, so that stages can go on with them (`--resume`): assembling undone.

python -m training.unpack --folder output/training
"""

import argparse
import json
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from training.assemble import TARGET
from training.weights import save_weights

PARTS = {
    "vae": {"vae.": "vae"},
    "clip": {"clip.": "clip/model.safetensors", "judge.": "clip/judge.safetensors"},
    "sam": {"": "sam/model.safetensors"},
    "unet": {"unet.": "unet", "text.": "text_encoder"},
    "controlnet": {"": "controlnet"},
}
"""Of each stage: how the names of its networks' weights begin, and the file or folder of the model that holds them."""


def unpack(source: Path, run: Path) -> None:
    """Write the weights of all stages, with what they cost, into a run's folder."""
    costs = json.loads((source / "figures.json").read_text())["training"]
    for stage, networks in PARTS.items():
        state = {
            prefix + name: tensor
            for prefix, place in networks.items()
            for name, tensor in _read(source / place).items()
        }
        save_weights(state, run, stage, costs[stage], half=True)


def _read(place: Path) -> dict[str, Tensor]:
    files = sorted(place.glob("*.safetensors")) if place.is_dir() else [place]
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m training.unpack")
    parser.add_argument("--source", type=Path, default=TARGET)
    parser.add_argument("--folder", type=Path, default=Path("output/training"))
    arguments = parser.parse_args()
    unpack(arguments.source, arguments.folder)
