"""How long users wait, by the number of GPUs: a simulation of the studio's queue beside first come, first served.

    python -m benchmarks.capacity --json output/capacity.json --figure docs/pictures/capacity.svg

Users come at random times (a Poisson process), as many as keep the GPUs busy for a given part of the time. Most ask for
one job, some for several at once, as "Four variations" does. What a job takes is counted for Stable Diffusion 1.5 with
a ControlNet at 512×512, in units of 16 frames as measured on an H100 (`benchmarks.windows`). A job takes one GPU from
its beginning to its end; that idle GPUs help with the windows of long clips makes waits shorter than these.
"""

import argparse
import json
from collections.abc import Callable, Generator, Sequence
from contextvars import Context
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import simpy
import torch

from benchmarks.sd15 import random_sd15
from benchmarks.table import print_table
from benchmarks.windows import CUDA, SECONDS_OF_16, SIDE
from videograin.jobs.queue import FairQueue, Waiting
from videograin.jobs.store import Job, JobKind
from videograin.models.memory import estimate_edit
from videograin.region import EditSettings

GPUS = (1, 2, 4, 8, 16, 32, 64, 125, 250, 500, 1000)

JOBS, JOBS_EACH = 20_000, 100
"""Of each simulation, and for each GPU, at least; the first tenth, when no queue has formed yet, is left out."""

WARM_UP = 0.1

BURST, BURST_SHARE = 6, 0.1
"""Edits that some users ask for at once, and what part of the users does."""


@dataclass(frozen=True)
class Load:
    """A kind of job.

    Attributes:
        kind: previews are short, and an owner's short jobs go first.
        frames, steps: what it is.
        share: of the jobs of users who ask for one.
    """

    kind: JobKind
    frames: int
    steps: int
    share: float


LOADS = (
    Load(JobKind.PREVIEW, 4, 10, 0.6),
    Load(JobKind.EDIT, 16, 50, 0.3),
    Load(JobKind.EDIT, 150, 50, 0.1),
)
"""A preview, two seconds at 8 frames a second, ten seconds at 15."""


@dataclass(frozen=True)
class Outcome:
    """What came of one simulation.

    Attributes:
        gpus: how many there were.
        queue: which order jobs had.
        p50, p99: seconds that half of the jobs, and all but one of a hundred, waited at most.
        single_p99: the same of users who asked for one job.
        busy: part of the time that GPUs worked.
    """

    gpus: int
    queue: str
    p50: float
    p99: float
    single_p99: float
    busy: float


class Queue(Protocol):
    """What the GPUs take jobs from."""

    def add(self, entry: Waiting) -> None:
        """Append a job."""
        ...

    def pop(self) -> Waiting:
        """Remove the next one."""
        ...

    def __len__(self) -> int: ...


class Fifo:
    """First come, first served."""

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []
        self._next = 0

    def add(self, entry: Waiting) -> None:
        """Append a job."""
        self._waiting.append(entry)

    def pop(self) -> Waiting:
        """Remove the one that came first."""
        self._next += 1
        return self._waiting[self._next - 1]

    def __len__(self) -> int:
        return len(self._waiting) - self._next


QUEUES: dict[str, Callable[[], Queue]] = {"first come": Fifo, "in turn": FairQueue}


class Farm:
    """GPUs that take jobs from a queue.

    Args:
        environment: the simulated time.
        queue: whose turn it is.
        gpus: how many there are.
        seconds: that the jobs of each kind of load take.
    """

    def __init__(self, environment: simpy.Environment, queue: Queue, gpus: int, seconds: Sequence[float]) -> None:
        self._environment, self._queue, self._seconds = environment, queue, seconds
        self._arrived = environment.event()
        self.waits: list[tuple[float, bool]] = []
        self.worked = 0.0
        self._single: set[str] = set()
        for _ in range(gpus):
            environment.process(self._gpu())

    def users(self, jobs: int, pause: float, chance: np.random.Generator) -> Generator[simpy.Event]:
        """Have users come until they have asked for a number of jobs, with a mean pause between them."""
        asked = 0
        while asked < jobs:
            yield self._environment.timeout(chance.exponential(pause))
            asked += self._ask(f"owner {asked}", chance)

    def _ask(self, owner: str, chance: np.random.Generator) -> int:
        is_burst = chance.random() < BURST_SHARE
        load = 1 if is_burst else int(chance.choice(len(LOADS), p=[each.share for each in LOADS]))
        count = BURST if is_burst else 1
        for number in range(count):
            now, length = self._environment.now, self._seconds[load]
            job = Job(f"{owner} {number}", owner, LOADS[load].kind, "", now + number * 1e-6, length)
            self._queue.add(Waiting(job, Context()))
        if not is_burst:
            self._single.add(owner)
        arrived, self._arrived = self._arrived, self._environment.event()
        arrived.succeed()
        return count

    def _gpu(self) -> Generator[simpy.Event]:
        while True:
            while not len(self._queue):
                yield self._arrived
            entry = self._queue.pop()
            self.waits.append((self._environment.now - entry.job.created, entry.job.owner in self._single))
            length = entry.job.expected_seconds or 0.0
            self.worked += length
            yield self._environment.timeout(length)


