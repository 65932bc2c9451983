from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videograin.models.bundles import EMOJI_WORLD_SETTINGS
from videograin.models.presets import (
    PRESETS,
    Preset,
    Quality,
    apply_preset,
    apply_quality,
    preset_of,
    quality_of,
)
from videograin.region import MAX_CROSS_STRENGTH, EditSettings


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


def test_only_the_bold_preset_reaches_beyond_the_regions():
    assert [apply_preset(preset, EditSettings()).mask_growth > 0 for preset in Preset] == [False, False, True]


@pytest.mark.parametrize("own", [EMOJI_WORLD_SETTINGS, EditSettings()])
def test_a_preset_is_known_again_whatever_else_was_chosen(own: EditSettings) -> None:
    for preset in Preset:
        chosen = replace(apply_preset(preset, own), seed=7, num_inference_steps=20)
        assert preset_of(chosen, own) == preset
        assert preset_of(replace(chosen, mask_growth=3), own) is None


@pytest.mark.parametrize("own", [EMOJI_WORLD_SETTINGS, EditSettings()])
def test_exact_is_a_models_own_settings_and_each_quality_below_it_is_less_arithmetic(own: EditSettings) -> None:
    assert apply_quality(Quality.EXACT, own, own) == own
    chosen = [apply_quality(quality, own, own) for quality in Quality]
    halves = [each.inversion_steps + sum(map(each.halves_at, range(each.steps_run))) for each in chosen]
    assert halves == sorted(set(halves))


def test_a_quality_keeps_what_is_no_shortcut_and_is_known_again() -> None:
    own = EMOJI_WORLD_SETTINGS
    bold = apply_preset(Preset.BOLD, own)
    for quality in Quality:
        chosen = apply_quality(quality, bold, own)
        assert (chosen.strength, chosen.cross_strength, chosen.mask_growth) == (
            bold.strength, bold.cross_strength, bold.mask_growth,
        )  # fmt: skip
        assert quality_of(chosen, own) == quality
        assert quality_of(apply_quality(Quality.EXACT, chosen, own), own) == Quality.EXACT
    assert quality_of(replace(own, num_inference_steps=7), own) is None


@pytest.mark.parametrize(("strength", "inverts"), [(0.75, False), (0.8, False), (0.85, True), (1.0, True)])
def test_a_draft_leaves_out_the_inversion_where_fresh_noise_leaves_enough_of_the_source(
    strength: float, inverts: bool
) -> None:
    own = EditSettings(strength=strength)
    assert apply_quality(Quality.DRAFT, own, own).inversion == inverts
    assert apply_quality(Quality.STANDARD, own, own).inversion
