"""One clip of eight windows on two actors of one CPU core each, against one; what becomes of it when one is killed.

    python -m benchmarks.cluster --json output/cluster.json
    python -m benchmarks.cluster --device cuda --actors 1 2 --frames 128 --json output/cluster.json

An example that comes along is edited in Emoji World, with no inversion known from before, by one actor and by two. Then
it is edited twice more while an actor is killed: first the one that carries the job out, then the one that helps. All
frames are compared with those of one actor. At the end two owners ask for four previews each: they interleave where no
owner has to wait until the other's are done.
"""

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.table import print_table
from videograin.jobs.cluster.board import WindowBoard
from videograin.jobs.cluster.job_files import ClusterFiles
from videograin.jobs.cluster.ray_cluster import RayCluster, RayPlace
from videograin.jobs.editing.edit_jobs import EditJobs
from videograin.jobs.executor import Outcome
from videograin.jobs.settings import RAY, OperatorSettings
from videograin.jobs.store import Job, JobKind, JobState, JobStore, jobs_folder
from videograin.jobs.worker import JobStatus, Worker
from videograin.media.video import ClipOptions, load_clip
from videograin.project.examples import example_path
from videograin.project.project import Project, load_project

WINDOWS = {"window_frames": 4, "anchor_frames": 1, "window_overlap": 1}
"""Of the 16 frames of the example: eight windows of three frames, each beside an anchor."""

PREVIEWS = 4
"""Of each owner: the first two begin at once, on two actors that are free, before the other owner asks."""

POLL_SECONDS = 0.02

WHOLE = ClipOptions(short_side=None, multiple=1)


@dataclass
class Report:
    """What came of it.

    Attributes:
        seconds: of the edit by the number of actors, from its beginning to its end.
        speedup: seconds of the fewest actors over those of the most.
        identical: whether all of them made the same frames.
        killed: for the actor that was killed, whether the edit was done with the same frames.
        killed_seconds: how long it took, from being asked for.
        interleaved: whether each owner's first preview began before the other's last one.
    """

    seconds: dict[int, float] = field(default_factory=dict)
    speedup: float = 0.0
    identical: bool = True
    killed: dict[str, bool] = field(default_factory=dict)
    killed_seconds: dict[str, float] = field(default_factory=dict)
    interleaved: bool = False


@dataclass(frozen=True)
class Studio:
    """A worker whose edits run on actors.

    Attributes:
        worker: takes jobs.
        store: has their files.
        files: of the jobs, as actors get them.
        places: the actors.
        project: what is edited.
    """

    worker: Worker
    store: JobStore
    files: ClusterFiles
    places: Sequence[RayPlace]
    project: Project

    def submit(self, kind: JobKind, owner: str, seed: int = 0) -> "Asked":
        """Ask for the edit from a seed's noise."""
        secret = f"{owner}-{'a' * 24}"
        masks = {region.masks.path: self.store.keep(secret, region.masks.path) for region in self.project.regions}
        regions = [
            replace(each, masks=replace(each.masks, path=masks[each.masks.path])) for each in self.project.regions
        ]
        project = replace(
            self.project,
            clip=self.store.keep(secret, self.project.clip),
            regions=tuple(regions),
            settings=replace(self.project.settings, seed=seed),
        )
        return Asked(self, secret, self.worker.submit(secret, kind, project))


@dataclass(frozen=True)
class Asked:
    """A job under way.

    Attributes:
        studio: whose it is.
        owner: who asked for it.
        job: as it was then.
    """

    studio: Studio
    owner: str
    job: Job

    @property
    def status(self) -> JobStatus:
        """How it is now."""
        return self.studio.worker.status(self.job.id, self.owner)

    @property
    def helpers(self) -> dict[str, RayPlace]:
        """The actors that work on its windows now, the one that carries it out among them."""
        files = self.studio.files
        board = WindowBoard.of(files.shared(files.folder(self.job)))
        names = board.claimants if board else set()
        return {place.name: place for place in self.studio.places if place.name in names}

    def end(self) -> Job:
        """Wait for its end."""
        wait_until(lambda: self.status.job.state.is_final)
        if self.status.job.state is not JobState.DONE:
            raise RuntimeError(f"The job is {self.status.job.state}: {self.status.job.message}")
        return self.status.job

    def frames(self) -> np.ndarray:
        """Return the frames of its result."""
        return load_clip(self.status.results / self.status.result.video, WHOLE).frames


