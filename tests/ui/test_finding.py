"""What a user types is found, shown with numbers and taken: by the page, by programs."""

import time
from collections.abc import Callable, Sequence

import gradio as gr
import numpy as np
import pytest
from page_events import presses

from ui.api import Api
from ui.components import Page
from ui.page import build_components
from ui.rendering import found_markup
from ui.views import FOUND, Updates, Views
from ui.work.objects.finding import found_at, take_found
from ui.work.pointing import Tool
from ui.work.service import StudioService
from ui.work.session import Session
from videograin.errors import ModelError, PromptError, RegionError
from videograin.finding.finder import FoundObject, Hits
from videograin.jobs.store import JobState
from videograin.jobs.suggest import FoundOnFrame
from videograin.progress import Report, ignore

SIZE = (32, 32)


def bear(left: int, name: str = "bear") -> FoundObject:
    mask = np.zeros(SIZE, bool)
    mask[8:24, left : left + 8] = True
    return FoundObject(name, mask, 0.9)


class Known:
    """Knows where the bears are, in every clip."""

    def find(self, frame: np.ndarray, nouns: Sequence[str], report: Report = ignore) -> Hits:
        assert frame.shape == (*SIZE, 3)
        return {noun: [bear(20), bear(2)] if noun == "bear" else [] for noun in nouns}


