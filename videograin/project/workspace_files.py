"""A user's work as a folder: project.json, the masks, the clip and the results.

    project.json            everything but pictures, version 2; project.backup.json is the save before
    masks/3-9f2c51d0.npz    masks of object 3, named by their content
    clip-1.mp4              the clip, where it was copied into the folder
    results/edit-1.mp4      edits

A save writes new mask files first and then renames the new project.json into place, so that a folder is always whole.
One writer at a time.
"""

import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from videograin.errors import ProjectError, RegionError
from videograin.files.atomic import not_writable, write_whole, written_aside
from videograin.files.document import DocumentReader, format_document, parse_document, to_plain
from videograin.media.ffmpeg import check_file
from videograin.media.frame_folder import frame_files
from videograin.media.video import MAX_CLIP_BYTES, ClipOptions, load_clip
from videograin.models.bundles import DEFAULT_MODEL
from videograin.project.project import VERSION as FILE_VERSION
from videograin.project.project import complete_document, load_project
from videograin.project.stored_masks import store_masks, unpack_masks, unpacked_bytes
from videograin.project.workspace import MarkedObject, ObjectMasks, Workspace, from_project
from videograin.region import MAX_REGIONS
from videograin.segment.names import segmenter_names

VERSION = 2
"""Of a folder's project.json; version 1 is an edit's file, and a folder with one is read as well."""

FILE, BACKUP = "project.json", "project.backup.json"
MASKS, RESULTS = "masks", "results"
_OWN_FILE = re.compile(r"\d+-[0-9a-f]{16}\.npz|\.[0-9a-f]{16}\.part")  # of a save; others are the user's


ClipCheck = Callable[[Path, ClipOptions], tuple[int, int, int]]
"""Returns the shape (F, H, W) of a clip by its header, or raises VideoError where it is beyond a limit."""


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


def load_workspace(
    folder: str | os.PathLike[str], model: str | None = None, check: ClipCheck | None = None
) -> LoadedWorkspace:
    """Read a user's work; damaged parts are left out or keep their defaults, and are reported.

    Args:
        folder: of `save_workspace`, or one with an edit's file of version 1 named project.json.
        model: takes the place of the project's model.
        check: of a work that is not trusted, asked for its clip before anything is decoded. Paths may then not lead out
            of the folder, models must have a name, and masks must have the clip's shape.

    Raises:
        ProjectError: there is no project, nothing of it can be read, or it is not trusted and its clip lies outside.
        VideoError: the clip of an edit's file cannot be read, and its masks only fit a clip; or `check` refuses it.
        RegionError: there are too many objects.
    """
    trusted = check is None
    problems: list[str] = []
    path, document = _read_document(Path(folder), problems)
    version = document.pop("version", None)
    if version == FILE_VERSION:
        project = load_project(path, model, trusted)
        if check:
            check(project.clip, project.clip_options)
        return LoadedWorkspace(from_project(project, load_clip(project.clip, project.clip_options)), tuple(problems))
    if version != VERSION:
        raise ProjectError(f"'{path.name}' has version {version!r}; this program reads {FILE_VERSION} and {VERSION}.")
    _check_number(document.get("objects"))
    reader = DocumentReader(path, trusted, problems)
    marked = reader.read(_Marked, {name: document.pop(name, []) for name in ("objects", "masks")}, "")
    _complete(document, path, model, trusted, problems)
    workspace = replace(reader.read(Workspace, document, ""), objects=_unique(marked.objects, problems))
    shape = check(workspace.clip, workspace.clip_options) if check else None
    workspace = replace(workspace, masks=_load_masks(workspace, marked.masks, shape, problems))
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
        {"object": each.id, "file": store_masks(workspace.masks[each.id], each.id, folder, MASKS)}
        for each in workspace.objects
        if each.id in workspace.masks
    ]
    in_use = {item["file"] for item in stored} | _back_up(folder)
    write_whole(folder / FILE, format_document(VERSION, to_plain(workspace, folder) | {"masks": stored}))
    for file in (folder / MASKS).iterdir():
        if _OWN_FILE.fullmatch(file.name) and f"{MASKS}/{file.name}" not in in_use:
            file.unlink()


