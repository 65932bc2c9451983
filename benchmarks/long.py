"""Long clips: what a frame costs at each length, and what windows cost in accuracy and at their seams.

    python -m benchmarks.long --lengths 48 96 192 --clips 8 --json output/long.jsonl
    python -m benchmarks.long --lengths 48 --clips 16 --workers 12 --variants full windows 'windows alone'
    python -m benchmarks.long --device cpu --lengths 48 96 --clips 2 --steps 8

The first report clips with two objects, of 16 frames each, are played there and back until they are long enough: the
same content at every length, so that what differs is the length. A machine without ffmpeg reads them from a packed file
(`benchmarks.emoji_world --split report --kinds two --pack`). Seconds and memory are those of the windows alone, as a
studio would hold them, after a short edit in which kernels are chosen and compiled; the accuracy is judged as in the
editing table. Edits that the file of results has are not made again, so that a run that was stopped goes on.

The seam ratio is the warp error over the pairs of frames in which one window ends and the next begins, divided by that
of all other pairs: 1 is no seam. "UNet frames" are those that all forwards work on, in units of one for each frame,
step and half: what overlaps and anchors cost on top.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from benchmarks.clips import Library, Told
from benchmarks.crew import keep_results, work_off
from benchmarks.emoji_world import select, settings_text
from benchmarks.options import add_clip_options, add_worker_options, devices_of, library_of
from benchmarks.scoring import Bench, Task
from benchmarks.table import print_table
from benchmarks.variants import Variant, changed
from videograin.comparison.cost import measure_cost
from videograin.diffusion.windows.anchor_bank import BankRoom
from videograin.evaluation.seams import seam_ratio
from videograin.models.bundles import EMOJI_WORLD_SETTINGS
from videograin.region import AttentionMode, EditSettings

COLUMNS = (
    "keys", "frames", "clips", "target", "mixing", "CLIP-F", "warp", "seam ratio", "UNet frames", "s a frame",
    "device MiB", "host MiB",
)  # fmt: skip

NO_PATHS = {"trajectory_attention": False, "temporal_smoothing": 0.0}

WARM_STEPS = 3

NO_BANK = "windows without a bank"
"""The variant whose anchors are computed again in every window."""


@dataclass(frozen=True)
class ThereAndBack:
    """A library whose clips are played there and back until they have as many frames as are wanted.

    Attributes:
        library: the clips.
        frames: how many are wanted.
        side: pixels of both sides; 0 leaves them as they are.
    """

    library: Library
    frames: int
    side: int = 0

    def documents(self) -> dict[str, dict]:
        """Return what the library says."""
        return self.library.documents()

    def pixels(self, number: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return frames and masks of a clip, there and back."""
        frames, masks = self.library.pixels(number)
        last = len(frames) - 1
        order = last - np.abs(np.arange(self.frames) % (2 * last) - last)
        frames, masks = self._resized(frames), {name: self._resized(255 * mask) > 127 for name, mask in masks.items()}
        return frames[order], {name: mask[order] for name, mask in masks.items()}

    def _resized(self, pictures: np.ndarray) -> np.ndarray:
        size = (self.side or pictures.shape[1], self.side or pictures.shape[2])
        pictures = pictures.astype(np.uint8)
        return np.stack([cv2.resize(each, size[::-1], interpolation=cv2.INTER_AREA) for each in pictures])


@dataclass(frozen=True)
class Line:
    """What one edit came to; bytes are peaks, of the device and of this process."""

    variant: str
    settings: str
    frames: int
    clip: str
    target: float
    mixing: float
    clip_f: float
    warp_error: float
    seam_ratio: float
    unet_frames: float
    seconds: float
    device_bytes: int
    host_bytes: int

    @property
    def key(self) -> tuple[str, str, int, str]:
        """What makes two edits the same."""
        return self.variant, self.settings, self.frames, self.clip

    def __str__(self) -> str:
        return f"{self.target:.2f} in {self.seconds:.1f} s"


def variants(base: EditSettings, wanted: Sequence[str]) -> Iterator[Variant]:
    """Yield the ways to edit a long clip, by name."""
    for name in wanted:
        keys, _, missing = name.partition(" without ")
        settings = replace(base, **NO_PATHS) if missing == "paths" else base
        if "=" in keys:
            settings = changed(settings, keys)
        elif keys == "full":
            settings = replace(settings, attention_mode=AttentionMode.FULL)
        elif keys == "windows alone":
            settings = replace(settings, anchor_frames=0)
        yield Variant(name, settings)


class LongBench:
    """A worker that edits clips of any length.

    Args:
        bench: edits and judges.
        library: the clips as they are.
        side: pixels of both sides; 0 leaves them as they are.
    """

    def __init__(self, bench: Bench, library: Library, side: int) -> None:
        self._bench, self._library, self._side = bench, library, side

    @classmethod
    def hire(cls, device: str, model: str, library: Library, side: int, task: Task) -> Self:
        """Make a worker on a device that has made a short edit of a task's shape."""
        worker = cls(Bench.load(model, device, library), library, side)
        assert task.variant.settings is not None
        settings = replace(task.variant.settings, num_inference_steps=WARM_STEPS)
        worker.measure(replace(task, variant=Variant("warm", settings)))
        return worker

    def measure(self, task: Task) -> Line:
        """Edit a clip, as long as the task asks for, and judge the result."""
        self._bench.library = ThereAndBack(self._library, task.frames, self._side)
        return measure(self._bench, task)


