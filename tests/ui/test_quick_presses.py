"""Presses before the answer to the one before, and fields that are empty for a moment: nothing else is hit."""

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import numpy as np
import pytest
from page_events import event, form_of, presses

from ui.api import Api
from ui.components import Page
from ui.handlers.whole_page import WholePageHandlers
from ui.rendering import model_markup, widgets
from ui.views import BUSY_SECONDS, Updates, Views
from ui.work.marking import Marking
from ui.work.pointing import Answers
from ui.work.segmenting import Segmenting
from ui.work.service import StudioService
from ui.work.session import Session
from videograin.errors import RegionError
from videograin.jobs.suggest import suggest_handlers
from videograin.jobs.track import track_handlers
from videograin.jobs.worker import Worker
from videograin.models.adapters import Adapter
from videograin.models.bundles import find_bundle
from videograin.models.presets import PRESETS, Preset
from videograin.project import objects

Answer = Callable[..., Updates]


def half(size: tuple[int, int], *, is_left: bool) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[:, : size[1] // 2] = True
    return mask if is_left else ~mask


def offered_sizes(buttons: str) -> list[str]:
    return [
        size for size, rest in re.findall("data-action='(smaller|bigger)'([^>]*)", buttons) if "disabled" not in rest
    ]


@pytest.fixture
def session(opened: Session) -> Session:
    """Two objects, each marked on the first frame, of which one is a red panda."""
    frames, *size = opened.opened_clip.frames.shape[:3]
    for number in (1, 2):
        work = objects.add_object(opened.opened_work)
        work = objects.set_mask(work, number, 0, half((size[0], size[1]), is_left=number == 1), frames)
        opened.change(work)
    opened.set_words(objects.say(opened.opened_work, 1, "a red panda"))
    return opened


def test_a_lora_s_button_that_is_pressed_twice_removes_no_other(session: Session, answer: Answer) -> None:
    loras = Adapter(hub_id="ann/paper"), Adapter(hub_id="ann/clay")
    session.set_words(replace(session.opened_work, adapters=loras))
    press = presses(model_markup.lora_list(loras), "remove")[0]
    for _ in range(2):
        answer("lora_action", session.id, press)
    assert session.opened_work.adapters == loras[1:]


def test_a_random_idea_shows_what_it_makes_of_a_sentence_in_own_words(
    session: Session, page: Page, answer: Answer
) -> None:
    session.set_words(replace(session.opened_work, target_prompt="I see a red panda"))
    shown = answer("random_idea", session.id)[page.edit.target]
    assert shown == session.opened_work.target_prompt == f"I see {session.opened_work.objects[0].prompt}"
    assert "panda" not in shown


def test_a_press_marks_the_frame_that_it_was_made_on_although_another_was_asked_for(
    session: Session, answer: Answer
) -> None:
    answer("object_action", session.id, event("frame", value="3"))  # its picture is still on its way
    answer("mark", session.id, gr.EventData(None, {"tool": "brush", "frame": 1, "points": [[4, 4]], "radius": 2}))
    number = session.selected
    assert number is not None
    assert session.opened_work.masks[number].anchors[-1] == session.frame == 1


def test_nothing_of_another_frame_is_outlined_on_the_one_in_sight(
    studio: StudioService, session: Session, page: Page, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studio.marking, "would_mark", lambda *_: session.opened_work.masks[1].masks[0])
    answer("object_action", session.id, event("frame", value="3"))
    pointed = {"tool": "pick", "x": 4, "y": 4, "question": 1}
    answers = [answer("hover", session.id, gr.EventData(None, pointed | {"frame": frame})) for frame in (1, 3)]
    assert [bool(each[page.mark.outline]["outlines"]) for each in answers] == [False, True]


class InBetween:
    """A session's lock before which, once, something else is done to the session."""

    def __init__(self, session: Session, other: Callable[[], object]) -> None:
        self._lock, self._other = session.lock, other

    def __enter__(self) -> None:
        self._lock.acquire()
        other, self._other = self._other, lambda: None
        other()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_calls_at_the_same_time_mark_each_its_own_frame_and_object(studio: StudioService, session: Session) -> None:
    def look_elsewhere() -> None:
        session.frame, session.selected = 3, 1

    session.lock = cast(Any, InBetween(session, look_elsewhere))
    Api(studio).brush(session.id, 2, [[4, 4]], 2, to=2)
    assert session.opened_work.masks[2].anchors == (0, 2)


def test_work_is_written_while_no_other_press_can_write_it(
    studio: StudioService, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_held() -> bool:
        with ThreadPoolExecutor(1) as other:
            return not other.submit(session.lock.acquire, blocking=False).result()

    saved: list[bool] = []
    monkeypatch.setattr(Session, "save", lambda _: saved.append(is_held()))
    for job in (studio.marking.follow(session, "all"), studio.marking.suggest_on_frame(session)):
        studio.worker.cancel(job.id, session.id)
    assert saved == [True, True]


@pytest.mark.parametrize("press", [event("raise", 9), event("remove", 9), event("prompt", 9, "a fox")])
def test_a_button_of_an_object_that_is_gone_is_no_defect(session: Session, answer: Answer, press: gr.EventData) -> None:
    handler = "object_action" if press.action == "raise" else "word_action"
    with pytest.raises(gr.Error, match="There is no object 9"):
        answer(handler, session.id, press)


def test_a_larger_answer_to_a_click_that_was_undone_goes_to_no_other_object(session: Session, answer: Answer) -> None:
    before = session.opened_work.masks[1].masks
    whole = np.ones(before.shape[1:], bool)
    session.selected, session.answers = 2, Answers(2, 0, (session.opened_work.masks[2].masks[0], whole))
    answer("object_action", session.id, event("undo"))
    assert session.selected == 1
    with pytest.raises(gr.Error, match="There is no larger object under this click"):
        answer("object_action", session.id, event("bigger"))
    assert np.array_equal(session.opened_work.masks[1].masks, before)


def test_sizes_are_offered_while_the_mask_is_an_answer_to_the_click(
    session: Session, page: Page, answer: Answer
) -> None:
    small, large = session.opened_work.masks[2].masks[0], np.ones(session.opened_clip.frames.shape[1:3], bool)
    session.selected, session.answers = 2, Answers(2, 0, (small, large))
    for press in ("bigger", "undo", "bigger"):  # what was undone can be chosen again
        shown = answer("object_action", session.id, event(press))
    assert offered_sizes(shown[page.mark.buttons]) == ["smaller"]
    corner = np.zeros_like(small)
    corner[:8, :8] = True
    session.change(objects.set_mask(session.opened_work, 2, 0, corner, 4))
    assert offered_sizes(answer("object_action", session.id, event("frame", value="0"))[page.mark.buttons]) == []
    with pytest.raises(gr.Error, match="There is no smaller object under this click"):
        answer("object_action", session.id, event("smaller"))
    assert np.array_equal(session.opened_work.masks[2].masks[0], corner)


def test_an_answer_to_the_clock_or_a_cancel_does_not_say_which_result_is_shown(
    session: Session, page: Page, answer: Answer
) -> None:
    """It was asked for before the user chose another one, and may come after that."""
    assert page.shown not in answer("tick", session.id, "", BUSY_SECONDS, [])
    assert answer("history_action", session.id, "", event("show", value="a job"))[page.shown] == "a job"


def test_a_job_that_ends_while_it_is_looked_at_is_asked_for_again_soon(
    studio: StudioService, session: Session, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of the answer was read before its end, and the rest after: who waits would see it in five seconds."""
    job = studio.marking.suggest_on_frame(session)
    session.suggesting = ""
    while studio.live_jobs(session) or studio.worker.is_preparing:
        time.sleep(0.02)
    live, edits = [job], studio.edits
    monkeypatch.setattr(studio, "live_jobs", lambda _: live)
    monkeypatch.setattr(studio, "edits", lambda asker: live.clear() or edits(asker))
    assert Views(studio, page).jobs(session, "")[page.timer].value == BUSY_SECONDS


def test_another_segmenter_leaves_controls_that_were_ticked(session: Session, page: Page, answer: Answer) -> None:
    updates = answer("segmenter_chosen", session.id, "grabcut")
    assert updates[page.mark.segmenter].value == "grabcut"
    assert page.edit.controls not in updates


def test_a_quality_keeps_all_other_settings_and_a_preset_the_seed(
    studio: StudioService, session: Session, page: Page, answer: Answer
) -> None:
    fields, own = page.edit.settings, find_bundle("emoji-world").settings
    form = form_of(page, session, studio) | {
        fields["seed"]: 7, fields["strength"]: 0.5, page.edit.preset: Preset.BOLD, page.edit.quality: "draft"
    }  # fmt: skip
    shown = answer("quality_chosen", form)
    assert [shown[fields[name]]["value"] for name in ("seed", "strength", "cache_interval")] == [7, 0.5, 3]
    shown = answer("preset_chosen", form)
    assert [shown[fields[name]]["value"] for name in ("seed", "cache_interval")] == [7, 3]
    assert shown[fields["mask_growth"]]["value"] == own.mask_growth + PRESETS[Preset.BOLD].room


def test_a_start_that_was_cleared_is_that_of_the_video(
    studio: StudioService, session: Session, page: Page, answer: Answer
) -> None:
    clip = page.clip
    values = {
        clip.measured: studio.check_video(session.opened_work.clip), clip.end: 0.5, clip.fps: 8, clip.frames: 16,
        clip.side: 32, clip.fit: "crop", page.model: "emoji-world",
    }  # fmt: skip
    assert answer("estimate", values | {clip.start: None}) == answer("estimate", values | {clip.start: 0})


def test_a_page_is_opened_although_the_jobs_that_it_awaits_are_gone_and_shows_what_was_taken(
    session: Session, page: Page, answer: Answer
) -> None:
    session.tracking = "a job of a folder that was emptied"
    answer("word_action", session.id, event("typed", 1, "a half typed"))
    shown = answer("load", session.id, SimpleNamespace(query_params={}))
    assert "a red panda" in shown[page.edit.sentence]
    assert session.tracking == ""


def test_a_page_is_opened_although_what_was_found_cannot_be_taken(
    studio: StudioService, session: Session, page: Page, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def has_too_many(*_: object) -> None:
        raise RegionError("There are 62 objects; no more can be edited at once. Delete one first.")

    job = studio.marking.suggest_on_frame(session)
    studio.worker.cancel(job.id, session.id)
    while studio.live_jobs(session):
        time.sleep(0.02)
    monkeypatch.setattr(studio.marking, "_take", has_too_many)
    with pytest.warns(UserWarning, match="no more can be edited at once"):
        shown = answer("load", session.id, SimpleNamespace(query_params={}))
    assert shown[page.session] == session.id
    assert session.suggesting == ""


def test_no_press_on_a_button_that_names_its_job_is_left_out(blocks: gr.Blocks, page: Page) -> None:
    modes = {fn.api_name: fn.trigger_mode for fn in blocks.fns.values()}
    for name in ("job_action", "download_action", "history_action", "found_action"):
        assert modes[f"page_{name}"] == "multiple", name


def test_an_explanation_that_fails_is_no_longer_waited_for(blocks: gr.Blocks, page: Page) -> None:
    asked = next(fn for fn in blocks.fns.values() if fn.api_name == "page_explain")
    ends = [fn for fn in blocks.fns.values() if fn.trigger_after == asked._id and "vg-busy" in str(fn.js)]
    assert any(fn.trigger_only_on_success for fn in ends)
    assert any(fn.trigger_only_on_failure for fn in ends)


def test_where_no_file_or_link_could_be_made_the_one_before_is_not_given_again(blocks: gr.Blocks, page: Page) -> None:
    scripts = {widgets.script(f"{name}.js") for name in ("download", "copy_link", "session_keep")}
    giving = [fn for fn in blocks.fns.values() if str(fn.js) in scripts]
    assert {str(fn.js) for fn in giving} == scripts
    assert all(fn.trigger_only_on_success for fn in giving)


def test_no_masks_that_are_awaited_are_left_for_others(studio: StudioService, session: Session) -> None:
    """Who follows forwards, and then backwards before that has ended, would get what was followed backwards alone."""
    segmenting, unused = Segmenting(studio.settings), cast(Any, None)
    handlers = track_handlers(segmenting) | suggest_handlers(segmenting)
    waiting = Worker(studio.store, handlers, studio.settings)  # was never started
    marking = Marking(segmenting, unused, unused, studio.store, waiting)
    session.frame = 1
    forwards = marking.follow(session, "forwards")
    with pytest.raises(RegionError, match="being followed in other frames"):
        marking.follow(session, "backwards")
    assert marking.follow(session, "forwards").id == forwards.id == session.tracking
    assert marking.follow(session, "all").id == session.tracking
    looked = marking.suggest_on_frame(session)
    assert marking.suggest_on_frame(session).id == looked.id
    session.frame = 2
    with pytest.raises(RegionError, match="being looked for already"):
        marking.suggest_on_frame(session)
    for job in studio.live_jobs(session):
        waiting.cancel(job.id, session.id)
    assert marking.suggest_on_frame(session).id == session.suggesting != looked.id
    waiting.cancel(session.suggesting, session.id)


def test_texts_that_an_answer_changes_together_are_sent_one_after_the_other(blocks: gr.Blocks, page: Page) -> None:
    """Side by side, the first one's event could be the last to arrive, and it has what the others held before."""
    (sending,) = [fn for fn in blocks.fns.values() if fn.api_name and fn.api_name.startswith("page_texts_changed")]
    assert {each for each, _ in sending.targets} == {field._id for field in page.texts}
    assert sending.trigger_mode == "always_last"


def test_masks_that_arrive_are_shown_with_what_was_marked_while_they_were_made_to_play(
    studio: StudioService, session: Session, page: Page, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def goes_on(_views: Views, marked: Session) -> Updates:
        marked.change(objects.add_object(marked.opened_work, "marked meanwhile"))
        return {}

    session.tracking = "followed"
    monkeypatch.setattr(studio.marking, "take_finished", lambda taker: setattr(taker, "tracking", "") or True)
    monkeypatch.setattr(WholePageHandlers, "_is_done", lambda *_: True)
    monkeypatch.setattr(Views, "playing", goes_on)
    assert "marked meanwhile" in answer("tick", session.id, "", BUSY_SECONDS, [])[page.mark.objects]


def test_marks_that_are_made_while_objects_are_followed_stay_and_a_new_one_gets_nothing_of_a_deleted_one(
    studio: StudioService, session: Session
) -> None:
    studio.marking.follow(session, "all")
    while studio.live_jobs(session):
        time.sleep(0.02)
    frames, *size = session.opened_clip.frames.shape[:3]
    corner = np.zeros(size, bool)
    corner[:8, :8] = True
    session.change(objects.set_mask(session.opened_work, 1, 0, corner, frames))  # a correction on the same frame
    session.change(objects.delete_object(session.opened_work, 2))
    work = objects.add_object(session.opened_work)
    session.change(objects.set_mask(work, work.objects[-1].id, 0, corner, frames))
    assert studio.marking.take_finished(session)
    first, second = (session.opened_work.masks[each.id].masks for each in session.opened_work.objects)
    assert np.array_equal(first[0], corner)
    assert first[1:].any((1, 2)).all()
    assert np.array_equal(second[0], corner)
    assert not second[1:].any()


@pytest.mark.parametrize("is_restarted", [False, True])
def test_an_object_that_was_deleted_while_it_was_followed_and_is_brought_back_gets_its_masks(
    studio: StudioService, session: Session, is_restarted: bool
) -> None:
    studio.marking.follow(session, "all")
    while studio.live_jobs(session):
        time.sleep(0.02)
    session.change(objects.delete_object(session.opened_work, 2))
    if is_restarted:
        session.put_away()
        session = Session(session.id, session.folder)
        session.restore()
    session.change(objects.add_object(session.opened_work, "a new one"))
    for _ in range(2):
        session.undo()
    assert studio.marking.take_finished(session)
    assert all(objects.is_followed(session.opened_work, number) for number in (1, 2))
    work = objects.add_object(session.opened_work)
    assert work.objects[-1].id == 3
