"""How long do the trajectories of a clip take? Plain Python loops beside ours, on the same flow, in one run.

    python -m benchmarks.trajectories [--frames 16] [--size 512]

The loops are a kind version of the release's: no quadratic list concatenation (RELEASE_QUIRKS 28), no window columns
and no padding, the last two of which ours includes.
"""

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch

from videograin.diffusion.attention.trajectories import Trajectories, trajectories
from videograin.media.flow import OpticalFlow, optical_flow

Point = tuple[int, int, int]


def loop_trajectories(flow: OpticalFlow, grid: tuple[int, int]) -> dict[Point, list[Point]]:
    """Return the other points (t, row, column) of each point's trajectory, one point at a time."""
    following = _loop_links(flow, grid)
    arrived = set(following.values())
    others = {}
    for start in np.ndindex(len(flow.forward) + 1, *grid):
        if start in arrived:
            continue
        path = [start]
        while path[-1] in following:
            path.append(following[path[-1]])
        for point in path:
            others[point] = [other for other in path if other != point]
    return others


def _loop_links(flow: OpticalFlow, grid: tuple[int, int]) -> dict[Point, Point]:
    (height, width), (rows, columns) = grid, flow.forward.shape[-2:]
    arrivals: dict[Point, tuple[float, Point]] = {}
    for t, row, column in np.ndindex(len(flow.forward), height, width):
        y, x = row * rows // height, column * columns // width
        dx, dy = flow.forward[t, :, y, x]
        moved_row, moved_column = dy * np.float32(height / rows), dx * np.float32(width / columns)
        target = (t + 1, row + round(moved_row), column + round(moved_column))
        if not (0 <= target[1] < height and 0 <= target[2] < width):
            continue
        lost_x = (moved_column - round(moved_column)) * columns / width
        lost_y = (moved_row - round(moved_row)) * rows / height
        error = float(flow.forward_error[t, y, x] + lost_x**2 + lost_y**2)
        arrivals[target] = min(arrivals.get(target, (np.inf, (t, row, column))), (error, (t, row, column)))
    return {source: target for target, (_, source) in arrivals.items()}


def moving_clip(frames: int, size: int) -> np.ndarray:
    """Return two textured discs that cross over a textured ground (F, size, size, 3) uint8."""
    noise = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    ground, left, right = (cv2.GaussianBlur(texture, (0, 0), 3) for texture in noise)
    clip = np.repeat(ground[None], frames, axis=0)
    for t, image in enumerate(clip):
        shift = round(t * size / (2 * frames))
        for texture, x, y, step in (left, size // 4, size // 3, shift), (right, 3 * size // 4, size // 2, -shift):
            disc = cv2.circle(np.zeros((size, size), np.uint8), (x + step, y), size // 6, 1, -1).astype(bool)
            image[disc] = np.roll(texture, step, axis=1)[disc]
    return clip


def _seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the median time of a few runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def _ours(flow: OpticalFlow, grid: tuple[int, int], window: int) -> Trajectories:
    ours = trajectories(flow, grid, window)
    _ = ours.entries  # attention's form, computed at first use
    return ours


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=512)
    options = parser.parse_args()

    clip = moving_clip(options.frames, options.size)
    flow_time = _seconds(lambda: optical_flow(clip), repeats=1)
    flow = optical_flow(clip)
    print(f"{options.frames} frames of {options.size}², CPU, {torch.get_num_threads()} threads")
    print(f"DIS flow both ways, with occlusion: {flow_time:.2f} s\n")
    print("| level | tokens | Python loops, s | ours, s | times faster |")
    print("|---|---|---|---|---|")
    total = np.zeros(2)
    for cells in (options.size // 8 // 2**level for level in range(4)):
        grid, window = (cells, cells), 5 if cells == options.size // 8 else 3
        loops = _seconds(lambda grid=grid: loop_trajectories(flow, grid), repeats=1)
        ours = _seconds(lambda grid=grid, window=window: _ours(flow, grid, window), repeats=5)
        total += loops, ours
        print(f"| {cells}² | {options.frames * cells**2} | {loops:.3f} | {ours:.4f} | {loops / ours:.0f} |")
    print(f"| all | | {total[0]:.3f} | {total[1]:.4f} | {total[0] / total[1]:.0f} |")


if __name__ == "__main__":
    main()
