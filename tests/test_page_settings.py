"""The form of settings and the presets."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui.settings_form import (
    PRESETS,
    SETTING_FIELDS,
    Preset,
    Range,
    apply_preset,
    settings_from_form,
    settings_to_form,
)
from videograin.models import EMOJI_WORLD_SETTINGS
from videograin.region import MAX_CROSS_STRENGTH, EditSettings


def test_every_setting_is_on_the_page_with_a_line_of_explanation():
    assert {field.name for field in SETTING_FIELDS} == {field.name for field in fields(EditSettings)}
    assert all(len(field.info) > 20 for field in SETTING_FIELDS)


@pytest.mark.parametrize("settings", [EditSettings(), EMOJI_WORLD_SETTINGS])
def test_the_form_gives_back_the_settings_it_shows(settings):
    assert settings_from_form(tuple(settings_to_form(settings))) == settings


def test_every_slider_covers_the_models_own_values():
    for field in SETTING_FIELDS:
        if isinstance(field.allowed, Range):
            assert field.allowed.low <= getattr(EMOJI_WORLD_SETTINGS, field.name) <= field.allowed.high, field.name


def test_presets_go_from_faithful_to_bold():
    assert set(PRESETS) == set(Preset)
    strengths = [apply_preset(preset, EMOJI_WORLD_SETTINGS).strength for preset in Preset]
    assert strengths == sorted(strengths)
    assert apply_preset(Preset.BALANCED, EMOJI_WORLD_SETTINGS) == EMOJI_WORLD_SETTINGS


@given(st.sampled_from(Preset), st.floats(0.3, 1), st.floats(0.1, 4))
def test_a_preset_binds_words_as_firmly_in_the_first_step_as_the_models_own_settings(preset, strength, cross):
    own = EditSettings(strength=round(strength, 2), cross_strength=cross)
    chosen = apply_preset(preset, own)
    firmness = [s.cross_strength * s.strength**5 for s in (own, chosen)]
    assert firmness[1] == pytest.approx(firmness[0], rel=0.1) or chosen.cross_strength == MAX_CROSS_STRENGTH
