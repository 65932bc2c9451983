"""Does a studio keep what it is given, and stay as it is, under hours of use and hard ends?

    python -m benchmarks.soak [--minutes 10] [--sessions 8] [--kills 3] [--json FILE]

Each session has a clip of a colour and a size of its own, and goes on to upload, mark, click, edit, cancel, close its
tab and come back. Meanwhile the studio's process is killed (SIGKILL) and started again, in the first third of the time,
and a process of its own asks for /health twenty times a second. Nothing may be lost: whatever was asked for has an end,
and is known to its session after a restart. Nothing may be crossed: a result has the colour and size of its session.
In the last life, from its second third to its third, descriptors, threads, temporary files and memory must stay flat.
"""

import argparse
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

from gradio_client import Client
from gradio_client.exceptions import AppError

from benchmarks.health import Health, asking_for_health
from benchmarks.sessions import COLOURS, User, Verdict, judge, submit
from benchmarks.studio import RunningStudio, running_studio
from benchmarks.table import print_table

SAMPLE_SECONDS = 2.0
END_SECONDS = 240.0
"""How long the sessions may take to end what they have begun."""

HEALTH_P99, CLICK_P99 = 0.5, 2.0
"""Seconds that a studio should stay within while jobs run, on a machine with a core to spare."""

GROWTH = {"megabytes": 1.10, "descriptors": 1.15, "threads": 1.15, "temporary_files": 1.5}
"""What the last third of a life may have of the second one."""

SLACK = {"megabytes": 50, "descriptors": 10, "threads": 8, "temporary_files": 5}
"""What may come on top: of small numbers a share says little."""


@dataclass(frozen=True)
class Sample:
    """What the studio's process holds at one moment."""

    second: float
    megabytes: float
    descriptors: int
    threads: int
    temporary_files: int


@dataclass
class Report:
    """What a soak has shown.

    Attributes:
        minutes, sessions, kills: what was asked for.
        load, cores: of the machine at the end, over a minute.
        jobs: by what came of them; "lost" are those that their session no longer finds.
        clicks: seconds that each took, the network included.
        health: seconds that each answer took.
        samples: of the last life.
        problems: in words; empty where all is well.
    """

    minutes: float
    sessions: int
    kills: int
    load: float = 0.0
    cores: int = 0
    jobs: Counter[str] = field(default_factory=Counter)
    clicks: list[float] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass
class Address:
    """Where the studio is at the moment; it changes with each restart."""

    url: str = ""


class SoakingUser:
    """A user who goes on until the time is over, whatever happens to the studio.

    Args:
        user: whose clips and colour these are.
        address: of the studio.
        ended: set when the time is over.
        report: where jobs, clicks and problems go.
    """

    def __init__(self, user: User, address: Address, ended: Event, report: Report) -> None:
        self._user, self._address, self._ended, self._report = user, address, ended, report
        self._random = random.Random(user.number)  # noqa: S311 - chooses what a user does next
        self._client: Client | None = None
        self._session = ""
        self._known: list[str] = []

    def run(self) -> None:
        """Go on until the time is over, then look whether everything is still known."""
        while not self._ended.is_set():
            try:
                self._use_once()
            except AppError as error:
                self._problem(f"refused: {error}")
            except Exception:  # gradio_client has an error for every way in which a connection can break
                self._client = None
                self._ended.wait(1)
        self._look_for_lost_jobs()

    def _connect(self) -> Client:
        if self._client is None:
            self._client = Client(self._address.url, verbose=False, download_files=self._user.folder)
            self._session = self._session or self._client.predict(api_name="/new_session")
        return self._client

    def _use_once(self) -> None:
        client, frames = self._connect(), self._random.randint(1, 3)
        job = submit(client, self._session, self._user, frames)
        self._known.append(job)
        self._click(client)
        if self._random.random() < 0.2:
            client.predict(self._session, job, api_name="/cancel")
        if self._random.random() < 0.2:  # the tab is closed, and opened again
            self._client = None
        self._wait_and_judge(job, frames)

    def _wait_and_judge(self, job: str, frames: int) -> None:
        """Wait for a job's end, over restarts of the studio as well."""
        deadline = time.monotonic() + END_SECONDS
        while time.monotonic() < deadline:
            try:
                client = self._connect()
                verdict = judge(client, self._session, self._user, job, frames)
                state = client.predict(self._session, job, api_name="/get_job")
            except AppError as error:
                return self._problem(f"job {job} is lost: {error}", "lost")
            except Exception:
                self._client = None
                time.sleep(1)
                continue
            if verdict is Verdict.FAILED and state["state"] not in ("cancelled", "interrupted"):
                self._problem(f"job failed: {state}")
            if verdict is Verdict.MIXED:
                self._problem(f"job {job} of session {self._user.number} shows another's result")
            self._report.jobs[state["state"] if verdict is Verdict.FAILED else verdict] += 1
            return None
        return self._problem(f"job {job} did not end", "lost")

    def _click(self, client: Client) -> None:
        width, height = self._user.size
        started = time.monotonic()
        try:
            client.predict(self._session, 0, width / 2, height / 2, api_name="/click")
        except AppError as error:
            if "Something went wrong" in str(error):  # that nothing is found is an answer as well
                raise
        self._report.clicks.append(time.monotonic() - started)

    def _look_for_lost_jobs(self) -> None:
        if not self._known:
            return None
        try:
            jobs = self._connect().predict(self._session, api_name="/get_work")["jobs"]
        except Exception as error:
            return self._problem(f"session {self._user.number} is lost: {error}")
        for job in set(self._known) - set(jobs):
            self._problem(f"job {job} is not in its session's list", "lost")
        return None

    def _problem(self, text: str, kind: str = "") -> None:
        self._report.problems.append(text)
        if kind:
            self._report.jobs[kind] += 1


