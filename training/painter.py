"""Brushes for the drawn backdrops: gradients, grain, scattered points, clouds, rows of trees."""

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from training.vocabulary import INDEX

WIDTH, HEIGHT = 384, 256
_SCALE = 2  # drawn at twice the size, for smooth edges
W, H = WIDTH * _SCALE, HEIGHT * _SCALE
Colour = tuple[int, int, int]
Stops = Sequence[tuple[float, Colour]]


class Painter:
    """A seeded hand: every call of a method varies a little."""

    def __init__(self, seed: int, sprites: Path) -> None:
        self.random, self.numpy = random.Random(seed), np.random.default_rng(seed)  # noqa: S311 (art, not secrets)
        art = np.load(sprites)
        plain = (art["style"] == 0) & (art["colour"] == 0)
        self._sprites = {int(t): art["sprites"][i] for i, t in enumerate(art["thing"]) if plain[i]}

    def between(self, low: float, high: float) -> float:
        """Draw a number."""
        return self.random.uniform(low, high)

    def tint(self, colour: Colour, spread: float = 10) -> Colour:
        """Vary a colour."""
        red, green, blue = (int(min(255, max(0, value + self.between(-spread, spread)))) for value in colour)
        return red, green, blue

    def gradient(self, stops: Stops, spread: float = 8, grain: np.ndarray | float = 0.0) -> Image.Image:
        """Paint a vertical gradient through (height, colour) stops, with grain (H, W, 1) on top."""
        rows = np.linspace(0, 1, H)
        shift = [self.between(-spread, spread) for _ in range(3)]
        places = [place for place, _ in stops]
        column = np.stack([np.interp(rows, places, [c[i] + shift[i] for _, c in stops]) for i in range(3)], -1)
        return Image.fromarray((np.repeat(column[:, None], W, 1) + grain).clip(0, 255).astype(np.uint8))

    def grain(self, rows: int, columns: int, strength: float, *, receding: bool = False) -> np.ndarray:
        """Return smooth noise (H, W, 1); receding noise is finer towards the horizon."""
        noise = Image.fromarray(self.numpy.standard_normal((rows, columns)).astype(np.float32))
        field = np.asarray(noise.resize((W, H), Image.Resampling.BICUBIC))
        if receding:
            field = field[(np.linspace(0, 1, H) ** 0.55 * (H - 1)).astype(int)]
        return field[..., None] * strength

    def scatter(self, count: int, power: float = 1.6) -> Iterator[tuple[float, float, float]]:
        """Yield points (x, y, scale) of a receding ground, far ones first."""
        depths = sorted(self.random.random() ** power for _ in range(count))
        for depth in depths:
            yield self.between(-10, W + 10), depth * H, 0.25 + 0.9 * depth

    def stars(self, image: Image.Image, count: int) -> Image.Image:
        """Strew stars over an image."""
        draw = ImageDraw.Draw(image)
        for _ in range(count):
            x, y, radius = self.between(0, W), self.between(0, 0.97) * H, self.random.choice([3, 3, 4, 6])
            colour = self.tint((255, 250, 215), 8)
            if radius == 6:
                spikes = [(10 if k % 2 == 0 else 4.2, k * math.pi / 4) for k in range(8)]
                draw.polygon([(x + r * math.sin(t), y - r * math.cos(t)) for r, t in spikes], fill=colour)
            else:
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        return image

    def clouds(self, image: Image.Image, count: int) -> Image.Image:
        """Float soft clouds over an image."""
        layer = Image.new("RGBA", image.size, (255, 255, 255, 0))
        draw = ImageDraw.Draw(layer)
        for _ in range(count):
            x, y, size = self.between(0, W), self.between(0.05, 0.7) * H, self.between(26, 44)
            for k in range(-2, 3):
                radius, centre = size * (1 - 0.18 * abs(k)), x + k * size * 0.8
                draw.ellipse(
                    (centre - radius, y - 0.85 * radius, centre + radius, y + 0.6 * radius), fill=(255, 255, 255, 235)
                )
        return over(image, layer.filter(ImageFilter.GaussianBlur(5)))

    def sprite(self, name: str, size: int, light: float) -> Image.Image:
        """Return an object's art as an RGBA image."""
        pixels = self._sprites[INDEX[name]].astype(np.float32) / 255
        alpha = pixels[..., 3:]
        colour = (pixels[..., :3] / np.maximum(alpha, 1e-3) * light).clip(0, 1)
        image = Image.fromarray((np.concatenate([colour, alpha], -1) * 255).astype(np.uint8), "RGBA")
        return image.resize((size, size), Image.Resampling.BILINEAR)

    def forest(self, image: Image.Image) -> Image.Image:
        """Stand two rows of trees along the image's foot."""
        for row in range(2):
            light = 0.88 * (0.89 + 0.11 * row)
            places = [(i + self.between(-0.25, 0.25)) * W / 7 for i in range(-1, 9)]
            self.random.shuffle(places)
            for x in places:
                size = int(self.between(0.5, 0.72) * H * (1 - 0.12 * (1 - row)))
                tree = self.sprite(self.random.choice(["pine tree", "pine tree", "tree"]), size, light)
                image.paste(tree, (int(x - size / 2), int(H - 0.97 * size - 0.05 * H * (1 - row))), tree)
        return image

    def blossom(self, size: int) -> Image.Image:
        """Return a cherry tree in bloom as an RGBA image."""
        image = Image.new("RGBA", (size, size))
        draw = ImageDraw.Draw(image)
        bark, thick = (122, 82, 62), int(size * 0.04)
        trunk = [(0.46, 1), (0.54, 1), (0.53, 0.5), (0.47, 0.5)]
        draw.polygon([(x * size, y * size) for x, y in trunk], fill=bark)
        draw.line((size * 0.5, size * 0.68, size * 0.3, size * 0.48), fill=bark, width=thick)
        draw.line((size * 0.5, size * 0.64, size * 0.7, size * 0.44), fill=bark, width=thick)
        petals = [(250, 180, 205), (246, 160, 192), (252, 200, 220), (240, 145, 180)]
        for _ in range(26):
            turn, reach = self.between(0, 2 * math.pi), math.sqrt(self.random.random())
            x = size * (0.5 + 0.36 * reach * math.cos(turn))
            y = size * (0.35 + 0.27 * reach * math.sin(turn))
            radius = size * self.between(0.08, 0.13)
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=self.random.choice(petals))
        return image


def over(image: Image.Image, layer: Image.Image) -> Image.Image:
    """Lay a translucent RGBA layer over an image."""
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")
