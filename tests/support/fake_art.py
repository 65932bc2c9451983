"""Art that needs no download: a shaded disc for every object, a gradient for every backdrop."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from training.art import SIZE
from training.vocabulary import GROUNDS, NAMES, PLACES, SKIES


def write_fake_art(folder: Path) -> None:
    """Write sprites.npz and textures.npz as `training.art` and `training.backdrops` do."""
    count = len(NAMES)
    zeros = np.zeros(count, np.int16)
    np.savez(folder / "sprites.npz", sprites=_discs(count), style=zeros, colour=zeros, thing=np.arange(count))
    names = [*GROUNDS, *SKIES, *PLACES]
    files = [_gradient(i / len(names)) for i in range(len(names))]
    offsets = np.cumsum([0, *(len(file) for file in files)])
    data = np.frombuffer(b"".join(files), np.uint8)
    np.savez(folder / "textures.npz", data=data, offsets=offsets, names=np.array(names))


def _discs(count: int) -> np.ndarray:
    ticks = (np.arange(SIZE) + 0.5) / SIZE * 2 - 1
    x, y = np.meshgrid(ticks, ticks)
    alpha = ((0.9 - np.hypot(x, y)) * SIZE / 4).clip(0, 1)
    shading = np.stack([0.5 + 0.4 * x, 0.5 + 0.4 * y, 0.5 - 0.4 * x, np.ones_like(x)], -1)
    sprite = (shading * alpha[..., None] * 255).astype(np.uint8)
    return np.broadcast_to(sprite, (count, *sprite.shape))


def _gradient(phase: float) -> bytes:
    columns = np.linspace(90, 160, 384) + 60 * phase
    pixels = np.broadcast_to(columns[None, :, None], (256, 384, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=98)
    return file.getvalue()
