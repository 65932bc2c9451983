"""The clips that come along, each with its objects marked and its words written."""

from pathlib import Path

from videograin.errors import VideoError
from videograin.files.assets import ASSETS

EXAMPLES = ASSETS / "clips"

CARD = "card.webp"
"""Picture of a frame before and after the edit, side by side, which benchmarks/cards.py makes."""


def example_path(name: str) -> Path:
    """Return the folder of an example.

    Raises:
        VideoError: there is none of this name.
    """
    if name not in example_names():
        raise VideoError(f"There is no example '{name}'. Choose one of: {', '.join(example_names())}.")
    return EXAMPLES / name


def example_names() -> list[str]:
    """Return the examples, the clearest first."""
    names = sorted(path.parent.name for path in EXAMPLES.glob("*/project.json"))
    return sorted(names, key=lambda name: name != "friends")
