"""Files and folders that appear whole or not at all, under names that every system takes."""

import math
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from numpy.typing import DTypeLike

from videograin.errors import ProjectError

MAX_NAME = 60
"""Characters of a file name that is made from a user's words."""

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f\ud800-\udfff]')  # by one system or another
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # on Windows, whatever the ending


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a free name beside `path`; the file or folder written there is renamed to `path`, or removed on an error.

    Raises:
        ProjectError: it cannot be written, or `path` is a device or a folder that is not empty.
    """
    aside = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        _check_no_device(path)
        yield aside
        if aside.is_dir() and path.is_dir():
            path.rmdir()
        os.replace(aside, path)
    except OSError as error:
        raise not_writable(path, error) from error
    finally:
        with suppress(OSError):  # where nothing can be written nothing can be removed, and the error says the former
            if aside.is_dir():
                shutil.rmtree(aside)
            aside.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file aside and rename it, so that no reader ever finds half of it, not even after a power cut.

    Raises:
        ProjectError: it cannot be written.
    """
    with written_aside(path) as aside, aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def check_writable(path: Path) -> None:
    """Find out whether a file can be written, before the work whose result it is to hold.

    Raises:
        ProjectError: it cannot.
    """
    try:
        _check_no_device(path)
        with TemporaryFile(dir=path.absolute().parent):
            pass
    except OSError as error:
        raise not_writable(path, error) from error


def not_writable(path: Path, error: OSError) -> ProjectError:
    """Return the error that tells a user that a file or folder cannot be written."""
    return ProjectError(f"'{path}' cannot be written ({error.strerror or error}). Choose another place.")


def _check_no_device(path: Path) -> None:
    """Raise ProjectError where a rename would put a file in the place of a device, as of /dev/null, or of a pipe."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ProjectError(f"'{path}' is a device or a pipe, not a file. Name a file.")


def mapped_array(path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Return an array that lies in a new file, which the system keeps in memory only as far as there is room.

    Raises:
        OSError: the disk has no room; it is asked first, for a full disk kills whoever writes to a mapped file.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
    return np.memmap(path, dtype, "r+", shape=shape)


def file_names(names: Iterable[str]) -> list[str]:
    """Return a file or folder name for each of a user's names: legal on every system, and no two alike."""
    taken: set[str] = set()
    result = []
    for name in names:
        plain = _FORBIDDEN.sub("_", name)[:MAX_NAME].strip(" .") or "_"
        plain = f"_{plain}" if _RESERVED.fullmatch(plain) else plain
        unique, count = plain, 1
        while unique.casefold() in taken:  # many systems take Dog and dog for one
            count += 1
            unique = f"{plain} {count}"
        taken.add(unique.casefold())
        result.append(unique)
    return result
