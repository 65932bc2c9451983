"""The page's event handlers: event → session → new values of components."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ui import views
from ui.rendering import markup
from ui.rendering.pictures import overlay_frames
from ui.settings_form import SETTING_FIELDS, settings_from_form, settings_to_form
from ui.work import attention_maps, pointing, transfer
from ui.work.pointing import Tool
from ui.work.service import ClipChoice, StudioService
from ui.work.session import Session
from videograin.errors import VideoGrainError
from videograin.jobs.store import JobKind
from videograin.media.video import VideoInfo
from videograin.models.bundles import find_bundle
from videograin.models.presets import Preset, apply_preset
from videograin.project import objects
from videograin.project.examples import example_path
from videograin.project.workspace import Workspace
from videograin.region import ControlKind

Values = list[Any]
Handler = Callable[..., Any]

WORD_ACTIONS: dict[str, Callable[[Workspace, int, str], Workspace]] = {
    "keep": lambda work, number, _: objects.change_object(
        work, number, lambda each: replace(each, is_kept=not each.is_kept)
    ),
    "prompt": lambda work, number, value: objects.say(work, number, value.strip()),
    "strength": lambda work, number, value: objects.change_object(
        work, number, lambda each: replace(each, strength=float(value))
    ),
}
"""What the fields of a word row do to its object."""


class Handlers:
    """The page's event handlers. Each takes the id of the session first; whoever has it has the work.

    What changes the marks also draws them before it lets go of the session: no answer shows less than one before it.

    Args:
        studio: does the work.
    """

    def __init__(self, studio: StudioService) -> None:
        self.studio = studio

    def load(self, kept_id: str) -> Values:
        """Open the page: find the work and the jobs of this browser again."""
        session = self.studio.sessions.find_or_create(kept_id)
        step = "clip" if session.work is None else ("edit" if self.studio.edits(session) else "mark")
        return [session.id, session.id, gr.Tabs(selected=step), *self._all(session)]

    def open_project(self, session_id: str, file: str) -> Values:
        """Go on with the work that a ZIP file holds."""
        session = self._find(session_id)
        for problem in transfer.open_project(self.studio, session, Path(file)):
            gr.Warning(escape(problem), title="Not all of it could be read")
        self.studio.prepare_frame(session)
        return [gr.Tabs(selected="mark"), *self._all(session)]

    def tick(self, session_id: str, shown: str, seconds: float) -> Values:
        """Show the jobs' progress; masks that were found are put in place."""
        if seconds == views.IDLE_SECONDS and self.studio.is_dormant(session_id):
            return [gr.skip()] * (views.MARKS + views.JOBS)
        session = self._find(session_id)
        if self._take_finished(session):
            marks = views.marks(session)
        else:
            marks = [*[gr.skip()] * (views.MARKS - 1), markup.sentence(session.work) if session.work else ""]
        return [*marks, *self._jobs(session, shown)]

    def video_chosen(self, file: str | None) -> Values:
        """Measure a video, and set the fields of the first step to what it has."""
        try:
            info = self.studio.check_video(Path(file)) if file else None
        except VideoGrainError as error:
            gr.Warning(escape(str(error)), title="This clip cannot be used")
            info = None
        if info is None:
            return [None, gr.Row(visible=False), 0, None, None]
        return [info, gr.Row(visible=True), 0, round(info.duration, 2), round(info.fps, 3)]

    def estimate(self, info: VideoInfo | None, *choice: Any) -> str:
        """Say what an edit of a part of a video takes."""
        if info is None:
            return markup.EMPTY_ESTIMATE
        try:
            picked, model = ClipChoice(*choice[:-1]), choice[-1]
            options = self.studio.clip_options(picked, model)
            shape, estimate = self.studio.estimate(info, options, model, find_bundle(model).settings)
        except VideoGrainError as error:
            return markup.problem(str(error))
        return markup.estimate_note(shape, options.fps or info.fps, estimate)

    def model_chosen(self, session_id: str, model: str) -> Values:
        """Take another model, and show what it knows and the size and settings that suit it."""
        session = self._find(session_id)
        try:
            self.studio.choose_model(session, model)
        except VideoGrainError as error:
            gr.Warning(escape(str(error)), title="This model cannot be used")
            untouched = [gr.skip()] * (1 + len(SETTING_FIELDS) + 1)
            return [*views.model(self.studio, session), *untouched]
        bundle, status = find_bundle(model), views.status(self.studio, session)
        return [
            *views.model(self.studio, session), bundle.short_side, *settings_to_form(bundle.settings), status,
        ]  # fmt: skip

    def example(self, session_id: str, frames: int, event: gr.EventData) -> Values:
        """Take an example: its clip alone into the first step, or all of it, ready to edit or edited at once."""
        session = self._find(session_id)
        name = event.value
        if event.action == "clip":
            untouched = [gr.skip()] * (views.MARKS + views.FORM + views.MODEL + views.JOBS)
            return [str(example_path(name) / "clip.mp4"), gr.skip(), *untouched]
        self.studio.open_example(session, name, int(frames))
        if event.action == "run":
            self.studio.submit_edit(session, JobKind.EDIT)
        return [gr.skip(), gr.Tabs(selected="edit"), *self._all(session)]

    def open_clip(self, session_id: str, file: str | None, *choice: Any) -> Values:
        """Go on to marking."""
        session = self._find(session_id)
        if not file:
            raise gr.Error("Upload a clip first, or take an example.", title="No clip yet", print_exception=False)
        self.studio.open_clip(session, Path(file), ClipChoice(*choice[:-1]), choice[-1])
        self.studio.prepare_frame(session)
        return [gr.Tabs(selected="mark"), *self._all(session)]

    def mark(self, session_id: str, event: gr.EventData) -> Values:
        """Take a press on the picture."""
        session = self._find(session_id)
        points = [(float(x), float(y)) for x, y in event.points]
        with session.lock:
            self.studio.mark(session, Tool(event.tool), points, float(event.radius))
            return views.marks(session)

    def object_action(self, session_id: str, event: gr.EventData) -> Values:
        """Do what a button of the object list or the timeline says."""
        session = self._find(session_id)
        with session.lock:
            self._act(session, event.action, int(event.id), event.value)
            return views.marks(session)

    def add_object(self, session_id: str) -> Values:
        """Begin a new object; the next click marks it."""
        session = self._find(session_id)
        with session.lock:
            session.change(objects.add_object(session.opened_work))
            session.selected, session.answers = session.opened_work.objects[-1].id, ()
            return views.marks(session)

    def add_rest(self, session_id: str) -> Values:
        """Add everything that no other object covers."""
        session = self._find(session_id)
        with session.lock:
            session.change(objects.add_rest(session.opened_work))
            return views.marks(session)

    def track(self, session_id: str, direction: str) -> Values:
        """Follow all objects through the clip, or in one direction from the frame that is shown."""
        session = self._find(session_id)
        self.studio.submit_tracking(session, direction)
        return self._following(session)

    def suggest(self, session_id: str) -> Values:
        """Find objects on the frame that is shown."""
        session = self._find(session_id)
        self.studio.submit_suggestions(session)
        return self._following(session)

    def overlay_video(self, session_id: str) -> str:
        """Show the clip with its objects laid over."""
        session = self._find(session_id)
        clip = session.opened_clip
        return markup.moving_picture(overlay_frames(session.opened_work, clip.frames), clip.fps)

    def to_edit(self, session_id: str) -> Values:
        """Go on to the words, with a caption of what the clip shows where one can be guessed."""
        session = self._find(session_id)
        self.studio.suggest_caption(session)
        return [gr.Tabs(selected="edit"), *views.marks(session), session.opened_work.source_prompt]

    def word_action(self, session_id: str, event: gr.EventData) -> Values:
        """Take what an object becomes, that it stays, or how firmly its words are bound to it."""
        session = self._find(session_id)
        number, value = int(event.id), event.value
        with session.lock:
            before, clip = session.opened_work, session.opened_clip
            work = WORD_ACTIONS[event.action](before, number, value)
            session.set_words(work)
        sentence = gr.skip() if work.target_prompt == before.target_prompt else work.target_prompt
        return [markup.words(work, clip.frames), markup.sentence(work), sentence]

    def texts_changed(self, session_id: str, *texts: str) -> str:
        """Take caption, background, what to avoid and the sentence."""
        session = self._find(session_id)
        if session.work is None:
            return ""
        with session.lock:
            session.set_words(_with_texts(session.opened_work, texts))
        return markup.sentence(session.opened_work)

    def preset_chosen(self, session_id: str, preset: str) -> Values:
        """Set the settings that a preset means."""
        bundle = self.studio.bundle(self._find(session_id))
        return settings_to_form(apply_preset(Preset(preset), bundle.settings))

    def preview(self, session_id: str, collected: str, *values: Any) -> Values:
        """Ask for a preview."""
        return self._submit(JobKind.PREVIEW, session_id, collected, values)

    def edit(self, session_id: str, collected: str, *values: Any) -> Values:
        """Ask for the edit."""
        return self._submit(JobKind.EDIT, session_id, collected, values)

    def job_action(self, session_id: str, shown: str, event: gr.EventData) -> Values:
        """Cancel a job."""
        session = self._find(session_id)
        self.studio.worker.cancel(event.value, session.id)
        return self._jobs(session, shown)

    def history_action(self, session_id: str, shown: str, event: gr.EventData) -> Values:
        """Show an earlier result, or put its words, settings and model into the form."""
        session = self._find(session_id)
        if event.action == "show":
            untouched = [gr.skip()] * (2 + views.FORM + views.MODEL)
            return [*untouched, *self._jobs(session, event.value), ""]
        before = self.studio.bundle(session).name
        transfer.use_again(self.studio, session, event.value)
        model = self.studio.bundle(session).name
        if model != before:
            gr.Info(f"{escape(model)} made this result; it is the model again.", title="Another model")
        words, form = views.marks(session, are_words_fresh=True)[4:], views.form(session)
        return [*words, *form, *views.model(self.studio, session), *self._jobs(session, shown), gr.skip()]

    def attention_map(self, session_id: str, event: gr.EventData) -> str:
        """Show the attention map of a phrase in a result."""
        result = self.studio.find_result(self._find(session_id), event.value)
        return attention_maps.moving_attention_map(result, self.studio.store, int(event.id)) if result else ""

    def import_masks(self, session_id: str, file: str) -> Values:
        """Add the objects that a file holds."""
        session = self._find(session_id)
        gr.Info(escape(transfer.import_masks(session, Path(file))), title="Masks imported")
        return views.marks(session)

    def export_masks(self, session_id: str, kind: str) -> str:
        """Write the masks to a file."""
        return transfer.export_masks(self._find(session_id), transfer.MaskFormat(kind))

    def export_project(self, session_id: str) -> str:
        """Write the whole work with its results to a file."""
        return transfer.export_project(self.studio, self._find(session_id))

    def _submit(self, kind: JobKind, session_id: str, collected: str, values: tuple[Any, ...]) -> Values:
        session = self._find(session_id)
        with session.lock:
            work = _with_texts(session.opened_work, values[:4])
            prompts = {int(number): str(prompt).strip() for number, prompt in json.loads(collected or "{}").items()}
            work = replace(
                work, objects=tuple(replace(each, prompt=prompts.get(each.id, each.prompt)) for each in work.objects)
            )
            controls = tuple(ControlKind(kind) for kind in values[4])
            session.set_words(replace(work, controls=controls, settings=settings_from_form(values[5:])))
            job = self.studio.submit_edit(session, kind)
        return [*views.marks(session)[4:], *self._jobs(session, job.id if job.state.is_final else ""), ""]

    def _act(self, session: Session, action: str, number: int, value: str) -> None:
        work, clip = session.opened_work, session.opened_clip
        match action:
            case "frame":
                session.frame = max(0, min(len(clip.frames) - 1, int(value)))
                session.answers = ()
                self.studio.prepare_frame(session)
            case "select":
                session.selected, session.answers = (None if session.selected == number else number), ()
            case "undo":
                session.undo()
            case "redo":
                session.redo()
            case "smaller" | "bigger":
                pointing.choose_answer(session, -1 if action == "smaller" else 1)
            case _:
                session.change(transfer.OBJECT_ACTIONS[action](work, number, value))

    def _take_finished(self, session: Session) -> bool:
        """Put the masks of a finished job in place; return whether something has changed."""
        with session.lock:
            return self.studio.take_finished(session)

    def _all(self, session: Session) -> Values:
        self._take_finished(session)
        marks = views.marks(session, are_words_fresh=True)
        return [*marks, *views.form(session), *views.model(self.studio, session), *self._jobs(session, "")]

    def _jobs(self, session: Session, shown: str) -> Values:
        return views.jobs(self.studio, session, shown)

    def _following(self, session: Session) -> Values:
        return self._jobs(session, "")[: views.FOLLOWING]

    def _find(self, session_id: str) -> Session:
        return self.studio.sessions.find(session_id)


def _with_texts(work: Workspace, texts: Sequence[str | None]) -> Workspace:
    caption, background, negative, target = ((text or "").strip() for text in texts)
    return replace(work, source_prompt=caption, background=background, negative_prompt=negative, target_prompt=target)
