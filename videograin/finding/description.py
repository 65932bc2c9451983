"""What a user types to have objects selected, "the two bears" or "left man's hat", as data."""

import re
from dataclasses import dataclass
from enum import StrEnum

from videograin.errors import PromptError

MAX_LETTERS = 200
"""Of a description; one that is longer was pasted by mistake."""


class Which(StrEnum):
    """Which of several objects of one name are meant."""

    LEFT = "left"
    RIGHT = "right"
    TOP = "top"
    BOTTOM = "bottom"
    MIDDLE = "middle"
    LARGEST = "largest"
    SMALLEST = "smallest"


@dataclass(frozen=True)
class Description:
    """One kind of object, as it was asked for.

    Attributes:
        noun: in the singular, with its adjectives: "red car".
        is_plural: whether several are meant.
        count: how many, where that is said.
        which: of them, where that is said.
        owner: to whom they belong, where that is said: the man of "the man's hat".
    """

    noun: str
    is_plural: bool = False
    count: int | None = None
    which: Which | None = None
    owner: "Description | None" = None


_NUMBERS = {
    "one": 1, "two": 2, "both": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10,
}  # fmt: skip
_DETERMINERS = frozenset(
    ("the", "a", "an", "all", "every", "each", "of", "these", "those", "this", "that", "my", "his", "her", "their")
)
_ALL = frozenset(("all", "every", "each"))

_WHICH = {
    "left": Which.LEFT, "leftmost": Which.LEFT, "left-most": Which.LEFT, "right": Which.RIGHT,
    "rightmost": Which.RIGHT, "right-most": Which.RIGHT, "top": Which.TOP, "topmost": Which.TOP, "upper": Which.TOP,
    "bottom": Which.BOTTOM, "lower": Which.BOTTOM, "lowest": Which.BOTTOM, "middle": Which.MIDDLE,
    "central": Which.MIDDLE, "center": Which.MIDDLE, "centre": Which.MIDDLE, "largest": Which.LARGEST,
    "biggest": Which.LARGEST, "smallest": Which.SMALLEST,
}  # fmt: skip

_PLACE = re.compile(r"\s(?:on|at|in|to) the (?:far )?(left|right|top|bottom|middle|center|centre)(?: side)?$")
_POSSESSIVE = re.compile(r"^(.+?)(?:'s|s')\s+(.+)$")
_OF = re.compile(r"^(.+?)\s(?:of|worn by) (?=the |both |all |every )(.+)$")
_AND = re.compile(r"\s*(?:,|&|\+|\band\b)\s*")
_NOT_A_PLACE = ("top hat", "top hats")

_IRREGULAR = {
    "people": "person", "children": "child", "mice": "mouse", "geese": "goose", "feet": "foot", "teeth": "tooth",
    "oxen": "ox", "wolves": "wolf", "leaves": "leaf", "knives": "knife", "scarves": "scarf", "calves": "calf",
    "elves": "elf", "shelves": "shelf", "loaves": "loaf", "thieves": "thief", "wives": "wife", "shoes": "shoe",
    "canoes": "canoe", "cookies": "cookie", "zombies": "zombie", "ties": "tie", "pies": "pie",
}  # fmt: skip
_SAME_IN_BOTH = frozenset(
    ("sheep", "deer", "fish", "grapes", "sunglasses", "glasses", "goggles", "trousers", "jeans", "shorts", "pants",
     "scissors", "gas", "lens")
)  # fmt: skip


def parse(text: str) -> tuple[Description, ...]:
    """Read what is to be selected: one description for each kind of object, "two bears and the left man's hat".

    Raises:
        PromptError: there are no words in it, or far too many.
    """
    words = " ".join(text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").lower().split()).strip(" .!?\"'")
    if len(words) > MAX_LETTERS:
        raise PromptError(f"The description has {len(words)} letters, at most {MAX_LETTERS} are taken. Shorten it.")
    found = tuple(_read(part) for part in _AND.split(words) if part)
    if not found or not all(each.noun for each in found):
        raise PromptError(f"'{text.strip()}' names no object. Type what to select, such as: the two bears.")
    return found


def singular(noun: str) -> str:
    """Return a noun in the singular; of several words the last one counts."""
    before, _, last = noun.rpartition(" ")
    return f"{before} {_singular(last)}".strip()


def _read(part: str) -> Description:
    part, place = _without_place(part)
    if match := _POSSESSIVE.match(part):
        owner, part = match[1] + ("s" if match[0][match.end(1)] == "s" else ""), match[2]
        return _describe(part, place, _describe(owner, None, None))
    if match := _OF.match(part):
        return _describe(match[1], None, _describe(match[2], place, None))
    return _describe(part, place, None)


def _describe(part: str, place: Which | None, owner: Description | None) -> Description:
    words, count, is_all = part.split(), None, False
    while words and " ".join(words[:2]) not in _NOT_A_PLACE:
        word = words[0]
        if word in _WHICH and len(words) > 1:
            place = place or _WHICH[word]
        elif word in _NUMBERS or word.isdigit():
            count = count or _NUMBERS.get(word) or int(word)
        elif word not in _DETERMINERS:
            break
        is_all |= word in _ALL
        words = words[1:]
    noun = singular(" ".join(words))
    is_plural = is_all or (count or 0) > 1 or noun != " ".join(words)
    return Description(noun=noun, is_plural=is_plural, count=count, which=place, owner=owner)


def _without_place(part: str) -> tuple[str, Which | None]:
    match = _PLACE.search(part)
    return (part[: match.start()], _WHICH[match[1]]) if match else (part, None)


def _singular(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word in _SAME_IN_BOTH or word.endswith(("ss", "us", "is")) or not word.endswith(("s", "men")):
        return word
    if word.endswith("men"):
        return word[:-3] + "man"
    if re.search(r"[^aeiou]ies$", word):
        return word[:-3] + "y"
    if re.search(r"(ch|sh|x|ss|zz|[^o]us|[^aeiou]o)es$", word):
        return word[:-2]
    return word[:-1]
