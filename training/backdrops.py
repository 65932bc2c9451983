"""Backdrops, drawn: eight grounds, ten skies, space, the sea floor and plain colours, twelve variants each.

Grounds have the horizon at their top row, skies at their bottom row, places fill the frame. All are 256 × 384, wider
than the canvas, so that a view can pan.

    python -m training.backdrops      # writes .cache/emoji-world/textures.npz
"""

import io
import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from training.art import CACHE
from training.painter import HEIGHT, WIDTH, Colour, H, Painter, W, over
from training.vocabulary import GROUNDS, PLACES, PLAIN_COLOURS, SKIES

_PLAIN: tuple[Colour, ...] = (
    (250, 250, 250),
    (250, 190, 208),
    (150, 196, 240),
    (252, 228, 130),
    (164, 220, 160),
    (180, 182, 186),
    (196, 172, 230),
    (24, 24, 26),
)


def grass(p: Painter) -> Image.Image:
    """Paint a meadow with tufts."""
    stops = [(0, (150, 205, 90)), (0.15, (120, 190, 75)), (1, (75, 150, 55))]
    image = p.gradient(stops, grain=p.grain(24, 16, 5, receding=True))
    draw = ImageDraw.Draw(image)
    for x, y, s in p.scatter(170):
        colour = p.tint((70, 140, 50), 12) if p.random.random() < 0.6 else p.tint((165, 215, 100))
        for lean in (-0.5, 0.0, 0.5):
            tip = (x + lean * 14 * s, y - 15 * s * (1 - 0.25 * abs(lean)))
            draw.line((x + lean * 6 * s, y, *tip), fill=colour, width=max(2, int(4 * s)))
    return image


def flowers(p: Painter) -> Image.Image:
    """Paint a meadow in flower."""
    image = grass(p)
    draw = ImageDraw.Draw(image)
    palette = [(240, 80, 80), (250, 210, 60), (245, 245, 245), (235, 120, 190), (150, 110, 220)]
    for x, y, s in p.scatter(120):
        colour, r = p.tint(p.random.choice(palette), 6), 9 * s
        for k in range(5):
            turn = k * 2 * math.pi / 5
            cx, cy = x + r * math.cos(turn), y + 0.8 * r * math.sin(turn)
            draw.ellipse((cx - 0.72 * r, cy - 0.6 * r, cx + 0.72 * r, cy + 0.6 * r), fill=colour)
        heart = (250, 200, 40) if colour[2] > 100 or colour[1] < 150 else (240, 140, 30)
        draw.ellipse((x - 0.5 * r, y - 0.4 * r, x + 0.5 * r, y + 0.4 * r), fill=heart)
    return image


def snow(p: Painter) -> Image.Image:
    """Paint a field of snow with soft drifts."""
    stops = [(0, (225, 236, 248)), (0.3, (240, 246, 252)), (1, (214, 228, 244))]
    image = p.gradient(stops, 4, p.grain(9, 6, 5, receding=True))
    draw = ImageDraw.Draw(image, "RGBA")
    for _ in range(5):
        x, y, s = p.between(0, W), p.between(0.08, 0.9) * H, p.between(90, 210)
        draw.ellipse((x - s, y - 0.16 * s, x + s, y + 0.2 * s), fill=(255, 255, 255, 110))
    return image.filter(ImageFilter.GaussianBlur(3))


def sand(p: Painter) -> Image.Image:
    """Paint a desert with ripples."""
    rows, columns = np.mgrid[0:H, 0:W].astype(np.float32)
    depth, wave = np.sqrt(rows / H + 0.01), columns * p.between(0.012, 0.02)
    ripples = np.sin(depth * 70 + 2.2 * np.sin(wave + p.between(0, 6)) + 0.8 * np.sin(2.3 * wave))
    ripples = (ripples * 7 * np.clip(1.3 * depth, 0.2, 1))[..., None]
    stops = [(0, (240, 208, 140)), (0.3, (236, 196, 120)), (1, (214, 164, 88))]
    return p.gradient(stops, 7, ripples + p.grain(6, 4, 4, receding=True))


