"""The studio's service without a browser: models, projects taken along, and attention maps."""

import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import escape
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
import torch
from fake_jobs import finished
from fakes import tiny_pipeline
from page_events import event, form_of
from PIL import Image
from safetensors.torch import save_file
from studios import studio_with
from synthetic_video import make, moving_scene

from ui.api import LONG_ENDPOINTS, Api
from ui.components import Page
from ui.rendering import markup, model_markup
from ui.turns import LONG_WORK
from ui.views import BUSY_SECONDS, IDLE_SECONDS, Updates, Views
from ui.work import attention_maps, transfer
from ui.work.costs import work_cost
from ui.work.service import ClipChoice, StudioService
from ui.work.session import Session, Sessions
from ui.work.transfer import MaskFormat
from videograin.diffusion.clusters import Proposal
from videograin.errors import JobError, ModelError, ProjectError, RegionError, SettingsError, VideoError
from videograin.files.disk import FULL
from videograin.jobs.edit import draft, read_attention
from videograin.jobs.editing.edit_jobs import REUSED
from videograin.jobs.model_shelf import ShelfState
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import JobKind, JobState
from videograin.masks.load import MaskSource
from videograin.media.video import ClipOptions, load_clip, probe
from videograin.models.adapters import Adapter
from videograin.models.bundles import EMOJI_WORLD_SETTINGS, find_bundle
from videograin.models.presets import Quality, apply_quality
from videograin.models.time_left import Estimate
from videograin.project import objects
from videograin.project.archive import export_workspace
from videograin.project.project import ProjectRegion
from videograin.project.workspace import ObjectMasks, SavedResult, Workspace
from videograin.region import NOTHING, ControlGuidance, ControlKind, EditSettings


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioService]:
    folder = tmp_path_factory.mktemp("studio")
    tiny_pipeline(controlnets=1).save_pretrained(folder / "tiny")
    models = (str(folder / "tiny"), "emoji-world", "sd15")
    with studio_with(OperatorSettings(data_folder=folder, models=models, device="cpu", offline=True)) as studio:
        yield studio


@pytest.fixture
def session(studio: StudioService, tmp_path: Path) -> Session:
    """A clip with one object, marked in all of its frames."""
    make(tmp_path / "clip.mp4", "testsrc=s=64x64:r=8:d=0.5")
    session = studio.sessions.create()
    studio.open_clip(session, tmp_path / "clip.mp4", ClipChoice(short_side=32), studio.default_model)
    work, clip = session.opened_work, session.opened_clip
    work = objects.add_object(work, "ball")
    mask = np.zeros(clip.frames.shape[1:3], bool)
    mask[8:24, 8:24] = True
    for frame in range(len(clip.frames)):
        work = objects.set_mask(work, 1, frame, mask, len(clip.frames))
    work = objects.change_object(work, 1, lambda each: replace(each, prompt="a red panda"))
    session.change(replace(work, settings=EditSettings(num_inference_steps=2)))
    return session


def finish(studio: StudioService, session: Session) -> None:
    while studio.live_jobs(session):
        time.sleep(0.02)


def test_another_model_brings_its_own_settings_and_leaves_the_objects(studio, session):
    studio.choose_model(session, "emoji-world")
    work = session.opened_work
    assert work.model == "emoji-world"
    assert work.settings == studio.bundle(session).settings
    assert work.objects[0].prompt == "a red panda"


@pytest.mark.parametrize(
    ("model", "message"), [("another/model", "not offered here"), ("sd15", "not in the hub's local cache")]
)
def test_a_model_that_is_not_to_be_had_is_refused_and_nothing_changes(studio, session, model, message):
    before = session.work
    with pytest.raises(ModelError, match=message):
        studio.choose_model(session, model)
    assert session.work == before


def test_before_there_is_a_clip_a_model_can_be_chosen_too(studio):
    session = studio.sessions.create()
    studio.choose_model(session, "emoji-world")
    assert studio.bundle(session).name == "emoji-world"


def test_a_project_that_is_taken_along_opens_again(studio, session):
    studio.choose_model(session, "emoji-world")
    archive = Path(transfer.export_project(studio, session))
    other = studio.sessions.create()
    assert [problem for problem in transfer.open_project(studio, other, archive) if "LoRA" in problem] == []
    mine, theirs = session.opened_work, other.opened_work
    assert theirs.objects == mine.objects
    assert np.array_equal(theirs.masks[1].masks, mine.masks[1].masks)
    assert np.array_equal(other.opened_clip.frames, session.opened_clip.frames)
    assert theirs.settings == mine.settings


