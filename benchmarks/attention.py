"""ST-Layout self-attention of one guidance half at SD 1.5's sizes: plain, both our forms, and with all scores held.

Run on a CUDA device: `python -m benchmarks.attention`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.materialized import materialized_attention
from benchmarks.table import print_table
from videograin.diffusion.attention.kernels.one_pass_kernel import one_pass_attention
from videograin.diffusion.attention.modulation import (
    SharedRegions,
    augmented_attention,
    chunked_attention,
    timestep_weight,
)
from videograin.diffusion.attention.plain import attention
from videograin.diffusion.attention.row_range import row_range
from videograin.diffusion.attention.trajectories import trajectories
from videograin.diffusion.attention.trajectory import trajectory_attention
from videograin.media.flow import OpticalFlow

FRAMES = 16
HEADS = 8
LEVELS = [(64, 40), (32, 80), (16, 160)]
"""(side of the latents, head dimension) of SD 1.5 at 512×512."""

ORACLE_ROWS = 512
MATERIALIZED_LIMIT = 20_000
"""Tokens above which holding all scores takes tens of GiB."""


def main() -> None:
    """Print one table of times, memory and errors."""
    rows = [row for side, dim in LEVELS for row in measure(side, dim)]
    device = torch.cuda.get_device_name()
    columns = ["tokens × head dim", "what", "ms", "GiB over inputs", "error to fp32"]
    print_table(f"{device}, fp16, {FRAMES} frames, {HEADS} heads, 4 regions, batch 1", columns, rows)


def measure(side: int, dim: int) -> list[list[str]]:
    """Measure every way at one resolution."""
    tokens, scale = FRAMES * side * side, dim**-0.5
    query, key, value = (torch.randn(1, HEADS, tokens, dim, device="cuda", dtype=torch.float16) for _ in range(3))
    regions = four_regions(side)
    strength = torch.full((1, tokens), 0.3 * timestep_weight(981) * 0.8, device="cuda")
    ways: dict[str, Callable[[], Tensor]] = {
        "plain attention, PyTorch's": lambda: F.scaled_dot_product_attention(query, key, value, scale=scale),
        "plain attention, ours": lambda: attention(query, key, value, scale),
        "row range alone": lambda: row_range(query, key)[0],
        "ST-Layout, augmented": lambda: augmented_attention(query, key, value, strength, regions, scale),
        "ST-Layout, one pass": lambda: one_pass_attention(query, key, value, strength, regions.runs, scale),
    }
    if tokens < MATERIALIZED_LIMIT:
        ways["ST-Layout, all scores held"] = lambda: materialized_attention(query, key, value, strength, regions, scale)
    if side == LEVELS[0][0]:
        paths = trajectories(OpticalFlow.from_pair(*random_flow()), (side, side)).to("cuda")
        ways["trajectory attention"] = lambda: trajectory_attention(query, key, value, paths, scale)
    pick = torch.randperm(tokens, device="cuda")[:ORACLE_ROWS]
    own = SharedRegions(regions.query_classes[:, pick], regions.key_classes, regions.shares)
    oracles = {
        "plain attention": chunked_attention(
            query[:, :, pick].float(), key.float(), value.float(), 0 * strength[:, pick], own, scale
        ),
        "ST-Layout": chunked_attention(
            query[:, :, pick].float(), key.float(), value.float(), strength[:, pick], own, scale
        ),
    }
    return [
        [f"{tokens} × {dim}", name, *timed(way), error(way(), pick, oracles.get(name.split(",")[0]))]
        for name, way in ways.items()
    ]


def four_regions(side: int) -> SharedRegions:
    """Four quarters, the middle belonging to two of them: five classes."""
    classes = torch.arange(side, device="cuda").div(side / 2, rounding_mode="floor").long()
    grid = classes[:, None] * 2 + classes
    grid[side // 4 : side // 2, side // 4 : side // 2] = 4
    tokens = grid.flatten().repeat(FRAMES)[None]
    shares = torch.eye(5, dtype=torch.bool, device="cuda")
    shares[4, :2] = shares[:2, 4] = True
    return SharedRegions(tokens, tokens, shares)


def random_flow() -> tuple:
    """Smooth motion of a few pixels at 512×512, and its way back."""
    flow = torch.nn.functional.interpolate(4 * torch.randn(FRAMES - 1, 2, 8, 8), size=(512, 512), mode="bilinear")
    return flow.numpy(), (-flow).numpy()


def timed(way: Callable[[], Tensor], repeats: int = 10) -> list[str]:
    """Return the median milliseconds and the GiB taken besides what was there."""
    for _ in range(3):
        way()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(repeats):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        way()
        stop.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(stop))
    gib = (torch.cuda.max_memory_allocated() - before) / 2**30
    return [f"{sorted(times)[repeats // 2]:.2f}", f"{gib:.2f}"]


def error(out: Tensor, rows: Tensor, oracle: Tensor | None) -> str:
    """Return the relative L2 error of some rows."""
    if oracle is None:
        return ""
    return f"{((out[:, :, rows].float() - oracle).norm() / oracle.norm()).item():.2e}"


if __name__ == "__main__":
    main()
