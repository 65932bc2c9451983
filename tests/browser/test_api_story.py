"""The studio over HTTP: the documented script, and the endpoints that may not be reached."""

import importlib.util
import json
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from videograin.media.video import ClipOptions, load_clip

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def client(address: str) -> Client:
    return Client(address, verbose=False)


def open_ready(client: Client, name: str = "friends") -> str:
    """Begin a session with an example that is marked and worded."""
    session = client.predict(api_name="/new_session")
    client.predict(session, name, frames=2, api_name="/open_example")
    return session


def test_the_documented_script_goes_from_upload_to_mp4(address, tmp_path):
    spec = importlib.util.spec_from_file_location("edit_by_api", ROOT / "examples/edit_by_api.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main(address, str(tmp_path / "edited.mp4"))
    edited = load_clip(tmp_path / "edited.mp4", ClipOptions(short_side=None, multiple=2))
    assert edited.frames.shape == (4, 256, 256, 3)


def test_health_answers(address):
    with urlopen(address + "health") as answer:
        assert json.load(answer)["status"] == "ok"


def test_every_documented_function_is_offered_and_no_other(address):
    with urlopen(address + "gradio_api/info") as answer:
        offered = {name.strip("/") for name in json.load(answer)["named_endpoints"]}
    documented = (ROOT / "docs/api.md").read_text()
    assert {name for name in offered if f"`{name}(" not in documented} == set()
    assert "page_edit" not in offered


def test_a_job_of_another_session_does_not_exist(client):
    mine, theirs = open_ready(client), open_ready(client)
    job = client.predict(mine, api_name="/preview")
    with pytest.raises(AppError, match="no such job of yours"):
        client.predict(theirs, job, api_name="/get_job")
    with pytest.raises(AppError, match="no such job of yours"):
        client.predict(theirs, job, api_name="/cancel")
    client.predict(mine, job, api_name="/cancel")


def test_a_guessed_session_is_refused(client):
    with pytest.raises(AppError, match="session is over"):
        client.predict("x" * 32, api_name="/get_work")


@pytest.mark.parametrize("path", ["/etc/passwd", str(ROOT / "app.py")])
def test_a_file_that_was_not_uploaded_is_refused(client, path):
    session = client.predict(api_name="/new_session")
    with pytest.raises(AppError, match="not uploaded"):
        client.predict(session, {"path": path}, api_name="/open_clip")


@pytest.mark.parametrize("path", ["/etc/passwd", f"{ROOT}/app.py", f"{ROOT}/../main/app.py"])
def test_no_file_of_the_machine_is_served(address, path):
    with pytest.raises(HTTPError) as refused:
        urlopen(f"{address}gradio_api/file={path}")
    assert refused.value.code in (403, 404)


def test_an_unknown_setting_is_named(client):
    with pytest.raises(AppError, match=r"settings\.steps is unknown"):
        client.predict(open_ready(client), settings={"steps": 3}, api_name="/edit")
