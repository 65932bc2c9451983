"""What the emoji world knows: objects, colours, backgrounds, and the words for them."""

from dataclasses import dataclass

from videograin.evaluation.vocabulary import with_article


@dataclass(frozen=True)
class Thing:
    """One object that can be drawn, by its English name."""

    name: str
    emoji: str
    kind: str


_TABLE = {
    "face": (
        "dog 🐶, cat 🐱, panda 🐼, fox 🦊, wolf 🐺, bear 🐻, koala 🐨, polar bear 🐻‍❄️, tiger 🐯, lion 🦁, cow 🐮, "
        "pig 🐷, frog 🐸, monkey 🐵, rabbit 🐰, mouse 🐭, hamster 🐹, raccoon 🦝, chicken 🐔, unicorn 🦄, "
        "robot 🤖, alien 👽, ghost 👻, snowman ⛄, skull 💀, pumpkin 🎃"
    ),
    "person": (
        "man 👨, woman 👩, boy 👦, girl 👧, baby 👶, grandfather 👴, grandmother 👵, superhero 🦸, ninja 🥷, "
        "astronaut 🧑‍🚀, firefighter 🧑‍🚒, mage 🧙, vampire 🧛, fairy 🧚, police officer 👮, chef 🧑‍🍳, "
        "farmer 🧑‍🌾, princess 👸, santa 🎅, detective 🕵️, builder 👷, mermaid 🧜"
    ),
    "animal": (
        "elephant 🐘, giraffe 🦒, zebra 🦓, horse 🐎, penguin 🐧, duck 🦆, owl 🦉, parrot 🦜, flamingo 🦩, "
        "peacock 🦚, turtle 🐢, snake 🐍, crocodile 🐊, dinosaur 🦖, whale 🐳, dolphin 🐬, shark 🦈, octopus 🐙, "
        "crab 🦀, fish 🐠, snail 🐌, butterfly 🦋, bee 🐝, ladybug 🐞, camel 🐫, kangaroo 🦘, deer 🦌, sheep 🐑, "
        "squirrel 🐿️, bat 🦇, llama 🦙"
    ),
    "vehicle": (
        "car 🚗, taxi 🚕, bus 🚌, fire engine 🚒, police car 🚓, tractor 🚜, ambulance 🚑, bicycle 🚲, "
        "motorcycle 🏍️, truck 🚚, train 🚂, airplane ✈️, helicopter 🚁, rocket 🚀, sailboat ⛵, ufo 🛸"
    ),
    "thing": (
        "soccer ball ⚽, basketball 🏀, football 🏈, baseball ⚾, tennis racket 🎾, volleyball 🏐, apple 🍎, "
        "banana 🍌, strawberry 🍓, watermelon 🍉, pineapple 🍍, orange 🍊, lemon 🍋, pear 🍐, grapes 🍇, "
        "peach 🍑, pizza 🍕, hamburger 🍔, donut 🍩, cake 🎂, carrot 🥕, mushroom 🍄, tree 🌳, pine tree 🌲, "
        "palm tree 🌴, cherry blossom 🌸, cactus 🌵, sunflower 🌻, christmas tree 🎄, rose 🌹, tulip 🌷, house 🏠, "
        "castle 🏰, tent ⛺, chair 🪑, guitar 🎸, drum 🥁, book 📕, clock ⏰, camera 📷, laptop 💻, gift 🎁, "
        "balloon 🎈, teddy bear 🧸, trophy 🏆, backpack 🎒, couch 🛋️, heart ❤️, star ⭐, sun 🌞, moon 🌜, cloud ☁️, "
        "rainbow 🌈, fire 🔥, diamond 💎, shirt 👕, dress 👗, umbrella ☂️"
    ),
    "wearable": "sunglasses 🕶️, cap 🧢, top hat 🎩, crown 👑, bow 🎀",
}


def _things() -> tuple[Thing, ...]:
    entries = ((kind, entry.rpartition(" ")) for kind, row in _TABLE.items() for entry in row.split(", "))
    return tuple(Thing(name, emoji, kind) for kind, (name, _, emoji) in entries)


THINGS = _things()
NAMES = tuple(thing.name for thing in THINGS)
INDEX = {name: i for i, name in enumerate(NAMES)}
STYLES = ("noto", "fluent", "twemoji")

