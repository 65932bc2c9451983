"""Scripts drawn from a seed: edits of every level, and clips whose masks are hard to follow."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from training.scene import PLACE, SKY, Casting, Dice, Scene
from training.scripts import Actor, Script, Target
from training.staging import masks_of, play
from training.vocabulary import COLOUR_NAMES, GROUNDS, NAMES, PLACES, SKIES, WEARABLES, with_article
from training.world import World

PAIR = Casting(counts=(0, 0, 1, 0), crowded=0, heads=0, dressed=0)
TWINS = Casting(counts=(0, 0, 1, 0), crowded=0, heads=0, dressed=0, twins=1)
SINGLE = Casting(counts=(0, 1, 0, 0), crowded=0, heads=0, dressed=0)
DRESSED = Casting(counts=(0, 1, 0, 0), crowded=0, heads=1, dressed=1)

LEAST_PIXELS, LEAST_SHARE = 2600, 0.55
"""Of an edited object that counts as well visible: in every frame, and over its largest mask."""

LEAST_PART = 300
LEAST_CLICKED = 400
MASK_CATEGORIES = ("occlusion", "crossing", "crossing twins", "re-entering", "fast", "twins", "worn")


class Improviser:
    """Draws scripts; equal seeds give equal ones.

    Args:
        world: on the CPU, so that every machine draws the same.
        seed: none that training uses.
    """

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.dice = world, Dice(seed, world.device)

    def two(self, name: str, level: str = "instance", edited: int = 2) -> Script:
        """Two objects side by side, sometimes one a little in front of the other; `edited` of them become another."""
        return self._until(lambda: self._two(name, level, edited), _well_visible)

    def put_on(self, name: str, wearable: str) -> Script:
        """A bare head gets a wearable, where it would sit."""

        def draw() -> Script:
            actor = self._dressed(wearable)
            return self._part(name, replace(actor, worn="", worn_colour=""), wearable, wearable, "")

        return self._until(draw, _part_visible)

    def recolour(self, name: str, noun: str) -> Script:
        """A worn object, or an object that comes in colours, gets another colour."""

        def draw() -> Script:
            actor = self._dressed(noun) if noun in WEARABLES else self._single(noun)
            before, after = self._two_of(COLOUR_NAMES[1:])
            if noun in WEARABLES:
                return self._part(name, replace(actor, worn_colour=before), "worn", noun, after)
            return self._part(name, replace(actor, colour=before), "", noun, after)

        return self._until(draw, _part_visible)

    def elsewhere(self, name: str) -> Script:
        """One object stays, everything around it becomes another place."""

        def draw() -> Script:
            scene = self._scene(SINGLE)
            other = self._scene(SINGLE, lambda s: bool(s.backdrop == scene.backdrop) and _words(s) != _words(scene))
            actor = self._gentle(_actor(scene, 0))
            target = Target("background", _words(other))
            return replace(
                _script(name, "background", scene, (actor,), (target,), 40 * self._sign()),
                background=_words(other),
                target_prompt=f"{_noun(actor)} {_words(other)}",
            )

        return self._until(draw, lambda masks: masks["background"].mean() > 0.3)

    def hard_to_follow(self, name: str, category: str) -> Script:
        """A clip of one of the MASK_CATEGORIES; its targets are its objects, unchanged, and what they wear."""
        return self._until(lambda: self._hard_to_follow(name, category), _clickable)

    def _two(self, name: str, level: str, edited: int) -> Script:
        scene = self._scene(PAIR)
        nearness = 0.68 if self._chance(0.3) else 1.0
        actors = tuple(self._gentle(replace(actor, x=actor.x * nearness)) for actor in _actors(scene))
        known = {actor.name for actor in actors}
        becoming = self._two_of([thing for thing in NAMES if thing not in known and thing not in WEARABLES])
        targets = tuple(
            Target(_side(actors, i), with_article(thing), actors[i].name, thing, (i,))
            if i < edited
            else Target(_side(actors, i), "", actors[i].name, actors[i].name, (i,))
            for i, thing in enumerate(becoming)
        )
        script = _script(name, level, scene, actors, targets, self._pan())
        nouns = [target.prompt or _noun(actors[i]) for i, target in enumerate(targets)]
        return replace(script, target_prompt=f"{nouns[0]} and {nouns[1]} {script.background}")

    def _part(self, name: str, actor: Actor, part: str, noun: str, colour: str) -> Script:
        """Return the script whose one object, or what it wears, becomes a noun of a colour."""
        scene = self._scene(SINGLE)
        before = "" if part in WEARABLES else f"{actor.worn_colour or actor.colour} {noun}"
        after = f"{colour} {noun}".strip()
        prompt = f"wearing {with_article(after)}" if part else with_article(after)
        actor = self._gentle(actor)
        whole = f"{_noun(replace(actor, worn=''))} {prompt}" if part else prompt
        target = Target(noun, prompt, before, after, (0,), part)
        script = _script(name, "part", scene, (actor,), (target,), self._pan())
        return replace(script, target_prompt=f"{whole} {script.background}")

    def _hard_to_follow(self, name: str, category: str) -> Script:
        dice, sign = self.dice, self._sign()
        scene = self._scene(TWINS if "twins" in category else DRESSED if category == "worn" else PAIR)
        actors = [self._gentle(actor) for actor in _actors(scene)]
        match category:
            case "occlusion":  # the near one passes before the far one
                actors[0] = replace(actors[0], x=0.1 * sign, dx=0.0)
                actors[1] = replace(actors[1], x=0.0, dx=sign * self._float(1.2, 1.5))
            case "crossing" | "crossing twins":  # they change sides
                far = self._float(0.9, 1.15)
                actors = [replace(a, x=0.0, dx=s * far) for a, s in zip(actors, (sign, -sign), strict=True)]
            case "re-entering":
                mover = int(dice.integers(2, 1))
                out = 1.0 if actors[mover].x > 0 else -1.0
                actors[mover] = replace(actors[mover], trip=out * self._float(1.15, 1.35), bob=0.0)
            case "fast":
                mover = int(dice.integers(2, 1))
                across = -actors[mover].x * self._float(2.4, 3.0)
                actors[mover] = replace(actors[mover], x=0.0, dx=across, bob=self._float(0.35, 0.5), turn=0.8 * sign)
            case "worn":
                actors = [replace(actors[0], dx=self._float(0.3, 0.6) * sign, turn=0.5 * sign, bob=0.12)]
        targets = [Target(_label(actors, i), "", a.name, a.name, (i,)) for i, a in enumerate(actors)]
        targets += [Target(a.worn, "", a.worn, a.worn, (i,), "worn") for i, a in enumerate(actors) if a.worn]
        script = _script(name, category, scene, tuple(actors), tuple(targets), self._pan())
        return replace(script, frames=24, fps=12.0, target_prompt=script.source_prompt)

    def _until(self, draw: Callable[[], Script], suits: Callable[[dict[str, np.ndarray]], bool]) -> Script:
        """Draw scripts until one's masks suit."""
        while True:
            script = draw()
            if suits(masks_of(self.world, script, play(self.world, script))):
                return script

    def _scene(self, casting: Casting, suits: Callable[[Scene], bool] | None = None) -> Scene:
        """Draw a scene that a script can stage."""
        while True:
            scene = self.world.sample(self.dice, 1, casting)
            fits = scene.backdrop != SKY and not scene.stacked and _is_grown(scene)
            if fits and (suits is None or suits(scene)):
                return scene

    def _dressed(self, wearable: str) -> Actor:
        """Draw a head that wears it."""
        which = 1 + WEARABLES.index(wearable)
        scene = self._scene(DRESSED, lambda s: bool(s.wearable[0, 0] == which) and bool(s.size[0, 0] > 0.52))
        actor = _actor(scene, 0)
        return replace(actor, y=max(actor.y, actor.size - 0.75))  # room for a hat

    def _single(self, noun: str) -> Actor:
        """Draw an object by its name."""
        scene = self._scene(SINGLE, lambda s: NAMES[int(s.thing[0, 0])] == noun)
        return _actor(scene, 0)

    def _gentle(self, actor: Actor) -> Actor:
        return replace(
            actor,
            dx=self._float(-0.2, 0.2),
            dy=self._float(-0.06, 0.06),
            growth=self._float(0.85, 1.18),
            turn=self._float(-0.2, 0.2),
            sway=self._float(-0.15, 0.15),
            bob=self._float(0, 0.12) if self._chance(0.4) else 0.0,
        )

    def _pan(self) -> float:
        return self._float(-40, 40) if self._chance(0.5) else 0.0

    def _float(self, low: float, high: float) -> float:
        return round(float(self.dice.uniform(low, high, 1)), 3)

    def _chance(self, probability: float) -> bool:
        return bool(self.dice.chance(probability, 1))

    def _sign(self) -> float:
        return 1.0 if self._chance(0.5) else -1.0

    def _two_of(self, choices: tuple[str, ...] | list[str]) -> list[str]:
        return [choices[i] for i in self.dice.distinct(len(choices), 1, 2)[0].tolist()]


