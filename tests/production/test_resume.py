"""An edit of several windows that is cut off: by its user, by a restart, by the death of the process."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from fake_jobs import ANN, finished, wait_until
from windowed_project import FRAMES, WHOLE, WINDOWS, kept, windowed_project

from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.diffusion.windows.clip_edit import EditedWindow
from videograin.jobs.editing.edit_jobs import STOPPED_EARLY, EditJobs
from videograin.jobs.model_shelf import ModelShelf
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import JobKind, JobState, JobStore
from videograin.jobs.worker import Worker
from videograin.media.video import load_clip, probe
from videograin.production import produce
from videograin.production.segments import Segments
from videograin.project.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return windowed_project(tmp_path)


Open = Callable[[], tuple[Worker, JobStore]]


@pytest.fixture
def open_worker(tmp_path: Path, project: Project) -> Iterator[Open]:
    """Open the studio of a data folder, again and again."""
    opened: list[Worker] = []

    def open_one() -> tuple[Worker, JobStore]:
        settings = OperatorSettings(data_folder=tmp_path / "data", models=(project.model,), max_side=256)
        store = JobStore(tmp_path / "data" / "jobs")
        jobs = EditJobs(ModelShelf(tmp_path / "cache", "cpu", offline=True, speed=1e9), settings)
        worker = Worker(store, jobs.handlers(), settings)
        opened.append(worker)
        return worker, store

    yield open_one
    for worker in opened:
        worker.stop()


def after_windows(
    monkeypatch: pytest.MonkeyPatch, count: int, act: Callable[[], object], *, at_once: bool = False
) -> None:
    """Act once as soon as that number of windows is edited: at once, or when the next one is asked for."""
    whole, left = VideoGrainPipeline.edit_windows, [count]

    def edit_windows(*arguments: Any, **options: Any) -> Iterator[EditedWindow]:
        for window in whole(*arguments, **options):
            left[0] -= 1
            is_it = left[0] == 0
            if is_it and at_once:
                act()
            yield window
            if is_it and not at_once:
                act()

    monkeypatch.setattr(VideoGrainPipeline, "edit_windows", edit_windows)


def test_a_cancelled_edit_keeps_its_finished_windows_as_a_clip(
    open_worker: Open, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, store = open_worker()
    worker.start()
    jobs: list[str] = []
    after_windows(monkeypatch, 2, lambda: (wait_until(lambda: bool(jobs)), worker.cancel(jobs[0], ANN)))
    jobs.append(worker.submit(ANN, JobKind.EDIT, kept(store, project)).id)
    status = finished(worker, jobs[0])
    assert status.job.state is JobState.DONE, status.job.message
    assert STOPPED_EARLY.format(5, FRAMES) in status.job.notes
    assert len(load_clip(status.results / status.result.video, WHOLE).frames) == status.result.frames == 5
    assert not (store.folder(status.job) / "segments").exists()


def test_a_window_is_written_while_a_gpu_edits_the_next_one(
    open_worker: Open, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    next_is_asked_for, add = Event(), Segments.add

    def wait_and_add(*arguments: Any) -> None:
        assert next_is_asked_for.wait(20)
        add(*arguments)

    monkeypatch.setattr(Segments, "add", wait_and_add)
    monkeypatch.setattr(produce, "_host_is_free", lambda _: True)
    after_windows(monkeypatch, 1, next_is_asked_for.set)
    worker, store = open_worker()
    worker.start()
    status = finished(worker, worker.submit(ANN, JobKind.EDIT, kept(store, project)).id)
    assert status.job.state is JobState.DONE, status.job.message
    assert status.result.frames == FRAMES


def test_an_edit_that_is_stopped_while_its_last_window_is_written_has_it(
    open_worker: Open, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[str] = []
    last_is_edited, add = Event(), Segments.add

    def stop_before_the_last(segments: Segments, *arguments: Any) -> None:
        if segments.count == WINDOWS - 1:
            time.sleep(0.5)
        add(segments, *arguments)
        if segments.count == WINDOWS - 1:
            assert last_is_edited.wait(20)
            worker.cancel(jobs[0], ANN)

    after_windows(monkeypatch, WINDOWS, last_is_edited.set, at_once=True)
    monkeypatch.setattr(Segments, "add", stop_before_the_last)
    monkeypatch.setattr(produce, "_host_is_free", lambda _: True)
    worker, store = open_worker()
    worker.start()
    jobs.append(worker.submit(ANN, JobKind.EDIT, kept(store, project)).id)
    status = finished(worker, jobs[0])
    assert status.job.state is JobState.DONE, status.job.message
    assert status.result.frames == FRAMES
    assert not any(note.startswith(STOPPED_EARLY[:20]) for note in status.job.notes)


def test_an_edit_that_a_restart_cuts_off_goes_on_and_ends_with_the_same_frames(
    open_worker: Open, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, store = open_worker()
    worker.start()
    whole = finished(worker, worker.submit(ANN, JobKind.EDIT, kept(store, project)).id)
    expected = load_clip(whole.results / whole.result.video, WHOLE).frames
    reached = Event()
    after_windows(monkeypatch, 2, lambda: (reached.set(), wait_until(lambda: any(store.root.rglob("stop")))))
    other = replace(kept(store, project), negative_prompt="", background=" ")  # another job, the same edit
    job = worker.submit(ANN, JobKind.EDIT, other)
    assert reached.wait(60)
    assert worker.stop(timeout=60)
    again, store = open_worker()
    assert store.find(job.id, ANN).state is JobState.RUNNING
    again.start()
    status = finished(again, job.id)
    assert status.job.state is JobState.DONE, status.job.message
    assert np.array_equal(load_clip(status.results / status.result.video, WHOLE).frames, expected)
    assert probe(status.results / status.result.video).has_audio
