"""Clips: scenes in motion, with the owner of each pixel and the optical flow known exactly.

A clip is one scene repeated F times, with poses that change by formula: objects drift, grow and turn, cross in front of
each other, enter and leave; what is worn rides on its wearer; the camera pans.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from training.scene import SLOTS, Casting, Dice, Scene
from training.world import GROUND_OWNER, TOP_OWNER, World


@dataclass(frozen=True)
class Motion:
    """How the objects of one scene move, in canvas units and radians over the whole clip; each (K,) or a number."""

    dx: tuple[float, float, float] = (0.0, 0.0, 0.0)
    dy: tuple[float, float, float] = (0.0, 0.0, 0.0)
    growth: tuple[float, float, float] = (1.0, 1.0, 1.0)
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    sway: tuple[float, float, float] = (0.0, 0.0, 0.0)  # once to and fro
    bob: tuple[float, float, float] = (0.0, 0.0, 0.0)  # height of two hops
    trip: tuple[float, float, float] = (0.0, 0.0, 0.0)  # sideways, once there and back
    pan: float = 0.0  # pixels


@dataclass(frozen=True)
class Clip:
    """F frames and their truth.

    image (F, 3, 256, 256) in [−1, 1]; owner (F, 256, 256) uint8, the codes of `training.world`;
    flow (F − 1, 2, 256, 256), where each pixel goes in the next frame, (dx, dy) in pixels;
    visible (F − 1, 256, 256) bool, whether it is seen there; scene: F rows.
    """

    image: Tensor
    owner: Tensor
    flow: Tensor
    visible: Tensor
    scene: Scene


def joined(scenes: Sequence[Scene]) -> Scene:
    """Return the rows of several scenes as one batch."""
    return Scene(**{f.name: torch.cat([getattr(scene, f.name) for scene in scenes]) for f in fields(Scene)})


def repeated(scene: Scene, frames: int) -> Scene:
    """Return the one scene F times."""
    assert len(scene) == 1
    return replace(
        scene,
        **{
            f.name: getattr(scene, f.name).expand(frames, *[-1] * (getattr(scene, f.name).ndim - 1))
            for f in fields(scene)
        },
    )


def moving(scene: Scene, motion: Motion, frames: int) -> Scene:
    """Return the scene in motion: F rows. But for trips it is as given in the middle of the clip."""
    still = repeated(scene, frames)
    time = torch.linspace(-0.5, 0.5, frames, device=scene.x.device)[:, None]
    wave = (2 * math.pi * (time + 0.5)).sin()

    def over_time(values: tuple[float, float, float]) -> Tensor:
        return time * torch.tensor(values, device=time.device)

    growth = torch.tensor(motion.growth, device=time.device).log() * time
    sway = torch.tensor(motion.sway, device=time.device) * wave
    bob = torch.tensor(motion.bob, device=time.device) * wave.abs()
    trip = torch.tensor(motion.trip, device=time.device) * (math.pi * time).cos()
    return replace(
        still,
        x=still.x + over_time(motion.dx) + trip,
        y=still.y + over_time(motion.dy) - bob,
        size=still.size * growth.exp(),
        angle=still.angle + over_time(motion.turn) + sway,
        pan=(still.pan + time[:, 0] * motion.pan).clamp(0, 128),
    )


def random_motion(dice: Dice) -> Motion:
    """Draw a motion: gentle, or across the picture, with or without a pan."""

    def three(low: float, high: float) -> tuple[float, float, float]:
        a, b, c = dice.uniform(low, high, SLOTS).tolist()
        return a, b, c

    wide = 0.9 if bool(dice.chance(0.4, 1)) else 0.3
    pan = float(dice.uniform(-60, 60, 1)) * float(dice.chance(0.5, 1))
    drift, growth, turn, sway = three(-0.15, 0.15), three(0.8, 1.25), three(-0.4, 0.4), three(-0.15, 0.15)
    return Motion(three(-wide, wide), drift, growth, turn, sway, pan=pan)


def render(world: World, scene: Scene) -> Clip:
    """Draw a scene in motion, with its truth."""
    picture = world.draw(scene)
    flow = flow_between(scene, picture.owner)
    return Clip(picture.image, picture.owner, flow, seen_again(flow, picture.owner), scene)


def random_clip(
    world: World, dice: Dice, frames: int, casting: Casting | None = None, things: Tensor | None = None
) -> Clip:
    """Draw a random clip of F frames."""
    scene = world.sample(dice, 1, casting or Casting(counts=(0, 0, 1, 0), crowded=0), things)
    return render(world, moving(scene, random_motion(dice), frames))


def flow_between(scene: Scene, owner: Tensor) -> Tensor:
    """Return where each pixel goes in the next frame.

    Args:
        scene: F frames of one clip; owner: (F, H, W) uint8.

    Returns:
        flow (F − 1, 2, H, W), (dx, dy) in pixels: the owner's motion, or the camera's for the backdrop.
    """
    side = owner.shape[-1]
    ticks = (torch.arange(side, device=owner.device) + 0.5) / side * 2 - 1
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    flow = torch.zeros(len(scene) - 1, 2, side, side, device=owner.device)
    flow[:, 0] = (scene.pan[:-1] - scene.pan[1:])[:, None, None]
    for slot in range(SLOTS):
        now, then = (_pose(scene, slot, rows) for rows in (slice(None, -1), slice(1, None)))
        scale, turn = then[2] / now[2], then[3] - now[3]
        u, v = x - now[0], y - now[1]
        to_x = then[0] + scale * (turn.cos() * u - turn.sin() * v)
        to_y = then[1] + scale * (turn.sin() * u + turn.cos() * v)
        owned = (owner[:-1] == 1 + slot) | (owner[:-1] == 1 + SLOTS + slot)
        moved = torch.stack([to_x - x, to_y - y], 1) * (side / 2)
        flow = torch.where(owned[:, None], moved, flow)
    return flow


def _pose(scene: Scene, slot: int, rows: slice) -> tuple[Tensor, ...]:
    return tuple(getattr(scene, name)[rows, slot, None, None] for name in ("x", "y", "size", "angle"))


def seen_again(flow: Tensor, owner: Tensor) -> Tensor:
    """Say which pixels have the same owner where the flow (F − 1, 2, H, W) takes them: (F − 1, H, W) bool."""
    side = owner.shape[-1]
    rows, columns = torch.meshgrid(*[torch.arange(side, device=owner.device)] * 2, indexing="ij")
    to_x, to_y = (columns + flow[:, 0]).round().long(), (rows + flow[:, 1]).round().long()
    inside = (to_x >= 0) & (to_x < side) & (to_y >= 0) & (to_y < side)
    place = to_y.clamp(0, side - 1) * side + to_x.clamp(0, side - 1)
    there = owner[1:].flatten(1).gather(1, place.flatten(1)).view_as(place)
    return inside & (there == owner[:-1])


def mask_of(owner: Tensor, slot: int, *, with_worn: bool = True) -> Tensor:
    """Return the mask (F, H, W) of an object, with or without what it wears."""
    worn = owner == 1 + SLOTS + slot
    return (owner == 1 + slot) | worn if with_worn else owner == 1 + slot


def worn_mask(owner: Tensor, slot: int) -> Tensor:
    """Return the mask (F, H, W) of what an object wears."""
    return owner == 1 + SLOTS + slot


def backdrop_mask(owner: Tensor) -> Tensor:
    """Return the mask (F, H, W) of everything that is no object."""
    return (owner == TOP_OWNER) | (owner == GROUND_OWNER)
