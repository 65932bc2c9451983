"""Scenes drawn on the device, with exact masks: sprites, backdrops, and who owns each pixel.

Owner codes: 0 the sky or place, 1 to 3 the objects, 4 to 6 what they wear, 7 the ground. Thousands of pictures a second
on a GPU: everything is a batch, nothing is a file.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from training.art import CACHE
from training.scene import CANVAS, GROUND_AND_SKY, PLACE, SLOTS, Casting, Dice, Scene, random_scene
from training.vocabulary import (
    ANCHORS,
    COLOUR_NAMES,
    DEFAULT_ANCHOR,
    GROUNDS,
    INDEX,
    NAMES,
    PLACES,
    SKIES,
    STYLES,
    WEARABLES,
    WORN_FIT,
)

TOP_OWNER, GROUND_OWNER = 0, 2 * SLOTS + 1
OWNERS = GROUND_OWNER + 1
NO_OWNER = OWNERS  # of words that speak of nothing that can be seen
_SMALL = 0.30  # half sizes under this are drawn from a blurred copy, lest they alias


@dataclass(frozen=True)
class Picture:
    """Drawn scenes: image (B, 3, 256, 256) float in [−1, 1]; owner (B, 256, 256) uint8, the codes above."""

    image: Tensor
    owner: Tensor


@dataclass(frozen=True)
class Sprite:
    """N sprites to draw: index into the bank, that of the outline, centre, half size, angle and flip, each (N,)."""

    index: Tensor
    outline: Tensor
    x: Tensor
    y: Tensor
    size: Tensor
    angle: Tensor
    flip: Tensor


class World:
    """The art on a device, and the functions that draw scenes with it."""

    def __init__(self, device: str | torch.device, cache: Path = CACHE) -> None:
        self.device = torch.device(device)
        self._load_sprites(np.load(cache / "sprites.npz"))
        self._load_textures(np.load(cache / "textures.npz"))
        self.anchors = torch.tensor([ANCHORS.get(name, DEFAULT_ANCHOR) for name in NAMES], device=self.device)
        self.fit = torch.tensor([WORN_FIT[name] for name in WEARABLES], device=self.device)
        centres = (torch.arange(CANVAS, device=self.device) + 0.5) / CANVAS * 2 - 1
        self.rows, self.columns = torch.meshgrid(centres, centres, indexing="ij")

    def _load_sprites(self, art: "np.lib.npyio.NpzFile") -> None:
        sprites = torch.from_numpy(art["sprites"]).permute(0, 3, 1, 2).contiguous().to(self.device)
        table = np.full((len(STYLES), len(COLOUR_NAMES), len(NAMES)), -1)
        table[art["style"], art["colour"], art["thing"]] = np.arange(len(sprites))
        table = np.where(table < 0, table[:, :1], table)
        table = np.where(table < 0, table[:1], table)
        self.sprite_of = torch.from_numpy(table).to(self.device)
        blurred = F.avg_pool2d(sprites.float(), 2)
        blurred = F.interpolate(blurred, scale_factor=2, mode="bilinear", align_corners=False)
        self.bank = torch.cat([sprites, (blurred + 0.5).clamp(0, 255).to(torch.uint8)])
        self.sprite_count = len(sprites)
        solid = sprites[:, 3] > 40
        # (sprites, 2, 2): left and right, then top and bottom
        self.boxes = torch.stack([_span(solid.any(1)), _span(solid.any(2))], 1)
        self.extent = self.boxes[:, 1][self.sprite_of]

    def _load_textures(self, art: "np.lib.npyio.NpzFile") -> None:
        data, offsets, names = art["data"].tobytes(), art["offsets"], [str(name) for name in art["names"]]
        images = [Image.open(io.BytesIO(data[a:b])).convert("RGB") for a, b in pairwise(offsets)]
        self.textures = torch.from_numpy(np.stack([np.asarray(image) for image in images])).to(self.device)

        def spans(group: dict) -> Tensor:
            return torch.tensor([[names.index(name), names.count(name)] for name in group], device=self.device)

        self.spans = {"ground": spans(GROUNDS), "sky": spans(SKIES), "place": spans(PLACES)}

    def sample(self, dice: Dice, batch: int, casting: Casting | None = None, things: Tensor | None = None) -> Scene:
        """Draw the numbers of a batch of random scenes."""
        return random_scene(dice, batch, casting or Casting(), self.extent, things)

    def pictures(self, dice: Dice, batch: int, casting: Casting) -> Iterator[Picture]:
        """Draw batches of random pictures without end; on a GPU eight at a time, for each drawing waits for the GPU."""
        ahead = 8 if self.device.type == "cuda" else 1
        while True:
            many = self.draw(self.sample(dice, batch * ahead, casting))
            yield from (Picture(*pair) for pair in zip(many.image.split(batch), many.owner.split(batch), strict=True))

    @torch.no_grad()
    def draw(self, scene: Scene) -> Picture:
        """Draw scenes, far objects first."""
        image, owner = self._draw_backdrop(scene)
        for rank in range(SLOTS):
            rows = (scene.count > rank).nonzero().flatten()
            slots = scene.order[rows, rank]
            self._stamp(image, owner, rows, self._thing(scene, rows, slots), slots + 1, scene.shadow[rows, slots])
            worn = scene.wearable[rows, slots] > 0
            rows, slots = rows[worn], slots[worn]
            self._stamp(image, owner, rows, self._wearable(scene, rows, slots), slots + 1 + SLOTS, None)
        return Picture(image.clamp_(0, 1) * 2 - 1, owner)

    def _draw_backdrop(self, scene: Scene) -> tuple[Tensor, Tensor]:
        def texture(kind: str, index: Tensor) -> Tensor:
            first, number = self.spans[kind][index].unbind(-1)
            return first + (scene.variant * number).long()

        row = torch.arange(CANVAS, device=self.device)[None]
        horizon = scene.horizon[:, None]
        above = row < horizon
        top = torch.where(scene.backdrop == PLACE, texture("place", scene.place), texture("sky", scene.sky))
        which = torch.where(above, top[:, None], texture("ground", scene.ground)[:, None])
        grounded = (scene.backdrop == GROUND_AND_SKY)[:, None]
        line = torch.where(above, torch.where(grounded, CANVAS - horizon + row, row), row - horizon)
        # The view slides over the 384-pixel texture by fractions of a pixel: a linear mix of two columns.
        column = torch.arange(CANVAS, device=self.device)[None]
        column = torch.where(scene.mirrored[:, None], CANVAS - 1 - column, column)
        shift = torch.where(scene.mirrored, 128 - scene.pan, scene.pan).clamp(0, 128)
        whole = shift.floor().long().clamp(max=127)
        part = (shift - whole)[:, None, None, None]
        left = (column + whole[:, None])[:, None, :]
        near = self.textures[which[:, :, None], line[:, :, None], left].permute(0, 3, 1, 2).float()
        if bool((part > 0).any()):
            far = self.textures[which[:, :, None], line[:, :, None], left + 1].permute(0, 3, 1, 2).float()
            near = near.lerp(far, part)
        owner = torch.where(above, TOP_OWNER, GROUND_OWNER).to(torch.uint8)[:, :, None].expand(-1, -1, CANVAS)
        return near / 255 * scene.brightness[:, None, None, None], owner.contiguous()

    def _thing(self, scene: Scene, rows: Tensor, slots: Tensor) -> Sprite:
        index = self.sprite_of[scene.style[rows], scene.colour[rows, slots], scene.thing[rows, slots]]
        outline = self.sprite_of[scene.style[rows], 0, scene.outline[rows, slots]]
        outline = torch.where(scene.outline[rows, slots] == scene.thing[rows, slots], index, outline)
        pose = (getattr(scene, name)[rows, slots] for name in ("x", "y", "size", "angle", "flip"))
        return Sprite(index, outline, *pose)

    def _wearable(self, scene: Scene, rows: Tensor, slots: Tensor) -> Sprite:
        """Return what an object wears, riding on its wearer's pose."""
        wearer = self._thing(scene, rows, slots)
        which = scene.wearable[rows, slots] - 1
        worn_thing = torch.tensor([INDEX[name] for name in WEARABLES], device=self.device)[which]
        index = self.sprite_of[0, scene.wearable_colour[rows, slots], worn_thing]
        on_eyes = which == WEARABLES.index("sunglasses")
        eyes, crown = self.anchors[scene.thing[rows, slots]].unbind(1)
        x, y, width = torch.where(on_eyes[:, None], eyes, crown).unbind(-1)
        scale, lift = self.fit[which].unbind(-1)
        u, v = (x * 2 - 1) * wearer.flip, y * 2 - 1 - lift * scale * width
        cos, sin = wearer.angle.cos(), wearer.angle.sin()
        centre_x = wearer.x + wearer.size * (cos * u - sin * v)
        centre_y = wearer.y + wearer.size * (sin * u + cos * v)
        return Sprite(index, index, centre_x, centre_y, wearer.size * scale * width, wearer.angle, wearer.flip)

    def _stamp(
        self, image: Tensor, owner: Tensor, rows: Tensor, sprite: Sprite, code: Tensor, shadow: Tensor | None
    ) -> None:
        """Lay one sprite a row over the image, its shadow first, and sign the pixels that it covers."""
        if not len(rows):
            return
        x, y, size, angle, flip = (
            v[:, None, None] for v in (sprite.x, sprite.y, sprite.size, sprite.angle, sprite.flip)
        )
        dx, dy = self.columns - x, self.rows - y
        cos, sin = angle.cos() / size, angle.sin() / size
        grid = torch.stack([(cos * dx + sin * dy) * flip, cos * dy - sin * dx], -1)
        layer = self._layer(sprite, grid)
        base = image[rows]
        if shadow is not None:
            bottom = self.boxes[sprite.outline][:, 1, 1, None, None] * size
            ellipse = (dx / (size * 0.62)).square() + ((dy - bottom + 0.02 * size) / (size * 0.12)).square()
            base = base * (1 - 0.38 * shadow[:, None, None] * (-(ellipse**1.5)).exp())[:, None]
        image[rows] = base * (1 - layer[:, 3:]) + layer[:, :3]
        owner[rows] = torch.where(layer[:, 3] > 0.5, code[:, None, None].to(torch.uint8), owner[rows])

    def _layer(self, sprite: Sprite, grid: Tensor) -> Tensor:
        """Sample sprites, premultiplied RGBA (N, 4, H, W), at their points (N, H, W, 2).

        One that is moulded is stretched from its own box to the outline's and cut to the outline.
        """
        blurred = torch.where(sprite.size < _SMALL, self.sprite_count, 0)
        moulded = (sprite.outline != sprite.index).nonzero().flatten()
        if not len(moulded):
            return _sampled(self.bank[sprite.index + blurred], grid)
        outline, own = (self.boxes[index][:, None, None] for index in (sprite.outline, sprite.index))
        scale = (own.diff() / outline.diff())[..., 0]
        stretched = (grid - outline.mean(-1)) * scale + own.mean(-1)
        layer = _sampled(self.bank[sprite.index + blurred], stretched)
        layer[moulded] *= _sampled(self.bank[(sprite.outline + blurred)[moulded], 3:], grid[moulded])
        return layer


