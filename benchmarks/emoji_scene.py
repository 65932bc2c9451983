"""A clip of two moving emoji with exact masks, composed from the sprites of the Emoji World prototype."""

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

SIZE = 256
NOTO = 0
"""Index of the Noto art among the sprites' styles."""


@dataclass(frozen=True)
class Thing:
    """One moving object: its number in the prototype's vocabulary, where it stands, and how it moves.

    Attributes:
        index: number in the vocabulary.
        center: (x, y) of its middle in the first frame, pixels.
        size: side of its sprite, pixels.
        travel: (x, y) pixels that it moves over the whole clip; it hops besides.
    """

    index: int
    center: tuple[float, float]
    size: int = 104
    travel: tuple[float, float] = (0, 0)


@dataclass(frozen=True)
class Scene:
    """A composed clip: frames (F, 256, 256, 3) uint8 RGB, masks (things, F, 256, 256) bool."""

    frames: np.ndarray
    masks: np.ndarray


def compose_scene(assets: Path, things: list[Thing], sky: str, ground: str, count: int, horizon: float = 0.5) -> Scene:
    """Draw the things one over the other on a sky and a ground, `count` frames."""
    with np.load(assets / "sprites.npz") as archive:
        known = {int(obj): image for image, style, obj in zip(*archive.values(), strict=True) if style == NOTO}
    backdrop = _backdrop(assets, sky, ground, int(horizon * SIZE))
    frames = np.repeat(backdrop[None], count, 0)
    masks = np.zeros((len(things), count, SIZE, SIZE), bool)
    for k, thing in enumerate(things):
        for f in range(count):
            alpha = _draw(frames[f], known[thing.index], thing, f / max(1, count - 1))
            masks[:, f] &= ~(alpha > 0.5)
            masks[k, f] = alpha > 0.5
    return Scene(frames, masks)


def _draw(frame: np.ndarray, sprite: np.ndarray, thing: Thing, time: float) -> np.ndarray:
    """Blend a sprite into a frame in place; returns its opacity (256, 256) in [0, 1]."""
    x = thing.center[0] + thing.travel[0] * time
    y = thing.center[1] + thing.travel[1] * time - 6 * abs(math.sin(2 * math.pi * time))
    scale = thing.size / sprite.shape[0]
    place = np.array([[scale, 0, x - thing.size / 2], [0, scale, y - thing.size / 2]], np.float32)
    image = cv2.warpAffine(sprite, place, (SIZE, SIZE), flags=cv2.INTER_AREA).astype(np.float32)
    alpha = image[..., 3:] / 255
    frame[:] = np.rint(frame * (1 - alpha) + image[..., :3] * alpha).astype(np.uint8)
    return alpha[..., 0]


def _backdrop(assets: Path, sky: str, ground: str, horizon: int) -> np.ndarray:
    above, below = _texture(assets, sky), _texture(assets, ground)
    return np.concatenate([above[SIZE - horizon : SIZE, 40 : 40 + SIZE], below[: SIZE - horizon, 40 : 40 + SIZE]])


def _texture(assets: Path, name: str) -> np.ndarray:
    with np.load(assets / "textures.npz") as archive:
        number = archive["name"].tolist().index(name)
        start, stop = archive["off"][number : number + 2]
        return cv2.cvtColor(cv2.imdecode(archive["data"][start:stop], cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
