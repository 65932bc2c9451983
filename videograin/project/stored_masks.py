"""The masks of one object as a file: packed to bits, named by their content, and checked by their headers."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from videograin.errors import RegionError
from videograin.media.npz import ArrayHeader, read_headers, read_npz, write_npz
from videograin.media.video import MAX_CLIP_BYTES, MOST_BEYOND
from videograin.project.workspace import ObjectMasks

_MAX_STATE_BYTES = 4 * 32
"""Of a tracker's word for a frame, in NumPy's four bytes a letter."""


def store_masks(masks: ObjectMasks, number: int, folder: Path, place: str) -> str:
    """Write an object's masks unless they are there already, and return the file's place in the folder.

    Args:
        masks: of the object.
        number: of the object.
        folder: of the work.
        place: of masks in it.

    Raises:
        ProjectError: the file cannot be written.
    """
    arrays = {
        "packed": np.packbits(masks.masks, axis=-1),
        "width": np.array(masks.masks.shape[-1]),
        "confidence": masks.confidence,
        "states": np.array(masks.states, dtype=np.str_),
        "anchors": np.array(masks.anchors, dtype=np.int64),
    }
    digest = hashlib.sha256()
    for array in arrays.values():
        digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    name = f"{place}/{number}-{digest.hexdigest()[:16]}.npz"
    try:
        read_npz(folder / name)
    except RegionError:
        write_npz(folder / name, arrays)
    return name


def unpacked_bytes(file: Path, shape: tuple[int, int, int] | None) -> int:
    """Return what an object's masks take once they are unpacked, by the file's headers.

    Args:
        file: of `store_masks`, or one that claims to be.
        shape: (F, H, W) of the clip that they must fit, by its header; None where that is unknown.

    Raises:
        RegionError: the file cannot be read, holds something else, or masks of another clip.
    """
    headers = read_headers(file)
    try:
        frames, height, packed = headers["packed"].shape
        fits = _belong_together(headers, frames)
    except (KeyError, ValueError) as error:
        raise RegionError(f"the file holds something else ({error}).") from error
    if not fits:
        raise RegionError(f"the file holds something else: arrays that do not belong to {frames} masks.")
    if shape and (frames > shape[0] + MOST_BEYOND or (height, packed) != (shape[1], -(-shape[2] // 8))):
        raise RegionError(
            f"the file holds {frames} masks of {packed * 8}×{height} pixels; the clip has {shape[0]} frames of "
            f"{shape[2]}×{shape[1]}."
        )
    return frames * height * packed * 8


def unpack_masks(file: Path) -> ObjectMasks:
    """Read an object's masks.

    Raises:
        RegionError: the file cannot be read, or holds something else.
    """
    arrays = read_npz(file)
    try:
        packed, width = arrays["packed"], int(arrays["width"])
        if packed.shape[-1] != -(-width // 8) or packed.size * 8 > MAX_CLIP_BYTES:
            raise ValueError(f"{packed.shape} bytes for {width} columns")
        masks = np.unpackbits(packed, axis=-1, count=width).view(np.bool_)
        states = tuple(str(state) for state in arrays["states"])
        return ObjectMasks(masks, arrays["confidence"], states, tuple(int(anchor) for anchor in arrays["anchors"]))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise RegionError(f"the file holds something else ({error}).") from error


def _belong_together(headers: Mapping[str, ArrayHeader], frames: int) -> bool:
    """Whether arrays are as large as those beside `frames` masks are."""
    states, anchors = headers["states"], headers["anchors"]
    return (
        headers["packed"].dtype == np.uint8
        and headers["width"].shape == ()
        and headers["confidence"].shape == (frames,)
        and states.shape in ((0,), (frames,))
        and states.dtype.itemsize <= _MAX_STATE_BYTES
        and len(anchors.shape) == 1
        and anchors.shape[0] <= frames
        and len(headers) == 5
    )
