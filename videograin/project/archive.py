"""Folders as one ZIP file to take along, and such files back from anywhere, within limits."""

import shutil
import zipfile
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path, PurePath, PureWindowsPath
from tempfile import TemporaryDirectory

from videograin.errors import ProjectError, VideoGrainError
from videograin.files.atomic import written_aside
from videograin.files.hub import ADAPTER_SUFFIXES
from videograin.project.workspace import Workspace
from videograin.project.workspace_files import (
    BACKUP,
    FILE,
    ClipCheck,
    LoadedWorkspace,
    gather_files,
    load_workspace,
    save_workspace,
)

MAX_BYTES = 2**30
"""That an archive may unpack to, unless it is large itself: clips and results are packed as they are."""

MAX_GROWTH = 2
"""Times an archive's own size that it may unpack to beyond `MAX_BYTES`."""

MAX_ENTRIES = 20_000
"""Files and folders of an archive: 40 objects of 480 frames with a picture each."""

SUFFIXES = (
    ".json", ".npz", ".png", ".jpg", ".jpeg", ".webp", ".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif",
    *ADAPTER_SUFFIXES,
)  # fmt: skip
"""Files that are unpacked; others are left in the archive."""


def export_workspace(workspace: Workspace, path: Path) -> None:
    """Write a user's work with its clip and results as one ZIP file.

    Args:
        workspace: results whose files are gone are left out.
        path: the .zip to write; an older file of that name is replaced.

    Raises:
        VideoError: the clip is missing.
        ProjectError: the file cannot be written.
    """
    results = tuple(result for result in workspace.results if result.video.is_file())
    with TemporaryDirectory(prefix="videograin-") as folder:
        gathered = gather_files(replace(workspace, results=results, output=None), folder)
        save_workspace(gathered, folder)
        pack_folder(Path(folder), path)


def import_workspace(path: Path, folder: Path, check: ClipCheck) -> LoadedWorkspace:
    """Unpack and read a user's work that comes from anywhere.

    Args:
        path: the .zip.
        folder: new or empty; nothing is left there if the work is refused.
        check: asked for the clip before anything is decoded.

    Raises:
        ProjectError: the archive is damaged, beyond a limit or holds no project, or a path in it leads elsewhere.
        VideoError: the clip cannot be read, or `check` refuses it.
        RegionError: there are too many objects.
    """
    unpack_archive(path, folder)
    try:
        if not any((folder / name).is_file() for name in (FILE, BACKUP)):
            raise ProjectError(f"Archive '{path.name}' holds no {FILE}, so it is no project. Choose another file.")
        loaded = load_workspace(folder, check=check)
        save_workspace(loaded.workspace, folder)  # from now on it is a folder of ours, whatever it was
    except VideoGrainError:
        shutil.rmtree(folder)
        raise
    return loaded


def pack_folder(folder: Path, path: Path) -> None:
    """Write all files of a folder as one ZIP file, uncompressed: pictures, masks and clips are compressed already.

    Raises:
        ProjectError: the file cannot be written.
    """
    with written_aside(path) as aside, zipfile.ZipFile(aside, "w") as archive:
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            archive.write(file, file.relative_to(folder).as_posix())


def unpack_archive(path: Path, folder: Path, suffixes: Collection[str] = SUFFIXES) -> None:
    """Unpack a ZIP file from an untrusted source.

    Args:
        path: the .zip.
        folder: new or empty. Where all lies in one folder with a project in it, this becomes `folder`.
        suffixes: endings of the files to unpack; others are left in the archive.

    Raises:
        ProjectError: the archive is damaged, beyond a limit, or names a place outside of the folder.
    """
    try:
        with zipfile.ZipFile(path) as archive, written_aside(folder) as aside:
            aside.mkdir()
            for place, entry in _places(archive.infolist(), path, suffixes).items():
                (aside / place).parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, (aside / place).open("wb") as target:
                    shutil.copyfileobj(source, target)  # never more bytes than the entry claims
    except ProjectError:
        raise
    except Exception as error:  # zipfile and zlib each have their own for damage
        raise ProjectError(f"Archive '{path.name}' cannot be read ({error}). Pack it again as a ZIP file.") from error


def _places(entries: list[zipfile.ZipInfo], path: Path, suffixes: Collection[str]) -> dict[PurePath, zipfile.ZipInfo]:
    """Return where each file that is wanted goes, relative to the folder."""
    size = sum(entry.file_size for entry in entries)
    allowed = max(MAX_BYTES, MAX_GROWTH * path.stat().st_size)
    if len(entries) > MAX_ENTRIES or size > allowed:
        raise ProjectError(
            f"Archive '{path.name}' holds {len(entries)} files of {size >> 20} MiB; {MAX_ENTRIES} of {allowed >> 20} "
            "MiB are allowed. Pack fewer results or a shorter clip."
        )
    places = {_place(entry.filename, path.name): entry for entry in entries if not entry.is_dir()}
    wanted = {place: entry for place, entry in places.items() if _is_wanted(place, suffixes)}
    tops = {place.parts[0] for place in wanted}
    if len(tops) == 1 and PurePath(*tops, FILE) in wanted:
        return {place.relative_to(*tops): entry for place, entry in wanted.items()}
    return wanted


def _place(filename: str, archive: str) -> PurePath:
    windows = PureWindowsPath(filename)  # knows both kinds of slashes, and drives
    if windows.anchor or ".." in windows.parts or not windows.parts:
        raise ProjectError(
            f"Archive '{archive}' names '{filename}', a place outside of its folder. It is not unpacked."
        )
    return PurePath(*windows.parts)


def _is_wanted(place: PurePath, suffixes: Collection[str]) -> bool:
    return place.suffix.lower() in suffixes and not any(part.startswith((".", "__MACOSX")) for part in place.parts)
