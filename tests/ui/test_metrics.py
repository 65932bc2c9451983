"""/metrics counts jobs from their beginning to their end, and says what is so when it is asked."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fake_jobs import ANN, Count, Stepper, finished, handler, wait_until
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.testclient import TestClient

from ui.operations.metrics import StudioMetrics, metrics_route
from ui.work.service import StudioService
from videograin.jobs.context import JobContext
from videograin.jobs.model_shelf import GpuMemory
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import Job, JobKind, JobState, JobStore
from videograin.jobs.worker import Worker


@pytest.fixture
def stepper() -> Stepper:
    return Stepper()


@pytest.fixture
def studio(tmp_path: Path, stepper: Stepper) -> Iterator[SimpleNamespace]:
    """A worker whose edits wait for the stepper and whose previews fail, and a GPU that is a quarter full."""

    def fail(_request: Count, _context: JobContext) -> Any:
        raise ZeroDivisionError

    handlers = {JobKind.EDIT: handler(stepper.run), JobKind.PREVIEW: handler(fail)}
    metrics, store = StudioMetrics(), JobStore(tmp_path / "jobs")
    worker = Worker(store, handlers, OperatorSettings(data_folder=tmp_path), observe=metrics.note)
    worker.start()
    shelf = SimpleNamespace(gpu_memory=lambda: [GpuMemory(10, 40)], stage_seconds=lambda: {"windows": 7.5})
    opened = SimpleNamespace(worker=worker, store=store, shelf=shelf, metrics=metrics)
    metrics.watch(cast(StudioService, opened))
    yield opened
    stepper.let(1000)
    assert worker.stop(10)


def read(metrics: StudioMetrics) -> dict[str, float]:
    """Return the samples of /metrics by name and labels."""
    answer = TestClient(Starlette(routes=[metrics_route(metrics)])).get("/metrics")
    assert answer.status_code == 200
    families = list(text_string_to_metric_families(answer.text))
    samples = [sample for family in families for sample in family.samples]
    return {" ".join([each.name, *map(str, each.labels.values())]): each.value for each in samples}


def test_the_queue_the_places_and_the_gpu_are_told_as_they_are(studio: SimpleNamespace) -> None:
    first, _ = (studio.worker.submit(ANN, JobKind.EDIT, Count(word)) for word in ("fox", "owl"))
    wait_until(lambda: studio.worker.status(first.id, ANN).progress)
    told = read(studio.metrics)
    assert (told["videograin_jobs queued"], told["videograin_jobs running"]) == (1, 1)
    assert (told["videograin_edit_places free"], told["videograin_edit_places busy"]) == (0, 1)
    memory = told["videograin_gpu_memory_bytes 0 used"], told["videograin_gpu_memory_bytes 0 free"]
    assert memory == (10, 30)
    assert told["videograin_stage_seconds_total windows"] == 7.5


def test_waits_lengths_and_failures_add_up(studio: SimpleNamespace, stepper: Stepper) -> None:
    stepper.let(100)
    done = finished(studio.worker, studio.worker.submit(ANN, JobKind.EDIT, Count("fox")).id).job
    finished(studio.worker, studio.worker.submit(ANN, JobKind.PREVIEW, Count("fox")).id)
    assert done.started is not None
    assert done.ended is not None
    told = read(studio.metrics)
    assert told["videograin_jobs_ended_total edit done"] == told["videograin_jobs_ended_total preview failed"] == 1
    assert told["videograin_job_seconds_sum edit"] == pytest.approx(done.ended - done.started)
    assert told["videograin_job_wait_seconds_count preview"] == 1
    spent = told["videograin_place_seconds_total edit"] + told["videograin_place_seconds_total preview"]
    assert told["videograin_session_seconds_gsum"] == pytest.approx(spent)
    assert told["videograin_session_seconds_bucket +Inf"] == told["videograin_session_seconds_bucket 7200.0"] == 1


def test_a_clock_that_is_set_back_takes_nothing_from_what_has_added_up() -> None:
    metrics, job = StudioMetrics(), Job("id", "owner", JobKind.EDIT, "key", created=100.0)
    metrics.note(replace(job, state=JobState.RUNNING, started=40.0))
    metrics.note(replace(job, state=JobState.DONE, started=40.0, ended=10.0))
    told = read(metrics)
    assert told["videograin_job_wait_seconds_sum edit"] == told["videograin_job_seconds_sum edit"] == 0


def test_no_owner_and_no_word_is_among_them(studio: SimpleNamespace, stepper: Stepper) -> None:
    stepper.let(100)
    job = finished(studio.worker, studio.worker.submit(ANN, JobKind.EDIT, Count("garden")).id).job
    told = " ".join(read(studio.metrics))
    assert not any(secret in told for secret in (job.owner, job.id, ANN, "garden"))
