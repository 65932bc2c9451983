"""A phone's clip edited at its full size on the CPU, by the command line: what comes out, what it takes, what it keeps.

    python -m benchmarks.full_size --frames 90 --json output/full_size.json

The clip is made here: 1080×1920, 30 fps, with sound; the background of an example under a sensor's grain, and an animal
of 200 pixels that walks across it; with --apart a second one walks the other way, far above it. It is edited by Emoji
World, and what lies outside of the animals' grown masks is compared with the source as it was decoded.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from benchmarks.table import print_table
from videograin.evaluation.rim import rim_ratio
from videograin.masks.shapes import grow
from videograin.media.encode import save_video
from videograin.media.ffmpeg import VideoInfo, run
from videograin.media.sound import AudioSource
from videograin.media.video import ClipOptions, load_clip, stream_frames
from videograin.production.source_edit import SourceEdit
from videograin.project.examples import example_path
from videograin.project.project import load_project

WIDTH, HEIGHT, FPS = 1080, 1920, 30
OBJECT = 200
"""Pixels of the animal's longer side."""

WALK_FRAMES = 89
"""Frames of the animal's way, six pixels each, at the least: optical flow does not follow what hurries in fewer."""

GROWN = 8
"""Pixels around the masks that may change: the seam's fading, at the source's size."""

EXACT = "exact.npz"
"""Where the masks of every pixel are, whatever the edit is given."""

SOUND_RATE = 48_000
SOURCE_CRF = 12
"""Of the clip that stands for a phone's, whose cameras write as finely."""

COUNTED = ClipOptions(short_side=16, multiple=1, max_frames=3600)


@dataclass(frozen=True)
class Outcome:
    """What an edit came to.

    Attributes:
        is_like_source: whether size, frames and rate are the source's.
        frames: of the result.
        sound_ms: how much longer the result's sound is than its picture, in milliseconds.
        kept_db: PSNR outside of the grown masks, against the decoded source.
        rim_ratio: `rim_ratio` of the result around what was edited. Around the exact masks it would measure how far
            these are met: a new object that stands still to the pixel, but is larger by one, has 11 there.
        mask_iou: how much of what was edited and of the exact masks overlaps.
        drawn: pixels at which the longer side of an animal was drawn, of two the smaller one.
        seconds: of the whole command.
        peak_gib: of the process that used most memory.
        source_mb, result_mb: sizes of the files.
    """

    is_like_source: bool
    frames: int
    sound_ms: float
    kept_db: float
    rim_ratio: float
    mask_iou: float
    drawn: int
    seconds: float
    peak_gib: float
    source_mb: float
    result_mb: float


def make_project(folder: Path, frames: int, grain: float, mask_scale: int = 1, *, is_apart: bool = False) -> Path:
    """Write a clip, the masks of its animals and the edit into a folder; return the edit's file.

    Args:
        folder: empty.
        frames: of the clip.
        grain: standard deviation of the sensor's noise in grey levels.
        mask_scale: pixels of the clip to a pixel of the masks.
        is_apart: whether a second animal is edited, far from the first.
    """
    project = load_project(example_path("friends") / "project.json")
    clip = load_clip(project.clip, project.clip_options)
    regions = project.load_regions(clip)
    background = cv2.inpaint(
        clip.frames[0], np.any([grow(region.masks[:1], 6)[0] for region in regions], axis=0).astype(np.uint8), 5,
        cv2.INPAINT_TELEA,
    )  # fmt: skip
    walks = (RIGHT, LEFT) if is_apart else (RIGHT,)
    sprites = [_sprite(clip.frames[0], region.masks[0]) for region in regions[: len(walks)]]
    scene = _Scene(_cover(background), sprites, walks)
    masks = {walk.name: np.zeros((frames, HEIGHT, WIDTH), bool) for walk in walks}
    sound = folder / "sound.mp4"
    tone = ["-f", "lavfi", "-i", f"sine=440:sample_rate={SOUND_RATE}:duration={frames / FPS}"]
    run(["-v", "error", *tone, "-c:a", "aac", f"file:{sound.absolute()}"], sound.name)
    audio = AudioSource(sound, 0, frames / FPS)
    save_video(folder / "clip.mp4", scene.film(list(masks.values()), grain), FPS, crf=SOURCE_CRF, audio=audio)
    np.savez_compressed(folder / EXACT, allow_pickle=False, **masks)
    stored = {name: each[:, ::mask_scale, ::mask_scale] for name, each in masks.items()}
    np.savez_compressed(folder / "masks.npz", allow_pickle=False, **stored)
    document = {
        "version": 1,
        "clip": "clip.mp4",
        "source_prompt": f"{' and '.join(f'a {walk.name}' for walk in walks)} on grass under a clear sky",
        "background": "on grass under a clear sky",
        "regions": [
            {"masks": {"path": "masks.npz", "key": walk.name}, "prompt": walk.prompt, "name": walk.name}
            for walk in walks
        ],
    }
    (folder / "edit.json").write_text(json.dumps(document))
    return folder / "edit.json"


