"""How much of a disk the users' files may take, what must stay free on it, and where temporary ones lie."""

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock

from videograin.errors import ProjectError

MEASURED_SECONDS = 10.0
"""How long a folder's size is believed; to add it up takes milliseconds for each hundred files."""

FULL = "The disk of this server is full, so that nothing more can be kept. What you have is safe. Try again later."


def keep_temporary_files_in(folder: Path) -> None:
    """Have this process's temporary files made in a folder of its own, emptied of what a killed one before has left.

    The system's own may be small, and be memory: a container's is, and a long clip's frames are gigabytes.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # on a full disk, say, the system's own has to do
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        tempfile.tempdir = str(folder)


def remove_unused(folder: Path, max_age: float) -> None:
    """Remove the files of a folder that were not used, or made, for `max_age` seconds."""
    oldest = time.time() - max_age
    for file in folder.glob("*"):
        with suppress(FileNotFoundError):
            if file.stat().st_mtime < oldest:
                file.unlink()


class DiskRoom:
    """The room that a folder has on its disk, shared by all who write there; from any thread.

    Args:
        folder: whose whole content is limited; it may be missing.
        total_bytes: that it may take.
        reserve_bytes: that stay free on its disk.
        owner_bytes: that a folder of one owner may take.
    """

    def __init__(self, folder: Path, total_bytes: float, reserve_bytes: float, owner_bytes: float) -> None:
        self._folder = folder
        self._total, self._reserve, self._owner = total_bytes, reserve_bytes, owner_bytes
        self._lock = Lock()
        self._used, self._measured = 0, float("-inf")

    def check(self, more: int = 0) -> None:
        """Count `more` bytes that are about to be written.

        Raises:
            ProjectError: there is no room for them.
        """
        with self._lock:
            if time.monotonic() - self._measured > MEASURED_SECONDS:
                self._used, self._measured = used_bytes(self._folder), time.monotonic()
            if free_bytes(self._folder) - more < self._reserve or self._used + more > self._total:
                raise ProjectError(FULL)
            self._used += more

    def check_owner(self, folder: Path, more: int = 0) -> None:
        """Count `more` bytes that are about to be written for the owner of a folder.

        Raises:
            ProjectError: there is no room for them, or the owner has enough.
        """
        used = used_bytes(folder)
        if used + more > self._owner:
            raise ProjectError(
                f"Your clips and results take {used / 1e6:.0f} MB here, and {more / 1e6:.0f} MB more would exceed the "
                f"{self._owner / 1e6:.0f} MB that one session may keep. Save your project and go on in a new session, "
                "or take a shorter clip."
            )
        self.check(more)


def used_bytes(folder: Path) -> int:
    """Return what the files of a folder take together; 0 where it is missing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # removed meanwhile
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def free_bytes(folder: Path) -> int:
    """Return the bytes that are free on a folder's disk; the folder may be missing, though not its disk."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
