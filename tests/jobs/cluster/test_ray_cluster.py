"""Edits on a real cluster of this machine: two actors in processes of their own, which are also killed."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from fake_jobs import ANN, BOB, finished, wait_until
from windowed_project import WHOLE, WINDOWS, kept, windowed_project

pytest.importorskip("ray", reason="Ray is not installed: pip install -r requirements-ray.txt")

from videograin.errors import SettingsError
from videograin.files.shared_folder import SharedFolder
from videograin.jobs.cluster.board import WindowBoard
from videograin.jobs.cluster.ray_cluster import RayCluster, RayPlace, demand, wait_for_any
from videograin.jobs.editing.edit_jobs import EditJobs
from videograin.jobs.executor import Place
from videograin.jobs.settings import RAY, OperatorSettings
from videograin.jobs.store import Job, JobKind, JobState, JobStore, jobs_folder
from videograin.jobs.worker import STOPPED, JobStatus, Worker
from videograin.media.video import load_clip
from videograin.project.project import Project

pytestmark = pytest.mark.slow

STEPS = 10
"""So that a window takes long enough for the other actor to begin one, and for a test to kill it meanwhile."""


ENDLESS = 100
"""As many as are allowed, for jobs that a test stops."""


@dataclass(frozen=True)
class Cluster:
    """A studio's worker whose edits run on two actors."""

    worker: Worker
    store: JobStore
    places: list[RayPlace]
    project: Project

    def submit(self, seed: int, owner: str = ANN, steps: int = STEPS) -> Job:
        settings = replace(self.project.settings, seed=seed, num_inference_steps=steps)
        project = kept(self.store, replace(self.project, settings=settings), owner)
        return self.worker.submit(owner, JobKind.EDIT, project)

    def claimants(self, job: Job) -> set[str]:
        """Return the names of the actors that work on a job's windows now."""
        board = WindowBoard.of(SharedFolder(self.store.folder(job)))
        return board.claimants if board else set()

    def place(self, name: str) -> RayPlace:
        return next(place for place in self.places if place.name == name)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    os.environ.setdefault("RAY_worker_niceness", "0")  # of 15, Ray's own, tests beside these leave actors little time
    folder = tmp_path_factory.mktemp("cluster")
    project = windowed_project(folder)
    settings = OperatorSettings(
        data_folder=folder / "data", models=(project.model,), max_side=256, offline=True,
        executor=RAY, ray_device="cpu", ray_actors=2,
    )  # fmt: skip
    store, rays = JobStore(jobs_folder(settings.data_folder)), RayCluster(settings)
    worker = Worker(
        store, EditJobs(rays.shelf, settings).handlers(), settings, rays.places, prepare=rays.wait_until_ready
    )
    worker.start()
    places = list(rays.places(lambda _job: pytest.fail("jobs run on actors")))
    project = replace(project, settings=replace(project.settings, num_inference_steps=STEPS))
    opened = Cluster(worker, store, places, project)
    wait_until(lambda: worker.edit_places() == (2, 2))
    yield opened
    assert worker.stop(60)
    rays.close()


def frames_of(status: JobStatus) -> np.ndarray:
    assert status.job.state is JobState.DONE, status.job.message
    return load_clip(status.results / status.result.video, WHOLE).frames


