"""A picture that a region is drawn after, checked when it is made."""

from dataclasses import dataclass

import numpy as np

from videograin.errors import RegionError

MAX_REFERENCE_WEIGHT, USUAL_REFERENCE_WEIGHT = 2.0, 0.6
"""Of a reference picture; at 1 a picture outweighs most words, as IP-Adapter's authors write, who give 0.5 to 0.6."""


@dataclass(frozen=True, eq=False)
class Reference:
    """A picture that a region is drawn after, besides its words (IP-Adapter).

    Attributes:
        picture: (H, W, 3) uint8 RGB; its middle square is looked at.
        weight: how much it counts beside the words, 0 to `MAX_REFERENCE_WEIGHT`.

    Raises:
        RegionError: a picture of another shape or dtype, or a weight out of range.
    """

    picture: np.ndarray
    weight: float = USUAL_REFERENCE_WEIGHT

    def __post_init__(self) -> None:
        picture = self.picture
        if picture.ndim != 3 or picture.shape[-1] != 3 or picture.dtype != np.uint8 or not picture.size:
            raise RegionError(
                f"A reference picture has shape {picture.shape} and dtype {picture.dtype}; pass (H, W, 3) uint8 RGB."
            )
        check_reference_weight(self.weight)


def check_reference_weight(weight: float) -> None:
    """Raise RegionError unless a reference picture may count this much."""
    if not 0 <= weight <= MAX_REFERENCE_WEIGHT:
        raise RegionError(f"The weight of a reference picture is {weight}; choose 0 to {MAX_REFERENCE_WEIGHT:g}.")
