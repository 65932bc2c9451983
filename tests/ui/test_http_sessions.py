"""A running studio that many use at once, and one that ends and comes back."""

import signal
from pathlib import Path

import pytest
from api_visitor import ApiVisitor
from fakes import tiny_pipeline
from synthetic_video import make

from benchmarks.sessions import Verdict, ask_at_once
from benchmarks.studio import running_studio
from videograin.media.video import ClipOptions, load_clip

pytestmark = pytest.mark.slow

STOP_SECONDS = 15


def test_many_users_with_many_jobs_each_get_their_own(address: str, tmp_path: Path) -> None:
    assert ask_at_once(address, tmp_path, sessions=3, jobs=3) == [Verdict.RIGHT] * 9


NEVER_DONE = """
import runpy, time
from videograin.jobs.editing.edit_jobs import EditJobs

EditJobs.edit = lambda *_: time.sleep(600)
runpy.run_path("app.py", run_name="__main__")
"""


def test_what_ran_is_interrupted_and_what_waited_is_kept_when_a_studio_ends_and_comes_back(tmp_path: Path) -> None:
    clip = make(tmp_path / "clip.mp4", "testsrc2=s=160x160:r=8:d=2")
    model = tmp_path / "tiny"
    tiny_pipeline().save_pretrained(model)
    with running_studio(tmp_path, ("-c", NEVER_DONE), models=model) as studio:
        visitor = ApiVisitor(studio.url)
        session = visitor.session
        visitor.mark_middle(tmp_path, visitor.open(clip, short_side=160, frames=16))
        stuck, stopped = (visitor.edit(steps=50, seed=seed) for seed in (1, 2))
        visitor.mark_middle(tmp_path, visitor.open(clip))
        waiting = visitor.edit()
        visitor.wait(stuck, "running")
        assert studio.stop(signal.SIGTERM) < STOP_SECONDS  # though this step does not end
        assert studio.process.returncode == 1
    with running_studio(tmp_path, models=model) as studio:
        visitor = ApiVisitor(studio.url, session=session)
        status = visitor.call("get_job", stuck)
        assert (status["state"], status["message"]) == (
            "interrupted",
            "The studio was restarted while this was running. Start it again.",
        )
        visitor.wait(stopped, "running")
        assert studio.stop(signal.SIGTERM) < STOP_SECONDS
        assert studio.process.returncode == 0
    with running_studio(tmp_path, models=model) as studio:
        visitor = ApiVisitor(studio.url, session=session)
        assert visitor.call("get_job", stopped)["state"] == "interrupted"
        assert visitor.wait(waiting)["state"] == "done"
        frames = load_clip(visitor.result(waiting), ClipOptions(short_side=None, multiple=2)).frames
        assert frames.shape == (4, 160, 160, 3)  # the source's size
        assert visitor.call("get_work")["objects"][0]["prompt"] == "a panda"
