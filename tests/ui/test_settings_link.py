"""Settings in a link."""

from dataclasses import replace

import pytest

from ui.work.settings_link import from_token, to_token
from videograin.errors import VideoGrainError
from videograin.models.bundles import EMOJI_WORLD_SETTINGS


def test_a_link_gives_back_the_model_and_the_settings_and_is_short_where_little_differs():
    settings = replace(EMOJI_WORLD_SETTINGS, seed=7, blend_background=False)
    token = to_token("emoji-world", settings)
    assert from_token(token) == ("emoji-world", settings)
    assert len(token) < 120
    assert token.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("nonsense", "cannot be read"),
        ("", "cannot be read"),
        ("eyJtb2RlbCI6ICJlbW9qaS13b3JsZCIsICJndWlkYW5jZV9zY2FsZSI6ICJ4In0", "guidance_scale"),  # of "x"
        ("eyJtb2RlbCI6ICJlbW9qaS13b3JsZCIsICJjbGlwIjogIi9ldGMvcGFzc3dkIn0", "clip"),  # of a file
    ],
)
def test_a_link_that_was_changed_is_refused_in_words(token, words):
    with pytest.raises(VideoGrainError, match=words):
        from_token(token)
