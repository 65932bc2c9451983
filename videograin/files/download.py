"""Files from the network: whole, checked, or not there at all."""

import hashlib
import os
import shutil
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from videograin.errors import ModelError
from videograin.progress import Phase, Report, ignore, track

STALL_SECONDS = 30.0
"""How long the other side may stay silent."""

_CHUNK = 2**20  # bytes between two reports


@dataclass(frozen=True)
class RemoteFile:
    """A file that never changes.

    Attributes:
        url: where it is.
        sha256: of its content, 64 hex digits.
        size: in bytes.
    """

    url: str
    sha256: str
    size: int


def download(source: RemoteFile, target: Path, report: Report = ignore) -> Path:
    """Return `target`, downloading it unless it is there.

    Args:
        source: what to download.
        target: where to; it appears only when all of it has come and its checksum is right.
        report: told after every MiB; may raise `Cancelled`.

    Raises:
        ModelError: the network or the disk does not allow it, or the content is not what it should be.
    """
    if target.is_file() and target.stat().st_size == source.size:
        return target
    remedy = f"Download it by hand from {source.url} and put it at '{target}'."
    aside = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _check_room(source, target.parent)
        digest = _receive(source, aside, report)
        if digest != source.sha256:
            raise ModelError(f"'{target.name}' came damaged (SHA-256 {digest}, not {source.sha256}). Try again.")
        aside.replace(target)
    except (OSError, HTTPException) as error:
        raise ModelError(f"'{target.name}' cannot be downloaded ({error}). {remedy}") from error
    finally:
        aside.unlink(missing_ok=True)
    return target


def _check_room(source: RemoteFile, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < source.size:
        raise ModelError(
            f"'{folder}' has room for {free / 2**20:.0f} MiB and the download takes {source.size / 2**20:.0f}. "
            "Make room, or set XDG_CACHE_HOME to a larger disk."
        )


def _receive(source: RemoteFile, file: Path, report: Report) -> str:
    """Write the file and return the SHA-256 of what came."""
    digest = hashlib.sha256()
    with urlopen(source.url, timeout=STALL_SECONDS) as response, file.open("wb") as out:  # noqa: S310 (our own URLs)
        for _ in track(Phase.DOWNLOAD, range(-(-source.size // _CHUNK)), report):
            chunk = response.read(_CHUNK)
            digest.update(chunk)
            out.write(chunk)
    return digest.hexdigest()
