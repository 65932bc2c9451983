"""COCO's annotations: polygons and run lengths of objects in the frames of a clip, in one JSON file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from videograin.errors import RegionError
from videograin.masks.labels import FoundObjects, check_number
from videograin.masks.target import MaskTarget, stack
from videograin.media.frame_folder import in_number_order

MAX_JSON_BYTES = 32 * 2**20
"""Of a file: Python takes twenty times as much while it reads, and a clip's run lengths are a few megabytes."""


def read_coco(path: Path, target: MaskTarget) -> FoundObjects:
    """Read objects by category, and by track where annotations name one.

    Frames are the file's images in the order of their names.

    Raises:
        RegionError: the file is no COCO JSON, holds no annotation, or does not fit the target.
    """
    title = f"'{path.name}'"
    document = _parse(path)
    try:
        images = sorted(document["images"], key=lambda image: in_number_order(str(image.get("file_name", image["id"]))))
        annotations: list[dict[str, Any]] = document["annotations"]
        names = {int(each["id"]): str(each["name"]) for each in document.get("categories", [])}
        if not annotations or not images:
            raise RegionError(f"{title} holds no annotation. Export the annotations again, with their masks.")
        shown = [int(images[place]["id"]) for place in target.places(len(images), title, by_file=True)]
        sizes = {
            int(each["id"]): (int(each["width"]), int(each["height"]))
            for each in images
            if int(each["id"]) in set(shown)
        }
        for width, height in sizes.values():
            target.check_size(width, height, title)
        if not any(each["segmentation"] for each in annotations):
            raise RegionError(f"{title} holds boxes alone. Export the annotations again with masks or polygons.")
        return _collect(annotations, names, sizes, shown, target)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        if isinstance(error, RegionError):
            raise
        raise RegionError(f"{title} is not as COCO describes it ({error!r}). Export it again as COCO 1.0.") from error


def is_coco(path: Path) -> bool:
    """Whether a JSON file is one of COCO's; other programs leave lists of their own beside pictures."""
    try:
        _parse(path)
    except RegionError:
        return False
    return True


def _parse(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise RegionError(f"'{path.name}' exceeds {MAX_JSON_BYTES >> 20} MiB. Export the masks as PNGs instead.")
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise RegionError(f"'{path.name}' is no JSON ({error}). Export it again as COCO 1.0.") from error
    if not isinstance(document, dict) or not {"images", "annotations"} <= document.keys():
        raise RegionError(
            f"'{path.name}' is JSON, but not COCO's: 'images' and 'annotations' are missing. Export masks as COCO 1.0, "
            "or as PNGs."
        )
    return document


def _collect(
    annotations: Sequence[Mapping[str, Any]],
    names: Mapping[int, str],
    sizes: Mapping[int, tuple[int, int]],
    shown: Sequence[int],
    target: MaskTarget,
) -> FoundObjects:
    """Return the objects of the images that are shown, which are named by their ids, one for each frame."""
    planes: dict[str, dict[int, np.ndarray]] = {}
    for each in annotations:
        image = int(each["image_id"])
        if image not in sizes:
            continue  # of a frame that the clip does not show
        name = _name(each, names)
        if name not in planes:
            check_number(len(planes) + 1, target)
            planes[name] = {
                each: target.fit(np.zeros((height, width), bool)) for each, (width, height) in sizes.items()
            }
        planes[name][image] |= target.fit(_mask(each["segmentation"], *sizes[image]))
    meaning = "each category, or track of one, in COCO's JSON is an object"
    masks = {name: stack([each[image] for image in shown], target) for name, each in planes.items()}
    return FoundObjects(masks, meaning)


def _name(annotation: Mapping[str, Any], names: Mapping[int, str]) -> str:
    category = int(annotation["category_id"])
    track = annotation.get("track_id", (annotation.get("attributes") or {}).get("track_id"))
    name = names.get(category, f"category {category}")
    return name if track is None else f"{name} {track}"


def _mask(segmentation: Any, width: int, height: int) -> np.ndarray:
    """Return the mask (height, width) bool of polygons, or of run lengths, compressed or not."""
    if isinstance(segmentation, list):  # an empty one where an object has a box alone
        outlines = [np.asarray(polygon, np.float64).reshape(-1, 2) for polygon in segmentation]
        fills = [_fill(outline, width, height) for outline in outlines]
        return np.logical_or.reduce([np.zeros((height, width), bool), *fills])
    if tuple(segmentation["size"]) != (height, width):
        raise ValueError(f"run lengths of size {segmentation['size']} in an image of {[height, width]}")
    counts = segmentation["counts"]
    runs = np.asarray(_decompress(counts) if isinstance(counts, str) else counts, np.int64)
    if runs.min(initial=0) < 0 or runs.sum() != width * height:
        raise ValueError(f"run lengths of {runs.sum()} pixels in an image of {width * height}")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T  # runs go down the columns


def _fill(outline: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return the pixels whose centre lies within a polygon (N, 2) of x and y, by the even-odd rule."""
    crossed = np.zeros((height, width + 1), bool)
    for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        first, end = np.clip(np.ceil(np.sort([y0, y1]) - 0.5), 0, height).astype(int)
        rows = np.arange(first, end)
        columns = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0 or 1)
        crossed[rows, np.clip(np.ceil(columns - 0.5), 0, width).astype(int)] ^= True
    return np.logical_xor.accumulate(crossed, axis=1)[:, :width]


def _decompress(text: str) -> list[int]:
    """Return run lengths from COCO's text: five bits a character; from the fourth run on, differences to two before."""
    runs: list[int] = []
    value, shift = 0, 0
    for character in text.encode():
        bits = character - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            signed = value - (1 << shift) if bits & 16 else value
            runs.append(signed + (runs[-2] if len(runs) > 2 else 0))
            value, shift = 0, 0
    return runs
