"""What users type to select objects."""

import pytest

from videograin.errors import PromptError
from videograin.finding.description import Description, Which, parse, singular


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bear", Description("bear")),
        ("The two bears.", Description("bear", is_plural=True, count=2)),
        ("both polar bears", Description("polar bear", is_plural=True, count=2)),
        ("all dogs", Description("dog", is_plural=True)),
        ("every dog", Description("dog", is_plural=True)),
        ("3 red cars", Description("red car", is_plural=True, count=3)),
        ("leftmost dog", Description("dog", which=Which.LEFT)),
        ("the dog on the far right", Description("dog", which=Which.RIGHT)),
        ("the two cats at the top", Description("cat", is_plural=True, count=2, which=Which.TOP)),
        ("the biggest fish", Description("fish", which=Which.LARGEST)),
        ("top hat", Description("top hat")),
        ("left top hat", Description("top hat", which=Which.LEFT)),
        ("left man's hat", Description("hat", owner=Description("man", which=Which.LEFT))),
        ("the left man’s hat", Description("hat", owner=Description("man", which=Which.LEFT))),
        ("the bears' hats", Description("hat", is_plural=True, owner=Description("bear", is_plural=True))),
        ("men's hats", Description("hat", is_plural=True, owner=Description("man", is_plural=True))),
        ("the hat of the man on the left", Description("hat", owner=Description("man", which=Which.LEFT))),
    ],
)
def test_a_description_is_read(text: str, expected: Description) -> None:
    assert parse(text) == (expected,)


def test_several_kinds_are_read_one_by_one() -> None:
    assert parse("the two bears, a fox and the left dog") == (
        Description("bear", is_plural=True, count=2),
        Description("fox"),
        Description("dog", which=Which.LEFT),
    )


@pytest.mark.parametrize("text", ["", "  ", "the two", "and", "!?", "a bear and the"])
def test_what_names_no_object_is_refused(text: str) -> None:
    with pytest.raises(PromptError, match="names no object"):
        parse(text)


def test_a_pasted_page_is_refused() -> None:
    with pytest.raises(PromptError, match="at most 200"):
        parse("bear " * 100)


@pytest.mark.parametrize(
    ("plural", "noun"),
    [
        ("foxes", "fox"), ("dresses", "dress"), ("buses", "bus"), ("houses", "house"), ("horses", "horse"),
        ("octopuses", "octopus"), ("octopus", "octopus"), ("babies", "baby"), ("monkeys", "monkey"), ("wolves", "wolf"),
        ("women", "woman"), ("snowmen", "snowman"), ("mice", "mouse"), ("peaches", "peach"),
        ("police officers", "police officer"),
        ("cherry blossoms", "cherry blossom"), ("sunglasses", "sunglasses"), ("grapes", "grapes"), ("glass", "glass"),
        ("potatoes", "potato"), ("shoes", "shoe"), ("gloves", "glove"), ("ufos", "ufo"),
    ],
)  # fmt: skip
def test_plurals_become_singular(plural: str, noun: str) -> None:
    assert singular(plural) == noun
