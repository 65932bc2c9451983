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
    count = len(clips[0].frames)
    shown = np.linspace(0, count - 1, min(COLUMNS, count)).round().astype(int)
    rows = [np.concatenate(clip.frames[shown], axis=1) for clip in clips]
    return np.concatenate([_under(clip.title, row[None])[0] for clip, row in zip(clips, rows, strict=True)])


def side_by_side(clips: Sequence[TitledClip]) -> np.ndarray:
    """Lay clips of one size out on a square grid, in their order: (F, rows·(BAR + H), columns·W, 3) uint8 RGB."""
    columns = math.ceil(math.sqrt(len(clips)))
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
