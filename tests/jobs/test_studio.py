from dataclasses import replace
from pathlib import Path

import pytest
from fake_jobs import ANN, Count, finished, handler, wait_until
from fakes import tiny_pipeline

from videograin.errors import JobError, ModelError, SettingsError
from videograin.jobs import executor, studio
from videograin.jobs.settings import OperatorSettings, ZeroGpuSize
from videograin.jobs.store import JobKind, JobState
from videograin.jobs.studio import open_studio
from videograin.region import EditSettings


@pytest.fixture
def settings(tmp_path: Path) -> OperatorSettings:
    tiny_pipeline().save_pretrained(tmp_path / "tiny")
    return OperatorSettings(data_folder=tmp_path, models=(str(tmp_path / "tiny"),), device="cpu", offline=True)


def test_a_studio_loads_its_model_before_its_first_job_and_takes_every_kind_of_job(settings: OperatorSettings) -> None:
    ages: list[float] = []
    opened = open_studio(settings, {JobKind.TRACK: handler()}, [ages.append])
    wait_until(lambda: ages == [settings.retention_hours * 3600])
    assert opened.worker.is_alive
    assert finished(opened.worker, opened.worker.submit(ANN, JobKind.TRACK, Count("fox")).id).job.state is JobState.DONE
    wait_until(lambda: opened.shelf.state.held)  # following has a lane of its own, and does not wait for the model
    assert opened.shelf.estimate(settings.models[0], (), (3, 16, 16), EditSettings(num_inference_steps=2))
    assert opened.shelf.state.held == settings.models[0]
    with pytest.raises(JobError, match="in use by another studio"):
        open_studio(settings)
    assert opened.worker.stop()


def test_a_default_model_that_is_not_there_is_told_at_the_start(settings: OperatorSettings) -> None:
    with pytest.raises(ModelError, match="no model at"):
        open_studio(OperatorSettings(data_folder=settings.data_folder, models=("/no/such/model",), offline=True))


def test_on_zero_gpu_nothing_is_timed_and_jobs_are_lent_a_gpu(
    settings: OperatorSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lent: list[str] = []

    def lend(task: executor.Task, size: str) -> list[executor.Place]:
        lent.append(size)
        return [executor.Place(task)]

    monkeypatch.setattr(studio, "is_zero_gpu", lambda: True)
    monkeypatch.setattr(studio, "on_zero_gpu", lend)
    monkeypatch.setattr("videograin.engine.measure_speed", lambda *_: pytest.fail("timed"))
    opened = open_studio(replace(settings, zero_gpu_size=ZeroGpuSize.XLARGE))
    assert lent == ["xlarge"]
    assert opened.worker.stop()


def test_a_cluster_without_its_package_is_told_at_the_start(
    settings: OperatorSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studio, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match=r"VIDEOGRAIN_EXECUTOR is ray, .* pip install '\.\[ray\]'"):
        open_studio(replace(settings, executor="ray"))
