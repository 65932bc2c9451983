"""The source of an edit without the objects that it removes, at the size of the result."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from videograin.diffusion.prompt import PREPOSITIONS
from videograin.files.atomic import mapped_array
from videograin.masks.target import MaskTarget
from videograin.media.shot_cuts import shot_starts
from videograin.media.video import Clip, stream_frames
from videograin.production.crops import Crops
from videograin.production.source_masks import ClipPlace
from videograin.progress import Phase, Progress, Report
from videograin.project.project import EditInputs
from videograin.region import Region
from videograin.removal.clean_plate import clean_plate

SPECK = 1 / 2000
"""Share of a frame below which what no frame shows stays as it was guessed: a model would draw it no better."""

ANY_BACKGROUND = "the background"
"""What is drawn where nothing is said of the background."""


@dataclass(frozen=True, eq=False)
class Plate:
    """Frames without some objects.

    Attributes:
        frames: (F, H, W, 3) uint8 RGB, as large as the result.
        unseen: (F, h, w) bool at the clip's size, what is to be drawn since no frame shows it.
    """

    frames: np.ndarray
    unseen: np.ndarray

    @classmethod
    def of(cls, clip: Clip, inputs: EditInputs, regions: Sequence[Region], scratch: Path, report: Report) -> Self:
        """Remove those regions from a clip that are to become nothing.

        Args:
            clip: the source at the clip's size.
            inputs: the edit; with `focus` the frames are as large as the source's.
            regions: all of the edit; where a smaller one lies in one that is removed, it stays.
            scratch: folder for the frames.
            report: told of every frame that is read and from which objects are removed; may raise `Cancelled`.

        Raises:
            VideoError: the source has become unreadable.
        """
        removed = _removed_part(regions)
        size = (clip.info.width, clip.info.height) if inputs.settings.focus else clip.frames.shape[2:0:-1]
        whole = Crops(np.zeros((1, len(removed), 2), int), size, size)
        frames = mapped_array(scratch / "plate.frames", (len(removed), size[1], size[0], 3), np.uint8)
        is_clip = size == clip.frames.shape[2:0:-1]
        for number, picture in enumerate(clip.frames if is_clip else stream_frames(clip, inputs.clip_options)):
            report(Progress(Phase.REMOVE, 0, 2 * len(removed), None))  # to read a minute of 4K takes minutes
            frames[number] = picture
        place, target = ClipPlace.of(clip.info, inputs.clip_options), MaskTarget.of(clip, inputs.clip_options)

        def mask_at(number: int) -> np.ndarray:
            return removed[number] if is_clip else place.cut(number, removed[number], whole)

        unseen = np.zeros_like(removed)
        for number, part in clean_plate(frames, mask_at, shot_starts(clip.frames), report):
            unseen[number] = part if is_clip else target.fit(part)
        unseen[unseen.mean((1, 2)) < SPECK] = False
        return cls(frames, unseen)

    def region(self, background: str, name: str) -> Region | None:
        """Return what is to be drawn, as a region with a phrase for the background; None where nothing is."""
        if not self.unseen.any():
            return None
        return Region(self.unseen, _noun_of(background), name, is_new=True)


def _removed_part(regions: Sequence[Region]) -> np.ndarray:
    """Return where objects are removed, (F, H, W) bool."""
    part = np.zeros(regions[0].masks.shape, bool)
    for region in regions:
        if region.is_removed:
            stays = [each.masks for each in regions if not each.is_removed and each.rank < region.rank]
            part |= region.masks & ~np.any(stays, axis=0) if stays else region.masks
    return part


def _noun_of(background: str) -> str:
    """Return a phrase for the background itself: "grass under a clear sky" of "on grass under a clear sky"."""
    phrase = background.strip()
    return (PREPOSITIONS.sub("", phrase, count=1) if PREPOSITIONS.match(phrase) else phrase).strip() or ANY_BACKGROUND
