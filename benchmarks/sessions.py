"""Do many users at once each get their own, and does the studio answer meanwhile?

    python -m benchmarks.sessions [--sessions 8] [--jobs 6]

Each session has a clip of a colour and a size of its own, and asks over HTTP for several edits of different lengths
without waiting for any. A result is right if it has its session's colour outside the region and its size, and its
job's number of frames; mixed if it is right for another. Meanwhile a process of its own asks for /health twenty times a
second.
"""

import argparse
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from gradio_client import Client, handle_file
from PIL import Image

from benchmarks.health import asking_for_health
from benchmarks.studio import running_studio
from benchmarks.table import print_table
from videograin.media.encode import save_video
from videograin.media.video import ClipOptions, load_clip

COLOURS = tuple(product((40, 215), repeat=3))
"""Of the sessions' clips, RGB: far enough apart for a lossy model to keep them apart."""

SIDE = 64
CORNER = 8


class Verdict(StrEnum):
    """What came of a job."""

    RIGHT = "right"
    MIXED = "mixed"
    FAILED = "failed"


@dataclass(frozen=True)
class User:
    """Who asks for edits.

    Attributes:
        number: from 0, below the number of colours.
        folder: for the clips that this user has.
    """

    number: int
    folder: Path

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) of this user's clips; neighbours differ."""
        return SIDE * (1 + self.number % 3), SIDE

    def clip(self, frames: int) -> Path:
        """Write a clip of one colour."""
        width, height = self.size
        path = self.folder / f"clip-{frames}.mp4"
        save_video(path, np.full((frames, height, width, 3), COLOURS[self.number], np.uint8), 8)
        return path

    def mask(self) -> Path:
        """Write the mask of a square in the middle."""
        width, height = self.size
        mask = np.zeros((height, width), np.uint8)
        mask[height // 4 : -height // 4, width // 2 - SIDE // 4 : width // 2 + SIDE // 4] = 255
        path = self.folder / "square.png"
        Image.fromarray(mask).save(path)
        return path


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=8, choices=range(1, len(COLOURS) + 1))
    parser.add_argument("--jobs", type=int, default=6)
    options = parser.parse_args()
    waiting = options.sessions * options.jobs
    with (
        TemporaryDirectory(prefix="videograin-") as folder,
        running_studio(Path(folder), max_waiting=waiting, max_waiting_each=options.jobs) as studio,
        asking_for_health(studio.url) as health,
    ):
        started = time.monotonic()
        verdicts = ask_at_once(studio.url, Path(folder), options.sessions, options.jobs)
        seconds = time.monotonic() - started
    counts = Counter(verdicts)
    milliseconds = [f"{1000 * health.percentile(share):.0f}" for share in (50, 99, 100)]
    row = [str(options.sessions), str(options.jobs), *(str(counts[verdict]) for verdict in Verdict), f"{seconds:.0f}"]
    columns = ["sessions", "jobs each", *Verdict, "seconds", "health p50 ms", "p99 ms", "worst ms", "asked"]
    print_table("Many at once", columns, [[*row, *milliseconds, str(len(health.seconds))]])


def ask_at_once(url: str, folder: Path, sessions: int, jobs: int) -> list[Verdict]:
    """Have several users ask for several edits each, all at the same time, and judge what they get."""
    users = [User(number, folder / f"user-{number}") for number in range(sessions)]
    for user in users:
        user.folder.mkdir()
    with ThreadPoolExecutor(sessions) as pool:
        return [verdict for verdicts in pool.map(lambda user: _ask(url, user, jobs), users) for verdict in verdicts]


def _ask(url: str, user: User, jobs: int) -> list[Verdict]:
    """Ask for edits of 1, 2, 3 … frames, then wait for all of them."""
    client = Client(url, verbose=False, download_files=user.folder)
    session = client.predict(api_name="/new_session")
    ids = [submit(client, session, user, frames) for frames in range(1, jobs + 1)]
    return [judge(client, session, user, job, frames) for frames, job in enumerate(ids, 1)]


def submit(client: Client, session: str, user: User, frames: int) -> str:
    """Have a user open a clip, mark its middle and ask for an edit; return the job's id."""
    clip = handle_file(user.clip(frames))
    client.predict(session, clip, frames=frames, short_side=SIDE, api_name="/open_clip")
    work = client.predict(session, handle_file(user.mask()), api_name="/import_masks")
    client.predict(session, work["objects"][0]["number"], prompt="a panda", api_name="/change_object")
    return client.predict(session, settings={"num_inference_steps": 2}, api_name="/edit")


def judge(client: Client, session: str, user: User, job: str, frames: int) -> Verdict:
    """Wait for a job and return what came of it."""
    while (state := client.predict(session, job, api_name="/get_job")["state"]) in ("queued", "running"):
        time.sleep(0.5)
    if state != "done":
        return Verdict.FAILED
    video, _ = client.predict(session, job, api_name="/get_result")
    clip = load_clip(video, ClipOptions(short_side=None, multiple=2)).frames
    corner = clip[:, :CORNER, :CORNER].mean(axis=(0, 1, 2))
    nearest = int(np.linalg.norm(np.array(COLOURS) - corner, axis=1).argmin())
    is_right = clip.shape[:3] == (frames, *user.size[::-1]) and nearest == user.number
    return Verdict.RIGHT if is_right else Verdict.MIXED


if __name__ == "__main__":
    main()
