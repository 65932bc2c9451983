"""Files under an fsspec URL, such as a bucket of S3's, that processes on several hosts reach."""

import secrets
from collections.abc import Mapping
from pathlib import Path

import fsspec

from videograin.errors import SettingsError

WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"}
"""Protocols under which a file appears when all of it is there; under others it is written aside and renamed."""


class ObjectStore:
    """Files by their keys, texts like "job/progress.json".

    Args:
        url: as fsspec takes it, s3://bucket/prefix for example; what else its file system needs to know comes from the
            environment (AWS_ENDPOINT_URL, FSSPEC_S3_KEY and so on).

    Raises:
        SettingsError: fsspec does not know the protocol, or lacks the package for it.
    """

    def __init__(self, url: str) -> None:
        try:  # listings are never kept: other hosts change them
            self._system, root = fsspec.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
        except (ImportError, ValueError) as error:
            raise SettingsError(
                f"'{url}' cannot be used for the jobs' files ({error}). For S3 run in the studio's clone: uv tool "
                "install '.[ray,s3]' or pip install '.[ray,s3]'; for others install their fsspec package."
            ) from error
        self._root = root.rstrip("/")
        protocol = self._system.protocol
        self._is_whole = bool(WHOLE & {protocol} if isinstance(protocol, str) else WHOLE & set(protocol))

    def check(self) -> None:
        """Find out whether files can be written and claimed, as a cluster needs it.

        Raises:
            SettingsError: they cannot.
        """
        key = f"probe-{secrets.token_hex(8)}"
        try:
            is_exclusive = self.create(key, b"probe") and not self.create(key, b"probe")
            self.remove(key)
        except Exception as error:  # every file system has errors of its own
            raise SettingsError(
                f"'{self._root}' cannot be written ({error}). Check the address, the endpoint and the credentials."
            ) from error
        if not is_exclusive:
            raise SettingsError(
                f"'{self._root}' cannot create a file only where there is none, by which windows are claimed. Choose "
                "a store that can, as S3 does."
            )

    def marks(self, folder: str) -> dict[str, str]:
        """Return the names of all files below a folder, each with a text that is another one when the file changes."""
        prefix = self._path(folder) + "/"
        found = self._system.find(self._path(folder), detail=True)
        return {name.removeprefix(prefix): _mark(entry) for name, entry in found.items() if name.startswith(prefix)}

    def read(self, key: str) -> bytes | None:
        """Return a file's content, None where there is none."""
        try:
            return self._system.cat_file(self._path(key))
        except FileNotFoundError:
            return None

    def create(self, key: str, content: bytes) -> bool:
        """Write a new file and return whether there was none; of several who try, one succeeds.

        The content must not be empty: s3fs would then overwrite what is there.
        """
        assert content
        self._make_folder(key)
        try:
            with self._system.open(self._path(key), "xb") as file:
                file.write(content)
        except FileExistsError:
            return False
        return True

    def put(self, key: str, path: Path) -> None:
        """Copy a file of this host to a key, where it appears whole."""
        self._make_folder(key)
        target = self._path(key)
        if self._is_whole:
            self._system.put_file(str(path), target)
            return
        folder, _, name = target.rpartition("/")
        aside = f"{folder}/.{name}-{secrets.token_hex(8)}.part"
        self._system.put_file(str(path), aside)
        self._system.mv(aside, target)

    def get(self, key: str, path: Path) -> bool:
        """Copy a file to this host, where it appears whole, and return whether there was one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{secrets.token_hex(8)}.part")
        try:
            self._system.get_file(self._path(key), str(aside))
            aside.replace(path)
        except FileNotFoundError:
            return False
        finally:
            aside.unlink(missing_ok=True)
        return True

    def remove(self, key: str) -> None:
        """Remove a file, or a folder with all that is below it; there may be none."""
        try:
            self._system.rm(self._path(key), recursive=True)
        except FileNotFoundError:
            return

    def folders(self) -> set[str]:
        """Return the names of the folders at the top."""
        return {name.partition("/")[0] for name in self.marks("") if "/" in name}

    def _make_folder(self, key: str) -> None:
        if not self._is_whole:
            self._system.makedirs(self._path(key).rpartition("/")[0], exist_ok=True)

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}".rstrip("/")


def _mark(entry: Mapping[str, object]) -> str:
    return str(sorted(entry.items()))