def test_a_project_whose_clip_s_sound_is_longer_than_its_picture_keeps_its_masks(studio, session, tmp_path):
    sound = ("-f", "lavfi", "-i", "sine=d=1")
    clip = make(tmp_path / "a.mp4", "testsrc=s=64x64:r=8:d=0.5", *sound)
    work = replace(session.opened_work, clip=clip, model="emoji-world")
    export_workspace(work, tmp_path / "work.zip")
    other = studio.sessions.create()
    assert transfer.open_project(studio, other, tmp_path / "work.zip") == ()
    assert np.array_equal(other.opened_work.masks[1].masks, work.masks[1].masks)
    export_workspace(replace(work, clip=make(tmp_path / "b.mp4", "testsrc=s=64x64:r=8:d=0.75")), tmp_path / "work.zip")
    (problem,) = transfer.open_project(studio, other, tmp_path / "work.zip")
    assert problem.startswith("Object 'ball' has lost its masks: there are 4 of them, and 6 frames of the clip.")
    assert other.opened_work.masks == {}


def test_a_project_of_a_clip_of_variable_rate_keeps_its_masks(studio, session, tmp_path):
    thinned = ("-vf", "select=not(mod(n\\,3))+lt(n\\,30)", "-fps_mode", "vfr")  # by its header it lasts 2.8 of 2.93 s
    clip = make(tmp_path / "a.mp4", "testsrc2=s=64x64:r=30:d=3", *thinned)
    options = ClipOptions(short_side=64, multiple=32)
    masks = np.ones(load_clip(clip, options).frames.shape[:3], bool)
    work = replace(
        session.opened_work, clip=clip, clip_options=options, model="emoji-world", masks={1: ObjectMasks.by_hand(masks)}
    )
    export_workspace(work, tmp_path / "work.zip")
    other = studio.sessions.create()
    assert transfer.open_project(studio, other, tmp_path / "work.zip") == ()
    assert len(other.opened_work.masks[1].masks) == len(masks)


def test_pictures_in_a_zip_are_a_clip_for_page_and_program_and_a_project_of_a_folder_opens(studio, tmp_path, answer):
    frames = moving_scene(3, 64, 64)
    with zipfile.ZipFile(tmp_path / "frames.zip", "w") as archive:
        for number, frame in enumerate(frames):
            Image.fromarray(frame).save(tmp_path / f"{number}.png")
            archive.write(tmp_path / f"{number}.png", f"frames/{number:05}.png")
    assert probe(transfer.as_video(studio, tmp_path / "frames.zip")).codec == "h264"
    (tmp_path / "scratch").mkdir()
    session = studio.sessions.create()
    clip = transfer.as_one_file(studio, tmp_path / "frames.zip", tmp_path / "scratch")
    studio.open_clip(session, clip, ClipChoice(short_side=64), "emoji-world")
    assert np.array_equal(session.opened_clip.frames, frames)
    work = replace(session.opened_work, clip=tmp_path / "scratch/unpacked/frames")
    export_workspace(work, tmp_path / "work.zip")
    other = studio.sessions.create()
    transfer.open_project(studio, other, tmp_path / "work.zip")
    assert np.array_equal(other.opened_clip.frames, frames)


def test_an_edit_used_again_brings_its_words_its_strength_and_its_model_back(studio, session):
    job = studio.submit_edit(session, JobKind.EDIT)
    before = session.opened_work
    studio.choose_model(session, "emoji-world")
    kept = objects.change_object(
        session.opened_work, 1, lambda each: replace(each, prompt="a fox", strength=2.0, is_kept=True)
    )
    session.set_words(kept)
    transfer.use_again(studio, session, job.id)
    assert session.opened_work == before
    finish(studio, session)


def test_an_edit_used_again_gives_each_of_two_objects_with_one_name_its_own_words(
    studio: StudioService, session: Session
) -> None:
    work = objects.add_object(session.opened_work, "ball")
    work = objects.set_track(work, 2, objects.as_track(work.masks[1]))
    session.change(objects.say(work, 2, "a fox"))
    edit = studio.project_of(session)
    assert [each.prompt for each in objects.with_words_of_edit(work, edit).objects] == ["a red panda", "a fox"]
    marked_again = replace(work, objects=(replace(work.objects[1], id=3),))
    assert objects.with_words_of_edit(marked_again, edit).objects[0].prompt in ("a red panda", "a fox")