def main() -> None:
    """Measure, print the table and write the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster")
    parser.add_argument("--actors", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--example", default="friends")
    parser.add_argument("--frames", type=int, default=16, help="as many as the example has at most")
    parser.add_argument("--side", type=int, default=256, help="pixels of the frames' shorter side")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--job-files", default="", help="fsspec URL by which the jobs' files travel")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's own is 15: whatever else runs would be measured as well
    report, most = Report(), max(options.actors)
    expected: np.ndarray | None = None
    for count in sorted(options.actors):
        with studio(options, count) as opened:
            asked = opened.submit(JobKind.EDIT, "plain")
            report.seconds[count] = length(asked.end())
            expected = asked.frames() if expected is None else expected
            report.identical &= np.array_equal(expected, asked.frames())
            if count == most > 1:
                for which in ("home", "helper"):
                    kill(opened, which, expected, report)
                report.interleaved = interleave(opened)
    report.speedup = report.seconds[min(options.actors)] / report.seconds[most]
    print_report(report)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(asdict(report), indent=2))


def kill(opened: Studio, which: str, expected: np.ndarray, report: Report) -> None:
    """Make the edit again, and kill an actor as soon as two work on it."""
    shutil.rmtree(opened.store.root.parent / "cache", ignore_errors=True)  # inversions; windows take their whole time
    asked = opened.submit(JobKind.EDIT, which)
    wait_until(lambda: asked.helpers)
    (home,) = asked.helpers  # the others begin when it has offered its windows
    wait_until(lambda: len(asked.helpers) > 1)
    names = asked.helpers
    lost = home if which == "home" else next(name for name in names if name != home)
    names[lost].close()
    ended = asked.end()  # its beginning is that of the last attempt
    report.killed_seconds[which] = (ended.ended or 0.0) - ended.created
    report.killed[which] = np.array_equal(expected, asked.frames())
    wait_until(lambda: all(place.is_there for place in opened.places))


def interleave(opened: Studio) -> bool:
    """Have two owners ask for previews, one after the other; return whether each began before the other's last one."""
    asked = [opened.submit(JobKind.PREVIEW, owner, seed) for owner in ("ann", "bob") for seed in range(PREVIEWS)]
    jobs = [each.end() for each in asked]
    (anns, bobs) = ([job.started or 0.0 for job in each] for each in (jobs[:PREVIEWS], jobs[PREVIEWS:]))
    return min(anns) < max(bobs) and min(bobs) < max(anns)


@contextmanager
def studio(options: argparse.Namespace, actors: int) -> Iterator[Studio]:
    """Start actors, wait until they have their models, and end them."""
    project = load_project(example_path(options.example) / "project.json")
    settings = replace(project.settings, num_inference_steps=options.steps, **WINDOWS)
    clip_options = replace(project.clip_options, max_frames=options.frames, short_side=options.side)
    with TemporaryDirectory() as folder:
        limits = OperatorSettings(
            data_folder=Path(folder),
            ray_device=options.device,
            offline=True,
            executor=RAY,
            ray_actors=actors,
            job_files=options.job_files,
        )
        cluster, store = RayCluster(limits), JobStore(jobs_folder(limits.data_folder))
        handlers = EditJobs(cluster.shelf, limits).handlers()
        worker = Worker(store, handlers, limits, cluster.places, prepare=cluster.wait_until_ready)
        worker.start()
        places = cluster.places(unused)
        wait_until(lambda: all(place.is_there for place in places))
        try:
            edited = replace(project, settings=settings, clip_options=clip_options)
            yield Studio(worker=worker, store=store, files=cluster.files, places=places, project=edited)
        finally:
            worker.stop()
            cluster.close()


def unused(job: Job) -> Outcome:
    """Stand for the task of this process, which actors take the place of."""
    raise RuntimeError(f"{job.id} runs on an actor")


def length(job: Job) -> float:
    """Return the seconds from a job's beginning to its end."""
    assert job.started is not None
    assert job.ended is not None
    return job.ended - job.started


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for what other processes do."""
    while not condition():
        time.sleep(POLL_SECONDS)


def print_report(report: Report) -> None:
    """Print what came of it."""
    columns = ["actors", "killed", "s", "same frames"]
    rows = [[str(count), "none", f"{seconds:.1f}", str(report.identical)] for count, seconds in report.seconds.items()]
    most = str(max(report.seconds))
    rows += [[most, which, f"{report.killed_seconds[which]:.1f}", str(same)] for which, same in report.killed.items()]
    print_table(f"Windows of one clip on several actors: {report.speedup:.2f} times as fast", columns, rows)
    print(f"\nTwo owners' previews interleave: {report.interleaved}.")


if __name__ == "__main__":
    main()
