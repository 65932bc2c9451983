"""What an edit takes is told of what is really edited: the part that was chosen, and the crop around the objects."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from synthetic_video import make

from ui.rendering.cost_markup import WorkCost, clip_cost_note, work_cost_note
from ui.rendering.pictures import framed
from ui.work.costs import Amount, chosen_part, clip_cost, work_cost
from ui.work.session import Session
from videograin.jobs.model_shelf import ModelShelf
from videograin.media.video import ClipOptions, load_clip, probe
from videograin.models.time_left import Estimate
from videograin.production.source_edit import SourceEdit
from videograin.project import objects
from videograin.project.workspace import Workspace
from videograin.region import EditSettings

OPTIONS = ClipOptions(short_side=32, multiple=16)
MINUTE_LONG_VIDEO = replace(probe(Path(__file__).parents[2] / "assets/clips/friends/clip.mp4"), duration=60.0, fps=30.0)


class PixelShelf:
    """A shelf on which a frame of 1,000 pixels takes a second, and half of it where deep features are kept."""

    def estimate(self, _model: str, _controls: object, shape: tuple[int, int, int], settings: EditSettings) -> Estimate:
        pace = 1000 if settings.cache_interval == 1 else 2000
        return Estimate(seconds=float(np.prod(shape)) / pace, inversion_seconds=0, peak_bytes=2**30)


SHELF = cast(ModelShelf, PixelShelf())


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A video of 192×128 in which a small object is marked at the lower right."""
    file = make(tmp_path / "clip.mp4", "testsrc=s=192x128:r=8:d=0.5")
    clip = load_clip(file, OPTIONS)
    mask = np.zeros(clip.frames.shape[1:3], bool)
    mask[20:26, 30:36] = True
    work = objects.add_object(Workspace(clip=file, source_prompt="", model="emoji-world", clip_options=OPTIONS), "ball")
    for frame in range(len(clip.frames)):
        work = objects.set_mask(work, 1, frame, mask, len(clip.frames))
    work = objects.change_object(work, 1, lambda each: replace(each, prompt="a panda"))
    return Session("id", tmp_path, work=work, clip=clip)


def test_the_cost_is_that_of_what_the_pipeline_is_given(session: Session, tmp_path: Path) -> None:
    cost = work_cost(SHELF, session, EditSettings())
    assert cost is not None
    (tmp_path / "scratch").mkdir()
    request = SourceEdit.prepare(session.opened_work, tmp_path / "scratch").request
    assert request is not None
    given = request.frames.shape[:3]
    assert cost.shape == given != session.opened_clip.frames.shape[:3]
    assert cost.estimate == SHELF.estimate("", (), given, EditSettings())


def test_the_part_that_is_drawn_holds_the_object_and_is_smaller_than_the_picture(session: Session) -> None:
    cost = work_cost(SHELF, session, EditSettings())
    assert cost is not None
    ((left, top, right, bottom),) = cost.boxes
    assert left <= 30 < 36 <= right
    assert top <= 20 < 26 <= bottom
    assert (right - left) * (bottom - top) < 0.5 * 32 * 48


def test_without_focus_the_whole_picture_is_drawn_and_is_the_result(session: Session) -> None:
    cost = work_cost(SHELF, session, EditSettings(focus=False))
    assert cost is not None
    assert (cost.boxes, cost.keeps_size) == ((), False)
    assert "the result is as large: 48×32" in work_cost_note(cost, session.opened_clip.frames)


def test_before_an_object_has_words_nothing_is_said(session: Session) -> None:
    session.work = objects.change_object(session.opened_work, 1, lambda each: replace(each, prompt=""))
    assert work_cost(SHELF, session, EditSettings()) is None


def test_a_whole_clip_its_beginning_fewer_frames_and_a_draft_are_told_in_one_sentence() -> None:
    info = replace(MINUTE_LONG_VIDEO, duration=10.2, width=1080, height=1920)
    note = clip_cost_note(clip_cost(SHELF, info, ClipOptions(short_side=256, multiple=32), "emoji-world"))
    assert note.startswith(
        "<p class='vg-estimate'><b>10.2 s</b> at 30 fps, <b>1080×1920</b>: about <b>9.7 h</b> on this machine; "
        "first 2 s: 1.9 h; at 10 frames a second: 3.2 h; as a draft: 4.9 h."
    )


def test_where_a_limit_of_frames_ends_the_clip_that_is_said() -> None:
    options = ClipOptions(short_side=256, multiple=32, max_frames=900)
    note = clip_cost_note(clip_cost(SHELF, MINUTE_LONG_VIDEO, options, "emoji-world"))
    assert "<b>30.0 s</b>" in note
    assert "Of 60.0 s no more is edited, for 'Frames at most', under Advanced, is 900" in note
    single = replace(options, max_frames=1)
    assert "1 frame of 256×256" in clip_cost_note(clip_cost(SHELF, MINUTE_LONG_VIDEO, single, "emoji-world"))
    assert "no more" not in clip_cost_note(clip_cost(SHELF, MINUTE_LONG_VIDEO, ClipOptions(), "emoji-world"))


@pytest.mark.parametrize(
    ("amount", "before", "after"),
    [
        (Amount.WHOLE, (3.0, 5.0), (0.0, 60.0, 30.0)),
        (Amount.PART, (0.0, 60.0), (0.0, 2.0, 30.0)),
        (Amount.PART, (3.0, 5.0), (3.0, 5.0, 30.0)),
        (Amount.FEWER, (3.0, None), (3.0, 60.0, 10.0)),
    ],
)
def test_a_choice_sets_the_fields_of_the_part(amount, before, after) -> None:
    assert chosen_part(amount, MINUTE_LONG_VIDEO, *before) == after


def test_a_part_that_reaches_over_the_picture_is_outlined_within_it() -> None:
    cost = WorkCost((1, 32, 32), 8, 0, ((-5, 10, 30, 99),), keeps_size=True, estimate=None)
    assert "The bright part is drawn, at 32×32" in work_cost_note(cost, np.zeros((1, 40, 20, 3), np.uint8))


def test_two_parts_that_are_drawn_are_both_outlined() -> None:
    cost = WorkCost((1, 32, 64), 8, 0, ((0, 0, 8, 8), (30, 10, 38, 18)), keeps_size=True, estimate=None)
    assert "The bright parts are drawn, in one picture of 64×32" in work_cost_note(
        cost, np.zeros((1, 20, 40, 3), np.uint8)
    )
    picture = framed(np.full((20, 40, 3), 200, np.uint8), cost.boxes)
    assert (picture[4, 4] == picture[14, 34]).all()
    assert (picture[4, 34] < picture[4, 4]).all()