RECOLOURED = frozenset("butterfly car tulip book balloon backpack heart shirt dress umbrella cap bow".split())
FLOATING = frozenset("butterfly bee bat airplane helicopter rocket ufo balloon star sun moon cloud rainbow".split())
BARE_HEADED = frozenset(
    "dog cat panda fox wolf bear koala tiger lion cow pig frog monkey rabbit mouse hamster raccoon chicken robot "
    "alien ghost skull pumpkin man woman boy girl baby grandfather grandmother vampire".split()
) | {"polar bear"}
WEARABLES = tuple(thing.name for thing in THINGS if thing.kind == "wearable")

# (hue, saturation, value) factors applied to a sprite's dominant hue; "" leaves the art as it is.
COLOURS: dict[str, tuple[float, float, float]] = {
    "": (0.0, 1.0, 1.0),
    "red": (0.0, 1.0, 1.0),
    "orange": (0.075, 1.0, 1.05),
    "yellow": (0.145, 1.0, 1.1),
    "green": (0.36, 0.9, 0.85),
    "blue": (0.59, 1.0, 1.0),
    "purple": (0.76, 0.75, 0.9),
    "pink": (0.92, 0.55, 1.1),
    "black": (0.0, 0.0, 0.33),
    "white": (0.0, 0.04, 1.25),
}
COLOUR_NAMES = tuple(COLOURS)

# Where objects sit on a head, in units of the sprite's box (0 to 1): (x, y, width) of the eyes, then of the crown.
DEFAULT_ANCHOR = ((0.5, 0.46, 0.66), (0.5, 0.16, 0.56))
ANCHORS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "dog": ((0.5, 0.40, 0.56), (0.5, 0.13, 0.46)),
    "cat": ((0.5, 0.50, 0.66), (0.5, 0.22, 0.50)),
    "panda": ((0.5, 0.50, 0.70), (0.5, 0.15, 0.50)),
    "fox": ((0.5, 0.55, 0.56), (0.5, 0.27, 0.40)),
    "wolf": ((0.5, 0.47, 0.58), (0.5, 0.25, 0.42)),
    "bear": ((0.5, 0.47, 0.62), (0.5, 0.14, 0.50)),
    "koala": ((0.5, 0.49, 0.56), (0.5, 0.22, 0.44)),
    "polar bear": ((0.5, 0.48, 0.60), (0.5, 0.24, 0.50)),
    "tiger": ((0.5, 0.47, 0.66), (0.5, 0.10, 0.50)),
    "lion": ((0.5, 0.42, 0.52), (0.5, 0.14, 0.50)),
    "cow": ((0.5, 0.42, 0.58), (0.5, 0.14, 0.44)),
    "pig": ((0.5, 0.44, 0.62), (0.5, 0.14, 0.50)),
    "frog": ((0.5, 0.26, 0.72), (0.5, 0.14, 0.44)),
    "monkey": ((0.5, 0.44, 0.56), (0.5, 0.18, 0.50)),
    "rabbit": ((0.5, 0.58, 0.52), (0.5, 0.40, 0.36)),
    "mouse": ((0.5, 0.47, 0.50), (0.5, 0.33, 0.36)),
    "hamster": ((0.5, 0.44, 0.64), (0.5, 0.13, 0.44)),
    "raccoon": ((0.5, 0.50, 0.64), (0.5, 0.20, 0.46)),
    "chicken": ((0.58, 0.44, 0.50), (0.56, 0.22, 0.40)),
    "robot": ((0.5, 0.52, 0.60), (0.5, 0.36, 0.40)),
    "alien": ((0.5, 0.54, 0.80), (0.5, 0.12, 0.56)),
    "ghost": ((0.52, 0.36, 0.52), (0.5, 0.10, 0.44)),
    "skull": ((0.5, 0.54, 0.66), (0.5, 0.12, 0.60)),
    "pumpkin": ((0.5, 0.50, 0.68), (0.5, 0.24, 0.46)),
    "man": ((0.5, 0.50, 0.68), (0.5, 0.14, 0.62)),
    "woman": ((0.5, 0.52, 0.62), (0.5, 0.14, 0.62)),
    "boy": ((0.5, 0.50, 0.66), (0.5, 0.14, 0.60)),
    "girl": ((0.5, 0.52, 0.60), (0.5, 0.14, 0.56)),
    "baby": ((0.5, 0.54, 0.70), (0.5, 0.14, 0.50)),
    "grandfather": ((0.5, 0.50, 0.68), (0.5, 0.14, 0.60)),
    "grandmother": ((0.5, 0.54, 0.62), (0.5, 0.22, 0.56)),
    "vampire": ((0.5, 0.40, 0.42), (0.5, 0.12, 0.40)),
}
# Worn half size over the anchor's width, and lift above the anchor in half sizes.
WORN_FIT = {
    "sunglasses": (1.02, 0.0),
    "cap": (1.12, 0.25),
    "top hat": (1.12, 0.62),
    "crown": (0.98, 0.45),
    "bow": (0.85, 0.12),
}

