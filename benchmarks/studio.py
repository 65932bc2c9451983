"""A studio in a process of its own, for benchmarks and tests that speak HTTP with it."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.health import model_state

ROOT = Path(__file__).parents[1]
START_SECONDS = 300  # on a machine with a lot to do
STOP_SECONDS = 60


@dataclass(frozen=True)
class RunningStudio:
    """A studio that answers.

    Attributes:
        url: of its page, with a slash at the end.
        process: of `app.py`.
        log: what it has written to standard error and output.
        up_after: seconds from its start until /health said that it takes jobs.
        loaded_after: seconds from its start until it had loaded its model.
    """

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    up_after: float = math.nan
    loaded_after: float = math.nan

    def lines(self) -> list[dict[str, Any]]:
        """Return the log's records so far; the line that tells the address is none."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if not line.startswith("VideoGrain")]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """End it by a signal and return the seconds that took."""
        started = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(STOP_SECONDS)
        return time.monotonic() - started


@contextmanager
def running_studio(folder: Path, program: Sequence[str] = ("app.py",), **settings: object) -> Iterator[RunningStudio]:
    """Start a studio, wait until it has loaded its model, and stop it in the end.

    Args:
        folder: where it keeps its data; a studio started there later finds what this one left.
        program: what Python is to run.
        settings: fields of `OperatorSettings` that differ from their defaults.

    Raises:
        RuntimeError: it did not start; the message ends with its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port, log = _free_port(), folder / f"log-{time.monotonic_ns()}"
    environment = {
        **os.environ,
        "VIDEOGRAIN_DATA_FOLDER": str(folder / "data"),
        "VIDEOGRAIN_OFFLINE": "1",
        **{f"VIDEOGRAIN_{name.upper()}": str(value) for name, value in settings.items()},
    }
    command = [sys.executable, *program, "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    studio = RunningStudio(f"http://127.0.0.1:{port}/", process, log)
    try:
        yield _wait_for(studio)
    finally:
        if process.poll() is None:
            studio.stop()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _wait_for(studio: RunningStudio) -> RunningStudio:
    started, up_after = time.monotonic(), math.nan
    while (passed := time.monotonic() - started) < START_SECONDS and studio.process.poll() is None:
        state = model_state(studio.url)
        if state is not None and math.isnan(up_after):
            up_after = passed
        if state == "loaded":
            return replace(studio, up_after=up_after, loaded_after=passed)
        time.sleep(0.1)
    raise RuntimeError(f"the studio did not start: {studio.log.read_text()[-2000:]}")
