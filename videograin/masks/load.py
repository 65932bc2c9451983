"""Masks from files: a picture for each frame or one for all, indexed PNGs as DAVIS has them, arrays, a matte video."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from videograin.errors import RegionError
from videograin.masks.coco import is_coco, read_coco
from videograin.masks.labels import FoundObjects, check_number, find_objects
from videograin.masks.planes import Plane, check_picture, is_own, plane_of, read_plane
from videograin.masks.target import MaskTarget, stack
from videograin.masks.video import load_matte
from videograin.media.frame_folder import PICTURES, in_number_order
from videograin.media.npz import ArrayHeader, read_array, read_headers

VIDEOS = (".mov", ".mp4", ".m4v", ".mkv", ".webm", ".avi", ".gif")
MASK_FILES = (*PICTURES, *VIDEOS, ".npz", ".npy", ".json", ".txt")
"""Endings of the files that masks are read from, and of CVAT's table of labels."""

_OF_SYSTEMS = (".", "__MACOSX")  # what systems and programs leave in folders, AppleDouble files among them
_CVAT_OBJECTS, _CVAT_CLASSES, _CVAT_LABELS = "SegmentationObject", "SegmentationClass", "labelmap.txt"


@dataclass(frozen=True)
class MaskSource:
    """Where the masks of one region are.

    Attributes:
        path: what `load_objects` takes.
        label: the value of this region's pixels where one file holds several regions; None takes all that are marked.
        key: the array's name in an NPZ; None where it holds but one.
    """

    path: Path
    label: int | None = None
    key: str | None = None


def load_masks(sources: Sequence[MaskSource], target: MaskTarget) -> list[np.ndarray]:
    """Read the masks of regions, (F, H, W) bool of the target's size each; what several name is decoded once.

    Raises:
        RegionError: they are missing, unreadable, of several sizes, or do not fit the target.
        VideoError: they are a video that cannot be read.
    """
    masks: list[np.ndarray] = []
    known: tuple[Path, str | None, bool] | None = None
    read: list[Plane] | FoundObjects = []
    for source in sources:
        wanted = source.path, source.key, source.label is not None
        if wanted != known:
            known, read = wanted, _read(source, target)
        masks.append(_pick(read, source, target))
    return masks


def _read(source: MaskSource, target: MaskTarget) -> list[Plane] | FoundObjects:
    """Return the pictures of a source, or its objects where no label picks one."""
    path = source.path
    if path.suffix.lower() == ".npz" and path.is_file():
        headers = read_headers(path)
        key = next(iter(headers)) if source.key is None and len(headers) == 1 else source.key
        if key not in headers:
            raise RegionError(f"'{path.name}' has no array '{key}'. Set the key to one of: {', '.join(headers)}.")
        return _array_planes(path, key, headers[key], target)
    if path.suffix.lower() in PICTURES or source.label is not None:
        return _planes(path, target)
    return load_objects(path, target)


def _pick(read: list[Plane] | FoundObjects, source: MaskSource, target: MaskTarget) -> np.ndarray:
    if source.label is not None:
        assert isinstance(read, list)
        return stack([plane.values == source.label for plane in read], target)
    found = find_objects(read, target, source.path.stem) if isinstance(read, list) else read
    return np.any(list(found.masks.values()) or [np.zeros(target.shape, bool)], axis=0)