def _span(solid: Tensor) -> Tensor:
    """Return first and last edge (N, 2) of rows of pixels (N, side) bool, −1 to 1."""
    side = solid.shape[1]
    solid = solid.int()
    return torch.stack([solid.argmax(1), side - solid.flip(1).argmax(1)], -1) * 2 / side - 1


def _sampled(images: Tensor, grid: Tensor) -> Tensor:
    """Return images (N, C, h, w) uint8 as floats in [0, 1] at points (N, H, W, 2)."""
    return F.grid_sample(images.float() / 255, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def visible_labels(scene: Scene, owner: Tensor, present: float = 0.004, absent: float = 0.001) -> tuple[Tensor, Tensor]:
    """Say which objects can be seen, from the owner map.

    Args:
        scene: B scenes.
        owner: (B, H, W) uint8, the whole picture or a crop of it.
        present: share of the pixels from which an object counts as seen.
        absent: share up to which it counts as unseen; between the two it is left out.

    Returns:
        labels (B, T) float 0 or 1, and weights (B, T) float, 0 where the case is unclear.
    """
    share = owner_shares(owner)[:, 1:GROUND_OWNER]
    worn = torch.tensor([0, *(INDEX[name] for name in WEARABLES)], device=owner.device)[scene.wearable]
    things = torch.cat([scene.thing, worn], 1)
    seen = torch.zeros(len(scene), len(NAMES), device=owner.device).scatter_add_(1, things, share)
    return (seen >= present).float(), ((seen >= present) | (seen <= absent)).float()


def owner_shares(owner: Tensor) -> Tensor:
    """Return the share of pixels (B, 8) of each owner code."""
    codes = owner.flatten(1).long() + torch.arange(len(owner), device=owner.device)[:, None] * OWNERS
    counts = torch.bincount(codes.flatten(), minlength=len(owner) * OWNERS)
    return counts.view(len(owner), OWNERS) / owner[0].numel()
