"""From a script to a clip with its truth, and to the files that hold it: MP4, masks, and the edit that it is for."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.clips import Clip, Motion, backdrop_mask, mask_of, moving, render, worn_mask
from training.evaluate import deepest
from training.scene import CANVAS, GROUND_AND_SKY, PLACE, SLOTS, Scene
from training.scripts import Actor, Script, Target
from training.vocabulary import COLOUR_NAMES, GROUNDS, INDEX, PLACES, SKIES, WEARABLES
from training.world import World
from videograin.diffusion.prompt import compose_target_prompt
from videograin.media.encode import save_video

_NOBODY = Actor("cat", 0, 0, 0.1)
_LEAST = 64  # pixels of a mask that can be clicked on


def stage(script: Script) -> Scene:
    """Return the scene in the middle of a script's clip."""
    actors = [*script.actors, *[_NOBODY] * (SLOTS - len(script.actors))]
    grounded = bool(script.ground)

    def number(value: float) -> Tensor:
        return torch.tensor([float(value)])

    def index(value: int) -> Tensor:
        return torch.tensor([value])

    def each(values: list[float]) -> Tensor:
        return torch.tensor([values], dtype=torch.float32)

    def indexes(values: list[int]) -> Tensor:
        return torch.tensor([values])

    return Scene(
        backdrop=index(GROUND_AND_SKY if grounded else PLACE),
        ground=index(list(GROUNDS).index(script.ground) if grounded else 0),
        sky=index(list(SKIES).index(script.sky) if grounded else 0),
        place=index(0 if grounded else list(PLACES).index(script.place)),
        variant=number(script.variant),
        horizon=index(script.horizon if grounded else CANVAS),
        pan=number(64),
        mirrored=torch.tensor([False]),
        brightness=number(1),
        count=index(len(script.actors)),
        style=index(0),
        outline=indexes([INDEX[a.name] for a in actors]),
        thing=indexes([INDEX[a.name] for a in actors]),
        colour=indexes([COLOUR_NAMES.index(a.colour) for a in actors]),
        wearable=indexes([WEARABLES.index(a.worn) + 1 if a.worn else 0 for a in actors]),
        wearable_colour=indexes([COLOUR_NAMES.index(a.worn_colour) for a in actors]),
        x=each([a.x for a in actors]),
        y=each([a.y for a in actors]),
        size=each([a.size for a in actors]),
        angle=each([a.angle for a in actors]),
        flip=each([a.flip for a in actors]),
        order=indexes(list(range(SLOTS))),
        shadow=each([float(a.shadow and grounded) for a in actors]),
        stacked=torch.tensor([False]),
    )


def motion(script: Script) -> Motion:
    """Return how a script's actors and camera move."""

    def three(values: list[float], rest: float) -> tuple[float, float, float]:
        a, b, c = [*values, *[rest] * (SLOTS - len(values))]
        return a, b, c

    actors = script.actors
    return Motion(
        dx=three([a.dx for a in actors], 0),
        dy=three([a.dy for a in actors], 0),
        trip=three([a.trip for a in actors], 0),
        growth=three([a.growth for a in actors], 1),
        turn=three([a.turn for a in actors], 0),
        sway=three([a.sway for a in actors], 0),
        bob=three([a.bob for a in actors], 0),
        pan=script.pan,
    )


def play(world: World, script: Script) -> Clip:
    """Render a script's clip with its truth."""
    return render(world, moving(stage(script), motion(script), script.frames))


def masks_of(world: World, script: Script, clip: Clip) -> dict[str, np.ndarray]:
    """Return the mask (F, 256, 256) bool of each target, by its name."""
    return {target.name: _mask(world, script, clip, target).cpu().numpy() for target in script.targets}


def _mask(world: World, script: Script, clip: Clip, target: Target) -> Tensor:
    if not target.actors:
        return backdrop_mask(clip.owner)
    if target.part in WEARABLES:
        dressed = tuple(
            replace(actor, worn=target.part) if i in target.actors else actor for i, actor in enumerate(script.actors)
        )
        owner = play(world, replace(script, actors=dressed)).owner
        return worn_mask(owner, target.actors[0])
    if target.part:
        return worn_mask(clip.owner, target.actors[0])
    return torch.stack([mask_of(clip.owner, slot) for slot in target.actors]).any(0)


def frames_of(clip: Clip) -> np.ndarray:
    """Return the frames (F, 256, 256, 3) uint8 RGB."""
    return ((clip.image + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def click_on(mask: np.ndarray) -> dict[str, int]:
    """Return where to click on a mask (F, H, W): frame, x and y, in the first frame that shows enough of it."""
    frame = int((mask.sum((1, 2)) >= _LEAST).argmax())
    x, y = deepest(mask[frame])
    return {"frame": frame, "x": x, "y": y}


def target_prompt(script: Script) -> str:
    """Return the prompt of the whole edited clip."""
    return script.target_prompt or compose_target_prompt([t.prompt for t in script.targets], script.background)


def describe(script: Script, masks: dict[str, np.ndarray]) -> dict:
    """Return what clip.json says."""
    regions = [
        {"name": t.name, "prompt": t.prompt, "before": t.before, "after": t.after, "click": click_on(masks[t.name])}
        for t in script.targets
    ]
    return {
        "name": script.name,
        "level": script.level,
        "frames": script.frames,
        "fps": script.fps,
        "source_prompt": script.source_prompt,
        "target_prompt": target_prompt(script),
        "background": script.background,
        "regions": regions,
    }


def project(script: Script) -> dict:
    """Return the project file of a script's edit; settings are left to the model."""
    regions = [
        {"masks": {"path": "masks.npz", "key": t.name}, "prompt": t.prompt, "name": t.name} for t in script.targets
    ]
    return {
        "version": 1,
        "clip": "clip.mp4",
        "source_prompt": script.source_prompt,
        "target_prompt": target_prompt(script),
        "background": script.background,
        "regions": regions,
    }


def write_clip(folder: Path, script: Script, clip: Clip, masks: dict[str, np.ndarray], crf: int = 16) -> None:
    """Write clip.mp4 and masks.npz, one (F, 256, 256) bool array a region, by its name."""
    folder.mkdir(parents=True, exist_ok=True)
    save_video(folder / "clip.mp4", frames_of(clip), script.fps, crf=crf)
    np.savez_compressed(folder / "masks.npz", **masks)  # pyright: ignore[reportArgumentType]


def write_json(path: Path, content: dict) -> None:
    """Write an object as indented JSON."""
    path.write_text(json.dumps(content, indent=1) + "\n")
