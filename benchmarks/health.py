"""How long a studio's /health takes while other work goes on, asked for by a process that does nothing else."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from threading import Event, Thread
from urllib.parse import urlsplit
from urllib.request import urlopen

INTERVAL = 0.05
TIMEOUT = 30.0


@dataclass
class Health:
    """Seconds that each answer took; filled when the asking has ended."""

    seconds: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Return what `share` percent of the answers stayed within."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))]


@contextmanager
def asking_for_health(url: str) -> Iterator[Health]:
    """Ask twenty times a second while the block runs."""
    command = [sys.executable, "-m", "benchmarks.health", url]
    health = Health()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield health
        finally:
            answers, _ = process.communicate(timeout=2 * TIMEOUT)
            health.seconds += json.loads(answers)


def model_state(url: str) -> str | None:
    """Return whether a studio's model is "loading" or "loaded"; None where it takes no jobs or does not answer soon."""
    try:
        with urlopen(f"{url}health", timeout=2) as answer:  # noqa: S310 - the studio's own address
            return json.load(answer)["model"]
    except OSError:  # not there yet, or 503
        return None


def _ask(url: str) -> float:
    """Return the seconds to an answer, the connection included."""
    started = time.monotonic()
    connection = HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT)
    try:
        connection.request("GET", "/health")
        connection.getresponse().read()
    finally:
        connection.close()
    return time.monotonic() - started


def main() -> None:
    """Ask the studio of the command line until standard input ends, and print the seconds as JSON."""
    ended, seconds = Event(), []
    Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not seconds or not ended.wait(INTERVAL):
        try:
            seconds.append(_ask(sys.argv[1]))
        except OSError:  # no answer is as bad as the latest
            seconds.append(TIMEOUT)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