def test_a_model_that_is_not_offered_makes_room_for_one_that_is_in_a_project_and_in_an_example(
    studio: StudioService, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(session.opened_work.settings, strength=0.9)
    work = replace(session.opened_work, model="sd2.1", settings=settings, controls=(ControlKind.CANNY,))
    export_workspace(work, tmp_path / "work.zip")
    monkeypatch.setattr(studio, "settings", replace(studio.settings, models=("sd15",)))
    other = studio.sessions.create()
    notes = transfer.open_project(studio, other, tmp_path / "work.zip")
    assert notes == (transfer.OTHER_MODEL.format("Stable Diffusion 2.1, 768 pixels", "Stable Diffusion 1.5"),)
    assert (other.opened_work.model, other.opened_work.controls) == ("sd15", ())
    assert other.opened_work.settings == find_bundle("sd15").settings
    studio.open_example(other, "friends", frames=1)
    assert other.opened_work.model == "sd15"


def test_variations_that_are_refused_stop_nothing_that_was_asked_for_before(
    studio: StudioService, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, new = SimpleNamespace(id="before"), SimpleNamespace(id="new")
    answers, stopped = iter([before, new]), []

    def submit(*_: object) -> SimpleNamespace:
        if (job := next(answers, None)) is None:
            raise JobError("Too many jobs wait.")
        return job

    monkeypatch.setattr(studio, "live_jobs", lambda _: [before])
    monkeypatch.setattr(studio.worker, "submit", submit)
    monkeypatch.setattr(studio.worker, "cancel", lambda job_id, _: stopped.append(job_id))
    with pytest.raises(JobError, match="Too many"):
        studio.submit_variations(session)
    assert stopped == ["new"]


def test_a_result_is_taken_along_in_another_format_by_page_and_program(studio, session, page, answer):
    with pytest.raises(gr.Error, match="There is no result yet"):
        answer("export_result", session.id, "", "gif")
    job = studio.submit_edit(session, JobKind.PREVIEW)
    finish(studio, session)
    picture = Path(answer("export_result", session.id, "", "gif")[page.file])
    assert load_clip(picture, ClipOptions(short_side=None, multiple=1)).frames.shape == (4, 64, 64, 3)
    cutout = Path(Api(studio).export_result(session.id, job.id, "green-screen").path)
    (saved,) = studio.saved_results(session)
    assert saved.settings == draft(studio.worker.request(job.id, session.id)).settings
    assert cutout.name == "edit.mp4"
    assert load_clip(cutout, ClipOptions(short_side=None, multiple=1)).frames[0, 2, 2, 1] > 150
    with pytest.raises(SettingsError, match="There is no choice 'tiff'"):
        Api(studio).export_result(session.id, job.id, "tiff")


def test_a_page_that_only_looks_does_not_bring_work_back_into_memory_but_one_that_waits_does(studio, answer):
    away = Sessions(studio.settings.data_folder / "sessions").create().id  # of an earlier process
    assert answer("tick", away, "", IDLE_SECONDS, []) == gr.skip()
    assert not studio.sessions.is_in_memory(away)
    answer("tick", away, "", BUSY_SECONDS, [])
    assert studio.sessions.is_in_memory(away)


def test_a_segmenter_that_was_downloaded_is_listed_without_its_size(studio, session, page, answer, monkeypatch):
    known = answer("tick", session.id, "", BUSY_SECONDS, [])[page.installed]
    assert page.mark.segmenter not in answer("tick", session.id, "", BUSY_SECONDS, known)
    for module in ("ui.work.segmenter_choice", "ui.rendering.model_markup"):
        monkeypatch.setattr(f"{module}.is_here", lambda _: True)
    listed = answer("tick", session.id, "", BUSY_SECONDS, known)[page.mark.segmenter].choices
    assert ("SAM 2.1, tiny", "sam2.1-tiny") in listed


def test_words_that_would_change_nothing_are_told_by_page_and_api_before_the_edit(studio, session, page):
    work = objects.add_object(session.opened_work, "suit")
    ball, suit = work.objects[0].id, work.objects[-1].id
    assert Api(studio).get_work(session.id)["warnings"] == []
    session.change(objects.set_track(work, suit, objects.as_track(work.masks[ball])))
    (note,) = Api(studio).get_work(session.id)["warnings"]
    assert "will not change: 'suit' covers all of it" in note
    assert escape(note) in Views(studio, page).words(session)[page.edit.words]


def test_a_page_looks_seldom_while_it_is_idle_but_never_stops_to(studio, session, page):
    views = Views(studio, page)
    timer = views.jobs(session, "")[page.timer]
    assert (timer.active, timer.value) == (True, IDLE_SECONDS)
    job = studio.submit_edit(session, JobKind.PREVIEW)
    assert views.jobs(session, "")[page.timer].value == BUSY_SECONDS
    studio.worker.cancel(job.id, session.id)


def test_a_clip_of_a_size_that_does_not_suit_the_model_is_told_so(studio, session, page):
    bundle = find_bundle("emoji-world")
    assert model_markup.size_note(bundle, (256, 456)) == model_markup.size_note(bundle, (320, 320)) == ""
    studio.choose_model(session, "emoji-world")
    note = Views(studio, page).model(session)[page.edit.knows]
    assert "open at 32×32, but this model draws best with a shorter side of 256" in note


def test_to_click_before_there_is_a_clip_says_what_to_do_first(studio, page, answer):
    session = studio.sessions.create().id
    with pytest.raises(gr.Error, match="There is no clip yet"):
        answer("mark", session, gr.EventData(None, {"tool": "pick", "frame": 0, "points": [[1, 1]], "radius": 0}))
    with pytest.raises(gr.Error, match="Upload one, or take an example"):
        answer("open_clip", {page.session: session, page.clip.video: None})


def test_a_page_that_is_loaded_again_says_where_its_clip_is(session, page, answer):
    with pytest.raises(gr.Error, match="The clip that is open is in step 2"):
        answer("open_clip", {page.session: session.id, page.clip.video: None})


def test_who_asks_for_an_earlier_result_sees_it_while_windows_of_the_next_are_finished(
    studio: StudioService, session: Session, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = studio.submit_edit(session, JobKind.PREVIEW)
    first = finished(studio.worker, done.id, session.id)
    running = replace(first.job, id="next", state=JobState.RUNNING, kind=JobKind.EDIT, created=first.job.created + 1)
    windows = replace(first, job=running, finished=session.opened_work.clip)
    statuses = {done.id: first, running.id: windows}
    monkeypatch.setattr(studio, "edits", lambda _: [running, first.job])
    monkeypatch.setattr(studio.worker, "status", lambda job_id, _: statuses[job_id])
    shown = [Views(studio, page).jobs(session, asked) for asked in ("", done.id)]
    names = [Path(each[page.edit.compare]).name for each in shown]
    assert names == [session.opened_work.clip.name, first.result.comparison.name]
    assert "These windows of your new edit" in shown[0][page.edit.note]
    assert "This is an earlier result. Your new one is being made." in shown[1][page.edit.note]


def test_the_green_button_leads_on_once_all_that_is_marked_is_followed(studio, session, page):
    def is_green(work: Workspace) -> bool:
        session.change(work)
        return Views(studio, page).marks(session)[page.mark.next].variant == "primary"

    followed = session.opened_work
    alone = replace(followed, objects=(), masks={})
    assert is_green(followed)
    assert is_green(objects.add_rest(alone))
    assert not is_green(objects.add_object(alone))  # nothing is marked yet
    assert not is_green(alone)


def test_what_is_no_project_is_refused_and_the_work_stays(studio, session, tmp_path):
    (tmp_path / "story.zip").write_text("Once upon a time")
    before = session.work
    with pytest.raises(ProjectError, match="Pack it again"):
        transfer.open_project(studio, session, tmp_path / "story.zip")
    assert session.work == before


def test_an_edit_shows_the_attention_map_of_its_phrase_and_offers_its_scores(
    studio, session, page, answer, monkeypatch
):
    job = studio.submit_edit(session, JobKind.EDIT)
    finish(studio, session)
    result = studio.find_result(session, job.id)
    assert result is not None, studio.worker.status(job.id, session.id).job.message
    chips = attention_maps.phrase_chips(result, studio.store, {"ball": "#123456"})
    assert "a red panda</button>" in chips
    assert "--colour:#123456" in chips
    region = ProjectRegion(MaskSource(Path("masks.npz")), NOTHING, "ball")
    removed = replace(studio.worker.request(job.id, session.id), regions=(region,))
    with monkeypatch.context() as patched:
        patched.setattr(studio.store, "request", lambda *_: removed)
        assert "data-action" not in attention_maps.phrase_chips(result, studio.store, {})
    assert "data:image/webp" in attention_maps.moving_attention_map(result, studio.store, 0)
    with pytest.raises(ProjectError, match="No attention map was recorded"):
        attention_maps.moving_attention_map(result, studio.store, 7)
    assert "Score this result" in Views(studio, page).jobs(session, "")[page.edit.phrases]
    assert "data:image/webp" in answer("explain", session.id, event("attention", 0, job.id))[page.edit.attention]
    with pytest.raises(gr.Error, match="videograin download clip"):  # its model has no world with a CLIP of its own
        answer("explain", session.id, event("score", value=job.id))


def test_control_images_of_the_model_can_be_asked_for(studio, session, page, answer):
    canny = page.edit.guidance[ControlKind.CANNY]
    shown = answer("controls_chosen", ["canny"])
    assert shown[canny.row].visible
    assert not shown[page.edit.guidance[ControlKind.DEPTH].row].visible
    answer(
        "preview", form_of(page, session, studio) | {page.edit.controls: ["canny"], canny.scale: 0.6, canny.end: 0.5}
    )
    assert session.opened_work.control_guidance == (ControlGuidance(ControlKind.CANNY, 0.6, 0.0, 0.5),)
    assert Views(studio, page).form(session)[canny.scale] == 0.6
    finish(studio, session)
    assert session.opened_work.controls == ("canny",)
    edits = studio.edits(session)
    assert studio.worker.status(edits[0].id, session.id).job.state == "done", edits[0].message


def test_every_handler_fills_only_what_its_event_is_wired_to(studio, session, page, answer):
    address = SimpleNamespace(query_params={})
    assert answer("load", session.id, address).keys() == {page.kept, page.session, page.tabs, *page.everything}
    answer("model_chosen", session.id, "emoji-world")
    answer("example", session.id, 2, event("clip", value="friends"))
    answer("object_action", session.id, event("frame", value="2"))
    answer("add_object", session.id)
    answer("word_action", session.id, event("prompt", 1, "a fox"))
    answer("to_edit", session.id)
    assert session.opened_work.objects[0].prompt == "a fox"
    job = studio.submit_edit(session, JobKind.PREVIEW)
    for action in ("show", "reload"):
        answer("history_action", session.id, "", event(action, value=job.id))
    answer("job_action", session.id, "", event("cancel", value=job.id))


def test_a_caption_is_proposed_by_the_objects_names(studio, session, page, answer):
    assert answer("propose_caption", session.id) == {page.edit.caption: "a ball"}
    assert session.opened_work.source_prompt == "a ball"
    session.change(objects.rename_object(session.opened_work, 1, "Object 1"))
    with pytest.raises(gr.Error, match="ame the objects in step 2"):
        answer("propose_caption", session.id)
    assert session.opened_work.source_prompt == "a ball"


def test_texts_and_settings_of_the_page_reach_the_edit(studio, session, page, answer):
    fields = form_of(page, session, studio)
    fields |= {
        page.edit.background: " on grass ",
        page.edit.negative: None,
        page.edit.target: "I see a red panda",
        page.edit.settings["seed"]: 7,
    }
    answer("texts_changed", fields)
    assert session.opened_work.background == "on grass"
    session.set_words(replace(session.opened_work, adapters=(Adapter(hub_id="owner/style", words="in red"),)))
    typed = fields | {page.edit.collected: '{"1": ["a red panda", "a fox"], "lora1": ["in red", "in blue "]}'}
    with pytest.raises(gr.Error, match=r"owner/style.* is not on this machine"):
        answer("preview", typed)  # pressed while the words are being typed
    assert session.opened_work.adapters[0].words == "in blue"
    session.set_words(replace(session.opened_work, adapters=()))
    answer("preview", typed)
    work = session.opened_work
    assert work.target_prompt == "I see a fox"
    assert (work.objects[0].prompt, work.settings.seed, work.settings.num_inference_steps) == ("a fox", 7, 2)
    studio.worker.cancel(studio.edits(session)[0].id, session.id)


@pytest.mark.parametrize(
    ("shelf", "waiting", "words"),
    [
        (ShelfState(loading="one"), 2, "Loading one on CPU…"),
        (ShelfState(held="one"), 0, "on CPU · ready"),
        (ShelfState(held="one"), 2, "on CPU · 2 jobs in the queue"),
        (ShelfState(held="two"), 0, "on CPU · loads with the next edit"),
        (ShelfState(problem="There is no <model>."), 0, "There is no &lt;model&gt;."),
    ],
)
def test_the_status_says_what_is_loaded_and_where(shelf, waiting, words):
    assert f"</i>{words}</p>" in markup.status_line("one", "CPU", shelf, waiting)


def test_a_studio_that_has_just_come_up_says_so_before_it_loads_a_model() -> None:
    assert "</i>Starting on CPU…</p>" in markup.status_line("one", "CPU", ShelfState(), 0, is_starting=True)


def test_the_status_promises_no_loading_of_a_model_that_is_not_on_this_machine() -> None:
    assert "on CPU · this model is not here yet<" in markup.status_line("one", "CPU", ShelfState(), 0, is_here=False)


def test_the_status_of_a_cluster_says_how_much_of_it_is_free() -> None:
    line = markup.status_line("one", "CUDA:0", ShelfState("one"), 3, (2, 4))
    assert "</i>on CUDA:0 · 2 of 4 GPUs free · 3 jobs in the queue</p>" in line
    line = markup.status_line("one", "CUDA", ShelfState("one"), 0, (1, 2), gpus_each=2)
    assert "</i>on CUDA · 1 of 2 pairs of GPUs free · ready</p>" in line


def test_page_and_programs_clean_an_object_up(studio, session, page, answer):
    work, clip = session.opened_work, session.opened_clip
    speck = work.masks[1].masks[0].copy()
    speck[0, 0] = True
    session.change(objects.set_mask(work, 1, 0, speck, len(clip.frames)))
    updates = answer("object_action", session.id, event("clean", 1))
    assert "data-action='clean'" in updates[page.mark.objects]
    assert not session.opened_work.masks[1].masks[0, 0, 0]
    session.undo()
    assert session.opened_work.masks[1].masks[0, 0, 0]
    assert Api(studio).clean_up(session.id, 1)["objects"][0]["area"] == speck.sum() - 1


def test_imported_masks_are_named_and_it_is_said_how_they_were_read(studio, session, tmp_path):
    labels = np.zeros((4, 64, 64), np.uint8)
    labels[:, 8:30, 8:24], labels[:, 8:30, 34:60], labels[:, 0] = 3, 7, 255
    np.save(tmp_path / "labels.npy", labels)
    note = transfer.import_masks(session, tmp_path / "labels.npy")
    assert note == "2 objects read: each value is an object, 255 taken as void."
    assert [each.name for each in session.opened_work.objects] == ["ball", "3", "7"]
    np.save(tmp_path / "longer.npy", np.zeros((9, 64, 64), np.uint8))
    before = session.opened_work
    with pytest.raises(RegionError, match="has 9 masks for 4 frames"):
        transfer.import_masks(session, tmp_path / "longer.npy")
    np.save(tmp_path / "black.npy", np.zeros((4, 64, 64), np.uint8))
    with pytest.raises(RegionError, match="empty in every frame"):
        transfer.import_masks(session, tmp_path / "black.npy")
    assert session.opened_work == before


def test_programs_can_do_what_the_page_can(studio, session, monkeypatch, tmp_path):
    monkeypatch.setattr("ui.work.web_files.get_upload_folder", lambda: str(tmp_path))
    api = Api(studio)
    assert api.add_rest(session.id)["objects"][0]["name"] == "everything else"
    rest = session.opened_work.objects[0].id
    with pytest.raises(RegionError, match="must be marked"):
        api.combine(session.id, 1, rest)
    with pytest.raises(RegionError, match="union, intersection, difference"):
        api.combine(session.id, 1, rest, "sum")
    api.delete_object(session.id, rest)
    with pytest.raises(SettingsError, match="no ControlNet 'edges'"):
        api.preview(session.id, controls=["edges"])
    job = api.preview(session.id, settings={"num_inference_steps": 2, "seed": 3}, controls=["canny"])
    finish(studio, session)
    assert api.get_job(session.id, job)["state"] == "done", api.get_job(session.id, job)
    maps = read_attention(Path(api.get_attention(session.id, job).path))
    assert maps.keys() == {0}
    assert api.choose_model(session.id, "emoji-world")["model"] == "emoji-world"


@pytest.mark.parametrize(("at_most", "is_followed"), [(32, True), (2, False)])
def test_regions_of_a_whole_clip_become_objects_that_only_a_longer_clip_has_followed(
    studio, session, monkeypatch, at_most, is_followed
):
    def halves(_pipeline: object, frames: np.ndarray, *_: object, **__: object) -> list[Proposal]:
        left = np.zeros(frames.shape[:3], bool)
        left[:, :, :8] = True
        return [Proposal(left, False), Proposal(~left, True)]

    monkeypatch.setattr("videograin.engine.discover_regions", halves)
    monkeypatch.setattr("videograin.jobs.suggest.MAX_FRAMES", at_most)
    api = Api(studio)
    job = api.suggest(session.id, in_all_frames=True)
    finish(studio, session)
    assert api.get_job(session.id, job)["state"] == "done"
    ball, backdrop, left = api.get_work(session.id)["objects"]
    assert ball["name"] == "ball"
    assert (left["area"], backdrop["area"]) == (32 * 8, 32 * 24)
    assert left["followed"] == backdrop["followed"] == is_followed


@pytest.mark.parametrize(
    ("options", "message"),
    [({"max_frames": 1801}, "at most 1800 are allowed"), ({"short_side": 2048}, "at most 1024 pixels")],
)
def test_a_project_beyond_a_limit_is_refused(studio, session, options, message):
    work = session.opened_work
    session.set_words(replace(work, model="emoji-world", clip_options=replace(work.clip_options, **options)))
    archive = Path(transfer.export_project(studio, session))
    with pytest.raises(VideoError, match=message):
        transfer.open_project(studio, studio.sessions.create(), archive)


def test_a_project_says_that_its_earlier_results_stay_in_its_file(studio, session, tmp_path):
    video = make(tmp_path / "out.mp4", "testsrc=s=64x64:r=8:d=0.5")
    result = SavedResult(video, "2026-01-01", "emoji-world", "a fox", EditSettings())
    for number, (results, notes) in enumerate([((), ()), ((result,), (transfer.RESULTS_STAY,))]):
        archive = tmp_path / f"{number}.zip"
        export_workspace(replace(session.opened_work, model="emoji-world", results=results), archive)
        assert transfer.open_project(studio, studio.sessions.create(), archive) == notes


def test_without_a_preset_an_edit_keeps_the_settings_of_its_project(studio):
    author, session = studio.sessions.create(), studio.sessions.create()
    api = Api(studio)
    api.open_example(author.id, "seasons", frames=4)
    author.set_words(replace(author.opened_work, settings=replace(EMOJI_WORLD_SETTINGS, strength=0.9)))
    transfer.open_project(studio, session, Path(transfer.export_project(studio, author)))
    own = session.opened_work.settings
    assert own.strength == 0.9
    for preset, strength in ((None, own.strength), ("Balanced", EMOJI_WORLD_SETTINGS.strength)):
        job = api.edit(session.id, preset=preset, settings={"seed": 5})
        studio.worker.cancel(job, session.id)
        assert (session.opened_work.settings.strength, session.opened_work.settings.seed) == (strength, 5)
    finish(studio, session)


def test_a_quality_is_taken_over_the_api(studio, session, monkeypatch):
    monkeypatch.setattr(studio, "submit_edit", lambda *_: SimpleNamespace(id="none"))
    exact = session.opened_work.settings
    for quality in Quality:
        Api(studio).edit(session.id, quality=quality)
        assert session.opened_work.settings == apply_quality(quality, exact, studio.bundle(session).settings)
    with pytest.raises(SettingsError, match="no choice 'best'"):
        Api(studio).edit(session.id, quality="best")


def test_long_work_of_the_page_takes_turns_and_clicks_and_reads_never_wait_for_it(blocks, page):
    limits = {fn.api_name: (fn.concurrency_id, fn.concurrency_limit) for fn in blocks.fns.values() if fn.api_name}
    long = {name for name, turns in limits.items() if turns == (LONG_WORK.name, LONG_WORK.limit)}
    assert {name.removeprefix("page_").rstrip("_0123456789") for name in long} == {
        "open_clip", "example", "open_project", "import_masks", "export_masks", "export_project", "export_result",
        "overlay_video", "show_video", "gif_chosen", "explain",
    }  # fmt: skip
    for name in ("page_mark", "page_tick", "page_object_action", "page_load"):
        assert limits[name][1] is None, name


def test_long_calls_take_turns_with_the_page_and_others_never_wait_for_them(studio):
    with gr.Blocks() as blocks:
        Api(studio).register()
    turns = {fn.api_name: (fn.concurrency_id, fn.concurrency_limit) for fn in blocks.fns.values()}
    long = {name for name, each in turns.items() if each == (LONG_WORK.name, LONG_WORK.limit)}
    assert long == LONG_ENDPOINTS
    assert all(limit is None for name, (_, limit) in turns.items() if name not in long)


def test_an_export_takes_the_place_of_the_one_before(studio, session, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "web"))
    first, archive = (Path(transfer.export_masks(studio, session, kind)) for kind in (MaskFormat.NPZ, MaskFormat.PNG))
    second = Path(transfer.export_masks(studio, session, MaskFormat.NPZ))
    assert (first.exists(), second.exists(), archive.exists()) == (False, True, True)
    assert first != second
    assert session.id not in str(second)


def test_nothing_is_exported_that_the_disk_has_no_room_for(studio, session, page, answer, monkeypatch):
    studio.submit_edit(session, JobKind.PREVIEW)
    finish(studio, session)
    announced: list[int] = []

    def refuse(more: int = 0) -> None:
        announced.append(more)
        raise ProjectError(FULL)

    monkeypatch.setattr(studio.room, "check", refuse)
    for handler, *choice in (("export_masks", MaskFormat.NPZ), ("export_project",), ("export_result", "", "png")):
        with pytest.raises(gr.Error, match="disk of this server is full"):
            answer(handler, session.id, *choice)
    masks, project, pictures = announced
    assert 0 < masks < project
    assert pictures == pytest.approx(4 * 64 * 64 * 3, rel=0.1)


def test_a_lora_goes_into_the_edit_and_with_the_project(
    studio: StudioService, session: Session, page: Page, tmp_path: Path
) -> None:
    layer = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    save_file({f"{layer}.lora_A.weight": torch.ones(2, 8), f"{layer}.lora_B.weight": torch.ones(8, 2)},
              tmp_path / "style.safetensors")  # fmt: skip
    studio.add_adapter(session, Adapter(file=tmp_path / "style.safetensors", weight=0.5, words="in red"))
    status = finished(studio.worker, studio.submit_edit(session, JobKind.EDIT).id, session.id)
    assert status.result.target_prompt == "a red panda, in red"
    archive = Path(transfer.export_project(studio, session))
    other = studio.sessions.create()
    assert [problem for problem in transfer.open_project(studio, other, archive) if "LoRA" in problem] == []
    (adapter,) = other.opened_work.adapters
    assert (adapter.weight, adapter.words) == (0.5, "in red")
    assert adapter.file
    assert adapter.file.read_bytes() == (tmp_path / "style.safetensors").read_bytes()
    studio.change_adapters(session, lambda _: (Adapter(hub_id="owner/style"),))
    assert "owner/style" in Views(studio, page).loras(session)[page.edit.loras]
    with pytest.raises(ModelError, match=r"The LoRA 'owner/style' is not on this machine, .* go on without it"):
        studio.submit_edit(session, JobKind.EDIT)
    save_file({"a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "odd.safetensors")
    with pytest.raises(ModelError, match="neither a LoRA nor a textual inversion"):
        studio.add_adapter(session, Adapter(file=tmp_path / "odd.safetensors"))


@pytest.mark.parametrize("name", ["change_object", "delete_object", "move_object", "clean_up"])
def test_an_object_that_is_not_there_is_named(studio, session, name):
    with pytest.raises(RegionError, match=r"There is no object 0\. Known are: \[1\]"):
        getattr(Api(studio), name)(session.id, 0)


def test_a_job_that_programs_are_told_has_ended_has_its_masks_put_in_place(
    studio: StudioService, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = iter([JobState.RUNNING, *[JobState.DONE] * 9])  # it ends between the first look and the second

    def status(*_: str) -> SimpleNamespace:
        job = SimpleNamespace(kind=JobKind.TRACK, state=next(states), message="", notes=())
        return SimpleNamespace(job=job, progress=None, ahead=None, seconds_ahead=None)

    session.tracking = "a job"
    monkeypatch.setattr(studio.worker, "status", status)
    monkeypatch.setattr(studio.marking, "_take", lambda *_: None)
    told = Api(studio).get_job(session.id, "a job")["state"]
    assert told is JobState.RUNNING or not session.tracking


def test_an_unknown_direction_is_told(studio: StudioService, session: Session) -> None:
    with pytest.raises(RegionError, match=r"'sideways' is unknown\. Use one of: all, forwards, backwards"):
        Api(studio).track(session.id, "sideways")


def test_a_frame_is_previewed_before_anything_is_followed(studio: StudioService, session: Session) -> None:
    work, clip = session.opened_work, session.opened_clip
    alone = objects.set_mask(replace(work, masks={}), 1, 2, work.masks[1].masks[2], len(clip.frames))
    session.change(alone)
    with pytest.raises(RegionError, match="not followed"):
        studio.submit_edit(session, JobKind.PREVIEW)
    with pytest.raises(RegionError, match="This frame shows none"):
        studio.submit_edit(session, JobKind.PREVIEW, frame=0)
    job = Api(studio).preview(session.id, frame=2)
    status = finished(studio.worker, job, session.id)
    assert status.result.frames == 1
    whole = ClipOptions(short_side=None, multiple=1)
    before = load_clip(status.results / status.result.comparison, whole).frames[0, :, :64].astype(int)
    distances = [np.abs(before - frame).mean() for frame in load_clip(work.clip, whole).frames]
    assert np.argmin(distances) == 2


def test_a_queue_counts_what_is_drawn_of_an_edit(studio: StudioService, tmp_path: Path, monkeypatch) -> None:
    session = studio.sessions.create()
    clip = make(tmp_path / "clip.mp4", "testsrc=s=128x64:r=8:d=1")
    studio.open_clip(session, clip, ClipChoice(short_side=32), studio.default_model)
    mask = np.zeros((32, 64), bool)
    mask[8:24, 8:24] = True
    work = objects.add_object(session.opened_work, "ball")
    for frame in range(8):
        work = objects.set_mask(work, 1, frame, mask, 8)
    session.change(objects.change_object(work, 1, lambda each: replace(each, prompt="a red panda")))

    def by_pixels(_model: str, _controls: object, shape: tuple[int, ...], _settings: EditSettings) -> Estimate:
        return Estimate(float(np.prod(shape)), inversion_seconds=0, peak_bytes=0)

    monkeypatch.setattr(studio.shelf, "estimate", by_pixels)
    cost = work_cost(studio.shelf, session, session.opened_work.settings)
    assert cost is not None
    assert cost.shape == (8, 32, 32)  # of 32×64
    for kind, frame, frames in ((JobKind.EDIT, None, 8), (JobKind.PREVIEW, None, 4), (JobKind.PREVIEW, 2, 1)):
        job = studio.submit_edit(session, kind, frame)
        studio.worker.cancel(job.id, session.id)
        assert job.expected_seconds == frames * 32 * 32


def test_variations_are_made_from_one_inversion_compared_and_one_is_taken(
    studio: StudioService, session: Session, page: Page, answer: Callable[..., Updates]
) -> None:
    first, second = Api(studio).variations(session.id, count=2)
    finish(studio, session)
    assert REUSED in studio.worker.status(second, session.id).job.notes
    shown = Views(studio, page).jobs(session, first)
    assert shown[page.edit.variations].count("<video") == 2
    assert shown[page.edit.history].count("<img") == 2
    taken = answer("history_action", session.id, first, event("take", value=second))
    assert taken[page.shown] == second
    assert taken[page.edit.settings["seed"]]["value"] == session.opened_work.settings.seed == 2
    finished(studio.worker, studio.submit_edit(session, JobKind.PREVIEW).id, session.id)
    assert Views(studio, page).jobs(session, "")[page.edit.variations] == "", "a preview is no variation of an edit"
    with pytest.raises(SettingsError, match="count is 0"):
        Api(studio).variations(session.id, count=0)
