"""The page's components, step by step, and which handler answers which of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import gradio as gr
from gradio.blocks import BlockContext
from gradio.components import Component
from gradio.events import Dependency

from ui import views
from ui.api import Api
from ui.handlers import Handler, Handlers
from ui.plain_errors import in_plain_words
from ui.rendering import widgets
from ui.rendering.markup import header
from ui.steps import ClipStep, EditStep, MarkStep, build_clip_step, build_edit_step, build_mark_step
from ui.work.service import StudioService
from ui.work.transfer import MaskFormat

Components = Sequence[Component | BlockContext]

HOUR = 3600
"""Seconds between two purges of Gradio's copies of files; their age is the operator's retention."""


@dataclass(frozen=True)
class Page:
    """All components that handlers fill."""

    kept: gr.Textbox
    session: gr.State
    shown: gr.State
    timer: gr.Timer
    tabs: gr.Tabs
    status: gr.HTML
    held: gr.State
    model: gr.Dropdown
    clip: ClipStep
    mark: MarkStep
    edit: EditStep

    @property
    def marks(self) -> list[Component]:
        """What shows the marked objects, in the order of `views.marks`."""
        mark, edit = self.mark, self.edit
        return [mark.stage, mark.objects, mark.buttons, mark.timeline, edit.words, edit.sentence]

    @property
    def form(self) -> list[Component]:
        """The words and settings, in the order of `views.form`."""
        edit = self.edit
        return [edit.caption, edit.background, edit.negative, edit.target, edit.controls, *edit.settings]

    @property
    def models(self) -> list[Component]:
        """What shows the model that is chosen, in the order of `views.model`."""
        return [self.model, self.clip.knows, self.edit.knows, self.edit.controls]

    @property
    def jobs(self) -> list[Component | BlockContext]:
        """What shows jobs and results, in the order of `views.jobs`."""
        edit = self.edit
        return [
            self.timer,
            self.status,
            self.held,
            self.mark.job,
            edit.job,
            self.shown,
            edit.compare,
            edit.downloads,
            edit.takeaway,
            edit.phrases,
            edit.history,
        ]


def build_page(studio: StudioService) -> gr.Blocks:
    """Return the page of a studio."""
    retention = int(studio.settings.retention_hours * HOUR)
    with gr.Blocks(
        title="VideoGrain Studio", analytics_enabled=False, delete_cache=(HOUR, retention), fill_width=True
    ) as blocks:
        page = _build_components(studio)
        _wire(blocks, page, Handlers(studio))
        Api(studio).register()
    return blocks


def _build_components(studio: StudioService) -> Page:
    kept, session, shown, held = gr.Textbox(visible=False), gr.State(""), gr.State(""), gr.State("")
    timer = gr.Timer(views.IDLE_SECONDS)
    with gr.Row(elem_id="top"):
        gr.HTML(header(), elem_id="header", apply_default_css=False, padding=False)
        status = widgets.panel("status")
        model = gr.Dropdown(
            list(studio.settings.models), value=studio.default_model, show_label=False, label="Model", container=False,
            elem_id="model", min_width=150, scale=0,
        )  # fmt: skip
    with gr.Tabs(selected="clip", elem_id="steps") as tabs:
        with gr.Tab("1 Clip", id="clip"):
            clip = build_clip_step(studio)
        with gr.Tab("2 Mark", id="mark"):
            mark = build_mark_step()
        with gr.Tab("3 Edit", id="edit"):
            edit = build_edit_step(studio)
    return Page(kept, session, shown, timer, tabs, status, held, model, clip, mark, edit)


def _wire(blocks: gr.Blocks, page: Page, handlers: Handlers) -> None:
    everything = [*page.marks, *page.form, *page.models, *page.jobs]
    _on(
        blocks.load, handlers.load, page.kept, [page.kept, page.session, page.tabs, *everything],
        js=widgets.script("session_claim.js"),
    ).then(None, page.kept, None, js=widgets.script("session_keep.js"))  # fmt: skip
    page.tabs.change(None, None, None, js=widgets.script("to_top.js"), api_visibility="private")
    _on(page.timer.tick, handlers.tick, [page.session, page.shown, page.timer], [*page.marks, *page.jobs])
    _wire_clip(page, handlers, everything)
    _wire_mark(page, handlers)
    _wire_edit(page, handlers)


def _wire_clip(page: Page, handlers: Handlers, everything: Components) -> None:
    clip, session = page.clip, page.session
    choice = [clip.start, clip.end, clip.fps, clip.frames, clip.side, clip.fit, page.model]
    _on(
        clip.video.change, handlers.video_chosen, clip.video,
        [clip.measured, clip.part, clip.start, clip.end, clip.fps], mode="always_last",
    )  # fmt: skip
    _on(
        partial(gr.on, [each.change for each in (clip.measured, page.held, *choice)]),
        handlers.estimate, [clip.measured, *choice], clip.estimate, mode="always_last", in_turn="estimate",
    )  # fmt: skip
    _on(
        page.model.select, handlers.model_chosen, [session, page.model],
        [*page.models, clip.side, *page.edit.settings, page.status], mode="always_last",
    )  # fmt: skip
    _on(
        clip.project_in.upload, handlers.open_project, [session, clip.project_in], [page.tabs, *everything], busy=True
    )  # fmt: skip
    _on(clip.examples.act, handlers.example, [session, clip.frames], [clip.video, page.tabs, *everything])
    _on(clip.open.click, handlers.open_clip, [session, clip.video, *choice], [page.tabs, *everything], busy=True)


def _wire_mark(page: Page, handlers: Handlers) -> None:
    mark, session, jobs = page.mark, page.session, page.jobs
    _on(mark.stage.mark, handlers.mark, session, page.marks, mode="multiple").failure(
        None, None, None, js=widgets.script("calm_stage.js"), api_visibility="private"
    )
    for part in (mark.objects, mark.buttons, mark.timeline):
        _on(part.act, handlers.object_action, session, page.marks, mode="multiple")
    _on(mark.add.click, handlers.add_object, session, page.marks)
    _on(mark.rest.click, handlers.add_rest, session, page.marks)
    for button, direction in ((mark.track, "all"), (mark.forwards, "forwards"), (mark.backwards, "backwards")):
        _on(button.click, handlers.track, [session, gr.State(direction)], jobs[: views.FOLLOWING])
    _on(mark.suggest.click, handlers.suggest, session, jobs[: views.FOLLOWING])
    _on(mark.job.act, handlers.job_action, [session, page.shown], jobs)
    _on(mark.play.click, handlers.overlay_video, session, mark.overlay, busy=True)
    _on(mark.masks_in.upload, handlers.import_masks, [session, mark.masks_in], page.marks, busy=True)
    _download(mark.masks_out, handlers.export_masks, [session, mark.format], mark.file)
    _on(mark.next.click, handlers.to_edit, session, [page.tabs, *page.marks, page.edit.caption])


def _wire_edit(page: Page, handlers: Handlers) -> None:
    edit, session, words = page.edit, page.session, page.marks[4:]
    _on(edit.words.act, handlers.word_action, session, [*words, edit.target], mode="multiple", in_turn="words")
    texts = [edit.caption, edit.background, edit.negative, edit.target]
    for field in texts:
        _on(field.change, handlers.texts_changed, [session, *texts], edit.sentence, mode="always_last", in_turn="words")
    _on(edit.preset.input, handlers.preset_chosen, [session, edit.preset], edit.settings, mode="always_last")
    for button, run in ((edit.preview, handlers.preview), (edit.run, handlers.edit)):
        inputs = [session, edit.collected, *texts, edit.controls, *edit.settings]
        _on(
            button.click, run, inputs, [*words, *page.jobs, edit.attention], js=widgets.script("collect_words.js")
        ).success(None, None, None, js=widgets.script("show_job.js"), api_visibility="private")  # fmt: skip
    _on(edit.job.act, handlers.job_action, [session, page.shown], page.jobs)
    _on(
        edit.history.act, handlers.history_action, [session, page.shown],
        [*words, *page.form, *page.models, *page.jobs, edit.attention], in_turn="words",
    )  # fmt: skip
    _on(edit.phrases.act, handlers.attention_map, session, edit.attention, busy=True)
    _download(edit.project_out, handlers.export_project, [session], edit.file)
    _download(edit.masks_out, handlers.export_masks, [session, gr.State(MaskFormat.PNG)], edit.file)


def _download(button: gr.Button, handler: Handler, inputs: Components, path: gr.Textbox) -> None:
    """Have a button make a file and the browser fetch it."""
    _on(button.click, handler, inputs, path, busy=True).then(None, path, None, js=widgets.script("download.js"))


def _on(
    listener: Callable[..., Dependency],
    handler: Handler,
    inputs: Component | Components,
    outputs: Component | Components,
    *,
    mode: Literal["once", "multiple", "always_last"] = "once",
    busy: bool = False,
    js: str | None = None,
    in_turn: str | None = None,
) -> Dependency:
    """Have a handler answer an event of the page; the API has functions of its own (api.py) and sees none of these.

    Args:
        listener: of the event.
        handler: of `Handlers`.
        inputs, outputs: components.
        mode: what happens to an event that comes while the one before is answered.
        busy: whether the outputs show that they are waited for.
        js: run in the browser on the inputs first.
        in_turn: events of the same name are answered one after the other, so that no answer is overtaken by an older.
    """
    return listener(
        in_plain_words(handler), inputs, outputs, trigger_mode=mode, js=js, api_visibility="private",
        api_name=f"page_{handler.__name__}",
        show_progress="minimal" if busy else "hidden", concurrency_limit=1 if in_turn else None,
        concurrency_id=in_turn,
    )  # fmt: skip
