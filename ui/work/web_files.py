"""The files that browsers send and fetch: all that the web server may serve lies in one folder, and not for ever."""

import os
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder


def keep_web_files_in(folder: Path) -> None:
    """Have Gradio keep its files in a folder of this studio alone; to be called before a page is built."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.environ["GRADIO_TEMP_DIR"] = str(folder)


KNOWN_FILES = 4096
"""Whose copies' names are kept: they follow from the content, and a page asks for all of its results each second."""


def cached(file: Path) -> str:
    """Copy a file to where the server may serve it from, under a name that cannot be guessed without the file."""
    there, folder = file.stat(), get_upload_folder()
    copy = _copied(file, there.st_mtime_ns, there.st_size, folder)
    try:
        os.utime(copy)  # its age counts from its last use
    except OSError:  # it was purged
        return save_file_to_cache(file, folder)
    return copy


@lru_cache(KNOWN_FILES)
def _copied(file: Path, _modified: int, _size: int, folder: str) -> str:
    return save_file_to_cache(file, folder)


ABANDONED_SECONDS = 600.0
"""Uploads under way lie beside the folders of whole ones; without a new byte for so long, their sender is gone."""


def purge_web_files(max_age: float) -> None:
    """Remove files that were last sent or fetched more than `max_age` seconds ago.

    Gradio's own `delete_cache` forgets what there was before a restart, and never knew the files of handlers.
    """
    now, root = time.time(), Path(get_upload_folder())
    for path in sorted(root.rglob("*"), reverse=True):  # files before their folder
        with suppress(OSError):  # gone meanwhile, or a folder that is not empty
            is_under_way = path.parent == root and not path.is_dir()
            if now - path.lstat().st_ctime > (min(ABANDONED_SECONDS, max_age) if is_under_way else max_age):
                path.rmdir() if path.is_dir() else path.unlink()
