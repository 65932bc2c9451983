"""What programs pass wrongly is answered in plain words, never with "Something went wrong"."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from inspect import Parameter, signature
from itertools import product
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from studios import studio_with
from synthetic_video import make

from ui.api import ENDPOINTS, Api
from ui.arguments import MAX_TEXT, checked
from ui.plain_errors import in_plain_words
from videograin.errors import ModelError, RegionError, SettingsError, VideoGrainError, for_visitors
from videograin.files.hub import local_path
from videograin.jobs.settings import OperatorSettings

LONG = "x" * 5000
ODD = (None, -1, 10**30, 1.5, float("nan"), True, "", "a", "\ud800", "a\0b", LONG, "~nosuchuser/x", [], [[1]], {"a": 1})
SANE = {"name": "friends", "job": "a", "video": {"path": "/etc/passwd"}, "file": {}, "points": [[1.0, 2.0]]}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("studio")
    with studio_with(OperatorSettings(data_folder=folder, device="cpu", offline=True, max_steps=1)) as studio:
        yield Api(studio)


def greet(name: str, times: int = 1, loud: bool = False, at: float = 0.0, words: list[str] | None = None) -> tuple:
    return name, times, loud, at, words


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": 3}, "'name' is 3; give a valid string"),
        ({"name": "x" * (MAX_TEXT + 1)}, f"'name' has {MAX_TEXT + 1} characters; at most {MAX_TEXT}"),
        ({"name": "\ud800"}, "'name' is no valid Unicode"),
        ({"name": "ann", "words": ["fine", "\udfff"]}, "'words' is no valid Unicode"),
        ({"name": "ann", "times": "often"}, "'times' is 'often'; give a valid integer"),
        ({"name": "ann", "at": float("inf")}, "'at' is inf; give a finite number"),
    ],
)
def test_an_argument_of_another_kind_is_named_with_its_value(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        checked(greet)(**given)


def test_numbers_that_fit_are_taken_as_what_is_asked_for() -> None:
    assert checked(greet)("ann", 3.0, at=2) == ("ann", 3, False, 2.0, None)  # pyright: ignore[reportArgumentType]


def calls(api: Api) -> Iterator[tuple[Callable[..., Any], dict[str, Any]]]:
    """Yield every function with each odd value in the place of each of its arguments, the others sane."""
    for name in ENDPOINTS:
        function = getattr(api, name)
        parameters = list(signature(function).parameters.values())[1:]
        for odd, value in product(parameters, ODD):
            needed = [each for each in parameters if each.default is Parameter.empty]
            yield function, {**{each.name: SANE.get(each.name, 1) for each in needed}, odd.name: value}


@pytest.mark.slow
def test_no_function_breaks_on_odd_values_and_the_session_stays_usable(api: Api) -> None:
    session = api.new_session()
    api.open_example(session, "friends", frames=2)
    for function, given in calls(api):
        with suppress(VideoGrainError):
            checked(function)(session, **given)
    api.open_example(session, "friends", frames=2)
    assert api.click(session, 0, 63, 164)["frames"] == 2


def test_a_home_folder_of_no_user_and_a_name_too_long_are_told(api: Api) -> None:
    for name in ("~nosuchuser/model", "x" * 5000):
        with pytest.raises(ModelError, match="cannot be a model's name or path"):
            local_path(name)


def test_a_model_that_is_not_offered_is_refused_before_a_clip_is_read(api: Api, tmp_path: Path, monkeypatch) -> None:
    clip = make(tmp_path / "clip.mp4", "testsrc=s=64x64:r=8:d=0.5")
    monkeypatch.setattr("ui.work.transfer.get_upload_folder", lambda: str(tmp_path))
    with pytest.raises(ModelError, match="Model '~nosuchuser' is not offered here"):
        api.open_clip(api.new_session(), {"path": str(clip)}, model="~nosuchuser")  # pyright: ignore


def test_a_long_name_is_cut_like_on_the_page(api: Api) -> None:
    session = api.new_session()
    api.open_example(session, "friends", frames=2)
    number = api.get_work(session)["objects"][0]["number"]
    assert api.change_object(session, number, name="x" * 5000)["objects"][0]["name"] == "x" * 60


def test_no_error_shows_where_the_server_keeps_its_files() -> None:
    def fail() -> None:
        raise VideoGrainError("There is no file '/srv/data/jobs/9f/a clip.mp4'. See 'https://host/x/y' or 'a/b'.")

    with pytest.raises(gr.Error) as error:
        in_plain_words(fail, as_html=False)()
    assert error.value.message == "There is no file 'a clip.mp4'. See 'https://host/x/y' or 'a/b'."
    assert for_visitors(f"'{LONG}' is no example") == f"'{LONG[:60]}…' is no example"
    assert for_visitors(r"'C:\data\x\clip.mp4' is gone") == "'clip.mp4' is gone"


def test_a_point_of_a_stroke_has_two_numbers(api: Api) -> None:
    session = api.new_session()
    api.open_example(session, "friends", frames=2)
    with pytest.raises(RegionError, match=r"\[1.0, 2.0, 3.0\] is no point of a stroke"):
        api.brush(session, 0, [[1.0, 2.0], [1.0, 2.0, 3.0]], 4)