def gather_files(workspace: Workspace, folder: str | os.PathLike[str]) -> Workspace:
    """Copy clip, results, LoRAs and pictures into the folder unless they lie there; return the work with their places.

    Raises:
        VideoError: one of them is missing.
        ProjectError: the folder cannot be written.
    """
    folder = Path(folder).absolute()
    _make_folder(folder / RESULTS)
    adapters = tuple(
        replace(each, file=_gather(each.file, folder, "adapter")) if each.file else each for each in workspace.adapters
    )
    results = tuple(
        replace(result, video=_gather(result.video, folder, f"{RESULTS}/edit")) for result in workspace.results
    )
    objects = tuple(
        replace(each, reference=replace(each.reference, file=_gather(each.reference.file, folder, "reference")))
        if each.reference
        else each
        for each in workspace.objects
    )
    clip = _gather(workspace.clip, folder, "clip")
    return replace(workspace, clip=clip, results=results, adapters=adapters, objects=objects)


def _read_document(folder: Path, problems: list[str]) -> tuple[Path, dict[str, Any]]:
    """Return project.json, or else the save before it, and what it holds."""
    try:
        return folder / FILE, parse_document(folder / FILE)
    except ProjectError as error:
        if not (folder / BACKUP).is_file():
            raise
        problems.append(f"{error} The save before it is shown instead.")
        return folder / BACKUP, parse_document(folder / BACKUP)


def _check_number(objects: Any) -> None:
    if isinstance(objects, list) and len(objects) > MAX_REGIONS:
        raise RegionError(f"This project has {len(objects)} objects; at most {MAX_REGIONS} can be edited at once.")


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


def _load_masks(
    workspace: Workspace, stored: tuple[_StoredMasks, ...], shape: tuple[int, int, int] | None, problems: list[str]
) -> dict[int, ObjectMasks]:
    """Read the masks of all objects, after their headers have told that they fit into the memory together."""
    files = {item.object: item.file for item in stored}
    masks = {}
    room = MAX_CLIP_BYTES
    for each in workspace.objects:
        if each.id in files:
            try:
                room -= unpacked_bytes(files[each.id], shape)
                if room < 0:
                    raise RegionError(f"all masks together exceed {MAX_CLIP_BYTES >> 30} GiB.")
                masks[each.id] = unpack_masks(files[each.id])
            except RegionError as error:
                problems.append(_lost(each, str(error)))
    return masks


def without_misfits(loaded: LoadedWorkspace, frames: int) -> LoadedWorkspace:
    """Leave out masks of another number of frames than the clip turned out to have, and tell of them."""
    work = loaded.workspace
    counts = {number: len(each.masks) for number, each in work.masks.items()}
    problems = [
        _lost(each, f"there are {counts[each.id]} of them, and {frames} frames of the clip.")
        for each in work.objects
        if counts.get(each.id, frames) != frames
    ]
    masks = {number: each for number, each in work.masks.items() if counts[number] == frames}
    return LoadedWorkspace(replace(work, masks=masks), (*loaded.problems, *problems))


def _lost(each: MarkedObject, reason: str) -> str:
    return f"{each.title} has lost its masks: {reason} Its words and clicks are here; follow it through the clip again."


def _missing_files(workspace: Workspace) -> list[str]:
    clip = workspace.clip
    lost = [
        f"'{result.video.name}' is gone, an edit of {result.date}."
        for result in workspace.results
        if not result.video.is_file()
    ]
    lost += [f"The LoRA {each.title} is gone; it is left out." for each in workspace.adapters if _is_gone(each.file)]
    pictures = [each.reference.file for each in workspace.objects if each.reference]
    lost += [f"The picture '{file.name}' is gone; choose it again." for file in pictures if _is_gone(file)]
    return lost if clip.exists() else [f"The clip '{clip.name}' is gone. Choose it again; all else is here.", *lost]


def _is_gone(file: Path | None) -> bool:
    return file is not None and not file.is_file()


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
    """Copy a file, or a folder's pictures, into the folder under a free name unless it lies there."""
    if not source.is_dir():
        check_file(source)
    if source.resolve().is_relative_to(folder.resolve()):
        return source
    names = (f"{stem}-{number}{source.suffix.lower()}" for number in count(1))
    target = next(folder / name for name in names if not (folder / name).exists())
    with written_aside(target) as aside:
        if source.is_dir():
            aside.mkdir()
        for file in frame_files(source) if source.is_dir() else [source]:
            shutil.copyfile(file, aside / file.name if source.is_dir() else aside)
    return target


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable(folder, error) from error