@pytest.fixture
def session(opened: Session, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr("ui.work.objects.finding.load_finder", lambda *_, **__: Known())
    opened.is_photograph = False
    return opened


def search(studio: StudioService, session: Session, text: str) -> str:
    """Search, and return what the job says in the end."""
    job = studio.marking.find(session, text)
    while studio.live_jobs(session):
        time.sleep(0.02)
    studio.marking.take_finished(session)
    status = studio.worker.status(job.id, session.id)
    return status.job.message if status.job.state is JobState.FAILED else status.job.state.value


def test_what_was_found_waits_and_one_press_takes_one_or_all(studio: StudioService, session: Session) -> None:
    session.frame = 1
    assert search(studio, session, "the two bears") == "done"
    assert session.found is not None
    assert [each.box[0] for each in session.found.objects] == [2, 20]
    assert session.opened_work.objects == ()
    studio.marking.mark(session, Tool.PICK, [(24, 12)], 0)  # on the right one
    assert [each.name for each in session.opened_work.objects] == ["bear"]
    assert np.array_equal(session.opened_work.masks[1].masks[1], bear(20).mask)
    take_found(session)
    assert [each.name for each in session.opened_work.objects] == ["bear", "bear 2"]
    assert session.found is None
    session.undo()
    assert [each.name for each in session.opened_work.objects] == ["bear"]


def test_programs_find_and_take_by_numbers(studio: StudioService, session: Session) -> None:
    api = Api(studio)
    job = api.find_objects(session.id, "the two bears", frame=2)
    while studio.live_jobs(session):
        time.sleep(0.02)
    assert api.get_job(session.id, job)["state"] == "done"
    found = api.get_work(session.id)["found"]
    assert [(each["number"], each["name"], each["frame"], each["box"][0]) for each in found] == [
        (1, "bear", 2, 2), (2, "bear", 2, 20),
    ]  # fmt: skip
    with pytest.raises(RegionError, match="not 3"):
        api.take_found(session.id, [3])
    work = api.take_found(session.id, [2])
    assert [each["area"] for each in work["objects"]] == [bear(20).mask.sum()]
    assert [each["box"][0] for each in work["found"]] == [2]
    assert len(api.take_found(session.id)["objects"]) == 2


def test_a_studio_that_is_kept_off_the_network_promises_no_download(
    studio: StudioService, session: Session, no_network: None
) -> None:
    session.is_photograph = True
    with pytest.raises(ModelError, match="kept off the network") as told:
        studio.marking.find(session, "the bear")
    assert "Download" not in str(told.value)
    assert studio.missing(session) is None


def test_what_is_in_the_list_already_is_not_found_again(studio: StudioService, session: Session) -> None:
    assert search(studio, session, "bears") == "done"
    take_found(session, [0])
    assert search(studio, session, "bears") == "done"
    assert session.found is not None
    assert [each.box[0] for each in session.found.objects] == [20]


def test_a_search_that_finds_nothing_says_so_and_loses_nothing(studio: StudioService, session: Session) -> None:
    assert "No fox was found on this frame" in search(studio, session, "the bear and the fox")
    assert session.found is None
    with pytest.raises(PromptError, match="names no object"):
        studio.marking.find(session, "the two")
    with pytest.raises(RegionError, match="Nothing that was found waits"):
        take_found(session)


def test_only_what_was_found_can_be_taken(session: Session) -> None:
    session.found = FoundOnFrame(0, (bear(2), bear(20)))
    with pytest.raises(RegionError, match=r"2 objects were found, counted from 1. Take some of these, not 3"):
        take_found(session, [2])
    with pytest.raises(RegionError, match="not none"):
        take_found(session, [])


def test_a_click_outside_of_the_picture_takes_nothing_that_was_found(session: Session) -> None:
    found = FoundOnFrame(0, (bear(2), bear(20)))
    session.found = found
    height, width = session.opened_clip.frames.shape[1:3]
    columns, rows = np.argwhere(found.objects[1].mask.T)[0]
    assert found_at(session, float(columns), float(rows)) == 1
    assert found_at(session, float(columns) - width, float(rows) - height) is None
    assert found_at(session, 1e9, 0.0) is None


def test_a_photograph_needs_a_detector_whose_download_is_offered(
    studio: StudioService, session: Session, no_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(studio.settings), "offline", False)
    session.is_photograph = True
    with pytest.raises(ModelError, match=r"Grounding DINO, tiny, which is not on this machine yet.* 690 MB"):
        studio.marking.find(session, "the two bears")
    missing = studio.missing(session)
    assert missing is not None
    assert missing.name == "grounding-dino"
    with pytest.raises(
        ModelError, match=r"'sd15' finds no objects by name. Choose one of: emoji-world, grounding-dino"
    ):
        studio.marking.find(session, "the two bears", "sd15")


def test_numbers_stand_on_what_was_found_and_on_its_buttons(studio: StudioService, session: Session) -> None:
    with gr.Blocks():
        page = build_components(studio)

    def numbers() -> list[tuple[int, float, str]]:
        markers = Views(studio, page).marks(session)[page.mark.stage]["markers"]
        return [(each["number"], each["x"], each["colour"]) for each in markers]

    session.found = FoundOnFrame(0, (bear(2), bear(20, "<b>")))
    assert numbers() == [(1, 6, FOUND), (2, 24, FOUND)]
    shown = found_markup.found(session.found, 0)
    assert "2 objects found. Click on those that you want." in shown
    assert "&lt;b&gt;" in shown
    assert "Take all" in shown
    session.frame = 2
    assert numbers() == []
    assert "on frame 1" in found_markup.found(session.found, 2)


def test_buttons_that_are_pressed_before_the_answer_take_what_they_say(
    session: Session, page: Page, answer: Callable[..., Updates]
) -> None:
    session.found = FoundOnFrame(0, (bear(2, "ann"), bear(10, "bob"), bear(20, "cy")))
    first, second, _ = presses(found_markup.found(session.found, 0), "take")
    for press in (first, first, second):
        answer("found_action", session.id, press)
    assert [each.name for each in session.opened_work.objects] == ["ann", "bob"]
    for press in presses(found_markup.found(FoundOnFrame(0, (bear(2), bear(20))), 0), "take-all") * 2:
        answer("found_action", session.id, press)
    assert [each.name for each in session.opened_work.objects] == ["ann", "bob", "cy"]
    assert session.found is None
