"""A reference picture as a file: what a project names, read within limits."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from videograin.errors import RegionError
from videograin.reference import USUAL_REFERENCE_WEIGHT, Reference, check_reference_weight

REFERENCE_FILES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Endings of pictures that are taken, and what they must hold: other decoders are kept away from uploads."""

MAX_PIXELS = 50_000_000
"""Of a picture; a camera's have fewer, and what unpacks to more was made to fill the memory."""

SEEN_SIDE = 512
"""Pixels of the longer side to which a picture is reduced; the image encoder sees 224."""


@dataclass(frozen=True)
class ReferenceFile:
    """A picture that an object is drawn after.

    Attributes:
        file: PNG, JPEG or WebP.
        weight: how much it counts beside the words, 0 to 2.

    Raises:
        RegionError: a weight out of range.
    """

    file: Path
    weight: float = USUAL_REFERENCE_WEIGHT

    def __post_init__(self) -> None:
        check_reference_weight(self.weight)

    def load(self) -> Reference:
        """Read the picture.

        Raises:
            RegionError: it is missing, no such picture, or too large.
        """
        return Reference(read_picture(self.file), self.weight)


def read_picture(file: Path) -> np.ndarray:
    """Return a picture (H, W, 3) uint8 RGB, upright, reduced to `SEEN_SIDE`; what is transparent becomes white.

    Raises:
        RegionError: it is missing, no picture of a kind that is taken, or too large.
    """
    kind = REFERENCE_FILES.get(file.suffix.lower())
    if kind is None:
        raise RegionError(f"'{file.name}' is no picture that is taken here. Choose a PNG, JPEG or WebP.")
    try:
        with Image.open(file, formats=[kind]) as image:
            if image.width * image.height > MAX_PIXELS:
                raise RegionError(
                    f"'{file.name}' has {image.width}×{image.height} pixels; at most {MAX_PIXELS // 10**6} million are "
                    "taken. Save it smaller."
                )
            upright = ImageOps.exif_transpose(image).convert("RGBA")
    except RegionError:
        raise
    except Exception as error:  # Pillow and its decoders each have errors of their own for damaged files
        raise RegionError(f"'{file.name}' cannot be read as a picture. Save it again as PNG or JPEG.") from error
    upright.thumbnail((SEEN_SIDE, SEEN_SIDE))
    white = Image.new("RGBA", upright.size, "white")
    return np.asarray(Image.alpha_composite(white, upright).convert("RGB"))
