"""A studio whose edits run on a cluster of this machine, for `benchmarks.cluster`."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import ray

from videograin.jobs.cluster.actor import ActorState
from videograin.jobs.cluster.board import WindowBoard
from videograin.jobs.cluster.job_files import ClusterFiles
from videograin.jobs.cluster.ray_cluster import RayCluster, RayPlace
from videograin.jobs.cluster.stages import Stage
from videograin.jobs.editing.edit_jobs import EditJobs
from videograin.jobs.executor import Outcome
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import Job, JobKind, JobState, JobStore, jobs_folder
from videograin.jobs.worker import JobStatus, Worker
from videograin.media.video import ClipOptions, load_clip
from videograin.project.project import Project

POLL_SECONDS = 0.1
"""Rarely enough to leave the actors their cores."""

WHOLE = ClipOptions(short_side=None, multiple=1)


@dataclass(frozen=True)
class Studio:
    """A worker whose edits run on actors.

    Attributes:
        worker: takes jobs.
        store: has their files.
        files: of the jobs, as actors get them.
        places: the actors.
        homes: the actor that carries a job out, by the job's id.
    """

    worker: Worker
    store: JobStore
    files: ClusterFiles
    places: Sequence[RayPlace]
    homes: Mapping[str, RayPlace]

    def submit(self, kind: JobKind, owner: str, project: Project) -> "Asked":
        """Ask for an edit."""
        secret = self.secret(owner)
        masks = {region.masks.path: self.store.keep(secret, region.masks.path) for region in project.regions}
        regions = [replace(each, masks=replace(each.masks, path=masks[each.masks.path])) for each in project.regions]
        kept = replace(project, clip=self.store.keep(secret, project.clip), regions=tuple(regions))
        return Asked(self, secret, self.worker.submit(secret, kind, kept))

    def secret(self, owner: str) -> str:
        """Return the text by which an owner of a name is known."""
        return f"{owner}-{'a' * 24}"

    def stages(self) -> dict[str, dict[Stage, float]]:
        """Return the seconds that each stage of edits has taken at each actor since it was started, by its name."""
        states = cast(list[ActorState], ray.get([place.ask_state()[0] for place in self.places]))
        return {place.name: dict(state.seconds) for place, state in zip(self.places, states, strict=True)}

    def forget_inversions(self) -> None:
        """Remove what edits have left, so that the windows of the same edit take their whole time again."""
        shutil.rmtree(self.store.root.parent / "cache", ignore_errors=True)


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
    def home(self) -> RayPlace:
        """The actor that carries the job out; it must have begun."""
        return self.studio.homes[self.job.id]

    @property
    def helpers(self) -> list[RayPlace]:
        """The actors that work on its windows now, the one that carries it out among them."""
        files = self.studio.files
        board = WindowBoard.of(files.shared(files.folder(self.job)))
        names = board.claimants if board else set()
        return [place for place in self.studio.places if place.name in names]

    def end(self) -> Job:
        """Wait for its end."""
        wait_until(lambda: self.status.job.state.is_final)
        if self.status.job.state is not JobState.DONE:
            raise RuntimeError(f"The job is {self.status.job.state}: {self.status.job.message}")
        return self.status.job

    def frames(self) -> np.ndarray:
        """Return the frames of its result."""
        return load_clip(self.status.results / self.status.result.video, WHOLE).frames


@contextmanager
def studio(limits: OperatorSettings) -> Iterator[Studio]:
    """Start actors, wait until they have their models, and end them."""
    cluster, store = RayCluster(limits), JobStore(jobs_folder(limits.data_folder))
    handlers = EditJobs(cluster.shelf, limits).handlers()
    worker = Worker(store, handlers, limits, cluster.places, prepare=cluster.wait_until_ready)
    places, homes = cluster.places(unused), dict[str, RayPlace]()
    for place in places:
        _note_home(place, homes)
    worker.start()
    wait_until(lambda: all(place.is_there for place in places))
    try:
        yield Studio(worker=worker, store=store, files=cluster.files, places=places, homes=homes)
    finally:
        worker.stop()
        cluster.close()


def _note_home(place: RayPlace, homes: dict[str, RayPlace]) -> None:
    """Have an actor's `run` note which jobs it carries out, by their ids."""
    run = place.run

    def noted(job: Job) -> Outcome:
        homes[job.id] = place
        return run(job)

    place.run = noted


def unused(job: Job) -> Outcome:
    """Stand for the task of this process, which actors take the place of."""
    raise RuntimeError(f"{job.id} runs on an actor")


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for what other processes do."""
    while not condition():
        time.sleep(POLL_SECONDS)
