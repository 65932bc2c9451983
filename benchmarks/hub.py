"""A model hub on the loopback interface, for tests and benchmarks: the real one's addresses, headers and bad days."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".safetensors", ".bin", ".pth", ".ckpt", ".zip")
"""What a hub keeps in LFS: files that it serves from another host, by their SHA-256."""

_CHUNK = 2**16
_POLL_SECONDS = 0.02  # how soon it stops
_CODES = {401: "GatedRepo", 403: "GatedRepo", 404: "RepoNotFound"}


class LoopbackHub(ThreadingHTTPServer):
    """Serves the repositories in a folder, owner/name/file.

    Args:
        root: the folder; what is written to it later is served, too.

    Attributes:
        refused: HTTP status by hub id, of repositories that are gated (401), missing (404) or busy (429).
        cut_after: bytes of a large file after which each connection breaks; None never.
        bytes_per_second: of a large file; None as fast as it can.
        bytes_sent: of all large files.
        offsets: first byte of each of their parts that was asked for.
        tokens: what was sent to the second host, where a hub's token must never go.
    """

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.refused: dict[str, int] = {}
        self.cut_after: int | None = None
        self.bytes_per_second: float | None = None
        self.bytes_sent = 0
        self.offsets: list[int] = []
        self.tokens: list[str] = []

    @property
    def url(self) -> str:
        """What HF_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def other_host(self) -> str:
        """Where large files are: the same machine by another name."""
        return f"http://localhost:{self.server_port}"

    def files(self, hub_id: str) -> list[Path]:
        """Return the files of a repository."""
        return sorted(file for file in (self.root / hub_id).rglob("*") if file.is_file())


@contextmanager
def loopback_hub(root: Path) -> Iterator[LoopbackHub]:
    """Serve a folder of repositories until the end of the block."""
    with LoopbackHub(root) as hub:
        threading.Thread(target=hub.serve_forever, args=(_POLL_SECONDS,), daemon=True).start()
        yield hub
        hub.shutdown()


class _Handler(BaseHTTPRequestHandler):
    @property
    def hub(self) -> LoopbackHub:
        assert isinstance(self.server, LoopbackHub)
        return self.server

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent."""

    def _answer(self) -> None:
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        if parts[0] == "large":
            self._send_large(self.hub.root.joinpath(*parts[1:]))
        elif parts[:2] == ["api", "models"]:
            hub_id = "/".join(parts[2:4])
            if self._is_served(hub_id):
                self._send_json(self._tree(hub_id) if parts[4:5] == ["tree"] else self._info(hub_id))
        elif parts[2:3] == ["resolve"] and self._is_served("/".join(parts[:2])):
            self._resolve("/".join(parts[:2]), "/".join(parts[4:]))

    def _is_served(self, hub_id: str) -> bool:
        status = self.hub.refused.get(hub_id, 200 if (self.hub.root / hub_id).is_dir() else 404)
        if status != 200:
            self.send_response(status)
            if status in _CODES:
                self.send_header("X-Error-Code", _CODES[status])
            self.send_header("Content-Length", "0")
            self.end_headers()
        return status == 200

    def _info(self, hub_id: str) -> object:
        siblings = [{"rfilename": each["path"], **each} for each in self._tree(hub_id)]
        lfs = [
            each | ({"lfs": {"sha256": each["lfs"]["oid"], "size": each["size"], "pointerSize": 134}})
            if "lfs" in each
            else each
            for each in siblings
        ]
        return {"id": hub_id, "sha": COMMIT, "siblings": lfs, "tags": [], "downloads": 0, "private": False}

    def _tree(self, hub_id: str) -> list[dict]:
        folder, result = self.hub.root / hub_id, []
        for file in self.hub.files(hub_id):
            size = file.stat().st_size
            entry = {"type": "file", "path": file.relative_to(folder).as_posix(), "size": size, "oid": _oid(file)}
            if file.suffix in LARGE:
                entry["lfs"] = {"oid": sha256(file), "size": size, "pointerSize": 134}
            result.append(entry)
        return result

    def _resolve(self, hub_id: str, name: str) -> None:
        file = self.hub.root / hub_id / name
        if not file.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        is_large, size = file.suffix in LARGE, file.stat().st_size
        self.send_response(302 if is_large else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        if is_large:
            self.send_header("Location", f"{self.hub.other_host}/large/{hub_id}/{name}")
            self.send_header("X-Linked-ETag", f'"{sha256(file)}"')
            self.send_header("X-Linked-Size", str(size))
        self.send_header("ETag", f'"{_oid(file)}"')
        self.send_header("Content-Length", "0" if is_large else str(size))
        self.end_headers()
        if self.command == "GET" and not is_large:
            self.wfile.write(file.read_bytes())

    def _send_json(self, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def _send_large(self, file: Path) -> None:
        self.hub.tokens += filter(None, [self.headers.get("Authorization")])
        asked, size = self.headers.get("Range", ""), file.stat().st_size
        offset = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.hub.offsets += [offset] if self.command == "GET" else []
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(size - offset))
        self.end_headers()
        if self.command == "GET":
            with suppress(ConnectionError):  # whoever asked has stopped
                self._send_content(file, offset)

    def _send_content(self, file: Path, offset: int) -> None:
        left = self.hub.cut_after
        with file.open("rb") as content:
            content.seek(offset)
            while (left is None or left > 0) and (chunk := content.read(min(_CHUNK, left or _CHUNK))):
                self.wfile.write(chunk)
                self.hub.bytes_sent += len(chunk)
                left = None if left is None else left - len(chunk)
                if self.hub.bytes_per_second:
                    time.sleep(len(chunk) / self.hub.bytes_per_second)


@cache
def sha256(file: Path) -> str:
    """Return the SHA-256 of a file, as it was when first asked for."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _oid(file: Path) -> str:
    """Return what stands for git's hash of a file: any text that follows from its place."""
    return hashlib.sha1(str(file).encode()).hexdigest()  # noqa: S324 (it secures nothing)
