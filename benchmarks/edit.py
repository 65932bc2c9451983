"""A whole edit at SD 1.5 + ControlNet's true architecture: seconds by phase, peak memory, memory over frames.

Weights are random, so only time and memory mean anything. Run on a CUDA device:

    python -m benchmarks.edit
    python -m benchmarks.edit --long 128 --window 12 --anchors 2    # a clip of several windows, and nothing else
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from unittest import mock

import numpy as np
import torch

from benchmarks.materialized import materialized_attention
from benchmarks.sd15 import random_sd15
from benchmarks.table import print_table
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.windows.anchor_bank import BankRoom
from videograin.models.presets import Quality, apply_quality
from videograin.progress import Phase, Progress, Report, ignore
from videograin.region import Convention, EditRequest, EditSettings, Region

GIB = 2**30
BANK_ROOM = BankRoom(5 * GIB, 20 * GIB)
"""For a long clip's anchors, so that an edit stays below 12 GiB of the device."""

PHASES = (Phase.ENCODE, Phase.INVERT, Phase.EDIT, Phase.DECODE)


class PhaseClock:
    """Adds up the wall time of each phase, as reported; within a phase the device is not waited for, as in any edit."""

    def __init__(self) -> None:
        self.seconds: dict[Phase, float] = defaultdict(float)
        self._started = 0.0

    def __call__(self, progress: Progress) -> None:
        """Count the time since the phase began."""
        if progress.done in (0, progress.total):
            torch.cuda.synchronize()
        now = time.monotonic()
        if progress.done == 0:
            self._started = now
        self.seconds[progress.phase] = now - self._started


def main() -> None:
    """Print the tables."""
    args = _arguments()
    pipeline = random_sd15(torch.device("cuda"), torch.float16)
    device = f"{torch.cuda.get_device_name()}, fp16, 512×512, 4 regions, ControlNet, trajectories"
    if args.long:
        windows = {"window_frames": args.window, "anchor_frames": args.anchors, "window_overlap": args.overlap}
        print_long_table(pipeline, device, partial(request, convention=Convention.PAPER, **windows), args)
        return
    print_edit_table(pipeline, device, args.frames, args.steps)
    print_quality_table(pipeline, device, args.frames, args.steps)
    print_memory_table(pipeline, device)
    print_step_table(pipeline, device)


def print_edit_table(pipeline: VideoGrainPipeline, device: str, frames: int, steps: int) -> None:
    """Print a whole edit in both conventions, by phase."""
    rows = []
    for convention in Convention:
        edit(pipeline, request(frames, 2, convention))  # kernels are chosen and compiled
        rows.append([convention, *measure(pipeline, request(frames, steps, convention))])
    columns = ["convention", "seconds", *PHASES, "other", "peak GiB allocated"]
    print_table(f"{device}: {frames} frames, {steps}+{steps} steps", columns, rows)


def print_quality_table(pipeline: VideoGrainPipeline, device: str, frames: int, steps: int) -> None:
    """Print a whole edit in each quality, the paper's convention, by phase."""
    rows, exact = [], request(frames, steps, Convention.PAPER)
    for quality in reversed(Quality):
        settings = apply_quality(quality, exact.settings, exact.settings)
        warm = replace(settings, num_inference_steps=4)
        edit(pipeline, replace(exact, settings=warm))
        rows.append([quality, *measure(pipeline, replace(exact, settings=settings))])
    columns = ["quality", "seconds", *PHASES, "other", "peak GiB allocated"]
    print_table(f"{device}: {frames} frames, {steps} steps where exact", columns, rows)


def print_memory_table(pipeline: VideoGrainPipeline, device: str) -> None:
    """Print peak memory over the number of frames; it must grow no faster than they do."""
    rows = [[str(frames), measure(pipeline, request(frames, 2))[-1]] for frames in (8, 16, 32)]
    print_table(f"{device}: 2+2 steps", ["frames", "peak GiB allocated"], rows)


