"""What windows of a long clip cost, counted: lengths, anchors and overlaps, with the anchors' bank and without it.

    python -m benchmarks.windows --frames 128

Stable Diffusion 1.5 + ControlNet at its true architecture, 512×512, 50 + 50 steps, in the paper's convention. No device
is needed: networks run on the meta device, and seconds are those of 16 frames as measured on an H100
(`benchmarks.edit`), times how much more arithmetic the clip is.
"""

import argparse
from dataclasses import replace

import torch

from benchmarks.sd15 import random_sd15
from benchmarks.table import print_table
from videograin.diffusion.windows.anchor_bank import BankRoom
from videograin.models.footprint import clip_windows, footprint
from videograin.models.memory import MemoryPlan, estimate_edit
from videograin.models.time_left import GIB
from videograin.region import EditSettings

COLUMNS = (
    "together", "anchors", "overlap", "windows", "of", "UNet frames", "no bank", "s", "no bank", "bank, GiB",
)  # fmt: skip

WAYS = ((20, 4, 2), (16, 4, 2), (16, 4, 1), (16, 2, 2), (16, 8, 2), (12, 4, 2), (12, 2, 2), (12, 2, 1))
"""Frames that see one another, anchors among them, overlap."""

SECONDS_OF_16 = 30.2
"""Measured on one NVIDIA H100 in fp16 (RESULTS.md)."""

CUDA, SIDE = torch.device("cuda"), 512


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.windows")
    parser.add_argument("--frames", type=int, default=128)
    frames = parser.parse_args().frames
    pipeline = random_sd15(torch.device("meta"), torch.float16)

    def seconds(frames: int, settings: EditSettings, room: int = 2**50) -> float:
        plan = MemoryPlan(bank_room=BankRoom(room, 0))
        return estimate_edit(pipeline, (frames, SIDE, SIDE), settings, CUDA, plan, speed=1e12).seconds

    second = SECONDS_OF_16 / seconds(16, EditSettings())
    rows = []
    for window, anchors, overlap in WAYS:
        settings = replace(EditSettings(), window_frames=window, anchor_frames=anchors, window_overlap=overlap)
        windows = clip_windows((frames, SIDE, SIDE), settings)
        longest = max(len(each.frames) for each in windows)
        denoised = sum(len(each.frames) for each in windows)
        counts = [(denoised + anchors * times) / frames for times in (1, 1 + len(windows))]
        times = [second * seconds(frames, settings, room) for room in (2**50, 0)]
        bank = footprint(pipeline, (frames, SIDE, SIDE), settings, CUDA).bank / GIB
        cells = [f"{counts[0]:.3f}", f"{counts[1]:.3f}", f"{times[0]:.0f}", f"{times[1]:.0f}", f"{bank:.1f}"]
        rows.append([str(window), str(anchors), str(overlap), str(len(windows)), str(longest), *cells])
    print_table(f"SD 1.5 + ControlNet, {frames} frames of 512×512, 50+50 steps, counted", COLUMNS, rows)


if __name__ == "__main__":
    main()
