import pytest
from hypothesis import given
from hypothesis import strategies as st

from videograin.models.bundles import EMOJI_WORLD_SETTINGS
from videograin.models.presets import PRESETS, Preset, apply_preset
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