@dataclass(frozen=True)
class _Walk:
    """An animal's way: its name, what it becomes, and where it begins and ends as shares of the frame's sides."""

    name: str
    prompt: str
    start: float
    stop: float
    top: float


RIGHT = _Walk(name="cat", prompt="a panda", start=0.15, stop=0.65, top=0.62)
LEFT = _Walk(name="dog", prompt="a fox", start=0.65, stop=0.15, top=0.1)


@dataclass(frozen=True, eq=False)
class _Scene:
    """A background (H, W, 3) uint8, animals (h, w, 3) uint8 with their opacity (h, w) float32 in [0, 1], their ways."""

    background: np.ndarray
    sprites: Sequence[tuple[np.ndarray, np.ndarray]]
    walks: Sequence[_Walk]

    def film(self, masks: Sequence[np.ndarray], grain: float) -> Iterator[np.ndarray]:
        """Yield frames in which the animals walk, and mark each in its masks (F, H, W) bool."""
        rng = np.random.default_rng(0)
        count = len(masks[0])
        for number in range(count):
            share = number / max(WALK_FRAMES, count - 1)
            frame = self.background.astype(np.float32)
            for (colours, opacity), walk, marked in zip(self.sprites, self.walks, masks, strict=True):
                height, width = opacity.shape
                left = round(WIDTH * (walk.start + share * (walk.stop - walk.start)))
                top = round(HEIGHT * walk.top + 12 * np.sin(share * 20))
                place = slice(top, top + height), slice(left, left + width)
                frame[place] += opacity[..., None] * (colours - frame[place])
                marked[number][place] = opacity > 0.5
            noise = rng.normal(0, grain, frame.shape[:2])[..., None] if grain else 0.0
            yield np.clip(np.rint(frame + noise), 0, 255).astype(np.uint8)


def _cover(picture: np.ndarray) -> np.ndarray:
    """Return the middle of a picture, enlarged until it covers the frame."""
    scale = max(WIDTH / picture.shape[1], HEIGHT / picture.shape[0])
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    large = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
    left, top = (size[0] - WIDTH) // 2, (size[1] - HEIGHT) // 2
    return large[top : top + HEIGHT, left : left + WIDTH]


