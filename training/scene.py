"""Scenes as numbers: what stands where, before anything is drawn.

A `Scene` is a batch of B pictures with up to K = 3 objects each. Positions are in canvas units, −1 (left, top) to 1.
A sprite's point u (−1 to 1) lands at  p = (x, y) + size · R(angle) · diag(flip, 1) · u.
"""

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from training.vocabulary import (
    BARE_HEADED,
    COLOUR_NAMES,
    FLOATING,
    GROUNDS,
    NAMES,
    NEEDS_GROUND,
    PLACES,
    RECOLOURED,
    SKIES,
    STYLES,
    WEARABLES,
)

CANVAS = 256
SLOTS = 3
GROUND_AND_SKY, PLACE, SKY = 0, 1, 2


@dataclass(frozen=True)
class Scene:
    """A batch of pictures, undrawn. All tensors lead with B; (B, K) has one entry an object."""

    backdrop: Tensor  # (B,) GROUND_AND_SKY, PLACE or SKY
    ground: Tensor  # (B,) index into GROUNDS
    sky: Tensor  # (B,) index into SKIES
    place: Tensor  # (B,) index into PLACES
    variant: Tensor  # (B,) which drawing of each, in [0, 1)
    horizon: Tensor  # (B,) first row of the ground; CANVAS without one
    pan: Tensor  # (B,) left edge of the view on the 384-pixel backdrop
    mirrored: Tensor  # (B,) bool, the backdrop
    brightness: Tensor  # (B,)
    count: Tensor  # (B,) number of objects
    style: Tensor  # (B,) index into STYLES
    thing: Tensor  # (B, K)
    outline: Tensor  # (B, K) the object whose outline it fills: itself, or another where it is moulded
    colour: Tensor  # (B, K) index into COLOUR_NAMES
    wearable: Tensor  # (B, K) 0 or 1 + index into WEARABLES
    wearable_colour: Tensor  # (B, K)
    x: Tensor  # (B, K)
    y: Tensor  # (B, K)
    size: Tensor  # (B, K) half side of the sprite's square
    angle: Tensor  # (B, K) radians
    flip: Tensor  # (B, K) 1 or −1
    order: Tensor  # (B, K) slots from far to near
    shadow: Tensor  # (B, K) 1 or 0
    stacked: Tensor  # (B,) bool: the second object is below the first

    def __getitem__(self, rows: Tensor | slice) -> "Scene":
        """Return the pictures of the given rows."""
        return replace(self, **{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def __len__(self) -> int:
        return len(self.count)


class Dice:
    """Random tensors of one generator: equal seeds on equal devices give equal scenes."""

    def __init__(self, seed: int, device: str | torch.device) -> None:
        self.device = torch.device(device)
        self.generator = torch.Generator(self.device).manual_seed(seed)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Draw floats of [low, high)."""
        return torch.rand(shape, generator=self.generator, device=self.device) * (high - low) + low

    def integers(self, stop: int, *shape: int) -> Tensor:
        """Draw integers of [0, stop)."""
        return torch.randint(stop, shape, generator=self.generator, device=self.device)

    def chance(self, probability: float, *shape: int) -> Tensor:
        """Draw booleans."""
        return self.uniform(0, 1, *shape) < probability

    def choice(self, weights: tuple[float, ...], *shape: int) -> Tensor:
        """Draw indexes into the weights."""
        table = torch.tensor(weights, dtype=torch.float32, device=self.device)
        drawn = torch.multinomial(table, math.prod(shape), replacement=True, generator=self.generator)
        return drawn.view(shape)

    def distinct(self, stop: int, batch: int, k: int) -> Tensor:
        """Draw (batch, k) integers of [0, stop), different within each row."""
        return torch.multinomial(torch.ones(batch, stop, device=self.device), k, generator=self.generator)


@dataclass(frozen=True)
class Casting:
    """What a batch of random scenes holds.

    counts: weights of 0, 1, 2 and 3 objects; styles: weights of STYLES; crowded: share of scenes whose objects stand
    anywhere, in any size, in front of each other; twins: share whose objects are all the same (hard for a segmenter);
    heads: share of objects drawn from the bare heads only; dressed: share of bare heads that wear something;
    moulded: share of the other objects that are drawn in the outline of another, as an edit draws them.
    """

    counts: tuple[float, ...] = (0.04, 0.34, 0.42, 0.20)
    styles: tuple[float, ...] = (1.0, 0.0, 0.0)
    crowded: float = 0.15
    twins: float = 0.0
    heads: float = 0.15
    dressed: float = 0.35
    moulded: float = 0.0


def flags(names: frozenset[str], device: torch.device) -> Tensor:
    """Return which objects (T,) are in the set, as booleans."""
    return torch.tensor([name in names for name in NAMES], device=device)


def random_scene(dice: Dice, batch: int, casting: Casting, extent: Tensor, things: Tensor | None = None) -> Scene:
    """Draw a batch of scenes.

    Args:
        extent: (styles, colours, T, 2) top and bottom edge of each sprite, −1 to 1 (see `World.extent`).
        things: (B, n) indexes of the objects to show, n ≤ 3, or None for any.
    """
    place = _backdrop(dice, batch)
    cast = _cast(dice, batch, casting, things)
    pose = _pose(dice, place, cast, extent)
    loose = dice.chance(casting.crowded, batch)
    crowd = _crowd(dice, batch)
    pose = {name: torch.where(loose[:, None], crowd[name], value) for name, value in pose.items() if name in crowd} | {
        name: pose[name] for name in pose if name not in crowd
    }
    pose["stacked"] &= ~loose
    return Scene(**place, **cast, **_depth(cast, pose, extent, place, loose))


def is_moulded(scene: Scene) -> Tensor:
    """Return in which pictures (B,) an object is drawn in the outline of another."""
    present = torch.arange(SLOTS, device=scene.count.device) < scene.count[:, None]
    return (present & (scene.outline != scene.thing)).any(1)


def _backdrop(dice: Dice, batch: int) -> dict[str, Tensor]:
    backdrop = dice.choice((0.76, 0.12, 0.12), batch)
    ground, sky = dice.integers(len(GROUNDS), batch), dice.integers(len(SKIES), batch)
    curtain = sky == list(SKIES).index("curtain")
    floor = list(GROUNDS).index("wood") + dice.integers(2, batch)
    ground = torch.where(curtain & dice.chance(0.7, batch), floor, ground)
    grounded = torch.tensor([name in NEEDS_GROUND for name in SKIES], device=dice.device)[sky]
    backdrop = torch.where((backdrop == SKY) & grounded, GROUND_AND_SKY, backdrop)
    weights = (1.4, 1.4) + (0.25,) * (len(PLACES) - 2)
    horizon = (dice.uniform(0.40, 0.66, batch) * CANVAS).long()
    return {
        "backdrop": backdrop,
        "ground": ground,
        "sky": sky,
        "place": dice.choice(weights, batch),
        "variant": dice.uniform(0, 1, batch),
        "horizon": torch.where(backdrop == GROUND_AND_SKY, horizon, CANVAS),
        "pan": dice.integers(129, batch).float(),
        "mirrored": dice.chance(0.5, batch),
        "brightness": dice.uniform(0.94, 1.06, batch),
    }


def _cast(dice: Dice, batch: int, casting: Casting, things: Tensor | None) -> dict[str, Tensor]:
    shape = (batch, SLOTS)
    thing = dice.distinct(len(NAMES), batch, SLOTS)
    heads = flags(BARE_HEADED, dice.device).nonzero().flatten()
    thing = torch.where(dice.chance(casting.heads, *shape), heads[dice.integers(len(heads), *shape)], thing)
    thing = torch.where(dice.chance(casting.twins, batch, 1), thing[:, :1], thing)
    count = dice.choice(casting.counts, batch)
    if things is not None:
        thing[:, : things.shape[1]] = things
        count = torch.full_like(count, things.shape[1])
    style = dice.choice(casting.styles, batch)
    recoloured = flags(RECOLOURED, dice.device)
    any_colour = 1 + dice.integers(len(COLOUR_NAMES) - 1, *shape)
    colour = torch.where(recoloured[thing] & dice.chance(0.65, *shape), any_colour, 0)
    bare = flags(BARE_HEADED, dice.device)[thing] & (style == STYLES.index("noto"))[:, None]
    wearable = torch.where(bare & dice.chance(casting.dressed, *shape), 1 + dice.integers(len(WEARABLES), *shape), 0)
    dyed = torch.tensor([False, *(name in RECOLOURED for name in WEARABLES)], device=dice.device)[wearable]
    other_colour = 1 + dice.integers(len(COLOUR_NAMES) - 1, *shape)
    outline = thing
    if casting.moulded:  # drawn last: without it all else is drawn as ever
        is_moulded = dice.chance(casting.moulded, *shape) & (wearable == 0)
        outline = torch.where(is_moulded, dice.integers(len(NAMES), *shape), thing)
    return {
        "count": count,
        "style": style,
        "thing": thing,
        "outline": outline,
        "colour": colour,
        "wearable": wearable,
        "wearable_colour": torch.where(dyed & dice.chance(0.6, *shape), other_colour, 0),
    }


def _pose(dice: Dice, place: dict[str, Tensor], cast: dict[str, Tensor], extent: Tensor) -> dict[str, Tensor]:
    """Stand the objects on their ground or hang them in their sky, side by side or one above the other."""
    count, batch = cast["count"], len(cast["count"])
    one, two = (count == 1)[:, None], (count == 2)[:, None]
    shape = (batch, SLOTS)
    stacked = (count == 2) & dice.chance(0.18, batch)
    floats = flags(FLOATING, dice.device)[cast["thing"]]
    size = torch.where(two, dice.uniform(0.32, 0.50, *shape), dice.uniform(0.24, 0.34, *shape))
    size = torch.where(one, dice.uniform(0.44, 0.84, *shape), size)
    size = torch.where(stacked[:, None], dice.uniform(0.30, 0.44, *shape), size)
    size = torch.where(floats & one, size * 0.8, size)

    columns = torch.stack(
        [dice.uniform(-0.68, -0.60, batch), dice.uniform(-0.07, 0.07, batch), dice.uniform(0.60, 0.68, batch)], 1
    )
    halves = torch.stack([dice.uniform(-0.54, -0.42, batch), dice.uniform(0.42, 0.54, batch), columns[:, 2]], 1)
    x = torch.where(two, halves, columns)
    x = torch.where(one, dice.uniform(-0.48, 0.48, *shape) * (1 - size).clamp(min=0), x)
    x = torch.where(stacked[:, None], dice.uniform(-0.4, 0.4, *shape), x)

    top, bottom = _extent_of(cast, extent).unbind(-1)
    horizon = place["horizon"][:, None] / CANVAS * 2 - 1
    grounded = (place["backdrop"] == GROUND_AND_SKY)[:, None]
    base = torch.where(
        grounded, (horizon + dice.uniform(0.08, 0.36, *shape)).clamp(max=0.95), dice.uniform(0.35, 0.9, *shape)
    )
    base = torch.where(one & (size > 0.6), base.maximum(dice.uniform(0.72, 0.95, *shape)), base)
    y = base - size * bottom
    hat = (cast["wearable"] > 1).float()
    y = y.maximum(-0.97 - size * top + hat * size * 0.42)
    y = torch.where(floats, torch.where(one, dice.uniform(-0.42, 0.1, *shape), dice.uniform(-0.62, -0.1, *shape)), y)
    tiers = torch.stack(
        [dice.uniform(-0.54, -0.44, batch), dice.uniform(0.44, 0.54, batch), dice.uniform(0, 1, batch)], 1
    )
    y = torch.where(stacked[:, None], tiers, y)
    room = (0.985 - size).clamp(min=0)
    y = y.maximum(-room - 0.02).minimum(room + 0.04)

    tilted = torch.where(dice.chance(0.35, *shape), dice.uniform(-0.3, 0.3, *shape), dice.uniform(-0.03, 0.03, *shape))
    flip = torch.where(dice.chance(0.35, *shape), -1.0, 1.0)
    return {"x": x, "y": y, "size": size, "angle": tilted, "flip": flip, "stacked": stacked}


def _crowd(dice: Dice, batch: int) -> dict[str, Tensor]:
    """Stand objects anywhere, the first left of the second left of the third."""
    shape = (batch, SLOTS)
    return {
        "x": dice.uniform(-0.8, 0.8, *shape).sort(1).values,
        "y": dice.uniform(-0.6, 0.65, *shape),
        "size": dice.uniform(0.22, 0.6, *shape),
        "angle": dice.uniform(-0.45, 0.45, *shape),
    }


def _depth(
    cast: dict[str, Tensor], pose: dict[str, Tensor], extent: Tensor, place: dict[str, Tensor], loose: Tensor
) -> dict[str, Tensor]:
    """Order objects by the height they stand at (farther is higher) and let those on the ground cast a shadow."""
    bottom = pose["y"] + pose["size"] * _extent_of(cast, extent)[..., 1]
    present = torch.arange(SLOTS, device=bottom.device) < cast["count"][:, None]
    order = torch.where(present, bottom, 9.0).argsort(1)
    horizon = place["horizon"][:, None] / CANVAS * 2 - 1
    floats = flags(FLOATING, bottom.device)[cast["thing"]]
    resting = (bottom > horizon) & ~floats & ~(pose["stacked"] | loose)[:, None]
    shadow = (resting & (place["backdrop"] == GROUND_AND_SKY)[:, None]).float()
    return pose | {"order": order, "shadow": shadow}


def _extent_of(cast: dict[str, Tensor], extent: Tensor) -> Tensor:
    """Return top and bottom edge (B, K, 2) of what is seen of each object, −1 to 1."""
    return extent[cast["style"][:, None], cast["colour"], cast["outline"]]
