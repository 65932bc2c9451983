"""A folder that processes on several hosts work in together: on a disk that all of them mount, or in a store."""

import errno
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from videograin.files.object_store import ObjectStore

GONE = (errno.ENOENT, errno.ESTALE)
"""What is said of a folder that is gone; by NFS, where another host has removed it."""


class SharedFolder:
    """A folder on a disk that all of them mount.

    Args:
        path: where it is on this host.

    Attributes:
        poll_seconds: how often it may be asked for news.
    """

    poll_seconds = 0.1

    def __init__(self, path: Path) -> None:
        self.path = path

    def inside(self, name: str) -> Self:
        """Return a folder in this one."""
        return type(self)(self.path / name)

    def make(self) -> None:
        """Make it, so that files can be written."""
        self.path.mkdir(parents=True, exist_ok=True)

    def clear(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def names(self) -> set[str]:
        """Return the names of the files in it, those in folders of its own aside."""
        with suppress(FileNotFoundError):
            return {entry.name for entry in os.scandir(self.path) if not entry.name.startswith(".")}
        return set()

    def read(self, name: str) -> bytes | None:
        """Return a file's content, None where there is none."""
        with suppress(FileNotFoundError):
            return (self.path / name).read_bytes()
        return None

    def create(self, name: str, content: bytes) -> bool:
        """Write a new file and return whether that was done: not where there is one, or the folder is gone.

        A link is made whole or not at all, by one of those who try.

        Raises:
            OSError: nothing can be written here, or the disk knows no hard links.
        """
        aside = self.path / f".{secrets.token_hex(8)}.part"
        try:
            aside.write_bytes(content)
            os.link(aside, self.path / name)
        except FileExistsError:  # NFS says so of its own link as well, where the first answer was lost: see open(2)
            return aside.stat().st_nlink > 1
        except OSError as error:
            if error.errno in GONE:
                return False
            raise
        finally:
            with suppress(OSError):
                aside.unlink()
        return True

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        """Have a file written, whole or not at all, to the path that `write` is given."""
        write(self.path / name)

    def fetch(self, name: str) -> Path:
        """Return where a file that is there can be read on this host."""
        return self.path / name

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self.path / name).unlink(missing_ok=True)


class StoredFolder(SharedFolder):
    """A folder in an object store; its files lie on this host only while they are written and read.

    Args:
        path: for files that are written or read.
        store: where they are.
        key: of the folder there.
    """

    poll_seconds = 0.5

    def __init__(self, path: Path, store: ObjectStore, key: str) -> None:
        super().__init__(path)
        self._store, self._key = store, key

    def inside(self, name: str) -> Self:
        """Return a folder in this one."""
        return type(self)(self.path / name, self._store, f"{self._key}/{name}")

    def clear(self) -> None:
        """Remove it with all that is in it."""
        super().clear()
        self._store.remove(self._key)

    def names(self) -> set[str]:
        """Return the names of the files in it, those in folders of its own aside."""
        return {name for name in self._store.marks(self._key) if "/" not in name and not name.startswith(".")}

    def read(self, name: str) -> bytes | None:
        """Return a file's content, None where there is none."""
        return self._store.read(f"{self._key}/{name}")

    def create(self, name: str, content: bytes) -> bool:
        """Write a new file and return whether there was none."""
        return self._store.create(f"{self._key}/{name}", content)

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        """Have a file written to the path that `write` is given, and copy it to the store."""
        self.make()
        write(self.path / name)
        self._store.put(f"{self._key}/{name}", self.path / name)

    def fetch(self, name: str) -> Path:
        """Return where a file that is there can be read on this host: a copy, made unless it was written here."""
        path = self.path / name
        if not path.exists() and not self._store.get(f"{self._key}/{name}", path):
            raise FileNotFoundError(f"'{name}' is not in the store of jobs' files any more")
        return path

    def remove(self, name: str) -> None:
        """Remove a file and its copy, if they are there."""
        super().remove(name)
        self._store.remove(f"{self._key}/{name}")
