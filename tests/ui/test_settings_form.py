"""The form of settings."""

from dataclasses import fields

import pytest

from ui.settings_form import (
    SETTING_FIELDS,
    Range,
    settings_from_form,
    settings_to_form,
)
from videograin.models.bundles import EMOJI_WORLD_SETTINGS
from videograin.region import EditSettings


def test_every_setting_is_on_the_page_with_a_line_of_explanation():
    assert {field.name for field in SETTING_FIELDS} == {field.name for field in fields(EditSettings)}
    assert all(len(field.info) > 20 for field in SETTING_FIELDS)


@pytest.mark.parametrize("settings", [EditSettings(), EMOJI_WORLD_SETTINGS])
def test_the_form_gives_back_the_settings_it_shows(settings):
    assert settings_from_form(settings_to_form(settings)) == settings


def test_every_slider_covers_the_models_own_values():
    for field in SETTING_FIELDS:
        if isinstance(field.allowed, Range):
            assert field.allowed.low <= getattr(EMOJI_WORLD_SETTINGS, field.name) <= field.allowed.high, field.name
