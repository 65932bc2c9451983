"""A clip of any length, drawn here, whose objects move: for what an edit takes, not for what it shows."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from videograin.masks.load import MaskSource
from videograin.media.encode import save_video
from videograin.media.video import ClipOptions
from videograin.project.project import Project, ProjectRegion
from videograin.region import ControlKind, EditSettings

FPS = 24

CELLS = 16
"""Squares of the backdrop's texture along a side."""

DRIFT = 2
"""Pixels by which the backdrop moves from frame to frame."""

OBJECT = 0.36
"""Of the frame's side: four of them lie beside each other."""

SWAY = 0.05
"""Of the frame's side: how far an object strays from its place."""

SWAY_FRAMES = 24
"""In which it is there and back again."""

PHRASES = ("a red panda", "a fox", "a robot", "an astronaut")


def drawn_project(
    folder: Path, model: Path, *, frames: int, side: int, regions: int, settings: EditSettings
) -> Project:
    """Write a clip and its masks into a folder, and return the edit of all of its objects.

    Args:
        folder: that is there.
        model: its folder, with a ControlNet of outlines in it.
        frames: of the clip.
        side: of its frames in pixels.
        regions: how many objects there are, at most one for each of `PHRASES`.
        settings: of the edit.
    """
    masks = {f"object{number}": masks_of(number, frames, side) for number in range(regions)}
    save_video(folder / "clip.mp4", _film(list(masks.values()), frames, side), FPS)
    np.savez_compressed(folder / "masks.npz", **masks)  # pyright: ignore[reportArgumentType]
    return Project(
        clip=folder / "clip.mp4",
        regions=tuple(
            ProjectRegion(MaskSource(folder / "masks.npz", key=key), phrase, key)
            for key, phrase in zip(masks, PHRASES, strict=False)
        ),
        source_prompt="four animals on a meadow",
        model=str(model),
        controls=(ControlKind.CANNY,),
        clip_options=ClipOptions(max_frames=frames, short_side=side),
        settings=settings,
    )


def masks_of(number: int, frames: int, side: int) -> np.ndarray:
    """Return where an object is, (F, H, W) bool: a disc about its place in the frame, of which there are four."""
    rows, columns = np.mgrid[:side, :side]
    turn = 2 * np.pi * (np.arange(frames) / SWAY_FRAMES + number / len(PHRASES))
    row, column = divmod(number, 2)
    top = side * (0.25 + 0.5 * row + SWAY * np.sin(turn))
    left = side * (0.25 + 0.5 * column + SWAY * np.cos(turn))
    distance = np.hypot(rows - top[:, None, None], columns - left[:, None, None])
    return distance < side * OBJECT / 2


def _film(masks: list[np.ndarray], frames: int, side: int) -> Iterator[np.ndarray]:
    """Yield frames (H, W, 3) uint8 in which objects of one colour each move before a backdrop that drifts."""
    rng = np.random.default_rng(0)
    cell = side // CELLS
    texture = np.kron(rng.integers(0, 255, (CELLS, CELLS, 3), np.uint8), np.ones((cell, cell, 1), np.uint8))
    colours = rng.integers(0, 255, (len(masks), 3), np.uint8)
    for number in range(frames):
        frame = np.roll(texture, DRIFT * number, axis=1)
        for mask, colour in zip(masks, colours, strict=True):
            frame[mask[number]] = colour
        yield frame