def job_seconds() -> list[float]:
    """Return what a job of each load takes on one GPU."""
    pipeline = random_sd15(torch.device("meta"), torch.float16)

    def counted(frames: int, steps: int) -> float:
        settings = replace(EditSettings(), num_inference_steps=steps)
        return estimate_edit(pipeline, (frames, SIDE, SIDE), settings, CUDA, speed=1e12).seconds

    unit = SECONDS_OF_16 / counted(16, EditSettings().num_inference_steps)
    return [unit * counted(load.frames, load.steps) for load in LOADS]


def simulate(gpus: int, queue: str, seconds: Sequence[float], busy: float, jobs: int = JOBS) -> Outcome:
    """Simulate some GPUs until they have done a number of jobs.

    Args:
        gpus: how many there are.
        queue: name of the order.
        seconds: that the jobs of each load take.
        busy: part of the time that they are to work.
        jobs: how many, at least.
    """
    environment = simpy.Environment()
    farm = Farm(environment, QUEUES[queue](), gpus, seconds)
    single = sum(load.share * each for load, each in zip(LOADS, seconds, strict=True))
    of_a_user = BURST_SHARE * BURST * seconds[1] + (1 - BURST_SHARE) * single
    jobs = max(jobs, JOBS_EACH * gpus)
    environment.process(farm.users(jobs, of_a_user / (gpus * busy), np.random.default_rng(1)))
    environment.run()
    waits = farm.waits[int(len(farm.waits) * WARM_UP) :]
    p50, p99 = np.percentile([wait for wait, _ in waits], [50, 99])
    single_p99 = np.percentile([wait for wait, is_single in waits if is_single], 99)
    return Outcome(gpus, queue, float(p50), float(p99), float(single_p99), farm.worked / gpus / environment.now)


def main() -> None:
    """Simulate all numbers of GPUs, print the table, and write results and figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity")
    parser.add_argument("--busy", type=float, default=0.8, help="part of the time that the GPUs are to work")
    parser.add_argument("--gpus", type=int, nargs="+", default=GPUS)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    seconds = job_seconds()
    outcomes = [simulate(gpus, queue, seconds, options.busy, options.jobs) for gpus in options.gpus for queue in QUEUES]
    columns = ["GPUs", "queue", "wait p50, s", "p99", "p99 of one job", "busy"]
    rows = [
        [str(each.gpus), each.queue, f"{each.p50:.1f}", f"{each.p99:.0f}", f"{each.single_p99:.0f}", f"{each.busy:.2f}"]
        for each in outcomes
    ]
    lengths = ", ".join(f"{load.frames} frames {each:.0f} s" for load, each in zip(LOADS, seconds, strict=True))
    print_table(
        f"Waits of a studio whose GPUs are to be busy {options.busy:.0%} of the time ({lengths})", columns, rows
    )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps([asdict(each) for each in outcomes], indent=2))
    if options.figure:
        options.figure.write_text(figure(outcomes, options.busy))


WIDTH, HEIGHT, LEFT, BOTTOM = 640, 360, 60, 40
COLOURS = {"first come": "#b4530a", "in turn": "#0b6e99"}


def figure(outcomes: Sequence[Outcome], busy: float) -> str:
    """Return the waits over the number of GPUs as an SVG, both axes logarithmic from one second and one GPU on."""
    most = np.log10(max(2.0, *(each.gpus for each in outcomes)))
    longest = np.log10(max(10.0, *(each.single_p99 for each in outcomes), *(each.p99 for each in outcomes)))

    def place(gpus: float, seconds: float) -> str:
        across = LEFT + np.log10(gpus) / most * (WIDTH - LEFT - 20)
        up = np.log10(max(1.0, seconds)) / longest * (HEIGHT - BOTTOM - 40)
        return f"{across:.1f},{HEIGHT - BOTTOM - up:.1f}"

    def text(at: str, words: str, how: str = "") -> str:
        x, y = at.split(",")
        return f'<text x="{x}" y="{y}" {how}>{words}</text>'

    parts = [text("10,20", f"Seconds until a job begins, GPUs busy {busy:.0%} of the time", 'font-weight="bold"')]
    for power in range(int(longest) + 1):
        start, end = place(1, 10**power), place(10**most, 10**power)
        parts.append(f'<path d="M{start} L{end}" stroke="#ccc"/>' + text(f"10,{start.split(',')[1]}", f"{10**power:,}"))
    for power in range(int(most + 0.001) + 1):
        x = place(10**power, 1).split(",")[0]
        parts.append(text(f"{x},{HEIGHT - 20}", f"{10**power:,}", 'text-anchor="middle"'))
    parts.append(text(f"{WIDTH - 20},{HEIGHT - 4}", "GPUs", 'text-anchor="end"'))
    lines = [("p50", "2 4", "half of all jobs"), ("single_p99", "", "99 of 100 users with one job")]
    for row, (queue, colour) in enumerate(COLOURS.items()):
        for column, (name, dashes, words) in enumerate(lines):
            points = [place(each.gpus, getattr(each, name)) for each in outcomes if each.queue == queue]
            look = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"'
            parts.append(f'<polyline fill="none" points="{" ".join(points)}" {look}/>')
            y = 40 + 18 * (2 * row + column)
            parts.append(
                f'<path d="M{WIDTH - 300},{y - 4} h30" {look}/>' + text(f"{WIDTH - 262},{y}", f"{queue}, {words}")
            )
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    parts.insert(0, '<rect width="100%" height="100%" fill="#fff"/>')
    look = 'font-family="sans-serif" font-size="13"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {look}>{"".join(parts)}</svg>\n'


if __name__ == "__main__":
    main()
