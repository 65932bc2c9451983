"""Traces: what inverted noise still tells of what a clip showed before.

An edit denoises the inversion of its source: noise in which the source can be made out, under words that say something
else. A denoiser that has only seen pictures under their own captions follows the trace in one frame and the words in
the next. Large models, whose captions were loose, follow the words; a small one must be shown. So a share of the scenes
comes with a former state, the same but for what the words say of it, and some of that state is left in the noise.
"""

from dataclasses import replace

import torch
from torch import Tensor

from training.scene import Dice, Scene
from training.vocabulary import COLOUR_NAMES, GROUNDS, NAMES, PLACES, RECOLOURED, SKIES, WEARABLES

_ELSEWHERE = 0.15  # share of scenes
_OTHER_COLOUR = 0.4  # share of objects with colours
_BARE = 0.4  # share of objects that wear another
_FADES, _WHOLE = 400, 700  # timesteps between which a trace grows from nothing to all of the former state


def former_scene(dice: Dice, scene: Scene, told: Tensor) -> Scene:
    """Return scenes as they were: outlines filled by their own objects, other colours, nothing put on, elsewhere.

    Args:
        dice: draws what changed.
        scene: B scenes as they are now.
        told: (B,) bool, whether the caption says all of the backdrop; only then it can have been another.
    """
    shape = scene.thing.shape
    moulded = scene.outline != scene.thing

    def redrawn(now: Tensor, share: float, choices: int) -> Tensor:
        return torch.where(dice.chance(share, *now.shape), dice.integers(choices, *now.shape), now)

    dyed = torch.tensor([name in RECOLOURED for name in NAMES], device=dice.device)[scene.thing]
    colour = torch.where(dyed, redrawn(scene.colour, _OTHER_COLOUR, len(COLOUR_NAMES)), scene.colour)
    worn_dyed = torch.tensor([False, *(name in RECOLOURED for name in WEARABLES)], device=dice.device)[scene.wearable]
    worn_colour = redrawn(scene.wearable_colour, _OTHER_COLOUR, len(COLOUR_NAMES))
    elsewhere = told & dice.chance(_ELSEWHERE, len(scene))

    def moved(now: Tensor, places: int) -> Tensor:
        return torch.where(elsewhere, dice.integers(places, len(scene)), now)

    return replace(
        scene,
        thing=scene.outline,
        colour=torch.where(moulded, 0, colour),
        wearable=torch.where(dice.chance(_BARE, *shape), 0, scene.wearable),
        wearable_colour=torch.where(worn_dyed, worn_colour, scene.wearable_colour),
        ground=moved(scene.ground, len(GROUNDS)),
        sky=moved(scene.sky, len(SKIES)),
        place=moved(scene.place, len(PLACES)),
    )


def trace_weight(timestep: Tensor) -> Tensor:
    """Return how much of the former state is left at timesteps (B,): late steps have the edit itself before them."""
    return ((timestep - _FADES) / (_WHOLE - _FADES)).clamp(0, 1)
