"""Arrays in one file, NumPy's NPZ: read however damaged or hostile it is, written whole and under any name."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from videograin.errors import RegionError
from videograin.files.atomic import write_whole
from videograin.media.video import MAX_CLIP_BYTES


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
    except Exception as error:  # zipfile, zlib, tokenize and numpy each have errors of their own for damaged files
        raise RegionError(f"Masks '{path}' cannot be read ({error}). Save them with numpy.savez again.") from error
    raise RegionError(f"Masks '{path}' unpack to {size >> 20} MiB; {MAX_CLIP_BYTES >> 20} are allowed. Save fewer.")


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name, compressed; an older file is replaced.

    Raises:
        ProjectError: the file cannot be written.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
    write_whole(path, content.getvalue())


def _read_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(entry) as content:
        return np.lib.format.read_array(content, allow_pickle=False)
