"""Variations differ in their noise and in nothing else."""

from dataclasses import replace
from pathlib import Path

from videograin.project.project import Project
from videograin.project.variations import VARIATION, are_variations, variations
from videograin.region import MAX_SEED, EditSettings

PROJECT = Project(clip=Path("clip.mp4"), source_prompt="a dog", regions=(), settings=EditSettings(seed=MAX_SEED - 1))


def test_each_has_a_seed_of_its_own_and_enough_noise_to_differ():
    made = variations(PROJECT)
    assert [each.settings.seed for each in made] == [MAX_SEED, 0, 1, 2]
    assert {each.settings.variation for each in made} == {VARIATION}
    own = replace(PROJECT, settings=replace(PROJECT.settings, variation=0.1))
    assert {each.settings.variation for each in variations(own)} == {0.1}
    assert all(are_variations(each, PROJECT) for each in made)


def test_other_words_or_settings_make_another_edit():
    assert not are_variations(PROJECT, replace(PROJECT, background="on grass"))
    assert not are_variations(PROJECT, replace(PROJECT, settings=replace(PROJECT.settings, strength=0.5)))
