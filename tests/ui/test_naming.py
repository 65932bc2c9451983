"""Names of objects on the page."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ui.work import naming
from videograin.evaluation.judge import Judge
from videograin.evaluation.vocabulary import known_phrases, with_article
from videograin.media.video import load_clip
from videograin.models.bundles import find_bundle
from videograin.project import objects
from videograin.project.project import load_project
from videograin.project.workspace import Workspace

FRIENDS = Path(__file__).parents[2] / "assets/clips/friends/project.json"


@pytest.fixture
def work() -> Workspace:
    work = Workspace(clip=Path("clip.mp4"), source_prompt="")
    for name in ("cat", "Object 2", "an old dog", "cat 2"):
        work = objects.add_object(work, name)
    return objects.add_rest(work)


def test_a_caption_names_what_has_a_name(work):
    assert naming.caption(work) == "a cat, an old dog and a cat"


def test_without_names_there_is_no_caption():
    assert naming.caption(objects.add_object(Workspace(clip=Path("clip.mp4"), source_prompt=""))) == ""


def test_a_caption_follows_the_objects_until_the_person_writes_one(work):
    captioned, suggested = naming.with_caption(work, "")
    assert captioned.source_prompt == suggested == "a cat, an old dog and a cat"
    fewer, suggested = naming.with_caption(objects.delete_object(captioned, 3), suggested)
    assert fewer.source_prompt == "a cat and a cat"
    written = replace(fewer, source_prompt="two cats")
    assert naming.with_caption(written, suggested)[0] == written


def test_no_two_objects_get_one_name(work):
    assert naming.free_name(work, "cat") == "cat 3"
    assert naming.free_name(work, "fox") == "fox"


@pytest.mark.parametrize(
    ("noun", "phrase"), [("owl", "an owl"), ("ufo", "a ufo"), ("blue sunglasses", "blue sunglasses")]
)
def test_nouns_have_their_article(noun, phrase):
    assert with_article(noun) == phrase


def test_the_embedded_judge_names_the_animals_and_not_the_sky():
    judge = Judge.load(Path(find_bundle("emoji-world").source))
    project = load_project(FRIENDS)
    clip = load_clip(project.clip, project.clip_options)
    names = [judge.name_surely(clip.frames[0], region.masks[0]) for region in project.load_regions(clip)]
    assert names == ["cat", "dog"]
    assert judge.name_surely(clip.frames[0], np.zeros(clip.frames.shape[1:3], bool)) == ""


def test_only_models_that_say_so_have_known_words():
    assert "a panda" in known_phrases("emoji-world")
    assert known_phrases("sd15") == ()