def _is_grown(scene: Scene) -> bool:
    """Whether its objects are large enough to be recognised in 256 pixels."""
    return bool((scene.size[0, : int(scene.count[0])] > 0.36).all())


def _well_visible(masks: dict[str, np.ndarray]) -> bool:
    areas = np.stack([mask.sum((1, 2)) for mask in masks.values()])
    return bool((areas.min(1) >= LEAST_PIXELS).all() and (areas.min(1) >= LEAST_SHARE * areas.max(1)).all())


def _part_visible(masks: dict[str, np.ndarray]) -> bool:
    return all(mask.sum((1, 2)).min() >= LEAST_PART for mask in masks.values())


def _clickable(masks: dict[str, np.ndarray]) -> bool:
    return all(mask[0].sum() >= LEAST_CLICKED for mask in masks.values())


def _actors(scene: Scene) -> list[Actor]:
    """Return a scene's objects, far ones first."""
    return [_actor(scene, slot) for slot in scene.order[0].tolist() if slot < int(scene.count[0])]


def _actor(scene: Scene, slot: int) -> Actor:
    def number(name: str) -> float:
        return round(float(getattr(scene, name)[0, slot]), 3)

    worn = int(scene.wearable[0, slot])
    return Actor(
        name=NAMES[int(scene.thing[0, slot])],
        x=number("x"),
        y=number("y"),
        size=number("size"),
        colour=COLOUR_NAMES[int(scene.colour[0, slot])],
        worn=WEARABLES[worn - 1] if worn else "",
        worn_colour=COLOUR_NAMES[int(scene.wearable_colour[0, slot])] if worn else "",
        angle=number("angle"),
        flip=number("flip"),
        shadow=bool(scene.shadow[0, slot]),
    )


