"""The edit of a file: what is edited of its frames, and how the result becomes frames as large as the source's.

A long clip at full size does not fit in memory. So crops and masks lie in files that are mapped, and the source is
decoded a second time while windows are finished.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Self

import cv2
import numpy as np

from videograin.files.atomic import mapped_array
from videograin.masks.thin_ends import thin_ends
from videograin.media.video import Clip, load_clip, stream_frames
from videograin.production.crops import Crops
from videograin.production.focus import plan_focus
from videograin.production.outlines import snap_to_edges
from videograin.production.plate import Plate
from videograin.production.source_masks import ClipPlace
from videograin.production.stitch import stitch
from videograin.progress import Phase, Progress, Report, ignore, track
from videograin.project.coverage import absence_notes, coverage_notes
from videograin.project.project import EditInputs
from videograin.region import NOTHING, EditRequest, Region, check_regions

if TYPE_CHECKING:
    import torch

FRAMES_AT_ONCE = 16
"""Frames whose control images are made at once, and that are cut out from one report to the next."""


@dataclass(frozen=True, eq=False)
class SourceEdit:
    """What is asked of the pipeline for a file, and where that belongs in the file's frames.

    Attributes:
        clip: the file, at the clip's size.
        inputs: the edit.
        request: what the pipeline is asked for: crops, or the clip's frames as they are; None where nothing is drawn.
        plate: the frames without the objects that are removed; None where none is.
        crops: where they come from; None where the clip's frames are the result's.
        numbers: for each region of the request, its number among those of the inputs, from 0.
        notes: what the user should know of the clip and the regions before they are edited.
    """

    clip: Clip
    inputs: EditInputs
    request: EditRequest | None
    crops: Crops | None
    numbers: tuple[int, ...]
    notes: tuple[str, ...] = ()
    plate: Plate | None = None

    @classmethod
    def prepare(
        cls, inputs: EditInputs, scratch: Path, device: "torch.device | str" = "cpu", report: Report = ignore
    ) -> Self:
        """Read a clip and its masks, remove objects, choose the crops, and make their control images.

        Args:
            inputs: the edit.
            scratch: an empty folder for files that are needed as long as the edit runs.
            device: where control images are made.
            report: told after every frame from which objects are removed, and every few that are cut out; may raise
                `Cancelled`.

        Raises:
            VideoGrainError: the clip or its masks cannot be read, or do not fit each other.
        """
        clip = load_clip(inputs.clip, inputs.clip_options, scratch)
        given = inputs.load_shown_regions(clip)
        regions = list(given.values())
        check_regions(regions, clip.frames.shape[:3])
        notes = (*clip.notes, *absence_notes(inputs, given, len(clip.frames)), *coverage_notes(regions))
        shown, plate = given, None
        if any(region.is_removed for region in regions):
            plate = Plate.of(clip, inputs, regions, scratch, report)
            shown, inputs = _without_removed(shown, plate, inputs)
        if not any(region.is_edited for region in shown.values()):
            return cls(clip=clip, inputs=inputs, request=None, crops=None, numbers=(), notes=notes, plate=plate)
        crops = plan_focus(clip, inputs, list(shown.values()))
        steps = _steps(len(inputs.controls) + (0 if crops is None else 1 + len(shown)), len(clip.frames), report)
        if crops is None:
            frames = clip.frames if plate is None else plate.frames
        else:
            pictures = stream_frames(clip, inputs.clip_options) if plate is None else plate.frames
            frames = _cut_frames(pictures, len(clip.frames), crops, scratch, steps)
            placed = _placed_masks(shown, given, clip, inputs)
            shown = dict(_cut_regions(shown, placed, frames, crops, scratch, steps))
        images = _control_images(frames, inputs, scratch, device, steps)
        next(steps, None)  # the last report
        request = inputs.request_for(frames, list(shown.values()), images)
        return cls(
            clip=clip, inputs=inputs, request=request, crops=crops, numbers=tuple(shown), notes=notes, plate=plate
        )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the result."""
        height, width = (self.clip.frames if self.plate is None else self.plate.frames).shape[1:3]
        return (width, height) if self.crops is None else (self.clip.info.width, self.clip.info.height)

    def attention(self, first: int, maps: np.ndarray) -> np.ndarray:
        """Return attention maps (R, n, h, w) of frames from `first` on as maps of the whole frames, 0 outside."""
        if self.crops is None:
            return maps
        tiles = self.crops.tiles(maps)
        rows, columns = tiles[0].shape[2:]
        scale = np.array(self.crops.box) / (columns, rows)  # source pixels of a map's cell
        grid = np.ceil(np.array(self.size) / scale).astype(int)
        whole = np.zeros((*maps.shape[:2], grid[1], grid[0]), np.float32)
        for tile, corners in zip(tiles, self.crops.corners, strict=True):
            for place in range(maps.shape[1]):
                left, top = np.round(corners[first + place] / scale).astype(int)
                left, top = min(left, grid[0] - columns), min(top, grid[1] - rows)
                whole[:, place, top : top + rows, left : left + columns] = tile[:, place]
        return whole

    def source_frames(self, first: int = 0) -> Iterator[np.ndarray]:
        """Yield the source's frames (H, W, 3) uint8 at the result's size, from one on."""
        if self.size == self.clip.frames.shape[2:0:-1]:
            return iter(self.clip.frames[first:])
        return islice(stream_frames(self.clip, self.inputs.clip_options), first, None)

    def opacities(self, first: int, count: int) -> Iterator[np.ndarray]:
        """Yield what the result shows of the edited objects alone, (H, W) float32 in [0, 1], from a frame on."""
        from videograin.diffusion.compositing import opacity
        from videograin.diffusion.region_masks import RegionMasks

        width, height = self.size
        if self.request is None:
            yield from np.zeros((count, height, width), np.float32)
            return
        regions = RegionMasks.of(self.request, range(first, first + count))
        changed, kept = regions.edited_part.numpy(), regions.kept_part.numpy()
        for place, part in enumerate(changed):
            if self.request.settings.blend_background:
                shown = opacity(part & ~thin_ends(part), kept[place])  # a result's thin ends show what is around them
            else:
                shown = part.astype(np.float32)
            if self.crops is None:
                yield shown
                continue
            whole = np.zeros((height, width), np.float32)
            tiles = self.crops.tiles(shown)
            for target, tile in zip(self.crops.parts(first + place, whole), tiles, strict=True):
                target[...] = cv2.resize(tile, self.crops.box, interpolation=cv2.INTER_LINEAR)
            yield whole

    def finished(self, first: int, edited: np.ndarray, sources: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the result's frames (H, W, 3) uint8.

        Args:
            first: number of the first one.
            edited: (n, h, w, 3) uint8, as the pipeline gave them.
            sources: the source's frames of the same numbers, as `source_frames` gives them.
        """
        if self.crops is None:
            yield from edited
            return
        assert self.request is not None
        from videograin.diffusion.compositing import opacity
        from videograin.diffusion.region_masks import RegionMasks

        regions = RegionMasks.of(self.request, range(first, first + len(edited)))
        changed, kept = regions.edited_part.numpy(), regions.kept_part.numpy()
        for place, (frame, source) in enumerate(zip(edited, sources, strict=True)):
            share = opacity(changed[place], kept[place])
            if not self.request.settings.blend_background:
                share = np.ones_like(share)
            below = source if self.plate is None else self.plate.frames[first + place]
            yield stitch(first + place, below, frame, share, self.crops)


def _without_removed(
    regions: dict[int, Region], plate: Plate, inputs: EditInputs
) -> tuple[dict[int, Region], EditInputs]:
    """Return the regions with what is to be drawn in place of those that are removed, and the words that go with it."""
    removed = [number for number, region in regions.items() if region.is_removed]
    left = {number: region for number, region in regions.items() if number not in removed}
    drawn = plate.region(inputs.background, regions[removed[0]].name)
    phrase = drawn.prompt if drawn else ""
    sentence = re.sub(rf"\b{NOTHING}\b", lambda _: phrase, inputs.target_prompt, flags=re.IGNORECASE)
    if drawn is not None:
        left[removed[0]] = drawn
        if sentence and phrase.lower() not in sentence.lower():
            sentence = f"{sentence}, {phrase}"
    return left, replace(inputs, target_prompt=sentence)


def _steps(kinds: int, frames: int, report: Report) -> Iterator[int]:
    """Yield before each `FRAMES_AT_ONCE` frames of which pictures of a kind are made, and report between them.

    The reports do not tell how long the edit will take.
    """

    def tell(progress: Progress) -> None:
        report(replace(progress, seconds_left=None))

    yield from track(Phase.ENCODE, range(kinds * -(-frames // FRAMES_AT_ONCE)), tell)


def _cut_frames(
    pictures: Iterable[np.ndarray], count: int, crops: Crops, scratch: Path, steps: Iterator[int]
) -> np.ndarray:
    width, height = crops.size
    frames = mapped_array(scratch / "crops.frames", (count, height, width, 3), np.uint8)
    for number, picture in enumerate(pictures):
        if number % FRAMES_AT_ONCE == 0:
            next(steps)
        frames[number] = crops.cut(number, picture)
    return frames


def _placed_masks(
    shown: Mapping[int, Region], given: Mapping[int, Region], clip: Clip, inputs: EditInputs
) -> dict[int, tuple[np.ndarray, ClipPlace]]:
    """Return the masks of regions by their numbers, and where they lie: as they are stored where that is finer."""
    own = ClipPlace.of(clip.info, inputs.clip_options)
    placed = {index: (region.masks, own) for index, region in shown.items()}
    for index, masks in enumerate(inputs.load_stored_masks(clip) or ()):
        is_given = index in shown and shown[index] is given[index]  # a plate's region takes the place of another
        if is_given and masks[0].size > given[index].masks[0].size:
            placed[index] = masks, ClipPlace.of_whole(clip.info, masks.shape[:0:-1])
    return placed


def _cut_regions(
    regions: Mapping[int, Region],
    placed: Mapping[int, tuple[np.ndarray, ClipPlace]],
    frames: np.ndarray,
    crops: Crops,
    scratch: Path,
    steps: Iterator[int],
) -> Iterator[tuple[int, Region]]:
    """Yield the regions by their numbers as the crops show them; kept ones that none of these show are left out."""
    width, height = crops.size
    for index, region in regions.items():
        marks, place = placed[index]
        enlargement = place.enlargement(crops)
        masks = mapped_array(scratch / f"{index}.masks", (len(marks), height, width), bool)
        for number, mask in enumerate(marks):
            if number % FRAMES_AT_ONCE == 0:
                next(steps)
            marked = place.cut(number, mask, crops)
            snapped = snap_to_edges(marked, frames[number], enlargement)
            masks[number] = snapped if region.is_edited else snapped | marked  # what is to be kept loses no pixel
        if region.is_edited or masks.any():
            yield index, replace(region, masks=masks, area=region.mean_area)


def _control_images(
    frames: np.ndarray, inputs: EditInputs, scratch: Path, device: "torch.device | str", steps: Iterator[int]
) -> list[np.ndarray]:
    from videograin.diffusion.control import load_detector  # loads torch, which reading a project does not need

    results = []
    for kind in inputs.controls:
        images = mapped_array(scratch / f"{kind}.frames", frames.shape, np.uint8)
        load_detector(kind, device=device).write(frames, images, _parts(len(frames), steps), scratch)
        results.append(images)
    return results


def _parts(count: int, steps: Iterator[int]) -> Iterator[slice]:
    """Yield `FRAMES_AT_ONCE` frames after the other of `count`, each after a report."""
    for first in range(0, count, FRAMES_AT_ONCE):
        next(steps)
        yield slice(first, first + FRAMES_AT_ONCE)
