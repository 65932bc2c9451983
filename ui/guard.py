"""The guard between the network and the page: what a request may send and how slowly, and what every answer forbids.

A request is refused with a sentence: 413 for a body that is too large, 408 for one that comes too slowly, 429 where one
address has too many open, 507 for a file for which the disk has no room. What proxies tell of the visitor is believed
of those proxies alone that the operator names.
"""

import errno
import time
from asyncio import to_thread, wait_for
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from videograin.errors import ProjectError
from videograin.files.disk import FULL, DiskRoom
from videograin.jobs.settings import OperatorSettings

MAX_BODY = 4 * 2**20
"""Bytes of a request that is no upload: words, settings, the points of a brush stroke of minutes."""

FORM_BYTES = 2**20
"""What the form around an uploaded file may add to its size."""

IDLE_SECONDS = 30.0
"""Longest pause within a request."""

GRACE_SECONDS = 30.0
"""What a request may take however little it brings; beyond, it must have come at `MIN_PACE` on average."""

MIN_PACE = 10_000
"""Bytes a second; a phone at the edge of its network sends more."""

DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""Nothing can be written: there is no room, or it is forbidden."""

CLOSED_PATHS = (
    "/static/ffmpeg/",  # 32 MB for each visitor that has chosen a clip, to cut it in the browser
    *(
        f"/gradio_api/{name}"
        for name in (
            "custom_component/",
            "deep_link",
            "dev/",
            "process_recording",
            "proxy=",
            "run-history",
            "runs",
            "undo-vibe",
            "vibe-",
        )
    ),
)
"""Beginnings of what Gradio offers and the studio has no use for: to reload code, fetch from elsewhere, keep copies."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    # Gradio writes scripts into its page and makes functions of texts. Everything else comes from this server alone.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
        "form-action 'self'; frame-ancestors 'self' https://huggingface.co https://*.hf.space"
    ),
}


NOT_A_FORM = "This is not a form with a named file in it, as browsers and gradio_client send it."

NO_JSON_NUMBER = "Out of range float values"
"""Of what `json` says of a NaN that it is to write."""


class Guard:
    """Middleware around the page's application.

    Args:
        app: answers the requests that are let through.
        settings: the operator's; the largest upload, open requests of one address, trusted proxies.
        room: that uploads have on the disk.
    """

    def __init__(self, app: ASGIApp, settings: OperatorSettings, room: DiskRoom) -> None:
        self._app, self._room = app, room
        self._max_upload = settings.max_upload_mb * 10**6 + FORM_BYTES
        self._max_open = settings.max_open_address
        # Of other types for the same protocol than Starlette's, hence Any.
        self._by_proxy: Any = ProxyHeadersMiddleware(cast(Any, self._admit), list(settings.trusted_proxies))
        self._open: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let another kind of event pass."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _address(scope) in self._by_proxy.trusted_hosts:
            await cast("ASGIApp", self._by_proxy)(scope, receive, send)
        else:
            told = [header for header in scope["headers"] if not header[0].startswith(b"x-forwarded-")]
            await self._admit({**scope, "headers": told}, receive, send)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request if its visitor has not too many open."""
        guarded = _with_headers(send)
        address = _address(scope)
        if scope["path"].startswith(CLOSED_PATHS):
            await PlainTextResponse("There is nothing here.", 404)(scope, receive, guarded)
        elif self._open[address] >= self._max_open:
            sentence = f"This address has {self._max_open} requests open; end some and try again."
            await PlainTextResponse(sentence, 429)(scope, receive, guarded)
        else:
            self._open[address] += 1
            try:
                await self._answer(scope, receive, guarded)
            finally:
                self._open[address] -= 1
                if not self._open[address]:
                    del self._open[address]

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request while its body stays within its limits."""
        is_upload = scope["path"].rstrip("/").endswith("/upload")
        body = _Body(receive, self._max_upload if is_upload else MAX_BODY)
        announced = Headers(scope=scope).get("content-length", "0")
        started = False

        async def send_unless_refused(message: Message) -> None:
            nonlocal started
            if body.refusal is None or started:
                started = True
                await send(message)

        length = int(announced) if announced.isdecimal() else 0
        if length > body.limit:
            body.refuse_size()
        elif is_upload and (problem := await to_thread(self._lack_of_room, length)):
            body.refuse(507, problem)
        else:
            with suppress(Refused):
                await self._understand(scope, body, send_unless_refused, is_upload=is_upload)
        if body.refusal is not None and not started:
            await body.refusal(scope, receive, send)

    async def _understand(self, scope: Scope, body: "_Body", send: Send, *, is_upload: bool) -> None:
        """Answer a request, and refuse one that Gradio fails to read: forms without bounds, text that is no text."""
        try:
            await self._app(scope, body.receive, send)
        except UnicodeError:
            body.refuse(400, "This is not text in UTF-8.")
        except ValueError as error:
            if is_upload:
                body.refuse(400, NOT_A_FORM)
            elif NO_JSON_NUMBER in str(error):  # FastAPI repeats in its refusal what it refuses
                body.refuse(400, "NaN and Infinity are no numbers of JSON.")
            else:
                raise
        except (AttributeError, LookupError, OSError, TypeError) as error:
            if not is_upload:
                raise
            if isinstance(error, OSError) and error.errno in DISK_ERRORS:
                body.refuse(507, FULL)
            else:
                body.refuse(400, NOT_A_FORM)

    def _lack_of_room(self, length: int) -> str:
        try:
            self._room.check(length)
        except ProjectError as error:
            return str(error)
        return ""


class Refused(Exception):  # noqa: N818 - ends the reading of a body; the visitor is told by the response
    """A request's body was too large or came too slowly."""


@dataclass
class _Body:
    """The body of one request as it comes in.

    Attributes:
        source: where it comes from.
        limit: bytes that it may have.
        refusal: the answer instead, once it broke a limit.
    """

    source: Receive
    limit: int
    refusal: PlainTextResponse | None = None
    _bytes: int = 0
    _is_complete: bool = False
    _started: float = field(default_factory=time.monotonic)

    async def receive(self) -> Message:
        """Return the next part; after the last one, wait for the visitor to leave, as long as that takes."""
        if self._is_complete:
            return await self.source()
        left = GRACE_SECONDS + self._bytes / MIN_PACE - (time.monotonic() - self._started)
        try:
            message = await wait_for(self.source(), min(IDLE_SECONDS, max(left, 0.0)))
        except TimeoutError:
            self.refuse(408, "The upload stood still or came too slowly. Try again, with a better connection.")
            raise Refused from None
        self._bytes += len(message.get("body", b""))
        self._is_complete = not message.get("more_body", False)
        if self._bytes > self.limit:
            self.refuse_size()
            raise Refused
        return message

    def refuse_size(self) -> None:
        """Have the visitor told that the body is too large."""
        self.refuse(413, f"This is too large; at most {self.limit / 1e6:.0f} MB can be sent here at once.")

    def refuse(self, status: int, sentence: str) -> None:
        """Have the visitor told a sentence instead of the answer."""
        self.refusal = PlainTextResponse(sentence, status, headers={"Connection": "close"})


def _address(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else ""


def _with_headers(send: Send) -> Send:
    """Return a `send` that adds `HEADERS` to the beginning of an answer."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
