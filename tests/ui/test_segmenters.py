"""Which segmenter marks and follows, through the API: GrabCut, SAM 2.1, and what goes with a model."""

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import gradio as gr
import numpy as np
import pytest
from fake_tracking import tiny_sam2_video
from fakes import tiny_pipeline
from gradio.blocks import Block, BlockFunction
from studios import studio_with

from ui.api import Api
from ui.page import build_components
from ui.views import Views
from ui.work.pointing import Tool
from ui.work.service import ClipChoice, StudioService
from videograin.errors import ModelError, RegionError
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import JobState
from videograin.media.appearance import looks_like_photograph
from videograin.media.encode import save_video
from videograin.project.workspace_files import load_workspace

BOX = (18, 10, 52, 46)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioService]:
    folder = tmp_path_factory.mktemp("studio")
    tiny_pipeline().save_pretrained(folder / "tiny")
    for part in tiny_sam2_video():
        part.save_pretrained(folder / "sam2")
    settings = OperatorSettings(
        data_folder=folder,
        models=("emoji-world", str(folder / "tiny")),
        segmenters=("emoji-world", "grabcut", str(folder / "sam2"), "vit_h"),
        device="cpu",
        offline=True,
    )
    with studio_with(settings) as studio:
        yield studio


@pytest.fixture
def api(studio: StudioService) -> Api:
    return Api(studio)


def filmed(frames: int = 4) -> np.ndarray:
    """Return frames (F, 64, 96, 3): a dark ball that moves over a soft, grainy ground, as if filmed."""
    rows, columns = np.mgrid[0:64, 0:96]
    light = 150 + 40 * np.sin(rows / 30) * np.cos(columns / 40)
    random = np.random.default_rng(0)
    clip = []
    for t in range(frames):
        frame = light[..., None] * [1.0, 0.95, 0.9] + random.normal(0, 4, (64, 96, 3))
        cv2.circle(frame, (34 + 2 * t, 28), 12, (70, 50, 40), cv2.FILLED)
        clip.append(frame.clip(0, 255).astype(np.uint8))
    return np.stack(clip)


def ball(frame: int) -> np.ndarray:
    return cv2.circle(np.zeros((64, 96), np.uint8), (34 + 2 * frame, 28), 12, 1, cv2.FILLED).astype(bool)


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    return np.count_nonzero(mask & truth) / np.count_nonzero(mask | truth)


@pytest.fixture
def session(studio: StudioService, api: Api, tmp_path: Path) -> str:
    """A session with a filmed clip, opened with the model that only knows drawings."""
    save_video(tmp_path / "ball.mp4", filmed(), 8)
    session = api.new_session()
    choice = ClipChoice(short_side=64)
    studio.open_clip(studio.sessions.find(session), tmp_path / "ball.mp4", choice, "emoji-world")
    return session


def masks_of(studio: StudioService, session: str, number: int) -> np.ndarray:
    return studio.sessions.find(session).opened_work.masks[number].masks


def finish(api: Api, session: str, job: str) -> dict[str, object]:
    while not JobState(api.get_job(session, job)["state"]).is_final:
        time.sleep(0.1)
    return api.get_job(session, job)


def test_a_filmed_clip_is_noticed_and_one_call_takes_a_model_and_a_segmenter_for_it(api, session):
    before = api.get_work(session)
    assert (before["is_photograph"], before["segmenter"]) == (True, "emoji-world")
    assert before["notice"] == "This clip looks filmed, but Emoji World only knows drawings."
    after = api.switch_to_photographs(session)
    assert (Path(after["model"]).name, after["segmenter"], after["notice"]) == ("tiny", "grabcut", "")


def test_a_video_is_judged_before_it_is_opened(studio, api, session, tmp_path):
    video = tmp_path / "ball.mp4"
    assert looks_like_photograph(studio.film_strip(video, studio.check_video(video)))
    notice = studio.segmenters.notice
    assert notice("emoji-world", True, "emoji-world").startswith("This clip looks filmed")
    assert notice("emoji-world", True, "grabcut").startswith("Emoji World only knows drawings")
    assert notice(studio.settings.models[1], True, "grabcut") == notice("emoji-world", False, "emoji-world") == ""


def test_the_notice_about_a_video_goes_by_the_segmenter_of_the_model_that_was_just_chosen(studio, api, blocks, page):
    session = studio.sessions.find(api.new_session())
    studio.choose_model(session, studio.settings.models[1])
    values = {page.session: session.id, page.clip.is_photograph: True, page.model: "emoji-world"}
    shown = {}
    for fn in runs_on_change(blocks, page.model):
        if set(fn.inputs) <= set(values):
            assert fn.fn is not None
            shown |= fn.fn(*[values[each] for each in fn.inputs])
    assert "This clip looks filmed, but Emoji World only knows drawings." in shown[page.clip.notice]


def runs_on_change(blocks: gr.Blocks, component: Block) -> Iterator[BlockFunction]:
    """Yield what a browser runs when a field has changed: one after the other, each with what follows it."""
    for fn in blocks.fns.values():
        if (component._id, "change") in fn.targets:
            yield fn
            yield from (each for each in blocks.fns.values() if each.trigger_after == fn._id)


