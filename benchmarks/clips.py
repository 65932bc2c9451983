"""The held-out clips, from their folders or from one packed file of decoded frames."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from training.scene import CANVAS
from videograin.media.video import ClipOptions, load_clip
from videograin.region import EditRequest, Region

HELD_OUT = Path("benchmarks/held_out/edits")
AS_IT_IS = ClipOptions(short_side=CANVAS, multiple=32)


@dataclass(frozen=True)
class ToldRegion:
    """A region of a clip, as its clip.json tells it; the names of objects are the judge's."""

    name: str
    prompt: str
    before: str
    after: str

    @property
    def is_edited(self) -> bool:
        """Whether it becomes something else."""
        return bool(self.prompt)


@dataclass(frozen=True)
class Told:
    """A clip and its edit, as its clip.json tells them."""

    name: str
    split: str
    level: str
    source_prompt: str
    target_prompt: str
    background: str
    regions: tuple[ToldRegion, ...]

    @classmethod
    def read(cls, document: dict) -> Self:
        """Read what clip.json says; what it says besides is left out."""
        regions = tuple(
            ToldRegion(*(r[key] for key in ("name", "prompt", "before", "after"))) for r in document["regions"]
        )
        texts = ("name", "split", "level", "source_prompt", "target_prompt", "background")
        return cls(*(document[key] for key in texts), regions=regions)

    @property
    def kind(self) -> str:
        """The row of the table: "tune", "two", "put-on", "recolour", "background" or "solely"."""
        return self.name.rpartition("-")[0]


class Library(Protocol):
    """Where held-out clips come from."""

    def documents(self) -> dict[str, dict]:
        """Return what the clip.json of each clip says, by the clip's number."""
        ...

    def pixels(self, number: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return a clip's frames (F, H, W, 3) uint8 RGB, and the masks (F, H, W) bool of its regions by name."""
        ...


@dataclass(frozen=True)
class Folders:
    """A folder a clip, as `training.held_out` writes them."""

    root: Path = HELD_OUT

    def documents(self) -> dict[str, dict]:
        """Read every clip.json."""
        return {file.parent.name: json.loads(file.read_text()) for file in sorted(self.root.glob("*/clip.json"))}

    def pixels(self, number: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Decode a clip."""
        clip = load_clip(self.root / number / "clip.mp4", AS_IT_IS)
        with np.load(self.root / number / "masks.npz") as masks:
            return clip.frames, dict(masks)


@dataclass(frozen=True)
class Packed:
    """One .npz of everything, for machines without ffmpeg."""

    file: Path

    def documents(self) -> dict[str, dict]:
        """Read what every clip.json said."""
        with np.load(self.file) as arrays:
            return json.loads(str(arrays["documents"]))

    def pixels(self, number: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Unpack a clip."""
        names = [region["name"] for region in self.documents()[number]["regions"]]
        with np.load(self.file) as arrays:
            changes, masks = arrays[f"{number} frames"], arrays[f"{number} masks"]
        return np.add.accumulate(changes, axis=0, dtype=np.uint8), dict(zip(names, masks, strict=True))


def pack(library: Library, numbers: Iterable[str], file: Path) -> None:
    """Write clips into one file; of each frame its difference from the one before, which packs better."""
    arrays: dict[str, np.ndarray] = {}
    documents = {number: library.documents()[number] for number in numbers}
    for number, document in documents.items():
        frames, masks = library.pixels(number)
        arrays[f"{number} frames"] = np.diff(frames, axis=0, prepend=np.zeros_like(frames[:1]))
        arrays[f"{number} masks"] = np.stack([masks[region["name"]] for region in document["regions"]])
    arrays["documents"] = np.array(json.dumps(documents))
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]


def request_of(told: Told, frames: np.ndarray, masks: dict[str, np.ndarray], count: int) -> EditRequest:
    """Return a clip's edit, of some of its frames, evenly spaced."""
    pick = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    regions = [Region(masks[region.name][pick], region.prompt, region.name) for region in told.regions]
    return EditRequest(frames[pick], regions, told.source_prompt, told.target_prompt, told.background)
