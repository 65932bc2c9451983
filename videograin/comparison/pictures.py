"""Results side by side, each under its title: as a strip of some frames, and as one clip."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

BAR = 22
"""Height of a title in pixels."""

COLUMNS = 6
"""Frames that a strip shows of each clip."""

INK, PAPER = 32, 244  # grey levels


@dataclass(frozen=True, eq=False)
class TitledClip:
    """Frames (F, H, W, 3) uint8 RGB and what they are called."""

    title: str
    frames: np.ndarray


def strip(clips: Sequence[TitledClip]) -> np.ndarray:
    """Put some frames of each clip in a row under its title: (clips·(BAR + H), columns·W, 3) uint8 RGB."""
    rows = [np.concatenate(evenly(clip.frames, COLUMNS), axis=1) for clip in clips]
    return np.concatenate([_under(clip.title, row[None])[0] for clip, row in zip(clips, rows, strict=True)])


def evenly(frames: np.ndarray, count: int) -> np.ndarray:
    """Return at most `count` of the frames (F, H, W, 3), evenly spaced from the first to the last."""
    return frames[np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)]


def side_by_side(clips: Sequence[TitledClip], columns: int = 0) -> np.ndarray:
    """Lay clips of one size out on a grid, in their order: (F, rows·(BAR + H), columns·W, 3) uint8 RGB.

    Args:
        clips: of as many frames each.
        columns: of the grid; 0 makes it square.
    """
    columns = columns or math.ceil(math.sqrt(len(clips)))
    cells = [_under(clip.title, clip.frames) for clip in clips]
    cells += [np.full_like(cells[0], PAPER)] * (-len(cells) % columns)
    rows = [np.concatenate(cells[first : first + columns], axis=2) for first in range(0, len(cells), columns)]
    return np.concatenate(rows, axis=1)


def _under(title: str, frames: np.ndarray) -> np.ndarray:
    """Put a title above frames (F, H, W, 3)."""
    bar = Image.new("L", (frames.shape[2], BAR), PAPER)
    ImageDraw.Draw(bar).text((5, 3), title, fill=INK, font=ImageFont.load_default(14))
    bars = np.broadcast_to(np.array(bar)[None, ..., None], (len(frames), BAR, frames.shape[2], 3))
    return np.concatenate([bars, frames], axis=1)
