import resource
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fake_jobs import Counted
from PIL import Image

from videograin.errors import Cancelled, ProjectError
from videograin.jobs.context import (
    HELPING,
    JobContext,
    ask_to_stop,
    is_asked_to_stop,
    may_resume,
    read_finished,
    read_preview,
    read_progress,
    read_result,
    remove_traces,
    write_result,
)
from videograin.progress import Phase, Progress

FRAMES = np.zeros((2, 8, 8, 3), np.uint8)


def test_nothing_is_known_before_a_job_says_something(tmp_path: Path) -> None:
    assert (read_progress(tmp_path), read_preview(tmp_path), read_result(tmp_path, Counted)) == (None, None, None)


def test_what_a_power_failure_cut_short_is_as_if_it_had_not_been_said(tmp_path: Path) -> None:
    for name in ("progress.json", "result.json"):
        (tmp_path / name).write_bytes(b"")
    assert (read_progress(tmp_path), read_result(tmp_path, Counted)) == (None, None)


def test_what_a_job_says_is_read_as_it_was_said(tmp_path: Path) -> None:
    context = JobContext(tmp_path)
    for done, seconds in enumerate((None, 1.5)):
        progress = Progress(Phase.INVERT, done, 2, seconds)
        context.report(progress)
        assert read_progress(tmp_path) == progress
    write_result(tmp_path, Counted("fox", Path("word.txt")))
    assert read_result(tmp_path, Counted) == Counted("fox", Path("word.txt"))


def test_a_job_that_shall_stop_learns_it_with_its_next_report(tmp_path: Path) -> None:
    context = JobContext(tmp_path)
    assert not context.cancelled
    ask_to_stop(tmp_path)
    assert context.cancelled
    with pytest.raises(Cancelled):
        context.report(Progress(Phase.EDIT, 1, 2, None))


def test_previews_are_moving_pictures_of_which_the_last_two_stay(tmp_path: Path) -> None:
    context = JobContext(tmp_path)
    for _ in range(12):
        context.preview(FRAMES, fps=8)
    assert [path.name for path in sorted(tmp_path.glob("*.webp"))] == ["preview-0011.webp", "preview-0012.webp"]
    preview = read_preview(tmp_path)
    assert preview is not None
    assert preview.name == "preview-0012.webp"
    assert Image.open(BytesIO(preview.read_bytes())).format == "WEBP"


def test_a_second_attempt_starts_with_no_results(tmp_path: Path) -> None:
    (JobContext(tmp_path).results / "half.mp4").touch()
    context = JobContext(tmp_path, is_lean=True)
    assert context.is_lean
    assert list(context.results.iterdir()) == []


def test_a_folder_that_cannot_go_yet_as_on_nfs_is_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    JobContext(tmp_path)
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
    assert JobContext(tmp_path, is_lean=True).scratch.is_dir()


@pytest.mark.parametrize("keep", [True, False])
def test_only_results_outlive_a_job_and_only_if_they_are_to(tmp_path: Path, keep: bool) -> None:
    context = JobContext(tmp_path)
    context.report(Progress(Phase.EDIT, 0, 1, None))
    context.preview(FRAMES, fps=8)
    (context.results / "edit.mp4").touch()
    (tmp_path / ".0123.part").touch()
    (tmp_path / f"{HELPING}a place that was killed").mkdir()
    write_result(tmp_path, Counted("fox", Path()))
    ask_to_stop(tmp_path)
    remove_traces(tmp_path, keep_results=keep)
    assert sorted(path.name for path in tmp_path.rglob("*")) == (["edit.mp4", "result.json", "results"] if keep else [])


def test_what_is_finished_is_shown_under_ever_new_names_of_which_the_last_two_stay(tmp_path: Path) -> None:
    context = JobContext(tmp_path)
    for content in (b"one", b"two", b"three"):
        context.show_finished(lambda path, content=content: path.write_bytes(content))
    newest = read_finished(tmp_path)
    assert newest is not None
    assert newest.read_bytes() == b"three"
    assert [file.name for file in sorted(tmp_path.glob("*.mp4"))] == ["finished-0002.mp4", "finished-0003.mp4"]


def test_a_job_goes_on_after_a_restart_only_as_long_as_it_finishes_more(tmp_path: Path) -> None:
    context = JobContext(tmp_path)
    assert not may_resume(tmp_path)
    (context.segments / "000000.npz").touch()
    ask_to_stop(tmp_path, for_restart=True)
    assert may_resume(tmp_path)
    assert not context.cancelled
    assert not may_resume(tmp_path)  # it ended the process twice at the same place
    (context.segments / "000001.npz").touch()
    ask_to_stop(tmp_path)
    assert not may_resume(tmp_path)  # its user had asked it to stop


@contextmanager
def full_disk() -> Iterator[None]:
    """Make files that this process writes stay empty, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_restart_that_cannot_be_told_is_not_taken_for_the_user_s_wish(tmp_path: Path) -> None:
    with full_disk(), pytest.raises(ProjectError):
        ask_to_stop(tmp_path, for_restart=True)
    assert not is_asked_to_stop(tmp_path)


def test_a_studio_starts_whatever_a_full_disk_has_left_of_the_count_of_windows(tmp_path: Path) -> None:
    (JobContext(tmp_path).segments / "000000.npz").touch()
    (tmp_path / "resumed").touch()
    with full_disk():
        assert not may_resume(tmp_path)
    assert may_resume(tmp_path)
    assert not may_resume(tmp_path)


def test_what_cannot_be_removed_does_not_keep_a_job_from_ending(tmp_path: Path) -> None:
    context = JobContext(tmp_path)
    context.preview(FRAMES, fps=8)
    (tmp_path / "progress.json" / "not a file").mkdir(parents=True)
    remove_traces(tmp_path, keep_results=True)
    assert read_preview(tmp_path) is None


def test_a_report_that_cannot_be_written_ends_the_job(tmp_path: Path) -> None:
    context = JobContext(tmp_path)
    (tmp_path / "progress.json").mkdir()
    with pytest.raises(ProjectError):
        context.report(Progress(Phase.EDIT, 0, 1, None))
