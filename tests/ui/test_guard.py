"""The guard in front of the page: limits of a request, headers of an answer, whom it believes."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ui import guard
from ui.guard import MAX_BODY, Guard
from videograin.files.disk import FULL, DiskRoom
from videograin.jobs.settings import OperatorSettings

T = TypeVar("T")

PROXY, VISITOR = "10.0.0.1", "203.0.113.7"
MEGABYTE = 10**6


async def tell(request: Request) -> JSONResponse:
    """Say how the request arrived."""
    visitor = request.client.host if request.client else ""
    host = request.headers.get("x-forwarded-host")
    return JSONResponse({"bytes": len(await request.body()), "from": visitor, "host": host})


def studio(peer: str = VISITOR, **settings) -> httpx.AsyncClient:
    paths = ("/call", "/gradio_api/upload", "/gradio_api/{rest:path}", "/static/{rest:path}")
    app = Starlette(routes=[Route(path, tell, methods=["GET", "POST"]) for path in paths])
    room = DiskRoom(Path("nowhere"), total_bytes=11 * MEGABYTE, reserve_bytes=0, owner_bytes=0)
    guarded = Guard(app, OperatorSettings(max_upload_mb=10, **settings), room)
    return httpx.AsyncClient(transport=httpx.ASGITransport(guarded, client=(peer, 1)), base_url="http://studio")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a thread of its own: a browser that other tests have opened keeps a loop running in theirs."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def ask(client: httpx.AsyncClient, method: str, path: str, **arguments) -> httpx.Response:
    return run(client.request(method, path, **arguments))


async def parts(sizes: Iterable[int], pause: float = 0) -> AsyncIterator[bytes]:
    for size in sizes:
        await asyncio.sleep(pause)
        yield bytes(size)


@pytest.mark.parametrize("is_announced", [True, False], ids=["content-length", "chunked"])
@pytest.mark.parametrize(
    ("path", "allowed"), [("/call", MAX_BODY), ("/gradio_api/upload", 10 * MEGABYTE)], ids=["call", "upload"]
)
def test_a_body_has_a_limit_and_uploads_the_operator_s(path: str, allowed: int, is_announced: bool) -> None:
    too_much = allowed + 2 * MEGABYTE
    content = bytes(too_much) if is_announced else parts([MEGABYTE] * (too_much // MEGABYTE + 1))
    answer = ask(studio(), "POST", path, content=content)
    assert (answer.status_code, "at most" in answer.text) == (413, True)
    fits = bytes(allowed) if is_announced else parts([allowed // 2, allowed // 2])
    assert ask(studio(), "POST", path, content=fits).json()["bytes"] == allowed


def test_a_file_for_which_the_disk_has_no_room_is_refused_and_the_next_that_fits_is_taken() -> None:
    client, content = studio(), {"content": bytes(6 * MEGABYTE)}
    statuses = [ask(client, "POST", "/gradio_api/upload", **content).status_code for _ in range(2)]
    assert statuses == [200, 507]
    answer = ask(client, "POST", "/gradio_api/upload", **content)
    assert (answer.status_code, answer.text) == (507, FULL)
    assert ask(client, "POST", "/gradio_api/upload", content=bytes(MEGABYTE)).status_code == 200
    assert ask(client, "POST", "/call", content=bytes(10)).status_code == 200


@pytest.mark.parametrize(
    ("path", "error", "status"),
    [
        ("/gradio_api/upload", KeyError("boundary"), 400),
        ("/gradio_api/upload", TypeError("a field that is no file"), 400),
        ("/call", UnicodeEncodeError("utf-8", "\ud800", 0, 1, "x"), 400),
    ],
)
def test_what_gradio_fails_to_read_is_the_sender_s_fault(path: str, error: Exception, status: int) -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    room = DiskRoom(Path("nowhere"), total_bytes=1, reserve_bytes=0, owner_bytes=0)
    transport = httpx.ASGITransport(Guard(fail, OperatorSettings(), room))
    answer = ask(httpx.AsyncClient(transport=transport, base_url="http://studio"), "POST", path)
    assert (answer.status_code, answer.text[:4]) == (status, "This" if status == 400 else "The ")


def test_a_body_that_stands_still_ends_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "IDLE_SECONDS", 0.05)
    answer = ask(studio(), "POST", "/gradio_api/upload", content=parts([100, 100], pause=0.2))
    assert (answer.status_code, "too slowly" in answer.text) == (408, True)


def test_a_body_that_trickles_ends_the_request_although_it_never_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "GRACE_SECONDS", 0.1)
    answer = ask(studio(), "POST", "/gradio_api/upload", content=parts([1] * 100, pause=0.02))
    assert answer.status_code == 408


def test_an_address_has_a_limit_of_open_requests_and_others_are_let_in() -> None:
    async def crowd() -> list[int]:
        client = studio(max_open_address=2, trusted_proxies=(PROXY,), peer=PROXY)

        async def post(visitor: str, pause: float) -> int:
            headers = {"X-Forwarded-For": visitor}
            return (await client.post("/call", content=parts([1, 1], pause), headers=headers)).status_code

        slow = [asyncio.create_task(post(VISITOR, 0.2)) for _ in range(2)]
        await asyncio.sleep(0.1)
        third, other = await post(VISITOR, 0), await post("203.0.113.8", 0)
        ended = await asyncio.gather(*slow)
        return [third, other, *ended, await post(VISITOR, 0)]

    assert run(crowd()) == [429, 200, 200, 200, 200]


FORGED = {"X-Forwarded-For": "198.51.100.1", "X-Forwarded-Host": "evil.example"}


def test_a_visitor_s_own_word_on_address_and_host_counts_for_nothing() -> None:
    assert ask(studio(), "GET", "/call", headers=FORGED).json() == {"bytes": 0, "from": VISITOR, "host": None}
    elsewhere = studio(trusted_proxies=(PROXY,))
    assert ask(elsewhere, "GET", "/call", headers=FORGED).json() == {"bytes": 0, "from": VISITOR, "host": None}


@pytest.mark.parametrize("named", [PROXY, "10.0.0.0/8", "*"])
def test_a_proxy_that_the_operator_names_is_believed(named: str) -> None:
    behind = studio(PROXY, trusted_proxies=(named,))
    told = {"bytes": 0, "from": "198.51.100.1", "host": "evil.example"}
    assert ask(behind, "GET", "/call", headers=FORGED).json() == told


def test_every_answer_forbids_what_the_page_does_not_need_and_the_developers_door_is_closed() -> None:
    answer = ask(studio(), "GET", "/call")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "object-src 'none'" in answer.headers["Content-Security-Policy"]
    for path in ("dev/reload", "proxy=http://example.org/", "vibe-editor"):
        assert ask(studio(), "GET", f"/gradio_api/{path}").status_code == 404
    assert ask(studio(), "GET", "/static/ffmpeg/ffmpeg-core.wasm").status_code == 404
    assert ask(studio(), "GET", "/static/img/logo.svg").status_code == 200
