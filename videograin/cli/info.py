"""`videograin info`: a clip, a model, or this machine and the models on it."""

import argparse
import platform
from pathlib import Path

from videograin.cli.terminal import silence_libraries
from videograin.device import choose_device
from videograin.errors import ModelError
from videograin.models.bundles import ModelBundle, find_bundle, named_bundles

INDEX = "model_index.json"
"""What every model in diffusers' layout has."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = commands.add_parser("info", help="describe a clip or a model, or this machine")
    parser.set_defaults(run=run)
    parser.add_argument("target", nargs="?", help="a clip, or a model's name, folder, file or hub id")


def run(options: argparse.Namespace) -> None:
    """Describe a clip, a model or the machine."""
    target = options.target
    if target is None:
        _print_machine()
    elif _is_clip(Path(target)):
        _print_clip(Path(target))
    elif Path(target).is_dir() and not Path(target, INDEX).is_file():
        raise ModelError(
            f"The folder '{target}' is neither a clip, for it holds no pictures, nor a model, for it holds no {INDEX}."
        )
    elif target in named_bundles() or _is_here(find_bundle(target)):
        _print_bundle(find_bundle(target))
    else:
        names = ", ".join(named_bundles())
        raise ModelError(
            f"'{target}' is not on this machine. Give a clip, a model's folder or file, or one of: {names}."
        )


def _is_clip(path: Path) -> bool:
    """Tell whether a path is a video or a folder of pictures, and no model."""
    from videograin.media.frame_folder import PICTURES

    if path.is_dir():
        has_pictures = any(each.suffix.lower() in PICTURES for each in path.iterdir())
        return has_pictures and not (path / INDEX).is_file()  # a model may come with pictures of its results
    return path.is_file() and path.suffix not in (".safetensors", ".ckpt")


def _print_machine() -> None:
    import diffusers
    import torch

    from videograin.models.memory import free_bytes
    from videograin.models.time_left import GIB

    silence_libraries()
    device = choose_device()
    print(f"Python {platform.python_version()}, torch {torch.__version__}, diffusers {diffusers.__version__}")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    print(f"Device: {device} ({name}), {free_bytes(device) / GIB:.1f} GiB free")
    for bundle in named_bundles().values():
        _print_bundle(bundle)


def _print_bundle(bundle: ModelBundle) -> None:
    here = "on this machine" if _is_here(bundle) else "not on this machine"
    print(f"\n{bundle.name}: {bundle.knows}")
    print(f"  {bundle.source} ({here})")
    print(f"  short side {bundle.short_side}, multiples of {bundle.multiple}")
    print(f"  ControlNets: {', '.join(bundle.controls) or 'none'}")


def _is_here(bundle: ModelBundle) -> bool:
    from videograin.models.bundles import is_available_offline

    return is_available_offline(bundle)


def _print_clip(path: Path) -> None:
    from videograin.media.video import probe

    info = probe(path)
    sound = "sound" if info.has_audio else "no sound"
    print(f"{path}: {info.width}×{info.height}, {info.fps:g} fps, {info.duration:.2f} s, {info.codec}, {sound}")
