"""The options that benchmarks of held-out clips share, and the library of clips that they name."""

import argparse
from pathlib import Path

import torch

from benchmarks.clips import Folders, Library, Packed


def add_clip_options(parser: argparse.ArgumentParser, *, clips: int, file: str) -> None:
    """Add which clips are edited by which model on which device, and where results are kept.

    Args:
        parser: of a benchmark.
        clips: how many of each kind, unless the user says otherwise.
        file: where results are kept, unless the user names another.
    """
    parser.add_argument("--clips", type=int, default=clips, help="of each kind, at most")
    parser.add_argument("--model", default="emoji-world", help="folder in diffusers' layout, with its clip/")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, default=Path(file), metavar="FILE", help="where results are kept")
    parser.add_argument("--packed", type=Path, metavar="FILE.npz", help="read the clips from a packed file")


def add_crew_options(parser: argparse.ArgumentParser) -> None:
    """Add how long the clips are, and how many processes edit them for how long."""
    parser.add_argument("--frames", type=int, default=16, help="of each clip, evenly spaced")
    add_worker_options(parser)


def add_worker_options(parser: argparse.ArgumentParser) -> None:
    """Add how many processes edit for how long."""
    parser.add_argument("--workers", type=int, default=1, help="processes, dealt out over the GPUs; seconds want one")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no edit after these")


def library_of(args: argparse.Namespace) -> Library:
    """Return where the clips are to come from."""
    return Packed(args.packed) if args.packed else Folders()


def devices_of(args: argparse.Namespace, tasks: int) -> list[str]:
    """Return a device for each process, of which there are no more than tasks."""
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    places = gpus if args.device == "cuda" else [args.device]
    return [places[worker % len(places)] for worker in range(min(args.workers, tasks))]
