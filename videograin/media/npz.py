"""Arrays in NumPy's files: read however damaged or hostile these are, written whole and under any name."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from videograin.errors import RegionError
from videograin.files.atomic import write_whole
from videograin.media.video import MAX_CLIP_BYTES


@dataclass(frozen=True)
class ArrayHeader:
    """What a file says of an array before the array is read.

    Attributes:
        shape: length of each axis.
        dtype: type of its elements, `object` for what would have to be unpickled.
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def kind(self) -> str:
        """NumPy's letter for the kind of values: b, i, u or f among others."""
        return self.dtype.kind

    @property
    def nbytes(self) -> int:
        """Bytes of the array in memory."""
        return prod(self.shape) * self.dtype.itemsize


def read_headers(path: Path) -> dict[str, ArrayHeader]:
    """Read what arrays there are in an NPZ, by name, or in an NPY, under the empty name; no values are read.

    Raises:
        RegionError: the file cannot be read.
    """
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as content:
                return {"": _read_header(content)}
        with zipfile.ZipFile(path) as archive:
            return {entry.filename.removesuffix(".npy"): _header_of(archive, entry) for entry in archive.infolist()}
    except Exception as error:  # zipfile, zlib, tokenize and numpy each have errors of their own for damaged files
        raise _unreadable(path, error) from error


def read_array(path: Path, key: str | None = None) -> np.ndarray:
    """Read one array of an NPZ, or that of an NPY where `key` is None.

    Raises:
        RegionError: the file cannot be read, or the array is larger than a clip may be.
    """
    header = read_headers(path)[key or ""]
    if header.nbytes > MAX_CLIP_BYTES:
        raise _too_large(path, header.nbytes)
    try:
        if key is None:
            with path.open("rb") as content:
                return np.lib.format.read_array(content, allow_pickle=False)
        with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as content:
            return np.lib.format.read_array(content, allow_pickle=False)
    except Exception as error:
        raise _unreadable(path, error) from error


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays by name.

    Raises:
        RegionError: the file cannot be read, or unpacks to more than a clip may hold.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            size = sum(entry.file_size for entry in entries)  # zipfile reads no more than an entry claims
            if size <= MAX_CLIP_BYTES:
                return {entry.filename.removesuffix(".npy"): _read_array(archive, entry) for entry in entries}
    except Exception as error:
        raise _unreadable(path, error) from error
    raise _too_large(path, size)


def write_npz(path: Path, arrays: Mapping[str, np.ndarray], *, is_compressed: bool = True) -> None:
    """Write arrays by name; an older file is replaced.

    Args:
        path: the file.
        arrays: by their names.
        is_compressed: whether time is spent to save space.

    Raises:
        ProjectError: the file cannot be written.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED if is_compressed else zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
    write_whole(path, content.getvalue())


def _read_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(entry) as content:
        return np.lib.format.read_array(content, allow_pickle=False)


def _header_of(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> ArrayHeader:
    with archive.open(entry) as content:
        return _read_header(content)


def _read_header(content: IO[bytes]) -> ArrayHeader:
    version = np.lib.format.read_magic(content)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(content)
    return ArrayHeader(shape, dtype)


def _unreadable(path: Path, error: Exception) -> RegionError:
    return RegionError(f"Masks '{path.name}' cannot be read ({error}). Save them with numpy.savez again.")


def _too_large(path: Path, size: int) -> RegionError:
    return RegionError(
        f"Masks '{path.name}' unpack to {size >> 20} MiB; {MAX_CLIP_BYTES >> 20} are allowed. Save fewer."
    )
