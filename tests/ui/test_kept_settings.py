"""Settings outlive the page on which they were chosen, with or without an edit that was made with them."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from page_events import form_of

from ui.components import Page
from ui.views import Updates
from ui.work.service import ClipChoice, StudioService
from ui.work.session import Session
from videograin.models.bundles import EMOJI_WORLD_SETTINGS
from videograin.models.presets import Preset, Quality
from videograin.region import ControlGuidance, ControlKind

Answer = Callable[..., Updates]
Held = Callable[..., dict[str, Any]]
"""Returns some settings by their names, and the preset and quality, as the page shows them."""


@pytest.fixture
def held_after(studio: StudioService, opened: Session, page: Page, answer: Answer) -> Held:
    """Have the page send its form with some fields changed, and return what it shows once it is loaded again."""
    edit = page.edit

    def held_after(handler: str, **changed: Any) -> dict[str, Any]:
        degrees = {edit.preset: changed.pop("preset", None), edit.quality: changed.pop("quality", None)}
        fields = {edit.settings[name]: value for name, value in changed.items()}
        answer(handler, form_of(page, opened, studio) | degrees | fields)
        shown = answer("load", opened.id, SimpleNamespace(query_params={}))
        values = {name: shown[edit.settings[name]]["value"] for name in ("seed", "mask_growth", "cache_interval")}
        return values | {"preset": shown[edit.preset], "quality": shown[edit.quality]}

    return held_after


def test_a_setting_is_there_when_the_page_is_loaded_again(held_after: Held) -> None:
    own = {"mask_growth": EMOJI_WORLD_SETTINGS.mask_growth, "cache_interval": 1}
    held = held_after("settings_changed", seed=7)
    assert held == own | {"seed": 7, "preset": Preset.BALANCED, "quality": Quality.EXACT}
    assert held_after("settings_changed", guidance_start=0.9, guidance_end=0.1) == held  # they do not fit yet
    held = held_after("settings_changed", mask_growth=3)
    assert held == own | {"seed": 7, "mask_growth": 3, "preset": None, "quality": Quality.EXACT}


def test_a_preset_and_a_quality_are_there_when_the_page_is_loaded_again(held_after: Held) -> None:
    held = held_after("quality_chosen", quality="draft")
    assert (held["quality"], held["cache_interval"]) == (Quality.DRAFT, 3)
    held = held_after("preset_chosen", preset="Bold", quality="draft")
    assert (held["preset"], held["quality"], held["cache_interval"]) == (Preset.BOLD, Quality.DRAFT, 3)
    assert held["mask_growth"] == EMOJI_WORLD_SETTINGS.mask_growth + 8


def test_controlnets_that_were_ticked_are_kept_with_their_fields(
    studio: StudioService, opened: Session, page: Page, answer: Answer
) -> None:
    scale = page.edit.guidance[ControlKind.CANNY].scale
    answer("settings_changed", form_of(page, opened, studio) | {page.edit.controls: ["canny"], scale: 0.5})
    assert opened.opened_work.controls == ("canny",)
    assert opened.opened_work.control_guidance == (ControlGuidance(ControlKind.CANNY, 0.5),)


def test_settings_that_were_chosen_before_there_is_a_clip_are_those_of_its_edits(
    studio: StudioService, opened: Session, page: Page, answer: Answer
) -> None:
    early, form = studio.sessions.create(), form_of(page, opened, studio)
    answer("settings_changed", form | {page.session: early.id, page.edit.settings["seed"]: 9})
    studio.open_clip(early, opened.opened_work.clip, ClipChoice(short_side=32), "emoji-world")
    assert early.opened_work.settings.seed == 9
