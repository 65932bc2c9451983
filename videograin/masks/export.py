"""Masks to files that other programs read, and `load_objects` too: pictures for each object, DAVIS's, an NPZ."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from videograin.files.atomic import file_names, written_aside
from videograin.masks.planes import OWN
from videograin.masks.shapes import MAX_LABELS, check_masks, label_map
from videograin.media.npz import write_npz

HALF_COVERED = 0.5
"""Share of an enlarged pixel above which it belongs to a mask."""


def save_png_folders(folder: Path, objects: Mapping[str, np.ndarray], size: tuple[int, int] | None = None) -> None:
    """Write a folder for each object with a black and white PNG for each frame, 00000.png and so on.

    Args:
        folder: new or empty.
        objects: (F, H, W) bool by name; a name that no file can have is altered.
        size: (H, W) to which each frame's mask is brought while it is written; None keeps theirs.

    Raises:
        RegionError: no objects, or masks of several shapes.
        ProjectError: the folder cannot be written, or holds something.
    """
    check_masks(*objects.values())
    with written_aside(folder) as aside:
        for name, masks in zip(file_names(objects), objects.values(), strict=True):
            (aside / name).mkdir(parents=True)
            for frame, mask in enumerate(masks):
                plane = enlarged(mask, size or mask.shape)
                picture = Image.fromarray(plane.view(np.uint8) * np.uint8(255))
                picture.save(aside / name / f"{frame:05}.png", pnginfo=_origin())


def save_indexed_pngs(folder: Path, objects: Mapping[str, np.ndarray]) -> None:
    """Write one PNG for each frame whose palette indices tell the objects apart, as DAVIS has them.

    Args:
        folder: new or empty.
        objects: (F, H, W) bool by name, from the bottom to the top: where they overlap the last one shows. The k-th
            has index k, counted from 1; names are not kept.

    Raises:
        RegionError: no objects, too many, or masks of several shapes.
        ProjectError: the folder cannot be written, or holds something.
    """
    labels = label_map(list(objects.values()))
    palette = davis_palette().tobytes()
    with written_aside(folder) as aside:
        aside.mkdir()
        for frame, indices in enumerate(labels):
            image = Image.fromarray(indices, "P")
            image.putpalette(palette)
            image.save(aside / f"{frame:05}.png", pnginfo=_origin())


def save_npz(path: Path, objects: Mapping[str, np.ndarray]) -> None:
    """Write one compressed NPZ with an array (F, H, W) bool for each object.

    Args:
        path: the .npz to write; an older file of that name is replaced.
        objects: (F, H, W) bool by name; a name that no file can have is altered.

    Raises:
        RegionError: no objects, or masks of several shapes.
        ProjectError: the file cannot be written.
    """
    check_masks(*objects.values())
    write_npz(path, dict(zip(file_names(objects), objects.values(), strict=True)))


def _origin() -> PngInfo:
    """Return what tells `load_objects` that masks are of the clip's frames, not of those that the file holds."""
    origin = PngInfo()
    origin.add_text("Software", OWN)
    return origin


def enlarged(mask: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return a mask (h, w) bool at a size (H, W), with smooth outlines."""
    if mask.shape == size:
        return mask
    return cv2.resize(mask.astype(np.float32), size[::-1]) > HALF_COVERED


def davis_palette() -> np.ndarray:
    """Return the colours (256, 3) uint8 RGB of DAVIS and PASCAL VOC: an index's bits in threes, lowest first."""
    index = np.arange(MAX_LABELS + 1)
    colours = np.zeros((len(index), 3), np.uint8)
    for place in range(3):
        for channel in range(3):
            colours[:, channel] |= (index >> (3 * place + channel) & 1).astype(np.uint8) << (7 - place)
    return colours