def _sprite(picture: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return an object cut out of a picture and enlarged, and its opacity."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    height, width = mask[part].shape
    scale = OBJECT / max(height, width)
    size = (round(width * scale), round(height * scale))
    opacity = cv2.resize(mask[part].astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    colours = cv2.resize(picture[part], size, interpolation=cv2.INTER_CUBIC)
    return colours, np.clip((opacity - 0.35) / 0.3, 0, 1)  # enlarged edges are soft; a film's are a pixel or two


def measure(project: Path, steps: int) -> Outcome:
    """Edit a project by the command line, and compare the result with its source."""
    output = project.with_name("result.mp4")
    command = [sys.executable, "-m", "videograin", "edit", project, "-o", output, "--device", "cpu", "--offline"]
    started = time.monotonic()
    subprocess.run([*map(str, command), "--steps", str(steps)], check=True)
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    inputs = load_project(project)
    clip, result = load_clip(inputs.clip, COUNTED), load_clip(output, COUNTED)
    with np.load(project.with_name(EXACT)) as arrays:
        masks = np.any(list(arrays.values()), axis=0)
    near = _surroundings(masks)
    edited, drawn = _edited(project, near)
    squared, pixels, pairs = 0.0, 0, []
    streams = (stream_frames(each, COUNTED) for each in (clip, result))
    for mask, before, after in zip(masks, *streams, strict=True):
        kept = ~grow(mask[None], GROWN)[0]
        difference = before[kept].astype(np.float32) - after[kept]
        squared, pixels = squared + float(np.square(difference).sum()), pixels + difference.size
        pairs.append((before[near].copy(), after[near].copy()))
    sources, results = (np.stack(side) for side in zip(*pairs, strict=True))
    return Outcome(
        is_like_source=_likeness(clip.info) == _likeness(result.info) and len(clip.frames) == len(result.frames),
        frames=len(result.frames),
        sound_ms=1000 * (_sound_seconds(output) - len(result.frames) / FPS),
        kept_db=float(10 * np.log10(255**2 * pixels / squared)),
        rim_ratio=rim_ratio(results, sources, edited),
        mask_iou=float((edited & masks[:, *near]).sum() / (edited | masks[:, *near]).sum()),
        drawn=drawn,
        seconds=seconds,
        peak_gib=peak,
        source_mb=inputs.clip.stat().st_size / 1e6,
        result_mb=output.stat().st_size / 1e6,
    )


def _surroundings(masks: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns around all masks (F, H, W) bool of an object."""
    shown, room = masks.any(0), 4 * GROWN
    rows, columns = np.flatnonzero(np.any(shown, axis=1)), np.flatnonzero(np.any(shown, axis=0))
    return slice(max(0, rows[0] - room), rows[-1] + room), slice(max(0, columns[0] - room), columns[-1] + room)


def _likeness(info: VideoInfo) -> tuple[int, int, float]:
    return info.width, info.height, round(info.fps, 3)


def _sound_seconds(video: Path) -> float:
    """Return how long the sound of a file is, to the sample."""
    samples = video.with_suffix(".pcm")
    source = ["-v", "error", "-y", "-i", f"file:{video.absolute()}", "-map", "0:a", "-ac", "1"]
    run([*source, "-ar", str(SOUND_RATE), "-f", "s16le", f"file:{samples.absolute()}"], video.name)
    return samples.stat().st_size / 2 / SOUND_RATE


def _edited(project: Path, near: tuple[slice, slice]) -> tuple[np.ndarray, int]:
    """Return what is edited in a part of all frames, (F, h, w) bool, and the pixels at which the model is given the
    longer side of the smallest object."""
    with TemporaryDirectory() as scratch:
        source = SourceEdit.prepare(load_project(project), Path(scratch))
        assert source.request, "an object is edited"
        shown = [region.masks[0] for region in source.request.regions]
        drawn = min(max(int(np.count_nonzero(np.any(mask, axis=axis))) for axis in (0, 1)) for mask in shown)
        return np.stack([each[near] > 0.5 for each in source.opacities(0, len(source.clip.frames))]), drawn


def main() -> None:
    """Make the clip, edit it, and print what came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.full_size")
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--grain", type=float, default=2.0, help="standard deviation of the noise, in grey levels")
    parser.add_argument(
        "--mask-scale", type=int, default=1, help="pixels of the clip to one of the masks; the page marks at about 4"
    )
    parser.add_argument("--apart", action="store_true", help="edit a second animal, far from the first")
    parser.add_argument("--folder", type=Path, help="where clip and result stay; none forgets them")
    parser.add_argument("--json", type=Path, help="file to write")
    args = parser.parse_args()
    with TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        project = make_project(folder, args.frames, args.grain, args.mask_scale, is_apart=args.apart)
        outcome = measure(project, args.steps)
    values = {
        "steps": args.steps,
        "apart": args.apart,
        "grain": args.grain,
        "mask_scale": args.mask_scale,
        **asdict(outcome),
    }
    print_table("1080×1920, on the CPU", list(values), [[_cell(value) for value in values.values()]])
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(values, indent=1))


def _cell(value: float) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