def ocean(p: Painter) -> Image.Image:
    """Paint water with small waves."""
    image = p.gradient([(0, (92, 170, 225)), (0.3, (50, 135, 205)), (1, (22, 86, 160))])
    draw = ImageDraw.Draw(image, "RGBA")
    for x, y, s in p.scatter(110, 1.4):
        colour = (190, 228, 250, 150) if p.random.random() < 0.6 else (15, 70, 140, 110)
        for left in (x - 46 * s, x):
            draw.arc((left, y - 7 * s, left + 46 * s, y + 7 * s), 0, 180, fill=colour, width=max(2, int(5 * s)))
    return image


def road(p: Painter) -> Image.Image:
    """Paint a street with a kerb and two dashed lines."""
    image = p.gradient([(0, (118, 120, 126)), (1, (78, 80, 86))], 6, p.grain(60, 60, 2.0))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, W, 10), fill=p.tint((176, 172, 166), 4))
    draw.rectangle((0, 10, W, 16), fill=p.tint((140, 138, 134), 3))
    for y, gap, length, width in ((p.between(0.16, 0.22) * H, 150, 80, 12), (0.5 * H, 230, 125, 20)):
        offset, lean = p.between(0, gap), width / 2
        for i in range(-1, 8):
            x = i * gap + offset
            dash = [(x, y), (x + length, y), (x + length - lean, y + width), (x - lean, y + width)]
            draw.polygon(dash, fill=p.tint((240, 240, 232), 3))
    return image


def wood(p: Painter) -> Image.Image:
    """Paint floor boards that run to a vanishing point."""
    image = p.gradient([(0, (196, 140, 88)), (1, (178, 120, 70))])
    draw = ImageDraw.Draw(image, "RGBA")
    centre = W * p.between(0.35, 0.65)

    def at(board: float, depth: float) -> tuple[float, float]:
        return centre + (board - 0.5) * W * (0.45 + 0.75 * depth), depth * H

    edges = np.linspace(-2.2, 3.2, 16).tolist()
    for left, right in pairwise(edges):
        corners = [at(left, 0), at(right, 0), at(right, 1), at(left, 1)]
        draw.polygon(corners, fill=p.tint((186, 130, 78), 13))
        for _ in range(2):
            fibre = p.between(left + 0.2 * (right - left), right - 0.2 * (right - left))
            draw.line((*at(fibre, 0), *at(fibre, 1)), fill=(140, 90, 48, 70), width=3)
        end = p.random.random() ** 1.5
        draw.line((*at(left, end), *at(right, end)), fill=(110, 68, 36, 200), width=4)
    for edge in edges:
        draw.line((*at(edge, 0), *at(edge, 1)), fill=(110, 68, 36, 220), width=4)
    return image


def tiles(p: Painter) -> Image.Image:
    """Paint a checkered floor."""
    image = p.gradient([(0, (205, 208, 214)), (1, (222, 224, 230))], 6)
    draw = ImageDraw.Draw(image)
    centre, rows, step = W * p.between(0.4, 0.6), [0.0], 16.0
    while rows[-1] < H:
        rows.append(rows[-1] + step)
        step *= 1.28

    def at(column: int, y: float) -> tuple[float, float]:
        return centre + column * (80 + 190 * y / H), y

    for r, (top, bottom) in enumerate(pairwise(rows)):
        for c in range(-9, 9):
            if (r + c) % 2:
                corners = [at(c, top), at(c + 1, top), at(c + 1, bottom), at(c, bottom)]
                draw.polygon(corners, fill=p.tint((150, 158, 172), 3))
    return image


def clear(p: Painter) -> Image.Image:
    """Paint a blue sky."""
    return p.gradient([(0, (70, 150, 235)), (0.6, (125, 190, 245)), (1, (190, 225, 252))], 9)


def cloudy(p: Painter) -> Image.Image:
    """Paint a sky with clouds."""
    return p.clouds(p.gradient([(0, (110, 170, 228)), (1, (200, 226, 246))]), p.random.randint(7, 10))


def sunset(p: Painter) -> Image.Image:
    """Paint a low sun in a red sky."""
    stops = [(0, (88, 64, 140)), (0.4, (205, 92, 130)), (0.72, (248, 140, 84)), (1, (255, 205, 110))]
    layer = Image.new("RGBA", (W, H))
    draw = ImageDraw.Draw(layer)
    x, r = p.between(0.15, 0.85) * W, p.between(44, 62)
    y = H - p.between(0.2, 1.3) * r
    for reach, colour in ((1.8, (255, 220, 130, 60)), (1.35, (255, 228, 140, 90)), (1.0, (255, 240, 170, 255))):
        draw.ellipse((x - reach * r, y - reach * r, x + reach * r, y + reach * r), fill=colour)
    for _ in range(5):
        cx, cy, w = p.between(0, W), p.between(0.35, 0.8) * H, p.between(70, 150)
        draw.ellipse((cx - w, cy - 7, cx + w, cy + 7), fill=(255, 170, 130, 130))
    return over(p.gradient(stops, 9), layer.filter(ImageFilter.GaussianBlur(2)))