def test_the_segmenter_goes_with_the_model_until_one_is_chosen(studio, api, session):
    tiny = studio.settings.models[1]
    assert api.choose_model(session, tiny)["segmenter"] == "grabcut"
    assert api.choose_model(session, "emoji-world")["segmenter"] == "emoji-world"
    assert api.choose_segmenter(session, "grabcut")["segmenter"] == "grabcut"
    saved = load_workspace(studio.sessions.find(session).folder).workspace
    assert saved.segmenter == "grabcut"
    assert [each["name"] for each in api.list_segmenters(session) if each["is_chosen"]] == ["grabcut"]


def test_only_segmenters_that_are_offered_and_here_can_be_chosen(api, session):
    with pytest.raises(ModelError, match=r"'vit_l' is not offered here\. Choose one of: emoji-world, grabcut"):
        api.choose_segmenter(session, "vit_l")
    with pytest.raises(ModelError, match="'vit_h' is not on this machine yet"):
        api.choose_segmenter(session, "vit_h")


def test_grabcut_marks_by_box_and_strokes_and_follows(studio, api, session):
    api.choose_segmenter(session, "grabcut")
    api.box(session, 0, *BOX)
    assert overlap(masks_of(studio, session, 1)[0], ball(0)) > 0.85
    api.brush(session, 0, [[34, 20], [34, 36]], 2, to=1, erase=True)
    assert not masks_of(studio, session, 1)[0, 28, 34]
    api.brush(session, 0, [[34, 20], [34, 36]], 3, to=1)
    assert masks_of(studio, session, 1)[0, 28, 34]
    assert overlap(masks_of(studio, session, 1)[0], ball(0)) > 0.85
    assert finish(api, session, api.track(session))["state"] == JobState.DONE
    assert overlap(masks_of(studio, session, 1)[3], ball(3)) > 0.8


def test_grabcut_suggests_what_moves_and_the_page_says_so_before_the_press(studio, api, tmp_path):
    ground = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8), (0, 0), 2)
    clip = np.stack([cv2.circle(ground.copy(), (34 + 2 * t, 28), 12, (70, 50, 40), cv2.FILLED) for t in range(4)])
    save_video(tmp_path / "rolling.mp4", clip, 8)
    session = api.new_session()
    studio.open_clip(studio.sessions.find(session), tmp_path / "rolling.mp4", ClipChoice(short_side=64), "emoji-world")
    api.choose_segmenter(session, "grabcut")
    with gr.Blocks():
        page = build_components(studio)
        shown = Views(studio, page).model(studio.sessions.find(session))
    assert shown[page.mark.suggest] == "Suggest what moves here"
    assert "Draw a Box around the object" in shown[page.mark.segmenter].info
    assert finish(api, session, api.suggest(session, frame=1))["state"] == JobState.DONE
    assert [each["number"] for each in api.get_work(session)["objects"]] == [1]
    assert overlap(masks_of(studio, session, 1)[1], ball(1)) > 0.7


def test_where_nothing_moves_grabcut_says_what_it_goes_by(api, studio, tmp_path):
    save_video(tmp_path / "still.mp4", np.repeat(filmed(1), 4, 0), 8)
    session = api.new_session()
    studio.open_clip(studio.sessions.find(session), tmp_path / "still.mp4", ClipChoice(short_side=64), "emoji-world")
    api.choose_segmenter(session, "grabcut")
    job = finish(api, session, api.suggest(session))
    assert "Nothing moves otherwise than the background" in str(job["message"])


def test_a_box_around_another_part_adds_it_to_the_object_whichever_segmenter_answers(studio, api, session):
    for segmenter in ("grabcut", studio.settings.segmenters[2]):
        api.choose_segmenter(session, segmenter)
        number = api.box(session, 0, 18, 10, 34, 46)["objects"][-1]["number"]
        before = masks_of(studio, session, number)[0].copy()
        after = api.box(session, 0, 34, 10, 52, 46, to=number)["objects"]
        assert [each["number"] for each in after] == list(range(1, number + 1))
        assert (masks_of(studio, session, number)[0] & ~before).any()
        api.undo(session)
        assert np.array_equal(masks_of(studio, session, number)[0], before)
    with pytest.raises(RegionError, match="There is no object 9"):
        api.box(session, 0, *BOX, to=9)


def test_sam2_follows_by_its_own_memory_and_keeps_what_was_marked(studio, api, session, monkeypatch):
    def by_flow(*_: object) -> None:
        raise AssertionError("it was followed by flow")

    monkeypatch.setattr("videograin.engine.FlowEngine", by_flow)
    api.choose_segmenter(session, studio.settings.segmenters[2])
    api.brush(session, 1, [[34, 28]], 8)
    marked = masks_of(studio, session, 1)[1].copy()
    assert finish(api, session, api.track(session, frame=1))["state"] == JobState.DONE
    assert np.array_equal(masks_of(studio, session, 1)[1], marked)
    assert api.get_work(session)["objects"][0]["followed"]


@pytest.mark.usefixtures("no_network")
def test_a_segmenter_that_is_not_here_is_offered_for_download_with_its_size(tmp_path):
    with studio_with(OperatorSettings(data_folder=tmp_path / "data", device="cpu")) as studio:
        session = studio.sessions.create()
        studio.open_example(session, "friends", frames=2)
        studio.segmenters.choose(session, "sam2.1-tiny")
        with gr.Blocks():
            page = build_components(studio)
            shown = Views(studio, page).model(session)
        assert "SAM 2.1, tiny</b> is not on this machine yet" in shown[page.download]
        assert "156 MB" in shown[page.download]
        with pytest.raises(ModelError, match="Download it first"):
            studio.marking.mark(session, Tool.PICK, [(10, 10)], 0)