def main() -> None:
    """Soak a studio, print what came of it, and fail where there is a problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--sessions", type=int, default=8, choices=range(1, len(COLOURS) + 1))
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write everything there")
    options = parser.parse_args()
    report = Report(options.minutes, options.sessions, options.kills)
    with TemporaryDirectory(prefix="videograin-soak-") as folder:
        temporary = Path(folder, "tmp")
        temporary.mkdir()
        os.environ["TMPDIR"] = str(temporary)  # the studio's alone, so that its files can be counted
        soak(Path(folder), report)
    report.load, report.cores = round(os.getloadavg()[0], 1), os.cpu_count() or 0
    report.problems += [f"{name} grew: {text}" for name, text in growth(report.samples).items()]
    print_report(report)
    if options.json:
        options.json.write_text(json.dumps(asdict(report) | {"jobs": dict(report.jobs)}, indent=2))
    sys.exit(1 if report.problems else 0)


def soak(folder: Path, report: Report) -> None:
    """Run the studio life after life, with all sessions at work."""
    seconds = 60 * report.minutes
    lives = [seconds / 3 / report.kills] * report.kills + [seconds * 2 / 3] if report.kills else [seconds]
    address, ended = Address(), Event()
    users = [User(number, folder / f"user-{number}") for number in range(report.sessions)]
    threads = [Thread(target=SoakingUser(user, address, ended, report).run, daemon=True) for user in users]
    for user in users:
        user.folder.mkdir()
    for number, life in enumerate(lives):
        is_last = number == len(lives) - 1
        with living_studio(folder, report) as studio:
            address.url = studio.url
            if number == 0:
                for thread in threads:
                    thread.start()
            watch(studio, folder / "tmp", life, report, is_last=is_last)
            if is_last:
                ended.set()
                for thread in threads:
                    thread.join(END_SECONDS)


@contextmanager
def living_studio(folder: Path, report: Report) -> Iterator[RunningStudio]:
    """Start a studio on what the one before left, and kill it in the end."""
    with running_studio(folder, max_waiting_address=10 * report.sessions) as studio:
        try:
            yield studio
        finally:
            studio.process.kill()
            studio.process.wait()


def watch(studio: RunningStudio, temporary: Path, seconds: float, report: Report, *, is_last: bool) -> None:
    """Ask for health during a life, and take samples where it is the last one."""
    started = time.monotonic()
    with asking_for_health(studio.url) as health:
        while (second := time.monotonic() - started) < seconds:
            time.sleep(SAMPLE_SECONDS)
            if studio.process.poll() is not None:
                report.problems.append(f"the studio ended by itself: {studio.log.read_text()[-2000:]}")
                break
            if is_last:
                report.samples.append(sample(studio.process.pid, temporary, second))
    report.health += health.seconds


def sample(pid: int, temporary: Path, second: float) -> Sample:
    """Return what a process holds, by what Linux tells of it."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return Sample(
        second=round(second, 1),
        megabytes=int(status["VmRSS"].split()[0]) / 1024,
        descriptors=len(os.listdir(f"/proc/{pid}/fd")),
        threads=int(status["Threads"]),
        temporary_files=sum(1 for _ in temporary.rglob("*")),
    )


def growth(samples: Sequence[Sample]) -> dict[str, str]:
    """Return what grew from the second third of a life to its last one, and how; the first third warms up."""
    third = len(samples) // 3
    if not third:
        return {}
    grown = {}
    for name, share in GROWTH.items():
        before, after = (
            sum(getattr(each, name) for each in part) / len(part)
            for part in (samples[third : 2 * third], samples[-third:])
        )
        if after > share * before + SLACK[name]:
            grown[name] = f"{before:.0f} → {after:.0f}"
    return grown


def print_report(report: Report) -> None:
    """Print jobs, times and problems."""
    title = f"Soak: {report.minutes:g} minutes, {report.sessions} sessions, {report.kills} kills; "
    title += f"load {report.load} on {report.cores} cores"
    first, last = (report.samples[0], report.samples[-1]) if report.samples else (None, None)
    rows = [
        ["jobs", ", ".join(f"{count} {kind}" for kind, count in report.jobs.items()), "none lost, mixed or failed"],
        ["/health p99", f"{percentile(report.health):.3f} s of {len(report.health)}", f"{HEALTH_P99} s"],
        ["click p99", f"{percentile(report.clicks):.2f} s of {len(report.clicks)}", f"{CLICK_P99} s"],
    ]
    if first and last:
        rows += [
            [name.replace("_", " "), f"{getattr(first, name):.0f} … {getattr(last, name):.0f}", "flat"]
            for name in GROWTH
        ]
    print_table(title, ["what", "measured", "should be"], rows)
    for problem in report.problems:
        print(problem)


def percentile(seconds: Sequence[float]) -> float:
    """Return what 99 of 100 stayed within; 0 of none."""
    return Health(list(seconds)).percentile(99) if seconds else 0.0


if __name__ == "__main__":
    main()
