"""A studio whose operator asks who is there: two people with a password each, and nobody else."""

import json
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from gradio_client import Client
from server import serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A studio for Ann and Bob."""
    with serving(tmp_path_factory.mktemp("guarded"), {"VIDEOGRAIN_AUTH": "ann:one,bob:two"}) as address:
        yield address


def test_both_may_work_and_neither_in_the_others_session(guarded):
    ann, bob = (Client(guarded, auth=login, verbose=False) for login in (("ann", "one"), ("bob", "two")))
    sessions = [client.predict(api_name="/new_session") for client in (ann, bob)]
    assert sessions[0] != sessions[1]
    assert "friends" in bob.predict(api_name="/list_examples")


@pytest.mark.parametrize("login", [None, ("ann", "two"), ("eve", "one")])
def test_nobody_else_gets_in(guarded, login):
    with pytest.raises(Exception, match=r"(?i)log ?in|auth|401|credentials"):
        Client(guarded, auth=login, verbose=False).predict(api_name="/new_session")


def test_the_page_asks_and_only_health_answers_everybody(guarded):
    with urlopen(guarded + "health") as answer:
        assert json.load(answer)["status"] == "ok"
    with pytest.raises(HTTPError) as refused:
        urlopen(guarded + "gradio_api/info")
    assert refused.value.code == 401
