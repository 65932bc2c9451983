"""One window on two devices beside one: seconds by phase, the memory of each, and how far the results differ.

    python -m benchmarks.two_devices --devices cuda:0 cuda:1

Stable Diffusion 1.5 with a ControlNet at its true architecture; weights are random, so that frames mean nothing, but
differ by rounding alone. The second device computes half of the guidance, with networks that are copied in each edit.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.edit import GIB, PHASES, PhaseClock, request
from benchmarks.sd15 import random_sd15
from benchmarks.table import print_table
from videograin.device import choose_dtype, choose_second_device
from videograin.diffusion.devices.split_denoiser import SecondDevice
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.evaluation.metrics import psnr
from videograin.models.presets import Quality, apply_quality
from videograin.region import Convention, EditRequest, EditResult

WARM_STEPS = 4
"""Enough for each kind of step: modulated, plain, with deep features of another, without guidance."""


@dataclass(frozen=True)
class Measured:
    """An edit and what it took.

    Attributes:
        result: what became of it.
        first_step: (F, C, h, w), its latents after the first step.
        seconds: in all.
        phases: seconds of each of `PHASES`.
        peaks: GiB that were allocated at most, of each device.
    """

    result: EditResult
    first_step: Tensor
    seconds: float
    phases: Sequence[float]
    peaks: Sequence[float]

    def cells(self) -> list[str]:
        """Return what it took, for the table."""
        other = self.seconds - sum(self.phases)
        return [f"{x:.2f}" for x in [self.seconds, *self.phases, other, *self.peaks]]


def main() -> None:
    """Print the table."""
    args = _arguments()
    devices = [torch.device(name) for name in args.devices]
    second = SecondDevice(choose_second_device(args.devices[1], devices[0]))
    pipeline = random_sd15(devices[0], choose_dtype(devices[0]))
    exact, rows = request(args.frames, args.steps, Convention.PAPER), []
    for quality in reversed(Quality):
        settings = apply_quality(quality, exact.settings, exact.settings)
        asked = replace(exact, settings=settings)
        warm = replace(exact, settings=replace(settings, num_inference_steps=WARM_STEPS))
        measured = []
        for other in (None, second):
            pipeline.second_device = other
            measure(pipeline, warm, devices)
            measured.append(measure(pipeline, asked, devices))
            apart = difference(*measured) if other else ["", "", ""]
            rows.append([quality, str(len(measured)), *measured[-1].cells(), *apart])
            print(*rows[-1], flush=True)  # the next one may take half a minute
    columns = ["quality", "devices", "seconds", *PHASES, "other", "GiB, first", "GiB, second"]
    differences = ["after 1 step: largest, mean", "at the end: largest, mean", "PSNR, dB"]
    title = f"{_name(devices[0])}, 512×512, 4 regions, ControlNet, trajectories: {args.frames} frames"
    print_table(f"{title}, {args.steps} steps where exact", [*columns, *differences], rows)


def measure(pipeline: VideoGrainPipeline, asked: EditRequest, devices: Sequence[torch.device]) -> Measured:
    """Carry out an edit, and take down what it took."""
    for device in _gpus(devices):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    steps: list[Tensor] = []

    def keep(_pipeline: object, _index: int, _timestep: int, values: dict[str, Tensor]) -> dict[str, Tensor]:
        steps.append(values["latents"])
        return {}

    clock, started = PhaseClock(), time.monotonic()
    result = pipeline.edit(asked, callback_on_step_end=keep, report=clock)
    seconds = time.monotonic() - started
    return Measured(
        result=result,
        first_step=steps[0],
        seconds=seconds,
        phases=[clock.seconds[phase] for phase in PHASES],
        peaks=[torch.cuda.max_memory_allocated(device) / GIB for device in _gpus(devices)] or [0.0, 0.0],
    )


def difference(one: Measured, two: Measured) -> list[str]:
    """Return how far two results differ: latents in units of their spread, and frames."""
    pairs = ((one.first_step, two.first_step), (one.result.latents, two.result.latents))
    frames = one.result.frames
    decibels = psnr(two.result.frames, frames, np.ones(frames.shape[:3], bool))
    return [*(_apart(first, other) for first, other in pairs), f"{decibels:.1f}"]


def _apart(first: Tensor, other: Tensor) -> str:
    off = (first - other).float().abs() / first.float().std()
    return f"{off.max():.1e}, {off.mean():.1e}"


def _gpus(devices: Sequence[torch.device]) -> list[torch.device]:
    return [device for device in devices if device.type == "cuda"]


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.two_devices")
    parser.add_argument("--devices", nargs=2, default=["cuda:0", "cuda:1"], metavar="NAME")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--steps", type=int, default=50)
    return parser.parse_args()


if __name__ == "__main__":
    main()