# name → phrases after an object ("a cat …"), then nouns that stand alone.
Words = tuple[tuple[str, ...], tuple[str, ...]]
GROUNDS: dict[str, Words] = {
    "grass": (("on grass", "on the grass", "on a green meadow", "in a meadow"), ("a green meadow", "grass")),
    "flowers": (
        ("in a field of flowers", "on a flower meadow", "among flowers"),
        ("a field of flowers", "a flower meadow"),
    ),
    "snow": (("in the snow", "on snow", "on a snowy field"), ("a snowy field", "snow")),
    "sand": (("in the desert", "on sand", "in a sandy desert"), ("a sandy desert", "sand")),
    "ocean": (("on the ocean", "in the sea", "on blue water"), ("the blue ocean", "the sea")),
    "road": (("on a road", "on a city road", "on the street"), ("a road", "a city road")),
    "wood": (("on a wooden floor", "on a wooden table"), ("a wooden floor", "a wooden table")),
    "tiles": (("on a tiled floor", "on a checkered floor"), ("a tiled floor", "a checkered floor")),
}
SKIES: dict[str, Words] = {
    "clear": (("under a clear sky", "under a blue sky", "under a clear blue sky"), ("a clear blue sky",)),
    "cloudy": (("under a cloudy sky", "with clouds in the sky"), ("a cloudy sky",)),
    "sunset": (("under a sunset sky", "at sunset", "with a sunset in the background"), ("a sunset sky",)),
    "night": (
        ("under a starry night sky", "at night", "under the stars", "under a night sky"),
        ("a starry night sky",),
    ),
    "brick": (("in front of a brick wall", "against a brick wall"), ("a brick wall",)),
    "curtain": (("in front of a red curtain", "against a red curtain"), ("a red curtain",)),
    "forest": (("in front of a forest", "in a forest", "with trees in the background"), ("a forest",)),
    "cherry": (
        (
            "in front of pink cherry blossom trees",
            "with cherry blossom trees in the background",
            "under pink cherry blossoms",
        ),
        ("pink cherry blossom trees",),
    ),
    "mountains": (
        ("in front of snowy mountains", "with mountains in the background", "in the mountains"),
        ("snowy mountains",),
    ),
    "city": (("in front of a city skyline", "in a city", "with a city in the background"), ("a city skyline",)),
}
NEEDS_GROUND = frozenset({"forest", "cherry", "mountains", "city"})
PLAIN_COLOURS = ("white", "pink", "blue", "yellow", "green", "gray", "purple", "black")
PLACES: dict[str, Words] = {
    "space": (("in space", "in outer space", "in the galaxy"), ("outer space",)),
    "underwater": (("underwater", "under the sea"), ("the underwater world",)),
} | {
    f"plain {colour}": (
        (f"on a {colour} background", f"on a plain {colour} background"),
        (f"a plain {colour} background",),
    )
    for colour in PLAIN_COLOURS
}

PREFIXES = (("", 0.72), ("a photo of", 0.07), ("a picture of", 0.07), ("an emoji of", 0.07), ("a drawing of", 0.07))
RELATIONS = {
    "and": ("and", "and", "and", "next to", "beside", "with"),
    "left": ("to the left of", "left of", "on the left of"),
    "right": ("to the right of", "right of", "on the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
    "on the left and": ("on the left and",),
    "on the right and": ("on the right and",),
}
# Words of no sprite, so that a user's free text rarely falls into letters.
SPARE_WORDS = (
    "onto near between behind many several two three four five some his her its is are riding driving holding eating "
    "running sitting standing playing flying big small large little tiny old new beautiful cute happy sad bright dark "
    "colorful high quality detailed best blurry ugly low bad image painting cartoon illustration realistic style world "
    "scene center top bottom day morning evening winter summer spring rain storm river lake beach garden park room "
    "kitchen village town flower animal person toy game food fruit vehicle both one other wearing in a an the emoji "
    "gray brown . , ! ? : ; - '"
)


def worn_phrases(noun: str) -> tuple[str, str, str]:
    """Return three ways to say that someone wears the noun ("blue cap")."""
    worn = with_article(noun)
    first = f"wearing {worn}" if noun.split()[-1] in ("crown", "bow") else f"in {worn}"
    return first, f"wearing {worn}", f"with {worn}"
