"""Masks from files: a PNG for each frame or one for all, indexed PNGs as DAVIS has them, an NPZ, a matte video."""

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from videograin.errors import RegionError
from videograin.masks.video import load_matte
from videograin.media.npz import read_npz
from videograin.media.video import MAX_CLIP_BYTES, Clip, ClipOptions, clip_size
from videograin.region import MAX_REGIONS

MAX_STRETCH = 1.02
"""How far the proportions of masks may be off those of the clip; rounding to whole pixels explains as much."""

_VOID = 255  # white, or the border that some data sets leave unlabelled
_NO_OBJECTS = (".", "__MACOSX")  # folders that systems add
_VIDEO_SUFFIXES = (".mov", ".mp4", ".m4v", ".mkv", ".webm", ".avi")


@dataclass(frozen=True)
class MaskSource:
    """Where the masks of one region are.

    Attributes:
        path: a folder of PNGs, one a frame in the order of their names; one PNG for all frames; an NPZ; or a video,
            whose transparency counts, or its brightness where it has none.
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
        VideoError: they are a video that cannot be read.
    """
    path = source.path
    if _is_npz(path):
        return _inside(_choose_array(read_npz(path), source.key, path), source.label)
    return _pick(_load_values(path), source.label)


def load_objects(path: Path) -> dict[str, np.ndarray]:
    """Read all objects that a file or folder holds, by name.

    Args:
        path: what `MaskSource` takes, or a folder that holds a folder of PNGs for each object. An NPZ has an array
            for each object. Indexed pictures, or one array of integers, have a value for each object, from 1 to
            `MAX_REGIONS`; such objects are named by their values.

    Returns:
        Masks as `load_masks` has them; `fit_masks` brings them to a clip.

    Raises:
        RegionError: they are missing, unreadable or of several sizes.
        VideoError: they are a video that cannot be read.
    """
    if _is_npz(path):
        return _load_npz_objects(path)
    if folders := sorted(folder for folder in path.glob("*/") if not folder.name.startswith(_NO_OBJECTS)):
        return {folder.name: _pick(_load_folder(folder), None) for folder in folders}
    return _split(_load_values(path), path.stem)


def fit_masks(masks: np.ndarray, clip: Clip, options: ClipOptions, name: str) -> np.ndarray:
    """Bring masks to a clip's frames, by the nearest pixel and with the clip's own crop.

    Args:
        masks: (F, H, W) or (H, W) bool, of the frames' size or in the proportions of the uncropped source; those
            of frames beyond the options' `max_frames` are left out.
        clip: the clip.
        options: those that the clip was loaded with.
        name: of the region, for messages.

    Returns:
        (F, H, W) bool of the clip's size.
    """
    frames, height, width = clip.frames.shape[:3]
    if masks.ndim == 2:
        masks = np.broadcast_to(masks, (frames, *masks.shape))
    if frames == options.max_frames:
        masks = masks[:frames]
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


def _is_npz(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() == ".npz"


def _load_values(path: Path) -> np.ndarray | list[np.ndarray]:
    """Return the pixel values of a picture, a folder or a video: (H, W), a list of these, or (F, H, W)."""
    if path.is_dir():
        return _load_folder(path)
    if not path.is_file():
        raise RegionError(f"There are no masks at '{path}'. Name a folder of PNGs, a PNG, an NPZ or a video.")
    if path.suffix.lower() in _VIDEO_SUFFIXES:
        return load_matte(path) > 127
    return _load_image(path)


def _load_folder(folder: Path) -> list[np.ndarray]:
    files = sorted(folder.glob("*.png"), key=_by_number)
    if not files:
        raise RegionError(f"There is no PNG in '{folder}'. Give one for each frame, named in their order.")
    images: list[np.ndarray] = []
    room = MAX_CLIP_BYTES
    for file in files:
        images.append(_load_image(file))
        room -= images[-1].nbytes
        if room < 0:
            raise RegionError(f"The masks in '{folder}' exceed {MAX_CLIP_BYTES >> 20} MiB. Give fewer or smaller ones.")
    sizes = {image.shape for image in images}
    if len(sizes) > 1:
        raise RegionError(f"The masks in '{folder}' have several sizes: {sorted(sizes)}. Give all of them one size.")
    return images


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


def _choose_array(arrays: dict[str, np.ndarray], key: str | None, file: Path) -> np.ndarray:
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


def _load_npz_objects(file: Path) -> dict[str, np.ndarray]:
    arrays = read_npz(file)
    if not arrays:
        raise RegionError(f"'{file}' holds no array. Give one for each object.")
    objects = {key: _choose_array(arrays, key, file) for key in arrays}
    if len(objects) == 1:
        key, array = objects.popitem()
        return _split(array, key)
    return {key: _inside(array, None) for key, array in objects.items()}


def _split(values: np.ndarray | list[np.ndarray], name: str) -> dict[str, np.ndarray]:
    """Return the objects that values tell apart, named by them; one of that name where they are shades of grey."""
    planes = values if isinstance(values, list) else [values]
    labels = sorted({int(value) for plane in planes for value in np.unique(plane)} - {0, _VOID})
    if len(labels) > 1 and labels[0] > 0 and labels[-1] <= MAX_REGIONS:
        return {str(label): _pick(values, label) for label in labels}
    return {name: _pick(values, None)}


def _pick(values: np.ndarray | list[np.ndarray], label: int | None) -> np.ndarray:
    if isinstance(values, list):  # picture by picture: a black or white one may be stored in another way
        return np.stack([_inside(image, label) for image in values])
    return _inside(values, label)


def _inside(values: np.ndarray, label: int | None) -> np.ndarray:
    """Return which pixels belong to the region: those of its label, or else the brighter half of the value range."""
    if label is not None:
        return values == label
    return values > 127 if values.max(initial=0) > 127 else values > 0
