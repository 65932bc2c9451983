"""The form of settings."""

from collections.abc import Callable
from dataclasses import fields, replace
from types import SimpleNamespace

import gradio as gr
import pytest

from ui.components import Page
from ui.settings_form import SETTING_FIELDS, Range, settings_from_form, shown
from ui.views import Updates
from ui.work.session import Session
from videograin.models.bundles import EMOJI_WORLD_SETTINGS
from videograin.region import EditSettings


def test_every_setting_is_on_the_page_with_a_line_of_explanation():
    assert {field.name for field in SETTING_FIELDS} == {field.name for field in fields(EditSettings)}
    assert all(len(field.info) > 20 for field in SETTING_FIELDS)


@pytest.mark.parametrize("settings", [EditSettings(), EMOJI_WORLD_SETTINGS])
def test_the_form_gives_back_the_settings_it_shows(settings):
    values = {field.name: shown(field, settings, settings)["value"] for field in SETTING_FIELDS}
    assert settings_from_form(values) == settings


def test_every_slider_covers_the_models_own_values():
    for field in SETTING_FIELDS:
        if isinstance(field.allowed, Range):
            assert field.allowed.low <= getattr(EMOJI_WORLD_SETTINGS, field.name) <= field.allowed.high, field.name


def test_settings_beyond_the_sliders_can_be_edited_with(page: Page, answer: Callable[..., Updates], opened: Session):
    """As those of a project of the command line; Gradio refuses what is sent of a slider beyond its range."""
    far = EditSettings(
        num_inference_steps=150, guidance_scale=50, mask_growth=256, inject_steps=30, window_frames=128,
        window_overlap=64, key_frames=100,
    )  # fmt: skip
    opened.set_words(replace(opened.opened_work, settings=far))
    filled = answer("load", opened.id, SimpleNamespace(query_params={}))
    for name, field in page.edit.settings.items():
        if isinstance(field, gr.Slider):
            update = filled[field]
            slider = gr.Slider(field.minimum, update["maximum"], step=field.step)
            assert slider.preprocess(update["value"]) == getattr(far, name)
