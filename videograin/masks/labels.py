"""What the values of masks mean, decided once for a whole sequence: labels, colours, shades or transparency."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import prod
from operator import add

import numpy as np

from videograin.errors import RegionError
from videograin.masks.export import davis_palette
from videograin.masks.planes import Meaning, Plane, Tally, is_grey
from videograin.masks.target import MaskTarget, stack
from videograin.media.video import MAX_CLIP_BYTES
from videograin.region import MAX_REGIONS

VOID_LABEL = 255
"""Beside small labels the border that data sets leave out (DAVIS, PASCAL VOC, Cityscapes); alone it is white."""

VOID_COLOUR = 0xE0E0C0
"""The same border in PASCAL VOC's colours."""

MIN_FLATNESS = 0.25
"""Share of a label's pixels that have four neighbours of the same label; the soft edge of a mask has none such."""

MAX_COLOURS = 4096
"""Colours of a sequence of masks, those between two labels at soft edges included."""

_BLACK, _WHITE = 0, 0xFFFFFF
_GREY_STEP = 0x010101


@dataclass(frozen=True)
class FoundObjects:
    """Objects that were found in files.

    Attributes:
        masks: (F, H, W) bool of the clip's size, by the objects' names.
        meaning: how the files were understood, a clause for the user.
    """

    masks: Mapping[str, np.ndarray]
    meaning: str

    @property
    def note(self) -> str:
        """What was read, a sentence for the user."""
        count = len(self.masks)
        return f"{count} object{'s' * (count != 1)} read: {self.meaning}."


def find_objects(
    planes: Sequence[Plane], target: MaskTarget, name: str, colours: Mapping[int, str] | None = None
) -> FoundObjects:
    """Tell the objects of a sequence of masks apart.

    Args:
        planes: one for each frame, or one for all.
        target: the frames that they were fitted to.
        name: of the object where there is one alone; otherwise objects are named by label or colour.
        colours: names of colours 0xRRGGBB.

    Raises:
        RegionError: there are more objects than one edit can have, or more colours than labels have.
    """
    if any(plane.has_holes for plane in planes):
        return _one([_opacity(plane) > 127 for plane in planes], target, name, "opaque pixels are the object")
    planes, colours = _alike(planes), colours or {}
    tally = reduce(add, (plane.tally for plane in planes))
    if planes[0].meaning is Meaning.COLOUR:
        return _by_colour(planes, tally, target, name, colours)
    labels = set() if any(plane.is_lossy for plane in planes) else _labels(planes[0].meaning, tally)
    if not labels:
        threshold = 127 if any(plane.is_lossy for plane in planes) else _threshold(max(tally.pixels))
        return _one([plane.values > threshold for plane in planes], target, name, "bright pixels are the object")
    given = {label: colours[colour] for label in labels if (colour := _colour(label, planes)) in colours}
    titles = _titles({label: str(label) for label in sorted(labels)}, given, name)
    how = "each entry of the palette" if planes[0].meaning is Meaning.INDEX else "each value"
    void = f", {VOID_LABEL} taken as void" if VOID_LABEL in tally.pixels.keys() - labels else ""
    return _several([plane.values for plane in planes], titles, target, f"{how} is an object{void}")


def check_number(count: int, target: MaskTarget) -> None:
    """Raise RegionError where objects are too many for one edit, or their masks for the memory."""
    if count > MAX_REGIONS:
        raise RegionError(
            f"These masks hold {count} objects; at most {MAX_REGIONS} can be edited at once. Join or remove some."
        )
    if count * prod(target.shape) > MAX_CLIP_BYTES:
        raise RegionError(
            f"{count} objects in {target.shape[0]} frames of this size exceed {MAX_CLIP_BYTES >> 30} GiB. Open a "
            "shorter or smaller clip."
        )


def _alike(planes: Sequence[Plane]) -> list[Plane]:
    """Give all pictures of a sequence one meaning: an empty frame is often stored in another way than the rest."""
    indexed = [plane for plane in planes if plane.meaning is Meaning.INDEX]
    entries = {(index, _entry(plane, index)) for plane in indexed for index in plane.tally.pixels}
    differ = len({index for index, _ in entries}) < len(entries)  # each picture may have a palette of its own
    are_grey = all(is_grey(colour) for _, colour in entries)
    if any(plane.meaning is Meaning.COLOUR for plane in planes) or (differ and not are_grey):
        return [_mapped(plane, Meaning.COLOUR) for plane in planes]
    if are_grey and (differ or len({colour for _, colour in entries}) == len(entries)):
        return [_mapped(plane, Meaning.SHADE) for plane in planes]
    return [replace(plane, meaning=Meaning.INDEX) for plane in planes] if indexed else list(planes)