def print_long_table(
    pipeline: VideoGrainPipeline, device: str, ask: Callable[[int, int], EditRequest], args: argparse.Namespace
) -> None:
    """Print an edit by windows as they are finished: frames and seconds so far, and the most memory that was held."""
    edit(pipeline, ask(32, 2))
    pipeline.bank_room = BANK_ROOM
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    started, done, rows = time.monotonic(), 0, []
    for window in pipeline.edit_windows(ask(args.long, args.steps)):
        done += len(window.frames)
        seconds, peak = time.monotonic() - started, torch.cuda.max_memory_allocated() / GIB
        rows.append([str(done), f"{seconds:.1f}", f"{peak:.2f}"])
        print(*rows[-1], flush=True)
    way = f"windows of {args.window} and {args.anchors} anchors, overlap {args.overlap}"
    print_table(f"{device}: {args.steps}+{args.steps} steps, {way}", ["frames", "seconds", "peak GiB"], rows)


def print_step_table(pipeline: VideoGrainPipeline, device: str) -> None:
    """Print one modulated step, ours beside the one that holds all scores (release convention, ≤ 32×32)."""
    rows = []
    ways: dict[str, AbstractContextManager] = {
        "ours": nullcontext(),
        "all scores held": mock.patch(
            "videograin.diffusion.attention.processors.modulated_attention", materialized_attention
        ),
    }
    for name, way in ways.items():
        with way:
            seconds = {}
            for fraction in (0.0, 1.0):
                clock = PhaseClock()
                torch.cuda.reset_peak_memory_stats()
                edit(pipeline, request(16, 4, Convention.RELEASE, fraction), clock)
                seconds[fraction] = clock.seconds[Phase.EDIT] / 4
            peak = torch.cuda.max_memory_allocated() / GIB
            rows.append([name, f"{seconds[1.0]:.3f}", f"{seconds[0.0]:.3f}", f"{peak:.2f}"])
    columns = ["modulated attention", "modulated step, s", "plain step, s", "peak GiB allocated"]
    print_table(f"{device}: one step of both halves, 16 frames", columns, rows)


def request(
    frames: int, steps: int, convention: Convention = Convention.RELEASE, fraction: float = 0.3, **changes: int
) -> EditRequest:
    """Four regions over a moving texture."""
    rng = np.random.default_rng(0)
    side = 64 + -(-2 * frames // 8)
    texture = np.kron(rng.integers(0, 255, (side, side, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    clip = np.stack([texture[f : f + 512, 2 * f : 2 * f + 512] for f in range(frames)])
    masks = np.zeros((4, frames, 512, 512), bool)
    for index, (top, left) in enumerate([(32, 32), (32, 288), (288, 32), (288, 200)]):
        masks[index, :, top : top + 192, left : left + 192] = True
    regions = [Region(mask, word) for mask, word in zip(masks, ["a b", "c d", "e f", "g h"], strict=True)]
    settings = EditSettings(num_inference_steps=steps, convention=convention, modulated_fraction=fraction)
    settings = replace(settings, **changes)
    return EditRequest(clip, regions, "p q r s", control_images=[clip], settings=settings)


def edit(pipeline: VideoGrainPipeline, asked: EditRequest, clock: Report = ignore) -> None:
    """Run one edit."""
    pipeline.edit(asked, report=clock)


def measure(pipeline: VideoGrainPipeline, asked: EditRequest) -> list[str]:
    """Return seconds in all, by phase and besides them, and the peak memory of one edit."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    clock = PhaseClock()
    started = time.monotonic()
    edit(pipeline, asked, clock)
    seconds = time.monotonic() - started
    phases = [clock.seconds[phase] for phase in PHASES]
    peak = torch.cuda.max_memory_allocated() / GIB
    return [f"{x:.2f}" for x in [seconds, *phases, seconds - sum(phases), peak]]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edit")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--long", type=int, default=0, metavar="FRAMES", help="edit a clip of this length in windows")
    parser.add_argument("--window", type=int, default=EditSettings.window_frames)
    parser.add_argument("--anchors", type=int, default=EditSettings.anchor_frames)
    parser.add_argument("--overlap", type=int, default=EditSettings.window_overlap)
    return parser.parse_args()


if __name__ == "__main__":
    main()
