"""Pictures of masks as planes of values, read within limits, with a tally that tells labels from shades."""

from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import numpy as np
from PIL import Image

from videograin.errors import RegionError
from videograin.masks.target import MaskTarget
from videograin.media.frame_folder import PICTURES

OWN = "VideoGrain Studio"
"""What exported pictures say of their origin, as "Software"."""

_MIN_FLAT = 0.5
"""Share of a coloured mask's pixels that have four neighbours of their own colour; photographs have next to none."""


class Meaning(Enum):
    """What a picture's values are before all pictures of a sequence have been seen."""

    SHADE = "grey"  # brightness, or labels in a picture without a palette
    INDEX = "indexed"  # entries of a palette
    COLOUR = "coloured"  # 0xRRGGBB


@dataclass(frozen=True)
class Tally:
    """How often each value occurs.

    Attributes:
        pixels: by value.
        flat: the same for pixels whose four neighbours have their value as well; edges between shades have none.
    """

    pixels: dict[int, int]
    flat: dict[int, int]

    @classmethod
    def of(cls, values: np.ndarray) -> "Tally":
        """Count the values of a plane (h, w) of integers."""
        return cls(_count(values), _count(values[_is_flat(values)]))

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(_sum(self.pixels, other.pixels), _sum(self.flat, other.flat))

    def flatness(self, values: set[int]) -> float:
        """Return which share of the pixels of some values is flat, 0 where there are none."""
        return sum(self.flat.get(value, 0) for value in values) / max(1, sum(self.pixels[value] for value in values))


@dataclass(frozen=True)
class Plane:
    """One picture.

    Attributes:
        values: (H, W) integers, at the clip's size.
        meaning: of the values.
        tally: of the values as they are stored.
        palette: the colours 0xRRGGBB of an indexed picture's entries.
        alpha: (H, W) uint8 where the picture has transparency.
        has_holes: whether transparency differs within the picture.
        is_lossy: whether the values are those of a JPEG, and so not exact.
    """

    values: np.ndarray
    meaning: Meaning
    tally: Tally
    palette: tuple[int, ...] = ()
    alpha: np.ndarray | None = None
    has_holes: bool = False
    is_lossy: bool = False


def plane_of(values: np.ndarray, target: MaskTarget) -> Plane:
    """Take an array (h, w) of bool or integers as a picture without a palette."""
    exact = _exact(values)
    return Plane(target.fit(exact), Meaning.SHADE, Tally.of(exact))


def check_picture(file: Path, target: MaskTarget) -> None:
    """Raise RegionError unless a picture's header can be read and its size fits."""
    with _opened(file) as image:
        size = image.size
    target.check_size(*size, f"'{file.name}'")


def is_own(file: Path) -> bool:
    """Tell whether a file is a picture that `export` wrote."""
    if file.suffix.lower() not in PICTURES:
        return False
    with _opened(file) as image:
        return image.info.get("Software") == OWN


def read_plane(file: Path, target: MaskTarget) -> Plane:
    """Read a picture.

    Raises:
        RegionError: it cannot be read, has another size, or is a photograph.
    """
    try:
        with _opened(file) as image:
            target.check_size(*image.size, f"'{file.name}'")
            image.load()
            return _decode(image, file, target)
    except RegionError:
        raise
    except Exception as error:  # Pillow and its decoders each have errors of their own for damaged files
        raise _unreadable(file) from error


def _opened(file: Path) -> Image.Image:
    try:
        return Image.open(file, formats=sorted(set(PICTURES.values())))
    except Exception as error:
        raise _unreadable(file) from error


def _unreadable(file: Path) -> RegionError:
    return RegionError(f"Mask '{file.name}' cannot be read: it is damaged or no PNG or JPEG. Save it as a PNG again.")


def _decode(image: Image.Image, file: Path, target: MaskTarget) -> Plane:
    is_lossy = image.format == "JPEG"
    palette = _palette(image)
    if image.mode == "P" and not ("transparency" in image.info and all(map(is_grey, palette))):
        indices = np.asarray(image)
        return Plane(target.fit(indices), Meaning.INDEX, Tally.of(indices), palette)
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        return _decode_transparent(np.asarray(image.convert("RGBA")), file, target)
    if image.mode in ("1", "L", "I", "I;16", "I;16B"):
        values = _exact(np.asarray(image.convert("L") if image.mode == "1" else image))
        return Plane(target.fit(values), Meaning.SHADE, Tally.of(values), is_lossy=is_lossy)
    return _decode_colours(np.asarray(image.convert("RGB")), file, target, is_lossy)


def _decode_transparent(pixels: np.ndarray, file: Path, target: MaskTarget) -> Plane:
    alpha = pixels[..., 3]
    if alpha.min() != alpha.max():  # a cutout's colours are the object's own and mean nothing
        fitted = target.fit(alpha)
        return Plane(fitted, Meaning.SHADE, Tally({}, {}), alpha=fitted, has_holes=True)
    plane = _decode_colours(pixels[..., :3], file, target, is_lossy=False)
    return replace(plane, alpha=target.fit(alpha))


def _decode_colours(pixels: np.ndarray, file: Path, target: MaskTarget, is_lossy: bool) -> Plane:
    red, green, blue = (pixels[..., channel] for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return Plane(target.fit(red), Meaning.SHADE, Tally.of(red), is_lossy=is_lossy)
    wide = pixels.astype(np.int32)
    values = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    if is_lossy or _is_flat(values).mean() < _MIN_FLAT:
        raise RegionError(
            f"'{file.name}' is a picture in colour, not a mask: its colours blend into each other. Save labels as PNG, "
            "or masks as white on black."
        )
    return Plane(target.fit(values), Meaning.COLOUR, Tally.of(values))


def _palette(image: Image.Image) -> tuple[int, ...]:
    flat = image.getpalette("RGB") if image.mode == "P" else None
    triples = zip(*[iter(flat or [])] * 3, strict=False)
    return tuple((red << 16) | (green << 8) | blue for red, green, blue in triples)


def is_grey(colour: int) -> bool:
    """Whether a colour 0xRRGGBB is a grey."""
    return colour >> 16 == (colour >> 8) & 255 == colour & 255


def _exact(values: np.ndarray) -> np.ndarray:
    """Return integers of a type that can be scaled: uint8, or int32 within its range."""
    if values.dtype in (np.bool_, np.uint8):
        return values.view(np.uint8)
    bounds = np.iinfo(np.int32)
    return np.clip(values, bounds.min, bounds.max).astype(np.int32)


def _is_flat(values: np.ndarray) -> np.ndarray:
    """Return which pixels equal their four neighbours; beyond the border lies what lies at it."""
    flat = np.ones(values.shape, bool)
    down, right = values[1:] == values[:-1], values[:, 1:] == values[:, :-1]
    flat[1:] &= down
    flat[:-1] &= down
    flat[:, 1:] &= right
    flat[:, :-1] &= right
    return flat


def _count(values: np.ndarray) -> dict[int, int]:
    if values.dtype == np.uint8:
        counts = np.bincount(values.ravel(), minlength=256)
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    found, counts = np.unique(values, return_counts=True)
    return {int(value): int(count) for value, count in zip(found, counts, strict=True)}


def _sum(one: dict[int, int], other: dict[int, int]) -> dict[int, int]:
    return {value: one.get(value, 0) + other.get(value, 0) for value in one.keys() | other.keys()}
