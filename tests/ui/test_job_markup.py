"""What is said of jobs: a result from before never passes for the one that was asked for."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ui.rendering import job_markup
from videograin.jobs.store import Job, JobKind, JobState
from videograin.jobs.worker import JobStatus


def status_of(number: int, state: JobState, kind: JobKind = JobKind.EDIT) -> JobStatus:
    job = Job(id=f"job{number}", owner="", kind=kind, key="", created=float(number), state=state, message="Why.")
    return JobStatus(
        job=job, progress=None, preview=None, ahead=0, seconds_ahead=None, results=Path(), result=None
    )  # fmt: skip


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.DONE])
def test_a_result_is_marked_as_an_earlier_one_until_the_edit_asked_for_last_is_done(state):
    result, latest = status_of(1, JobState.DONE), status_of(2, state)
    assert "vg-earlier" in job_markup.result_note(result, latest)
    assert job_markup.result_note(result, result) == ""
    assert "vg-earlier" not in job_markup.result_note(result, status_of(2, JobState.DONE))


def test_a_preview_says_that_it_is_none():
    preview = replace(status_of(1, JobState.DONE, JobKind.PREVIEW), result=SimpleNamespace(frames=4))
    assert "A preview: the first frames" in job_markup.result_note(preview, preview)


def test_a_bar_names_its_job_for_those_who_do_not_see_it_and_an_outcome_has_no_bar():
    bar = job_markup.progress_bar(status_of(1, JobState.QUEUED))
    assert "role='progressbar' aria-label='Edit' aria-valuenow='0'" in bar
    assert "data-action='cancel' data-value='job1'" in bar
    assert job_markup.outcome(status_of(1, JobState.RUNNING)) == ""
    assert "Why." in job_markup.outcome(status_of(1, JobState.FAILED))


def test_the_address_of_a_file_escapes_what_addresses_set_apart():
    links = job_markup.download_links("/data #1/50%/edit.mp4", "/data #1/50%/beside.mp4")
    assert "href='gradio_api/file=/data%20%231/50%25/edit.mp4'" in links
    assert "#" not in links