def load_objects(path: Path, target: MaskTarget) -> FoundObjects:
    """Read all objects that a file or folder holds.

    Args:
        path: a picture (PNG or JPEG) for all frames; a folder of one for each frame, in the order of their names; a
            folder that holds a folder of these for each object, or CVAT's export; an NPZ of an array for each object;
            one array (NPZ or NPY) or a folder of NPYs, of labels; COCO's JSON; or a video, whose transparency counts,
            or its brightness where it has none. Pictures tell objects apart by palette, value or colour.
        target: the frames that they are for. What does not fit is refused before it is decoded.

    Raises:
        RegionError: they are missing, unreadable, of several sizes, empty, or do not fit the target.
        VideoError: they are a video that cannot be read.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        return _load_folder(path, target)
    if not path.is_file():
        raise RegionError(
            f"There are no masks at '{path}'. Name a folder of pictures, a picture, an NPZ, an NPY, COCO's JSON or a "
            "video."
        )
    if suffix == ".npz":
        return _load_npz(path, target)
    if suffix == ".json":
        return read_coco(path, target)
    if suffix in (".npy", *PICTURES, *VIDEOS):
        return find_objects(_planes(path, target), target, path.stem)
    if suffix == ".zip":  # what receives uploads unpacks them first, within limits
        raise RegionError(f"'{path.name}' is packed. Unpack it and name the folder.")
    raise RegionError(f"'{path.name}' is no file of masks. Give PNG, JPEG, NPZ, NPY, COCO's JSON, a video or a ZIP.")


def _load_folder(folder: Path, target: MaskTarget) -> FoundObjects:
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and not _is_of_a_system(file, folder)]
    if len(files) == 1 and not _is_number(files[0]):
        return load_objects(files[0], target)
    documents = [file for file in files if file.suffix.lower() == ".json"]
    groups = _sequences(files)
    if coco := [file for file in documents if is_coco(file) or not groups]:
        return read_coco(coco[0], target)  # pictures beside it are the frames
    if not groups:
        raise RegionError(
            f"There are no masks in '{folder.name}'. Give a PNG, JPEG or NPY for each frame, named in their order."
        )
    check_number(len(groups), target)
    for parent, sequence in groups.items():
        _check_sequence(parent, sequence, target)
    parts = {parent.name: parent for parent in groups}
    tables = [file for file in files if file.name == _CVAT_LABELS]
    if _CVAT_OBJECTS in parts or _CVAT_CLASSES in parts:
        return _load_cvat(parts, groups, _read_labels(tables), target)
    if len(groups) == 1:
        [(parent, sequence)] = groups.items()
        return find_objects(_sequence_planes(parent, sequence, target), target, parent.name)
    common = Path(os.path.commonpath(groups))
    found = {
        " ".join(parent.relative_to(common).parts) or parent.name: find_objects(
            _sequence_planes(parent, sequence, target), target, parent.name
        )
        for parent, sequence in groups.items()
    }
    return _joined(found, target, "each folder is an object")


def _sequences(files: list[Path]) -> dict[Path, list[Path]]:
    """Return the files of masks by their folders; where some are PNGs or NPYs, JPEGs are the frames beside them."""
    exact = [file for file in files if file.suffix.lower() in (".png", ".npy")]
    chosen = exact or [file for file in files if file.suffix.lower() in PICTURES]
    groups: dict[Path, list[Path]] = {}
    for file in chosen:
        groups.setdefault(file.parent, []).append(file)
    return {parent: sorted(group, key=lambda file: in_number_order(file.stem)) for parent, group in groups.items()}


def _load_cvat(
    parts: dict[str, Path], groups: dict[Path, list[Path]], colours: Mapping[int, str], target: MaskTarget
) -> FoundObjects:
    """Read the masks of instances where there are some, else those of classes; CVAT's table names the classes."""

    def read(part: str) -> FoundObjects:
        planes = _sequence_planes(parts[part], groups[parts[part]], target)
        return find_objects(planes, target, part, colours if part == _CVAT_CLASSES else None)

    if _CVAT_OBJECTS not in parts:
        return read(_CVAT_CLASSES)
    instances = read(_CVAT_OBJECTS)
    if _CVAT_CLASSES not in parts:
        return instances
    classes, named = read(_CVAT_CLASSES).masks, {}
    counts: Counter[str] = Counter()
    for mask in instances.masks.values():
        name = max(classes, key=lambda each: int((classes[each] & mask).sum()))
        counts[name] += 1
        named[f"{name} {counts[name]}" if counts[name] > 1 else name] = mask
    return FoundObjects(named, "each instance of CVAT's is an object, named by its class")


def _read_labels(tables: list[Path]) -> dict[int, str]:
    """Return the names of colours by CVAT's table: a line for each, "cat:250,50,83::"."""
    text = tables[0].read_text(encoding="utf-8", errors="replace") if tables else ""
    lines = re.findall(r"^([^#:\n][^:\n]*):(\d+),(\d+),(\d+):", text, re.MULTILINE)
    return {int(red) << 16 | int(green) << 8 | int(blue): name.strip() for name, red, green, blue in lines}


