"""HTML of the page: a user's texts stay texts, and colours find their words."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ui.rendering import markup
from ui.rendering.example_markup import example_cards
from videograin.project import objects
from videograin.project.examples import example_names
from videograin.project.workspace import MarkedObject, Workspace

HOSTILE = "<img src=x onerror='alert(1)'>"
FRAMES = np.zeros((3, 16, 16, 3), np.uint8)


@pytest.fixture
def work() -> Workspace:
    work = Workspace(clip=Path("clip.mp4"), source_prompt="")
    for name, prompt in (("left", "a panda"), ("right", "a panda with a hat")):
        work = objects.add_object(work, name)
        number = work.objects[-1].id
        work = objects.change_object(work, number, lambda each, prompt=prompt: replace(each, prompt=prompt))
        work = objects.set_mask(work, number, 0, np.ones((16, 16), bool), len(FRAMES))
    return work


@pytest.mark.parametrize(
    "show",
    [
        lambda work: markup.object_list(work, FRAMES, 1),
        lambda work: markup.timeline(work, 0, len(FRAMES)),
        lambda work: markup.words(work, FRAMES),
        markup.sentence,
    ],
)
def test_a_hostile_name_or_prompt_is_escaped(work, show):
    work = replace(work, objects=tuple(replace(each, name=HOSTILE, prompt=HOSTILE) for each in work.objects))
    html = show(work)
    assert "<img src=x" not in html
    assert "onerror='" not in html
    assert "&lt;img src=x" in html


def test_each_phrase_has_its_objects_colour_and_the_longer_one_chooses_first(work):
    html = markup.sentence(work)
    marks = re.findall(r"<mark style='--colour:(#\w{6})'>(.*?)</mark>", html)
    assert marks == [
        (work.objects[0].colour, "a panda"),
        (work.objects[1].colour, "a panda with a hat"),
    ]


def test_a_kept_object_has_no_words_in_the_sentence(work):
    work = objects.change_object(work, 2, lambda each: replace(each, is_kept=True))
    assert markup.target_prompt(work) == "a panda"


def test_a_kept_object_shows_an_empty_field_and_words_that_are_said_end_its_keeping(work):
    work = objects.change_object(work, 1, lambda each: replace(each, is_kept=True))
    assert re.findall(r"data-value='([^']*)' maxlength", markup.words(work, FRAMES)) == ["", "a panda with a hat"]
    assert markup.target_prompt(objects.say(work, 1, "a fox")) == "a fox and a panda with a hat"


def test_chips_are_the_models_own_words_and_none_where_it_does_not_say():
    assert "data-chip='a panda'" in markup.ideas("emoji-world")
    assert markup.ideas("sd15") == ""


def test_a_sentence_in_own_words_goes_before_the_composed_one(work):
    assert markup.target_prompt(replace(work, target_prompt="a panda beside a panda with a hat")).startswith(
        "a panda b"
    )


@pytest.mark.parametrize("phrase", ["İstanbul", "a KÖPEK", "一只熊猫", "🐼 (C++)"])
def test_a_phrase_has_its_colour_in_any_script(phrase):  # "İ" in small letters is two characters
    animal = MarkedObject(1, "animal", "#ff0000", prompt=phrase)
    html = markup.coloured(f"İ, {phrase.upper()}", [animal])
    assert html == f"İ, <mark style='--colour:#ff0000'>{phrase.upper()}</mark>"


def test_a_phrase_in_own_words_is_found_as_a_whole_word_before_a_part_of_a_longer_one(work):
    work = replace(
        work, target_prompt="A caterpillar, then a cat", objects=(MarkedObject(1, "", "#ff0000", prompt="a cat"),)
    )
    assert markup.sentence(work).endswith("A caterpillar, then <mark style='--colour:#ff0000'>a cat</mark></p>")
    assert objects.say(work, 1, "a fox").target_prompt == "A caterpillar, then a fox"
    assert objects.say(replace(work, target_prompt="Two small a cats"), 1, "a fox").target_prompt == "Two small a foxs"


def test_a_word_that_is_not_in_the_sentence_is_left_uncoloured(work):
    assert "<mark" not in markup.coloured("something else", work.objects)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (59.6, "60 s"), (100, "2 min"), (3599, "60 min"), (9000, "2.5 h"), (450_000, "5.2 days")],
)
def test_times_are_said_as_people_do(seconds, words):
    assert markup.duration(seconds) == words


def test_what_is_removed_has_no_place_in_the_sentence():
    ball = MarkedObject(1, "ball", "#ff0000", prompt="Nothing")
    dog = MarkedObject(2, "dog", "#00ff00", prompt="a fox")
    assert markup.target_prompt(Workspace(clip=Path("a.mp4"), source_prompt="", objects=(ball, dog))) == "a fox"


def test_each_example_s_card_shows_what_becomes_of_its_clip():
    pictures = re.findall("src='data:image/webp;base64,([^']+)'", example_cards())
    assert len(set(pictures)) == len(example_names())