def _mapped(plane: Plane, meaning: Meaning) -> Plane:
    """Return a picture with its palette's entries, or its greys, as colours or shades."""
    if plane.meaning is meaning:
        return plane
    colours = {value: _colour(value, [plane]) for value in plane.tally.pixels}
    table = {value: colour & 255 if meaning is Meaning.SHADE else colour for value, colour in colours.items()}
    values, tally = np.zeros(plane.values.shape, np.int32), Tally({}, {})
    for value, other in table.items():
        values[plane.values == value] = other
        tally += Tally({other: plane.tally.pixels[value]}, {other: plane.tally.flat.get(value, 0)})
    return replace(plane, values=values, tally=tally, meaning=meaning)


def _entry(plane: Plane, index: int) -> int:
    return plane.palette[index] if index < len(plane.palette) else VOID_COLOUR


def _colour(value: int, planes: Sequence[Plane]) -> int:
    """Return the colour 0xRRGGBB of a label: its entry in the first palette there is, or else its grey."""
    palette = next((plane for plane in planes if plane.palette), None)
    return _entry(palette, value) if palette else min(max(value, 0), 255) * _GREY_STEP


def _opacity(plane: Plane) -> np.ndarray:
    return plane.values if plane.alpha is None else plane.alpha


def _labels(meaning: Meaning, tally: Tally) -> set[int]:
    """Return the values that are labels of objects; none where they are shades of one mask."""
    values = {value for value in tally.pixels if value > 0}
    inner = values - {VOID_LABEL}
    if not inner or (meaning is Meaning.SHADE and len(values) == 1):
        return set()
    is_small = min(inner) <= MAX_REGIONS
    if meaning is Meaning.INDEX or max(inner) <= MAX_REGIONS or tally.flatness(inner) >= MIN_FLATNESS:
        return inner if is_small else values
    return set()


def _threshold(white: int) -> int:
    """Return the value above which a pixel belongs to the mask, half of the range that its largest value shows."""
    return white // 2 if white <= 127 else 127 if white <= 255 else 32767


def _by_colour(
    planes: Sequence[Plane], tally: Tally, target: MaskTarget, name: str, names: Mapping[int, str]
) -> FoundObjects:
    """Split by colour; what lies between two colours, at soft edges, goes to the nearer one."""
    if len(tally.pixels) > MAX_COLOURS:
        raise RegionError(f"These masks have {len(tally.pixels)} colours. Save them without smoothing, as labels.")
    background = _BLACK if _BLACK in tally.pixels else _WHITE
    free = tally.pixels.keys() - {background, VOID_COLOUR}
    solid = {colour for colour in free if tally.flatness({colour}) >= MIN_FLATNESS} or free
    check_number(len(solid), target)
    anchors = np.array([background, VOID_COLOUR, *sorted(solid, key=_order)])
    known = np.array(sorted(tally.pixels))
    nearest = np.argmin(np.square(_channels(known)[:, None] - _channels(anchors)[None]).sum(-1), axis=1)
    nearest[~np.isin(known, anchors) & (nearest == 1)] = 0  # an edge as pale as void is none
    labels = [nearest[np.searchsorted(known, plane.values)].astype(np.uint8) for plane in planes]
    labelled = {label: int(colour) for label, colour in enumerate(anchors) if label > 1}
    given = {label: names[colour] for label, colour in labelled.items() if colour in names}
    titles = _titles({label: _colour_name(colour) for label, colour in labelled.items()}, given, name)
    ground = "black" if background == _BLACK else "white"
    return _several(labels, titles, target, f"each colour is an object, {ground} is the background")


def _channels(colours: np.ndarray) -> np.ndarray:
    return np.stack([colours >> 16, (colours >> 8) & 255, colours & 255], axis=-1).astype(np.int32)


def _order(colour: int) -> int:
    """Return the place of a colour in DAVIS's palette, which is that of its label; other colours come after."""
    places = np.flatnonzero((davis_palette() == _channels(np.array(colour))).all(-1))
    return int(places[0]) if len(places) else 256 + colour


def _colour_name(colour: int) -> str:
    place = _order(colour)
    return str(place) if place < 256 else f"#{colour:06x}"


def _one(planes: list[np.ndarray], target: MaskTarget, name: str, meaning: str) -> FoundObjects:
    check_number(1, target)
    return FoundObjects({name: stack(planes, target)}, meaning)


def _titles(usual: Mapping[int, str], given: Mapping[int, str], name: str) -> dict[int, str]:
    """Return the names of labels; one alone that has none of its own is called as its file is."""
    return dict.fromkeys(usual, name) if len(usual) == 1 and not given else {**usual, **given}


def _several(planes: list[np.ndarray], titles: Mapping[int, str], target: MaskTarget, meaning: str) -> FoundObjects:
    check_number(len(titles), target)
    masks = {title: stack([plane == label for plane in planes], target) for label, title in titles.items()}
    return FoundObjects(masks, meaning)
