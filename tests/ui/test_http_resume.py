"""A studio that is killed while it edits a long clip, and started again."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest
from api_visitor import ApiVisitor
from fakes import tiny_pipeline
from synthetic_video import make

from benchmarks.studio import running_studio
from videograin.media.video import ClipOptions, load_clip

pytestmark = pytest.mark.slow

FRAMES, STEPS = 10, 12
WINDOWS = {"window_frames": 5, "anchor_frames": 1, "window_overlap": 1}
WHOLE = ClipOptions(short_side=None, multiple=1)


def wait_for_part(visitor: ApiVisitor, job: str, part: int) -> None:
    """Wait until a job draws its part of this number."""
    while True:
        status = visitor.call("get_job", job)
        if status["phase"] == "edit" and status["part"] == part:
            return
        assert status["state"] in ("queued", "running"), status
        assert (status["part"] or 0) <= part, status
        time.sleep(0.02)


def test_killed_in_its_third_window_a_studio_resumes_and_the_frames_are_those_of_an_edit_left_alone(tmp_path: Path):
    tiny_pipeline().save_pretrained(tmp_path / "tiny")
    clip = make(
        tmp_path / "clip.mp4", "testsrc=s=96x64:r=8:d=1.25", "-f", "lavfi", "-i", "sine=440:d=1.25", "-shortest"
    )
    choice = {"frames": 16, "short_side": 32}
    with running_studio(tmp_path / "studio", models=tmp_path / "tiny") as studio:
        alone, killed = ApiVisitor(studio.url), ApiVisitor(studio.url)
        for visitor in (alone, killed):
            visitor.mark_middle(tmp_path, visitor.open(clip, **choice))
        expected_job = alone.edit(STEPS, **WINDOWS)
        assert alone.wait(expected_job)["state"] == "done"
        expected = load_clip(alone.result(expected_job), WHOLE).frames
        job = killed.edit(STEPS, **WINDOWS)
        wait_for_part(killed, job, 4)  # the anchors come first
        studio.stop(signal.SIGKILL)
    with running_studio(tmp_path / "studio", models=tmp_path / "tiny") as studio:
        again = ApiVisitor(studio.url, session=killed.session)
        status = again.wait(job)
        assert status["state"] == "done", status
        frames = load_clip(again.result(job), WHOLE).frames
    assert len(frames) == FRAMES
    assert np.array_equal(frames, expected)
