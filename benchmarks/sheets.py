"""One picture of a clip by all methods: some frames of the source, then of each method's edit under its name.

Frames are kept in a folder when an edit ends, by whichever process made it, and laid out when the run ends, so that a
run which was stopped goes on with those that it has.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.clips import Told
from videograin.comparison.method import Method
from videograin.comparison.pictures import PAPER, TitledClip, evenly, side_by_side
from videograin.files.atomic import write_whole

KEPT = 6
"""Frames that are kept of an edit, evenly spaced."""

SHOWN, SIDE, COLUMNS = 4, 128, 2
"""Frames of an edit in the picture, their height in pixels, and edits beside one another: about 1,050 pixels wide."""

FRAME_GAP, EDIT_GAP = 2, 14
"""Pixels between frames, and between edits."""

QUALITY = 80
"""Of the JPEG: nine methods stay below 200 KB."""


@dataclass(frozen=True)
class Sheets:
    """The pictures of a comparison.

    Attributes:
        folder: has a picture for each clip, and in `frames/` a lossless file for each edit.
    """

    folder: Path

    def has(self, clip: str, method: str) -> bool:
        """Return whether frames of an edit are kept."""
        return self._file(clip, method).exists()

    def keep(self, clip: str, method: str, frames: np.ndarray) -> None:
        """Keep some of the frames (F, H, W, 3) uint8 RGB of an edit, or of the "source"."""
        self._file(clip, method).parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        np.savez_compressed(content, frames=evenly(frames, KEPT))
        write_whole(self._file(clip, method), content.getvalue())

    def write(self, told: Told, methods: Sequence[Method]) -> Path | None:
        """Lay a clip's kept edits out, in the order of the methods; without any there is no picture."""
        edited = [
            TitledClip(each.title, self._row(told.name, each.name))
            for each in methods
            if self.has(told.name, each.name)
        ]
        if not edited:
            return None
        wanted = ", ".join(f"{region.before} to {region.after}" for region in told.regions if region.is_edited)
        cells = [TitledClip(f"source; asked for: {wanted}", self._row(told.name, "source")), *edited]
        content = io.BytesIO()
        Image.fromarray(side_by_side(cells, COLUMNS)[0]).save(content, "JPEG", quality=QUALITY)
        picture = self.folder / f"{told.name}.jpg"
        write_whole(picture, content.getvalue())
        return picture

    def _row(self, clip: str, method: str) -> np.ndarray:
        """Return frames beside one another, as the only frame (1, SIDE, W, 3) of a clip."""
        with np.load(self._file(clip, method)) as kept:
            frames = evenly(kept["frames"], SHOWN)
        height, width = frames.shape[1:3]
        small = [
            cv2.resize(frame, (round(width * SIDE / height), SIDE), interpolation=cv2.INTER_AREA) for frame in frames
        ]
        row = np.concatenate([_gap(FRAME_GAP, frame) for frame in small], axis=1)
        return _gap(EDIT_GAP, row)[None]

    def _file(self, clip: str, method: str) -> Path:
        return self.folder / "frames" / clip / f"{method}.npz"


def _gap(pixels: int, picture: np.ndarray) -> np.ndarray:
    """Widen a picture (H, W, 3) to the right by the colour of paper."""
    return np.pad(picture, ((0, 0), (0, pixels), (0, 0)), constant_values=PAPER)