def measure(bench: Bench, task: Task) -> Line:
    """Edit a clip window by window and judge the result."""
    assert task.variant.settings is not None
    known = bench.reference(task.number, task.told, task.frames)
    request = replace(known.request, settings=task.variant.settings)
    device, counted = bench.pipeline.device, Counted(bench)
    bench.pipeline.bank_room = BankRoom(0, 0) if task.variant.label == NO_BANK else BankRoom()
    with counted:
        windows = bench.pipeline.edit_windows
        frames, cost = measure_cost(lambda: np.concatenate([each.frames for each in windows(request)]), device)
    score = bench.score(task, known, frames, frames, cost.seconds)
    return Line(
        variant=task.variant.label,
        settings=settings_text(task.variant),
        frames=task.frames,
        clip=task.told.name,
        target=score.target,
        mixing=score.mixing,
        clip_f=score.clip_f,
        warp_error=score.warp_error,
        seam_ratio=seam_ratio(frames, known.flow, request),
        unet_frames=counted.frames / task.frames / _halves(task.variant.settings),
        seconds=cost.seconds,
        device_bytes=cost.device_bytes,
        host_bytes=cost.host_bytes,
    )


class Counted:
    """While open, counts the frames that the UNet works on, those of both halves."""

    def __init__(self, bench: Bench) -> None:
        self._unet, self.frames = bench.pipeline.unet, 0

    def __enter__(self) -> None:
        self._hook = self._unet.register_forward_pre_hook(lambda _, inputs: self._add(len(inputs[0])))

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    def _add(self, frames: int) -> None:
        self.frames += frames


def _halves(settings: EditSettings) -> int:
    """Return on how many halves of a frame an edit without windows works, from its first step to its last."""
    return settings.inversion_steps + settings.steps_run * (2 if settings.guidance_scale > 1 else 1)


def read_lines(file: Path) -> list[Line]:
    """Read the results so far; a line that was cut off is left out."""
    text = file.read_text() if file.exists() else ""
    return [Line(**json.loads(line)) for line in text.splitlines() if line.endswith("}")]


def print_lines(lines: Sequence[Line]) -> None:
    """Print the means of each variant at each length."""
    rows = []
    for variant, frames in dict.fromkeys((line.variant, line.frames) for line in lines):
        own = [line for line in lines if (line.variant, line.frames) == (variant, frames)]
        shares = [format(np.mean([getattr(line, name) for line in own]), form) for name, form in _FORMS.items()]
        seconds = np.mean([line.seconds for line in own]) / frames
        device, host = (max(getattr(line, name) for line in own) / 2**20 for name in ("device_bytes", "host_bytes"))
        rows.append([variant, str(frames), str(len(own)), *shares, f"{seconds:.3f}", f"{device:.0f}", f"{host:.0f}"])
    print_table("long clips", COLUMNS, rows)


_FORMS = {
    "target": ".3f",
    "mixing": ".3f",
    "clip_f": ".2f",
    "warp_error": ".2f",
    "seam_ratio": ".2f",
    "unet_frames": ".3f",
}


def main() -> None:
    """Edit the clips at each length in each way, and print the table."""
    args = _arguments()
    library = library_of(args)
    told: dict[str, Told] = select(library, "report", ["two"], args.clips)
    base = replace(
        EMOJI_WORLD_SETTINGS,  # also where the model is named by its folder
        window_frames=args.window, anchor_frames=args.anchors, window_overlap=args.overlap,
    )  # fmt: skip
    if args.steps:
        base = replace(base, num_inference_steps=args.steps)
    wanted = {
        (variant.label, settings_text(variant), length, clip.name): Task(number, clip, variant, length)
        for length, (number, clip), variant in product(args.lengths, told.items(), variants(base, args.variants))
    }
    known = {line.key for line in read_lines(args.json)}
    missing = [task for key, task in wanted.items() if key not in known]
    if missing:
        hire = partial(LongBench.hire, model=args.model, library=library, side=args.side, task=missing[0])
        finished = work_off(hire, devices_of(args, len(missing)), missing, args.seconds)
        keep_results(finished, len(missing), args.json, lambda _, line: line)
    print_lines([line for line in read_lines(args.json) if line.key in wanted])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long")
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 48, 96, 192], help="frames")
    parser.add_argument(
        "--variants", nargs="+", default=["windows", "windows without paths"],
        help=f"windows, 'windows alone' (no anchors), '{NO_BANK}', full, or changes such as window_frames=12; "
        "all but the third also '… without paths'",
    )  # fmt: skip
    parser.add_argument("--window", type=int, default=EditSettings.window_frames)
    parser.add_argument("--anchors", type=int, default=EditSettings.anchor_frames)
    parser.add_argument("--overlap", type=int, default=EditSettings.window_overlap)
    parser.add_argument("--steps", type=int, default=0, help="denoising steps; 0 takes the model's")
    parser.add_argument("--side", type=int, default=0, help="pixels of both sides; 0 takes the clips'")
    add_clip_options(parser, clips=8, file="output/long.jsonl")
    add_worker_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
