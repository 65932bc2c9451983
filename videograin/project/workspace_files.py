"""A user's work as a folder: project.json, the masks, the clip and the results.

    project.json            everything but pictures, version 2; project.backup.json is the save before
    masks/3-9f2c51d0.npz    masks of object 3, named by their content
    clip-1.mp4              the clip, where it was copied into the folder
    results/edit-1.mp4      edits

A save writes new mask files first and then renames the new project.json into place, so that a folder is always whole.
One writer at a time.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from videograin.errors import ProjectError, RegionError
from videograin.files.atomic import write_whole, written_aside
from videograin.files.document import DocumentReader, format_document, parse_document, to_plain
from videograin.media.ffmpeg import check_file
from videograin.media.npz import read_npz, write_npz
from videograin.media.video import MAX_CLIP_BYTES, load_clip
from videograin.models.bundles import DEFAULT_MODEL
from videograin.project.project import VERSION as FILE_VERSION
from videograin.project.project import complete_document, load_project
from videograin.project.workspace import MarkedObject, ObjectMasks, Workspace, from_project
from videograin.segment.zoo import segmenter_names

VERSION = 2
"""Of a folder's project.json; version 1 is an edit's file, and a folder with one is read as well."""

FILE, BACKUP = "project.json", "project.backup.json"
MASKS, RESULTS = "masks", "results"
_OWN_FILE = re.compile(r"\d+-[0-9a-f]{16}\.npz|\.[0-9a-f]{16}\.part")  # of a save; others are the user's


@dataclass(frozen=True)
class LoadedWorkspace:
    """What could be read of a folder.

    Attributes:
        workspace: all that is undamaged.
        problems: damage, a sentence or two each; empty where there is none.
    """

    workspace: Workspace
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _StoredMasks:
    object: int
    file: Path


@dataclass(frozen=True)
class _Marked:
    """The part of project.json that is put together from the mask files."""

    objects: tuple[MarkedObject, ...] = ()
    masks: tuple[_StoredMasks, ...] = ()


def load_workspace(folder: str | os.PathLike[str], model: str | None = None, trusted: bool = True) -> LoadedWorkspace:
    """Read a user's work; damaged parts are left out or keep their defaults, and are reported.

    Args:
        folder: of `save_workspace`, or one with an edit's file of version 1 named project.json.
        model: takes the place of the project's model.
        trusted: whether paths may lead out of the folder, and models be others than those with a name.

    Raises:
        ProjectError: there is no project, nothing of it can be read, or it is not trusted and its clip lies outside.
        VideoError: the clip of an edit's file cannot be read, and its masks only fit a clip.
    """
    problems: list[str] = []
    path, document = _read_document(Path(folder), problems)
    version = document.pop("version", None)
    if version == FILE_VERSION:
        project = load_project(path, model, trusted)
        return LoadedWorkspace(from_project(project, load_clip(project.clip, project.clip_options)), tuple(problems))
    if version != VERSION:
        raise ProjectError(f"'{path}' has version {version!r}; this program reads {FILE_VERSION} and {VERSION}.")
    reader = DocumentReader(path, trusted, problems)
    marked = reader.read(_Marked, {name: document.pop(name, []) for name in ("objects", "masks")}, "")
    _complete(document, path, model, trusted, problems)
    workspace = replace(reader.read(Workspace, document, ""), objects=_unique(marked.objects, problems))
    workspace = replace(workspace, masks=_load_masks(workspace, marked.masks, problems))
    problems += _missing_files(workspace)
    return LoadedWorkspace(workspace, tuple(problems))


def save_workspace(workspace: Workspace, folder: str | os.PathLike[str]) -> None:
    """Write a user's work, whole or not at all; only masks that changed are written.

    Args:
        workspace: its clip and results stay where they are; `gather_files` brings them into the folder.
        folder: created where it is missing.

    Raises:
        ProjectError: the folder cannot be written.
    """
    folder = Path(folder).absolute()
    _make_folder(folder / MASKS)
    stored = [
        {"object": each.id, "file": _store_masks(workspace.masks[each.id], each.id, folder)}
        for each in workspace.objects
        if each.id in workspace.masks
    ]
    in_use = {item["file"] for item in stored} | _back_up(folder)
    write_whole(folder / FILE, format_document(VERSION, to_plain(workspace, folder) | {"masks": stored}))
    for file in (folder / MASKS).iterdir():
        if _OWN_FILE.fullmatch(file.name) and f"{MASKS}/{file.name}" not in in_use:
            file.unlink()


def gather_files(workspace: Workspace, folder: str | os.PathLike[str]) -> Workspace:
    """Copy the clip and the results into the folder unless they lie there, and return the work with their new places.

    Raises:
        VideoError: one of them is missing.
        ProjectError: the folder cannot be written.
    """
    folder = Path(folder).absolute()
    _make_folder(folder / RESULTS)
    results = tuple(
        replace(result, video=_gather(result.video, folder, f"{RESULTS}/edit")) for result in workspace.results
    )
    return replace(workspace, clip=_gather(workspace.clip, folder, "clip"), results=results)


def _read_document(folder: Path, problems: list[str]) -> tuple[Path, dict[str, Any]]:
    """Return project.json, or else the save before it, and what it holds."""
    try:
        return folder / FILE, parse_document(folder / FILE)
    except ProjectError as error:
        if not (folder / BACKUP).is_file():
            raise
        problems.append(f"{error} The save before it is shown instead.")
        return folder / BACKUP, parse_document(folder / BACKUP)


def _complete(document: dict[str, Any], path: Path, model: str | None, trusted: bool, problems: list[str]) -> None:
    try:
        complete_document(document, path, model, trusted)
    except ProjectError as error:
        problems.append(f"{error} '{DEFAULT_MODEL}' takes its place.")
        complete_document(document, path, DEFAULT_MODEL, trusted)
    if not trusted and document.get("segmenter") not in segmenter_names():
        document.pop("segmenter", None)  # a path would be opened


def _unique(objects: tuple[MarkedObject, ...], problems: list[str]) -> tuple[MarkedObject, ...]:
    """Give objects whose number is taken the next free one."""
    unique: dict[int, MarkedObject] = {}
    for each in objects:
        number = each.id
        if number in unique:
            number = max(other.id for other in objects) + len(unique)
            problems.append(f"{each.title} has the number of another object; its masks may be the other's.")
        unique[number] = replace(each, id=number)
    return tuple(unique.values())


def _load_masks(workspace: Workspace, stored: tuple[_StoredMasks, ...], problems: list[str]) -> dict[int, ObjectMasks]:
    files = {item.object: item.file for item in stored}
    masks = {}
    for each in workspace.objects:
        if each.id in files:
            try:
                masks[each.id] = _unpack(read_npz(files[each.id]))
            except RegionError as error:
                problems.append(
                    f"{each.title} has lost its masks: {error} Its words and clicks are here; follow it through the "
                    "clip again."
                )
    return masks


def _missing_files(workspace: Workspace) -> list[str]:
    clip = workspace.clip
    lost = [
        f"'{result.video}' is gone, an edit of {result.date}."
        for result in workspace.results
        if not result.video.is_file()
    ]
    return lost if clip.is_file() else [f"The clip '{clip}' is gone. Choose it again; all else is here.", *lost]


def _store_masks(masks: ObjectMasks, number: int, folder: Path) -> str:
    """Write an object's masks unless they are there already, and return the file's place in the folder."""
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
    place = f"{MASKS}/{number}-{digest.hexdigest()[:16]}.npz"
    try:
        read_npz(folder / place)
    except RegionError:
        write_npz(folder / place, arrays)
    return place


def _unpack(arrays: Mapping[str, np.ndarray]) -> ObjectMasks:
    try:
        packed, width = arrays["packed"], int(arrays["width"])
        if packed.shape[-1] != -(-width // 8) or packed.size * 8 > MAX_CLIP_BYTES:
            raise ValueError(f"{packed.shape} bytes for {width} columns")
        masks = np.unpackbits(packed, axis=-1, count=width).view(np.bool_)
        states = tuple(str(state) for state in arrays["states"])
        return ObjectMasks(masks, arrays["confidence"], states, tuple(int(anchor) for anchor in arrays["anchors"]))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise RegionError(f"the file holds something else ({error}).") from error


def _back_up(folder: Path) -> set[str]:
    """Keep the last save that is whole beside the next one, and return the mask files that it uses."""
    for path in (folder / FILE, folder / BACKUP):
        with suppress(ProjectError):
            stored = parse_document(path).get("masks", [])
            break
    else:
        return set()
    if path.name == FILE:
        write_whole(folder / BACKUP, path.read_bytes())
    marked = DocumentReader(path, problems=[]).read(_Marked, {"masks": stored}, "")
    return {f"{MASKS}/{item.file.name}" for item in marked.masks}


def _gather(source: Path, folder: Path, stem: str) -> Path:
    """Copy a file into the folder under a free name unless it lies there."""
    check_file(source)
    if source.resolve().is_relative_to(folder.resolve()):
        return source
    names = (f"{stem}-{number}{source.suffix.lower()}" for number in count(1))
    target = next(folder / name for name in names if not (folder / name).exists())
    with written_aside(target) as aside:
        shutil.copyfile(source, aside)
    return target


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProjectError(f"'{folder}' cannot be written ({error.strerror}). Choose another place.") from error
