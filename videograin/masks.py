"""Masks from files: a PNG for each frame or one for all, indexed PNGs as DAVIS has them, arrays in an NPZ."""

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from videograin.errors import RegionError
from videograin.video import Clip, ClipOptions, clip_size

MAX_STRETCH = 1.02
"""How far the proportions of masks may be off those of the clip; rounding to whole pixels explains as much."""


@dataclass(frozen=True)
class MaskSource:
    """Where the masks of one region are.

    Attributes:
        path: a folder of PNGs, one a frame in the order of their names; one PNG for all frames; or an NPZ.
        label: the value of this region's pixels where one file holds several regions.
        key: the array's name in an NPZ; None where it holds but one.
    """

    path: Path
    label: int | None = None
    key: str | None = None


def load_masks(source: MaskSource) -> np.ndarray:
    """Read masks as they are: (F, H, W) bool, or (H, W) where one stands for all frames.

    Raises:
        RegionError: they are missing, unreadable or of several sizes.
    """
    path = source.path
    if path.is_dir():
        return _load_folder(path, source.label)
    if not path.is_file():
        raise RegionError(f"There are no masks at '{path}'. Name a folder of PNGs, a PNG or an NPZ.")
    if path.suffix.lower() == ".npz":
        return _inside(_load_array(path, source.key), source.label)
    return _inside(_load_image(path), source.label)


def fit_masks(masks: np.ndarray, clip: Clip, options: ClipOptions, name: str) -> np.ndarray:
    """Bring masks to a clip's frames, by the nearest pixel and with the clip's own crop.

    Args:
        masks: (F, H, W) or (H, W) bool, of the frames' size or in the proportions of the uncropped source.
        clip: the clip.
        options: those that the clip was loaded with.
        name: of the region, for messages.

    Returns:
        (F, H, W) bool of the clip's size.
    """
    frames, height, width = clip.frames.shape[:3]
    if masks.ndim == 2:
        masks = np.broadcast_to(masks, (frames, *masks.shape))
    if len(masks) != frames:
        raise RegionError(
            f"Region '{name}' has {len(masks)} masks for {frames} frames. Give one for each frame of the clip as it is "
            "sampled (start, fps, stride, max_frames), or a single PNG for all."
        )
    if masks.shape[1:] == (height, width):
        return masks.copy()
    return np.stack([_resize_and_crop(mask, clip, options, name) for mask in masks])


def _resize_and_crop(mask: np.ndarray, clip: Clip, options: ClipOptions, name: str) -> np.ndarray:
    info = clip.info
    stretch = (mask.shape[1] * info.height) / (mask.shape[0] * info.width)
    if not 1 / MAX_STRETCH <= stretch <= MAX_STRETCH:
        raise RegionError(
            f"Region '{name}' has masks of {mask.shape[1]}×{mask.shape[0]} pixels but the video is "
            f"{info.width}×{info.height}. Give masks of the same proportions."
        )
    scaled, (width, height) = clip_size(info.width, info.height, options)
    large = cv2.resize(mask.astype(np.uint8), scaled, interpolation=cv2.INTER_NEAREST_EXACT)
    left, top = (scaled[0] - width) // 2, (scaled[1] - height) // 2  # as ffmpeg's crop has it
    return large[top : top + height, left : left + width].astype(bool)


def _load_folder(folder: Path, label: int | None) -> np.ndarray:
    files = sorted(folder.glob("*.png"), key=_by_number)
    if not files:
        raise RegionError(f"There is no PNG in '{folder}'. Give one for each frame, named in their order.")
    masks = [_inside(_load_image(file), label) for file in files]
    sizes = {mask.shape for mask in masks}
    if len(sizes) > 1:
        raise RegionError(f"The masks in '{folder}' have several sizes: {sorted(sizes)}. Give all of them one size.")
    return np.stack(masks)


def _by_number(file: Path) -> list[tuple[int, str]]:
    """Return a sort key in which 10.png follows 9.png."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", file.stem)]


def _load_image(file: Path) -> np.ndarray:
    """Return an image's palette indices or grey values, (H, W) integer."""
    try:
        with Image.open(file) as image:
            indexed = image.mode in ("P", "1", "L", "I", "I;16")
            return np.asarray(image if indexed else image.convert("L"))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise RegionError(f"Mask '{file}' cannot be read ({error}). Save it as a PNG again.") from error


def _load_array(file: Path, key: str | None) -> np.ndarray:
    arrays = _load_arrays(file)
    if key is None and len(arrays) == 1:
        key = next(iter(arrays))
    if key is None or key not in arrays:
        raise RegionError(f"'{file}' has no array '{key}'. Set the key to one of: {', '.join(arrays)}.")
    array = arrays[key]
    if array.ndim not in (2, 3) or array.dtype.kind not in "biu":
        raise RegionError(
            f"Array '{key}' of '{file}' has shape {array.shape} and dtype {array.dtype}. "
            "Give (frames, height, width) or (height, width) of bool or integers."
        )
    return array


def _load_arrays(file: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise RegionError(f"Masks '{file}' cannot be read ({error}). Save them with numpy.savez again.") from error


def _inside(values: np.ndarray, label: int | None) -> np.ndarray:
    """Return which pixels belong to the region: those of its label, or else the brighter half of the value range."""
    if label is not None:
        return values == label
    return values > 127 if values.max(initial=0) > 127 else values > 0
