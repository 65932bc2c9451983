"""The scripts of the demo clips: who plays, how they move, and what an edit makes of them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Actor:
    """One object of a clip, in canvas units and radians; pose in the middle of the clip, motion over all of it."""

    name: str
    x: float
    y: float
    size: float
    colour: str = ""
    worn: str = ""
    worn_colour: str = ""
    angle: float = 0.0
    flip: float = 1.0
    dx: float = 0.0
    dy: float = 0.0
    trip: float = 0.0
    growth: float = 1.0
    turn: float = 0.0
    sway: float = 0.0
    bob: float = 0.0
    shadow: bool = True


@dataclass(frozen=True)
class Target:
    """A region and what it becomes.

    Attributes:
        name: what a user would call the region.
        prompt: what it becomes; empty keeps it.
        before, after: the objects' names, for the judge; empty where it knows none.
        actors: whose region it is; none of them means the background.
        part: "" for objects with what they wear, "worn" for that alone; a wearable's name for where it would sit.
    """

    name: str
    prompt: str
    before: str = ""
    after: str = ""
    actors: tuple[int, ...] = ()
    part: str = ""


@dataclass(frozen=True)
class Script:
    """A clip, far actors first, and the edit that shows what it is good for."""

    name: str
    level: str
    source_prompt: str
    background: str
    actors: tuple[Actor, ...]
    targets: tuple[Target, ...]
    ground: str = ""
    sky: str = ""
    place: str = ""
    variant: float = 0.3
    horizon: int = 140
    pan: float = 0.0
    frames: int = 24
    fps: float = 12.0
    target_prompt: str = ""


SCRIPTS = (
    Script(
        name="friends",
        level="instance",
        source_prompt="a cat and a dog on grass under a clear sky",
        background="on grass under a clear sky",
        actors=(
            Actor("cat", -0.46, 0.22, 0.44, dx=0.10, bob=0.10, sway=0.12),
            Actor("dog", 0.46, 0.26, 0.46, dx=-0.10, sway=-0.14, growth=1.1),
        ),
        targets=(
            Target("left animal", "a panda", "cat", "panda", (0,)),
            Target("right animal", "a robot", "dog", "robot", (1,)),
        ),
        ground="grass",
        sky="clear",
        frames=16,
        fps=8.0,
    ),
    Script(
        name="twins",
        level="class",
        source_prompt="a bear and a bear in the snow in front of snowy mountains",
        background="in the snow in front of snowy mountains",
        actors=(
            Actor("bear", -0.48, 0.20, 0.40, dx=0.12, bob=0.14),
            Actor("bear", 0.44, 0.32, 0.46, dx=-0.14, sway=0.15),
        ),
        targets=(Target("both bears", "a tiger", "bear", "tiger", (0, 1)),),
        ground="snow",
        sky="mountains",
    ),
    Script(
        name="shades",
        level="part",
        source_prompt="a koala on a road in a city",
        background="on a road in a city",
        actors=(Actor("koala", 0.0, 0.12, 0.66, dx=0.24, sway=0.16, growth=1.12),),
        targets=(Target("eyes", "sunglasses", "", "sunglasses", (0,), "sunglasses"),),
        target_prompt="a koala wearing sunglasses on a road in a city",
        ground="road",
        sky="city",
        pan=24,
    ),
    Script(
        name="cap",
        level="part",
        source_prompt="a dog wearing a blue cap on a wooden floor in front of a brick wall",
        background="on a wooden floor in front of a brick wall",
        actors=(Actor("dog", 0.0, 0.20, 0.62, worn="cap", worn_colour="blue", dx=-0.2, sway=-0.18, bob=0.08),),
        targets=(Target("cap", "wearing a red cap", "blue cap", "red cap", (0,), "worn"),),
        target_prompt="a dog wearing a red cap on a wooden floor in front of a brick wall",
        ground="wood",
        sky="brick",
    ),
    Script(
        name="seasons",
        level="background",
        source_prompt="an elephant on grass in front of a forest",
        background="",
        actors=(Actor("elephant", 0.05, 0.20, 0.60, dx=-0.5, bob=0.05),),
        targets=(Target("background", "in the snow in front of pink cherry blossom trees"),),
        target_prompt="in the snow in front of pink cherry blossom trees",  # named, the elephant would be drawn twice
        ground="grass",
        sky="forest",
        pan=40,
    ),
    Script(
        name="one-of-two",
        level="solely-edit",
        source_prompt="a rabbit and a pig in a field of flowers under a sunset sky",
        background="in a field of flowers under a sunset sky",
        actors=(
            Actor("rabbit", -0.46, 0.14, 0.48, dx=0.08, bob=0.16),
            Actor("pig", 0.46, 0.28, 0.46, sway=0.14, dx=0.06),
        ),
        targets=(
            Target("rabbit", "a fox", "rabbit", "fox", (0,)),
            Target("pig", "", "pig", "pig", (1,)),
        ),
        target_prompt="a fox and a pig in a field of flowers under a sunset sky",
        ground="flowers",
        sky="sunset",
    ),
    Script(
        name="crossing",
        level="occlusion",
        source_prompt="a tree and a red car on a road under a clear sky",
        background="on a road under a clear sky",
        actors=(
            Actor("tree", 0.0, -0.08, 0.70),
            Actor("car", 0.0, 0.42, 0.46, colour="red", dx=-1.7, growth=1.06),
        ),
        targets=(
            Target("tree", "a mushroom", "tree", "mushroom", (0,)),
            Target("car", "a blue car", "car", "blue car", (1,)),
        ),
        ground="road",
        sky="clear",
        variant=0.7,
        horizon=150,
    ),
    Script(
        name="visitors",
        level="instance",
        source_prompt="a ufo and a ghost on grass under a starry night sky",
        background="on grass under a starry night sky",
        actors=(
            Actor("ufo", 0.0, -0.46, 0.36, dx=2.7, dy=-0.1, sway=0.2, shadow=False),
            Actor("ghost", -0.1, 0.32, 0.46, sway=0.18, bob=0.12),
        ),
        targets=(
            Target("ufo", "a top hat", "ufo", "top hat", (0,)),
            Target("ghost", "a pumpkin", "ghost", "pumpkin", (1,)),
        ),
        ground="grass",
        sky="night",
    ),
    Script(
        name="reef",
        level="removal",
        source_prompt="a whale and a crab underwater",
        background="underwater",
        actors=(
            Actor("whale", -0.34, -0.34, 0.46, dx=0.3, turn=0.25, sway=0.1, shadow=False),
            Actor("crab", 0.44, 0.46, 0.38, dx=-0.3, bob=0.10, shadow=False),
        ),
        targets=(
            Target("whale", "nothing", "whale", "", (0,)),
            Target("crab", "", "crab", "crab", (1,)),
        ),
        target_prompt="a crab underwater",
        place="underwater",
        pan=40,
    ),
)