def night(p: Painter) -> Image.Image:
    """Paint a starry sky."""
    stops = [(0, (14, 18, 52)), (0.7, (32, 42, 98)), (1, (58, 70, 135))]
    return p.stars(p.gradient(stops, 5), p.random.randint(38, 52))


def brick(p: Painter) -> Image.Image:
    """Paint a brick wall."""
    image = Image.new("RGB", (W, H), p.tint((206, 196, 186), 5))
    draw = ImageDraw.Draw(image)
    high, wide, base, offset = 32, 78, p.tint((178, 82, 62), 8), p.between(0, 78)
    for r in range(H // high + 1):
        for c in range(-3, W // wide + 2):
            x, y = c * wide + (wide / 2 if r % 2 else 0) + offset, r * high
            draw.rectangle((x + 3, y + 3, x + wide - 3, y + high - 3), fill=p.tint(base, 12))
    return image


def curtain(p: Painter) -> Image.Image:
    """Paint a red curtain in folds."""
    columns = np.arange(W, dtype=np.float32)
    folds = 0.5 + 0.5 * np.sin(columns * p.between(0.075, 0.1) + p.between(0, 6) + 0.6 * np.sin(0.013 * columns))
    row = np.array(p.tint((120, 14, 28), 8), np.float32) + folds[:, None] * np.array((90, 26, 34), np.float32)
    return Image.fromarray(np.repeat(row[None], H, 0).clip(0, 255).astype(np.uint8))


def forest(p: Painter) -> Image.Image:
    """Paint two rows of trees under a pale sky."""
    return p.forest(p.gradient([(0, (150, 205, 240)), (1, (205, 232, 240))]))


def cherry(p: Painter) -> Image.Image:
    """Paint cherry trees in bloom."""
    image = p.gradient([(0, (165, 212, 245)), (1, (225, 238, 250))], 6)
    for row in range(2):
        for i in range(-1, 7):
            x, size = (i + p.between(-0.2, 0.2) + 0.5 * row) * W / 5, int(p.between(0.52, 0.7) * H)
            tree = p.blossom(size)
            image.paste(tree, (int(x - size / 2), int(H - size - (1 - row) * 0.04 * H)), tree)
    return image


def mountains(p: Painter) -> Image.Image:
    """Paint two ranges of snowy peaks."""
    image = p.gradient([(0, (105, 170, 230)), (1, (205, 228, 246))])
    draw = ImageDraw.Draw(image)
    for low, high, colour in ((0.5, 0.66, (142, 158, 190)), (0.34, 0.5, (112, 130, 168))):
        x = -p.between(0, 150)
        while x < W + 100:
            width, peak = p.between(230, 330), H - p.between(low, high) * H
            top = x + width / 2 + p.between(-20, 20)
            draw.polygon([(x - 50, H), (top, peak), (x + width + 50, H)], fill=p.tint(colour, 5))
            left, right = (top + 0.34 * (foot - top) for foot in (x - 50, x + width + 50))
            edge = peak + 0.34 * (H - peak)
            zigzag = [(left + t * (right - left), edge + dip) for t, dip in ((0.3, -16), (0.5, 16), (0.7, -12))]
            draw.polygon([(top, peak), (left, edge), *zigzag, (right, edge)], fill=(246, 249, 253))
            x += 0.62 * width
    return image


def city(p: Painter) -> Image.Image:
    """Paint two rows of towers with lit windows."""
    image = p.gradient([(0, (130, 185, 235)), (1, (222, 232, 240))])
    draw = ImageDraw.Draw(image)
    rows = ((0.45, 0.75, (150, 165, 190), (200, 214, 232)), (0.25, 0.52, (92, 106, 138), (250, 228, 150)))
    for low, high, wall, glass in rows:
        x = -p.between(0, 60)
        while x < W:
            width, top = p.between(64, 104), H - p.between(low, high) * H
            draw.rectangle((x, top, x + width, H), fill=p.tint(wall, 14))
            panes = int(width // 24)
            for i in range(panes):
                left = x + 10 + i * (width - 14) / panes
                for y in np.arange(top + 14, H - 16, 30):
                    if p.random.random() < 0.75:
                        draw.rectangle((left, y, left + 11, y + 14), fill=glass)
            x += width + p.random.choice([2, 2, 8])
    return image


def space(p: Painter) -> Image.Image:
    """Paint stars and a planet or two."""
    stops = [(0, (10, 8, 30)), (0.5, (26, 16, 58)), (1, (12, 10, 36))]
    image = p.stars(p.gradient(stops, 3, p.grain(5, 4, 5)), p.random.randint(48, 62))
    draw = ImageDraw.Draw(image)
    for _ in range(p.random.randint(1, 2)):
        x, y, r = p.between(0.05, 0.95) * W, p.between(0.06, 0.3) * H, p.between(26, 46)
        red, green, blue = colour = p.tint(p.random.choice([(220, 150, 100), (120, 170, 220), (200, 120, 160)]))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
        lit = p.tint((int(red * 1.15), int(green * 1.15), int(blue * 1.15)), 3)
        draw.ellipse((x - 0.8 * r, y - 0.8 * r, x + 0.4 * r, y + 0.4 * r), fill=lit)
        draw.ellipse((x - 1.7 * r, y - 0.22 * r, x + 1.7 * r, y + 0.22 * r), outline=(235, 215, 170), width=5)
    return image


def underwater(p: Painter) -> Image.Image:
    """Paint the sea floor with light, bubbles and weeds."""
    image = p.gradient([(0, (90, 200, 225)), (0.5, (30, 130, 190)), (1, (14, 70, 130))], 6)
    draw = ImageDraw.Draw(image, "RGBA")
    for _ in range(5):
        x, w = p.between(0, W), p.between(30, 60)
        draw.polygon([(x, 0), (x + w, 0), (x + 2.2 * w - 90, H), (x - w - 90, H)], fill=(200, 240, 250, 26))
    for _ in range(22):
        x, y, r = p.between(0, W), p.between(0, 0.9) * H, p.between(5, 13)
        draw.ellipse((x - r, y - r, x + r, y + r), outline=(215, 245, 252, 220), width=3)
    for _ in range(12):
        x, colour = p.between(0, W), p.tint((40, 140, 90), 16)
        for k in range(int(p.between(50, 120) / 8)):
            cx, cy = x + 10 * math.sin(0.7 * k), H - 8 * k
            draw.ellipse((cx - 9, cy - 9, cx + 9, cy + 9), fill=colour)
    draw.ellipse((-200, H - 34, W + 200, H + 200), fill=(214, 190, 130, 255))
    return image


def plain(colour: Colour) -> Callable[[Painter], Image.Image]:
    """Return a function that paints one colour."""
    return lambda p: Image.new("RGB", (W, H), p.tint(colour, 7))


BACKDROPS: dict[str, Callable[[Painter], Image.Image]] = {
    f.__name__: f
    for f in (
        *(grass, flowers, snow, sand, ocean, road, wood, tiles),
        *(clear, cloudy, sunset, night, brick, curtain, forest, cherry, mountains, city),
        *(space, underwater),
    )
} | {f"plain {name}": plain(colour) for name, colour in zip(PLAIN_COLOURS, _PLAIN, strict=True)}
assert set(BACKDROPS) == {*GROUNDS, *SKIES, *PLACES}


def build(painter: Painter, variants: int = 12) -> dict[str, np.ndarray]:
    """Paint every backdrop: all JPEGs in one buffer `data`, the `offsets` between them, and their `names`."""
    files, names = [], []
    for name, paint in BACKDROPS.items():
        for _ in range(3 if name.startswith("plain") else variants):
            buffer = io.BytesIO()
            small = paint(painter).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
            small.save(buffer, "JPEG", quality=93, subsampling=0)
            files.append(buffer.getvalue())
            names.append(name)
    offsets = np.cumsum([0, *map(len, files)])
    return {"data": np.frombuffer(b"".join(files), np.uint8), "offsets": offsets, "names": np.array(names)}


if __name__ == "__main__":
    np.savez(CACHE / "textures.npz", **build(Painter(0, CACHE / "sprites.npz")))  # pyright: ignore[reportArgumentType]