def _load_npz(file: Path, target: MaskTarget) -> FoundObjects:
    headers = read_headers(file)
    if not headers:
        raise RegionError(f"'{file.name}' holds no array. Give one for each object.")
    for key, header in headers.items():
        _check_array(header, target, f"Array '{key}' of '{file.name}'")
    if len(headers) > 1:
        check_number(len(headers), target)
    found = {
        key: find_objects(_array_planes(file, key, header, target), target, key) for key, header in headers.items()
    }
    return found.popitem()[1] if len(found) == 1 else _joined(found, target, "each array is an object")


def _joined(found: Mapping[str, FoundObjects], target: MaskTarget, meaning: str) -> FoundObjects:
    """Put the objects of several sequences together; a sequence of several objects names them after itself."""
    masks: dict[str, np.ndarray] = {}
    for name, objects in found.items():
        alone = len(objects.masks) == 1
        masks |= {name if alone else f"{name} {label}": mask for label, mask in objects.masks.items()}
        check_number(len(masks), target)
    return FoundObjects(masks, meaning)


def _planes(path: Path, target: MaskTarget) -> list[Plane]:
    """Read the only sequence of masks at a path."""
    if path.is_dir():
        groups = _sequences([file for file in path.rglob("*") if not _is_of_a_system(file, path)])
        if len(groups) != 1:
            raise RegionError(f"'{path.name}' holds {len(groups)} folders of masks; a label picks from one. Name it.")
        [(parent, sequence)] = groups.items()
        _check_sequence(parent, sequence, target)
        return _sequence_planes(parent, sequence, target)
    if path.suffix.lower() == ".npy":
        return _array_planes(path, None, read_headers(path)[""], target)
    if path.suffix.lower() in VIDEOS:
        return load_matte(path, target)
    if not path.is_file():
        raise RegionError(f"There are no masks at '{path}'. Name a picture, a folder of pictures, an NPZ or a video.")
    return [read_plane(path, target)]


def _check_sequence(folder: Path, files: list[Path], target: MaskTarget) -> None:
    """Raise RegionError unless the files of a folder fit by their number and headers."""
    for place in sorted(set(_places(folder, files, target))):
        file = files[place]
        if file.suffix.lower() == ".npy":
            _check_array(read_headers(file)[""], target, f"'{file.name}'")
        else:
            check_picture(file, target)


def _sequence_planes(folder: Path, files: list[Path], target: MaskTarget) -> list[Plane]:
    places = _places(folder, files, target)
    read = {place: _planes(files[place], target)[0] for place in sorted(set(places))}
    return [read[place] for place in places]


def _places(folder: Path, files: list[Path], target: MaskTarget) -> list[int]:
    """Return which files of a folder belong to the target's frames; ours are of the clip as it is read."""
    return target.places(len(files), f"'{folder.name}'", by_file=not is_own(files[0]))


def _array_planes(file: Path, key: str | None, header: ArrayHeader, target: MaskTarget) -> list[Plane]:
    title = f"Array '{key}' of '{file.name}'" if key else f"'{file.name}'"
    places = _check_array(header, target, title, by_file=key is None)  # an NPY is never ours
    array = read_array(file, key)
    read = {place: plane_of(array if array.ndim == 2 else array[place], target) for place in sorted(set(places))}
    return [read[place] for place in places]


def _check_array(header: ArrayHeader, target: MaskTarget, title: str, *, by_file: bool = False) -> list[int]:
    """Return which planes of an array are to be read (`MaskTarget.places`)."""
    shape = header.shape
    if len(shape) not in (2, 3) or 0 in shape or header.kind not in "biu":
        raise RegionError(
            f"{title} has shape {shape} and dtype {header.dtype}. Give (frames, height, width) or (height, width) of "
            "bool or integers."
        )
    target.check_size(shape[-1], shape[-2], title)
    return target.places(1 if len(shape) == 2 else shape[0], title, by_file=by_file)


def _is_of_a_system(file: Path, folder: Path) -> bool:
    return any(part.startswith(_OF_SYSTEMS) for part in file.relative_to(folder).parts)


def _is_number(file: Path) -> bool:
    return file.stem.isdecimal()