def _script(
    name: str, level: str, scene: Scene, actors: tuple[Actor, ...], targets: tuple[Target, ...], pan: float
) -> Script:
    place = bool(scene.backdrop == PLACE)
    return Script(
        name=name,
        level=level,
        source_prompt=f"{' and '.join(_noun(actor) for actor in actors)} {_words(scene)}",
        background=_words(scene),
        actors=actors,
        targets=targets,
        ground="" if place else list(GROUNDS)[int(scene.ground)],
        sky="" if place else list(SKIES)[int(scene.sky)],
        place=list(PLACES)[int(scene.place)] if place else "",
        variant=round(float(scene.variant), 3),
        horizon=int(scene.horizon),
        pan=pan,
        frames=16,
        fps=8.0,
    )


def _words(scene: Scene) -> str:
    """Return what a user would call the backdrop."""
    if scene.backdrop == PLACE:
        return list(PLACES.values())[int(scene.place)][0][0]
    ground, sky = list(GROUNDS.values())[int(scene.ground)], list(SKIES.values())[int(scene.sky)]
    return f"{ground[0][0]} {sky[0][0]}"


def _noun(actor: Actor) -> str:
    bare = with_article(f"{actor.colour} {actor.name}".strip())
    return f"{bare} wearing {with_article(f'{actor.worn_colour} {actor.worn}'.strip())}" if actor.worn else bare


def _side(actors: tuple[Actor, ...] | list[Actor], index: int) -> str:
    return "left" if actors[index].x == min(actor.x for actor in actors) else "right"


def _label(actors: list[Actor], index: int) -> str:
    """Return a name for an object's masks: its own, numbered where there are two of them."""
    name = actors[index].name
    return f"{name} {index + 1}" if [actor.name for actor in actors].count(name) > 1 else name
