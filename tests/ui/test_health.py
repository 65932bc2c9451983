"""/health says whether jobs are taken, not only that a port is open."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from ui.operations.health import health_route
from ui.work.service import StudioService


@pytest.mark.parametrize(
    ("reason", "status", "answer"),
    [
        ("", 200, {"status": "ok", "model": "loading", "jobs": 2, "places": {"free": 3, "all": 4}}),
        ("The studio is about to stop.", 503, {"status": "unavailable", "reason": "The studio is about to stop."}),
    ],
)
def test_jobs_are_taken_or_the_reason_is_said(reason: str, status: int, answer: dict[str, Any]) -> None:
    studio = SimpleNamespace(
        worker=SimpleNamespace(why_not_ready=reason, is_preparing=True, edit_places=lambda: (3, 4)),
        busy_with=lambda: 2,
    )
    client = TestClient(Starlette(routes=[health_route(cast(StudioService, studio))]))
    given = client.get("/health")
    assert (given.status_code, given.json()) == (status, answer)
