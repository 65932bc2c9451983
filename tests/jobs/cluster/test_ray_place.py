"""A place of a Ray cluster while its actor is replaced, without a cluster."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install -r requirements-ray.txt")

from ray.exceptions import RayActorError, RayTaskError

from videograin.errors import JobError
from videograin.jobs.cluster.actor import ActorState
from videograin.jobs.cluster.job_files import UNREACHABLE, ClusterFiles
from videograin.jobs.cluster.ray_cluster import RayPlace
from videograin.jobs.executor import PlaceLost
from videograin.jobs.model_shelf import ShelfState
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import Job, JobKind

READY = ActorState(ShelfState("emoji-world"), "cpu", {})
JOB = Job("job", "owner", JobKind.EDIT, "key", 0.0)


class Actor:
    """Stands for an actor and for its methods; what these return is what is asked for."""

    def __getattr__(self, name: str) -> "Actor":
        return self

    def options(self, **_: object) -> "Actor":
        return self

    def remote(self, *_: object) -> object:
        return self


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RayPlace:
    """A place whose actors are there at once."""
    monkeypatch.setattr("ray.remote", lambda **_: lambda _class: type("Class", (), {"remote": lambda *_: Actor()})())
    monkeypatch.setattr("ray.wait", lambda references, **_: (references, []))
    monkeypatch.setattr("ray.kill", lambda _actor: None)
    monkeypatch.setattr("ray.get", lambda _reference: READY)
    opened = RayPlace(OperatorSettings(ray_idle_minutes=1), ClusterFiles(tmp_path), "place", {}, rests=True)
    assert opened.wait_until_there(is_needed=True)
    return opened


def fail(error: BaseException) -> Any:
    def get(_reference: object) -> None:
        raise error

    return get


def test_what_a_lost_actor_told_last_is_not_taken_for_the_next_one_s(
    place: RayPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, take_over = place.ask_state()
    monkeypatch.setattr("ray.get", fail(RayActorError()))
    with pytest.raises(PlaceLost):
        place.run(JOB)
    take_over(READY)
    assert not place.is_there


def test_an_actor_that_was_given_back_is_not_there_by_what_it_told_last(
    place: RayPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "_rest_seconds", 0.0)
    monkeypatch.setattr("videograin.jobs.cluster.ray_cluster.START_SECONDS", 0.0)
    _, take_over = place.ask_state()
    assert not place.wait_until_there(is_needed=False)
    take_over(READY)
    assert not place.is_there


def test_an_error_that_an_actor_tells_is_told_in_its_own_words(
    place: RayPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = RayTaskError("run", "a trace of another host's", JobError(UNREACHABLE), "ray", 1, "127.0.0.1")
    monkeypatch.setattr("ray.get", fail(told.as_instanceof_cause()))
    with pytest.raises(JobError, match=f"^{UNREACHABLE}$"):
        place.run(JOB)
