import os
import pickle
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from fake_jobs import ANN, Count, Counted, count, finished, handler

from ui.work.segmenting import Segmenting
from videograin.errors import JobError
from videograin.jobs.executor import Outcome, gpu_seconds, is_zero_gpu, on_own_thread, on_zero_gpu
from videograin.jobs.settings import OperatorSettings, ZeroGpuSize
from videograin.jobs.store import Job, JobKind, JobState, JobStore
from videograin.jobs.worker import Worker

SPACES = """
import multiprocessing

lent = []

def GPU(task, *, duration, size):
    def run(job):
        lent.append((duration(job), size))
        if duration(job) > 800:
            raise RuntimeError("You have exceeded your GPU quota")
        queue = multiprocessing.get_context("fork").SimpleQueue()
        process = multiprocessing.get_context("fork").Process(target=lambda: queue.put(task(job)))
        process.start()
        process.join()
        return queue.get()
    return run
"""
"""Like the package of that name on ZeroGPU: the task runs in a fork that is lent a GPU, results come back pickled."""

JOB = Job("id", "owner", JobKind.EDIT, "key", time.time(), expected_seconds=10.0)


@pytest.fixture
def spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The module that stands in for `spaces`."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/spaces.py").write_text(SPACES)
    monkeypatch.syspath_prepend(tmp_path / "site")
    import spaces  # pyright: ignore[reportMissingImports]

    yield spaces
    del __import__("sys").modules["spaces"]


def test_on_one_s_own_machine_the_task_is_run_as_it_is() -> None:
    done = Outcome(JobState.DONE)
    (place,) = on_own_thread(lambda _job: done)
    assert place.run(JOB) is done
    assert place.wait_until_there(is_needed=False)


def test_zero_gpu_takes_the_variable_and_the_package(spaces, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_zero_gpu()
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert is_zero_gpu()
    monkeypatch.setattr("videograin.jobs.executor.find_spec", lambda _name: None)
    assert not is_zero_gpu()


def test_a_gpu_is_lent_for_what_the_job_should_take_and_for_loading_and_no_longer() -> None:
    assert gpu_seconds(JOB) == 25  # 15 to load the models, and 10
    assert gpu_seconds(Job("id", "owner", JobKind.EDIT, "key", 0.0)) == 135


def test_the_app_imports_the_package_before_anything_can_look_for_a_gpu(tmp_path: Path) -> None:
    (tmp_path / "spaces.py").write_text("import sys; print('torch' in sys.modules, 'gradio' in sys.modules)")
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(tmp_path), str(root)])
    command = [sys.executable, "-c", "import app"]
    run = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=300)
    assert run.stdout.split() == ["False", "False"], run.stderr


def test_clicks_are_answered_without_a_gpu_where_it_is_lent_to_jobs_alone(
    spaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = []
    monkeypatch.setattr("videograin.engine.load_segmenter", lambda _name, device, **_: devices.append(device))
    Segmenting(OperatorSettings(data_folder=tmp_path)).model("grabcut")
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    Segmenting(OperatorSettings(data_folder=tmp_path, device="cuda")).model("grabcut")
    assert devices == [None, "cpu"]


def test_job_and_outcome_travel_between_processes() -> None:
    outcome = Outcome(JobState.DONE, notes=("a note",))
    assert pickle.loads(pickle.dumps((JOB, outcome))) == (JOB, outcome)


@pytest.mark.parametrize(("seconds", "state"), [(10.0, JobState.DONE), (900.0, JobState.FAILED)])
def test_on_zero_gpu_a_job_is_done_in_another_process(tmp_path: Path, spaces, seconds: float, state: JobState) -> None:
    seen: list[str] = []

    def run(request: Count, context) -> Counted:
        seen.append(request.word)  # in the fork, unseen from here
        context.note("drawn elsewhere")
        return count(request, context)

    handlers, xlarge = {JobKind.EDIT: handler(run, seconds)}, partial(on_zero_gpu, size=ZeroGpuSize.XLARGE)
    worker = Worker(JobStore(tmp_path / "jobs"), handlers, OperatorSettings(data_folder=tmp_path), xlarge)
    worker.start()
    status = finished(worker, worker.submit(ANN, JobKind.EDIT, Count("fox")).id)
    assert status.job.state is state
    assert seen == []
    if state is JobState.DONE:
        assert (status.results / status.result.file).read_text() == "fox"
        assert status.job.notes == ("drawn elsewhere",)
        assert spaces.lent == [(25, "xlarge")]
    else:
        assert "exceeded your GPU quota" in status.job.message
    assert worker.stop()


def test_the_reason_why_no_gpu_was_lent_is_told(spaces) -> None:
    (place,) = on_zero_gpu(lambda _job: Outcome(JobState.DONE))
    with pytest.raises(JobError, match=r"No GPU could be lent .*exceeded your GPU quota.* Try later"):
        place.run(Job("id", "owner", JobKind.EDIT, "key", 0.0, expected_seconds=5000.0))
