"""Sprites: openly licensed emoji art, fetched by name and rendered to 128-pixel squares.

Noto Color Emoji comes from Debian (`fonts-noto-color-emoji`), Twemoji and Fluent 3D from npm (`@twemoji/svg`,
`@lobehub/fluent-emoji-3d`). Licences and attributions: assets/CREDITS.md. Needs `apt-get`, `npm`, `dpkg` and the
package `resvg_py` (requirements-training.txt).

    python -m training.art            # writes .cache/emoji-world/sprites.npz
"""

import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.vocabulary import COLOUR_NAMES, COLOURS, INDEX, RECOLOURED, STYLES, THINGS

CACHE = Path(".cache/emoji-world")
SIZE = 128
_INNER = 120
_DEBIAN = "fonts-noto-color-emoji"
_NPM = ("@twemoji/svg@15.0.0", "@lobehub/fluent-emoji-3d@1.1.0")


def fetch(folder: Path) -> None:
    """Download and unpack the three art packages into `folder`, unless they are there."""
    if (folder / "lobehub").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "download", _DEBIAN], cwd=folder, check=True)
    subprocess.run(["npm", "pack", *_NPM], cwd=folder, check=True)
    subprocess.run(["dpkg", "-x", next(folder.glob("*.deb")).name, "noto"], cwd=folder, check=True)
    for name in ("twemoji", "lobehub"):
        (folder / name).mkdir()
        subprocess.run(["tar", "xf", next(folder.glob(f"{name}*.tgz")).name, "-C", name], cwd=folder, check=True)


def _codes(emoji: str) -> Iterator[str]:
    """Yield the file stems under which the packages may keep an emoji."""
    for selector in (True, False):
        stem = "-".join(f"{ord(char):x}" for char in emoji if selector or char != "\ufe0f")
        yield from (stem, f"{stem}-fe0f")


def _file(folder: Path, emoji: str, suffix: str) -> Path | None:
    paths = (folder / f"{stem}{suffix}" for stem in _codes(emoji))
    return next((path for path in paths if path.exists()), None)


def render(emoji: str, style: str, folder: Path) -> Image.Image | None:
    """Render an emoji as RGBA in a style, or None where that style lacks it."""
    if style == "noto":
        font = ImageFont.truetype(folder / "noto/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf", 109)
        image = Image.new("RGBA", (136, 128))
        ImageDraw.Draw(image).text((0, 0), emoji, font=font, embedded_color=True)
        return image
    if style == "fluent":
        path = _file(folder / "lobehub/package/assets", emoji, ".webp")
        return Image.open(path).convert("RGBA") if path else None
    import resvg_py  # pyright: ignore[reportMissingImports] (requirements-training.txt)

    path = _file(next((folder / "twemoji").iterdir()), emoji, ".svg")
    if path is None:
        return None
    return Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_path=str(path), width=256, height=256)))).convert(
        "RGBA"
    )


def fit(image: Image.Image) -> np.ndarray:
    """Trim an RGBA image and centre it in a square, its longer side 120 of 128 pixels.

    Returns:
        sprite (128, 128, 4) uint8, premultiplied by its alpha.
    """
    pixels = np.asarray(image).astype(np.float32) / 255
    rows, columns = np.where(pixels[..., 3] > 0.03)
    pixels = pixels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    pixels[..., :3] *= pixels[..., 3:]
    scale = _INNER / max(pixels.shape[:2])
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    channels = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(pixels[..., c])).resize((width, height), Image.Resampling.LANCZOS)
        )
        for c in range(4)
    ]
    small = np.stack(channels, -1).clip(0, 1)
    small[..., :3] = np.minimum(small[..., :3], small[..., 3:])
    sprite = np.zeros((SIZE, SIZE, 4), np.float32)
    top, left = (SIZE - height) // 2, (SIZE - width) // 2
    sprite[top : top + height, left : left + width] = small
    return (sprite * 255 + 0.5).astype(np.uint8)


def recolour(sprite: np.ndarray, colour: str) -> np.ndarray:
    """Turn the dominant hue of a premultiplied RGBA sprite into the named colour, keeping its shading."""
    hue_to, saturation_by, value_by = COLOURS[colour]
    pixels = sprite.astype(np.float32) / 255
    alpha = pixels[..., 3:]
    rgb = np.where(alpha > 0.02, pixels[..., :3] / np.maximum(alpha, 1e-3), 0).clip(0, 1).astype(np.float32)
    hue, saturation, value = np.moveaxis(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV), -1, 0)
    hue = hue / 360
    coloured = (saturation > 0.25) & (alpha[..., 0] > 0.3)
    histogram = np.histogram(hue[coloured], bins=36, range=(0, 1), weights=saturation[coloured])[0]
    dominant = (np.argmax(histogram) + 0.5) / 36
    offset = (hue - dominant + 0.5) % 1 - 0.5
    painted = (np.abs(offset) < 0.13) & (saturation > 0.18)
    value = value / max(float(np.percentile(value[coloured], 70)), 0.3)
    if colour == "white":
        saturation, value = saturation * saturation_by, 0.72 + 0.4 * (value - 0.3)
    else:
        saturation, value = (
            np.maximum(saturation, 0.62) * saturation_by,
            value * value_by * (0.9 if value_by >= 1 else 1),
        )
    hsv = np.stack([(hue_to + 0.3 * offset) % 1 * 360, saturation.clip(0, 1), value.clip(0, 1)], -1)
    repainted = cv2.cvtColor(hsv.astype(np.float32), cv2.COLOR_HSV2RGB)
    mixed = np.where(painted[..., None], repainted, rgb)
    return (np.concatenate([mixed * alpha, alpha], -1).clip(0, 1) * 255 + 0.5).astype(np.uint8)


def build(folder: Path) -> dict[str, np.ndarray]:
    """Render every object in every style and colour.

    Returns:
        sprites (N, 128, 128, 4) uint8 premultiplied; style, colour, thing (N,) indexes into the vocabulary.
    """
    sprites, keys = [], []
    for style in STYLES:
        for thing in THINGS:
            image = render(thing.emoji, style, folder)
            if image is None:
                continue
            plain = fit(image)
            for colour in COLOUR_NAMES if thing.name in RECOLOURED else ("",):
                sprites.append(recolour(plain, colour) if colour else plain)
                keys.append((STYLES.index(style), COLOUR_NAMES.index(colour), INDEX[thing.name]))
    style_of, colour_of, thing_of = np.array(keys, np.int16).T
    return {"sprites": np.stack(sprites), "style": style_of, "colour": colour_of, "thing": thing_of}


if __name__ == "__main__":
    fetch(CACHE / "art")
    np.savez_compressed(CACHE / "sprites.npz", **build(CACHE / "art"))  # pyright: ignore[reportArgumentType]
