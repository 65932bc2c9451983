"""A studio of its own, with the embedded models, in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

ROOT = Path(__file__).parents[2]
START_SECONDS = 240
STOP_SECONDS = 30


@contextmanager
def serving(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Start a studio and yield its address; it is stopped in the end.

    Args:
        folder: where all that it writes goes.
        settings: environment variables besides.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "VIDEOGRAIN_DATA_FOLDER": str(folder / "data"),
        "VIDEOGRAIN_OFFLINE": "1",
        "GRADIO_TEMP_DIR": str(folder / "gradio"),
        **(settings or {}),
    }
    with (folder / "log").open("w") as log:
        command = [sys.executable, "app.py", "--port", str(port)]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}/"
    try:
        _wait_for(url + "health", process, folder / "log")
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)


def _wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(url, timeout=2):
                return
        except HTTPError:  # it answers, if only to ask who is there
            return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"the studio did not start: {log.read_text()[-2000:]}")