@pytest.fixture(scope="module")
def expected(cluster: Cluster) -> np.ndarray:
    """The frames of seed 1 as one actor makes them alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RayPlace, "can_help", lambda _place, _job: False)
        return frames_of(finished(cluster.worker, cluster.submit(1, "alone-" + ANN).id, "alone-" + ANN))


def test_an_actor_takes_as_many_gpus_as_the_operator_gives_each_edit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 16.0, "GPU": 5.0})
    assert demand(OperatorSettings(ray_gpus=1)) == ({"num_cpus": 1, "num_gpus": 1}, 5)
    assert demand(OperatorSettings(ray_gpus=2)) == ({"num_cpus": 1, "num_gpus": 2}, 2)
    assert demand(OperatorSettings(ray_gpus=2, ray_device="cpu")) == ({"num_cpus": 1}, 16)


def test_an_address_without_a_cluster_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"There is no cluster at VIDEOGRAIN_RAY_ADDRESS 'auto' .* Start its head"):
        RayCluster(OperatorSettings(data_folder=tmp_path, ray_address="auto"))


class Late(Place):
    """A place that is there when it was waited for a third time."""

    waited = 0

    def wait_until_there(self, *, is_needed: bool) -> bool:
        self.waited += is_needed
        return self.is_there

    @property
    def is_there(self) -> bool:
        return self.waited == 3


def test_the_thread_of_an_only_actor_waits_for_it_and_no_longer() -> None:
    place = Late(lambda _job: pytest.fail("no job"))
    wait_for_any([place])
    assert place.waited == 3


def test_two_actors_make_the_frames_of_one(cluster: Cluster, expected: np.ndarray) -> None:
    job = cluster.submit(1)
    wait_until(lambda: len(cluster.claimants(job)) == 2)
    wait_until(lambda: (progress := cluster.worker.status(job.id, ANN).progress) and progress.parts == WINDOWS)
    assert np.array_equal(frames_of(finished(cluster.worker, job.id)), expected)
    assert cluster.worker.edit_places() == (2, 2)


@pytest.mark.parametrize("which", [set.difference, set.intersection], ids=["helper", "home"])
def test_an_actor_that_is_killed_costs_a_window_and_no_frame(
    cluster: Cluster, expected: np.ndarray, which: Callable[[set[str], set[str]], set[str]]
) -> None:
    owner = f"{which.__name__}-{ANN}"  # the same edit asked for by the same owner would be the same job
    shutil.rmtree(cluster.store.root.parent / "cache")  # inversions; windows take their whole time
    job = cluster.submit(1, owner)
    wait_until(lambda: len(cluster.claimants(job)) == 2)
    running = cluster.worker._editing.running
    home = {place.name for place in cluster.places if place in running and running[place].id == job.id}
    (killed,) = which(cluster.claimants(job), home)
    cluster.place(killed).close()
    assert np.array_equal(frames_of(finished(cluster.worker, job.id, owner)), expected)
    wait_until(lambda: cluster.worker.edit_places() == (2, 2))


def test_jobs_of_two_owners_run_at_once_and_a_long_one_gives_its_helper_back(cluster: Cluster) -> None:
    jobs = {ANN: cluster.submit(2, steps=ENDLESS)}
    wait_until(lambda: len(cluster.claimants(jobs[ANN])) == 2)
    jobs[BOB] = cluster.submit(3, BOB, steps=ENDLESS)
    wait_until(lambda: cluster.worker.status(jobs[BOB].id, BOB).progress)
    assert cluster.worker.status(jobs[ANN].id, ANN).job.state is JobState.RUNNING
    for owner, job in jobs.items():
        cluster.worker.cancel(job.id, owner)
        end = finished(cluster.worker, job.id, owner).job
        assert (end.state, end.message) == (JobState.CANCELLED, STOPPED)


def test_what_the_user_can_mend_is_told_as_by_the_thread(cluster: Cluster) -> None:
    project = kept(cluster.store, cluster.project)
    broken = replace(project, regions=(replace(project.regions[0], prompt="a red panda " * 40),))
    job = finished(cluster.worker, cluster.worker.submit(ANN, JobKind.EDIT, broken).id).job
    assert job.state is JobState.FAILED
    assert "token" in job.message


def test_an_actor_that_has_rested_comes_back_when_a_job_waits_for_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = cluster.places[1]
    monkeypatch.setattr(second, "_rest_seconds", 0.0)
    cluster.worker.cancel(cluster.submit(4).id, ANN)  # whoever was idle looks around
    wait_until(lambda: cluster.worker.edit_places() == (1, 1))
    monkeypatch.setattr(second, "_rest_seconds", 1000.0)
    jobs = [cluster.submit(seed) for seed in (5, 6)]
    wait_until(lambda: second.is_there)
    assert all(finished(cluster.worker, job.id).job.state is JobState.DONE for job in jobs)
