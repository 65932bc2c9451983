"""The page: its components, step by step, and which handler answers which of them."""

from collections.abc import Callable, Sequence, Set
from functools import partial
from typing import Any, Literal

import gradio as gr
from gradio.blocks import Block
from gradio.events import Dependency

from ui.api import Api
from ui.components import Page
from ui.handlers.clip import ClipHandlers
from ui.handlers.edit import EditHandlers
from ui.handlers.mark import MarkHandlers
from ui.handlers.whole_page import WholePageHandlers
from ui.plain_errors import in_plain_words
from ui.rendering import markup, model_markup, widgets
from ui.steps import build_clip_step, build_edit_step, build_mark_step
from ui.turns import LONG_WORK, Turns
from ui.views import IDLE_SECONDS
from ui.work.service import StudioService
from ui.work.transfer import MaskFormat

Handler = Callable[..., Any]
Inputs = Block | Sequence[Block] | Set[Block] | None
"""A handler takes a sequence's values one by one, and a set's as one mapping by component."""

HOUR = 3600
"""Seconds between two purges of Gradio's copies of files; their age is the operator's retention."""


def build_page(studio: StudioService) -> gr.Blocks:
    """Return the page of a studio."""
    retention = int(studio.settings.retention_hours * HOUR)
    with gr.Blocks(
        title="VideoGrain Studio", analytics_enabled=False, delete_cache=(HOUR, retention), fill_width=True
    ) as blocks:
        wire(blocks, build_components(studio), studio)
        Api(studio).register()
    return blocks


def build_components(studio: StudioService) -> Page:
    """Return the components of a studio's page, to be called within `gr.Blocks`."""
    kept, session, shown, held = gr.Textbox(visible=False), gr.State(""), gr.State(""), gr.State("")
    installed = gr.State([])
    timer, file, link = gr.Timer(IDLE_SECONDS), gr.Textbox(visible=False), gr.Textbox(visible=False)
    with gr.Row(elem_id="top"):
        gr.HTML(markup.header(), elem_id="header", apply_default_css=False, padding=False)
        status = widgets.panel("status")
        model = gr.Dropdown(
            model_markup.model_choices(studio.settings.models), value=studio.default_model, show_label=False,
            label="Model", container=False, elem_id="model", min_width=270, scale=0,
        )  # fmt: skip
    download = widgets.panel("download")
    with gr.Tabs(selected="clip", elem_id="steps") as tabs:
        with gr.Tab("1 Clip", id="clip"):
            clip = build_clip_step(studio)
        with gr.Tab("2 Mark", id="mark"):
            mark = build_mark_step()
        with gr.Tab("3 Edit", id="edit"):
            edit = build_edit_step(studio)
    progress = widgets.progress()
    return Page(
        kept=kept, session=session, shown=shown, timer=timer, tabs=tabs, status=status, held=held, model=model,
        download=download, installed=installed, progress=progress, file=file, link=link, clip=clip, mark=mark,
        edit=edit,
    )  # fmt: skip


def wire(blocks: gr.Blocks, page: Page, studio: StudioService) -> None:
    """Have handlers answer all events of a page."""
    everywhere, marking = WholePageHandlers(studio, page), MarkHandlers(studio, page)
    _wire_page(blocks, page, everywhere)
    _wire_clip(page, ClipHandlers(studio, page))
    _wire_mark(page, marking)
    _wire_edit(page, EditHandlers(studio, page), marking)


def _wire_page(blocks: gr.Blocks, page: Page, handlers: WholePageHandlers) -> None:
    _on(
        blocks.load, handlers.load, page.kept, {page.kept, page.session, page.tabs, *page.everything},
        js=widgets.script("session_claim.js"),
    ).success(None, page.kept, None, js=widgets.script("session_keep.js"))  # fmt: skip
    for name in ("quiet_player.js", "keys.js", "drawers.js", "toasts.js", "half_typed.js"):
        blocks.load(None, None, None, js=widgets.script(name), api_visibility="private")
    page.tabs.change(None, None, None, js=widgets.script("begin_step.js"), api_visibility="private")
    _on(page.download.act, handlers.download_action, [page.session, page.shown], page.jobs, mode="multiple")
    _on(page.progress.act, handlers.job_action, [page.session, page.shown], page.jobs, mode="multiple")
    _on(
        page.timer.tick, handlers.tick, [page.session, page.shown, page.timer, page.installed],
        {page.mark.overlay, *page.marks, *page.jobs, *page.segmenters},
    )  # fmt: skip


def _wire_clip(page: Page, handlers: ClipHandlers) -> None:
    clip, session, opened = page.clip, page.session, {page.tabs, *page.everything}
    video_chosen = _on(
        clip.video.change, handlers.video_chosen, clip.video,
        {clip.video, clip.measured, clip.part, clip.amount, clip.start, clip.end, clip.fps}, mode="always_last",
    )  # fmt: skip
    shown = _on(  # the strip comes after the fields that it fills
        video_chosen.then, handlers.show_video, clip.video, {clip.trim, clip.is_photograph}, mode="always_last",
        is_long=True,
    )  # fmt: skip
    for notice in (clip.notice, page.mark.notice):
        _on(
            notice.act, handlers.switch_to_photographs, [session, clip.is_photograph],
            {clip.notice, clip.side, page.status, *page.models, *page.settings},
        )  # fmt: skip
    amount_chosen = _on(
        clip.amount.input, handlers.amount_chosen, [clip.measured, clip.amount, clip.start, clip.end],
        {clip.start, clip.end, clip.fps}, mode="always_last",
    )  # fmt: skip
    part = [clip.start, clip.end]  # what an event does in the browser is wired first, or it would wait for an answer
    clip.trim.act(None, part, part, js=widgets.script("take_trim.js"), api_visibility="private")
    for moved in (clip.start.input, clip.end.input, amount_chosen.then, shown.then):
        moved(None, part, None, js=widgets.script("place_trim.js"), api_visibility="private")
    for moved in (clip.start.input, clip.end.input, clip.trim.act):
        _on(moved, handlers.part_changed, clip.amount, clip.amount, mode="always_last")
    _on(clip.gif_in.upload, handlers.gif_chosen, clip.gif_in, clip.video, busy=True, is_long=True)
    _on(
        partial(gr.on, [each.change for each in (clip.measured, page.held, *page.choice)]),
        handlers.estimate, {clip.measured, *page.choice}, clip.estimate, mode="always_last", in_turn="estimate",
    )  # fmt: skip
    model_chosen = _on(
        page.model.change, handlers.model_chosen, [session, page.model],
        {clip.side, page.status, *page.models, *page.settings}, mode="always_last",
    )  # fmt: skip
    for judged in (clip.is_photograph.change, model_chosen.then):
        _on(judged, handlers.notice, [session, clip.is_photograph, page.model], clip.notice, mode="always_last")
    _on(clip.project_in.upload, handlers.open_project, [session, clip.project_in], opened, busy=True, is_long=True)
    _on(clip.examples.act, handlers.example, [session, clip.frames], {clip.video, *opened}, busy=True, is_long=True)
    _on(clip.open.click, handlers.open_clip, {session, clip.video, *page.choice}, opened, busy=True, is_long=True)


def _wire_mark(page: Page, handlers: MarkHandlers) -> None:
    mark, session = page.mark, page.session
    _on(mark.stage.mark, handlers.mark, session, page.marks, mode="multiple").failure(
        None, None, None, js=widgets.script("calm_stage.js"), api_visibility="private"
    )
    _on(mark.stage.hover, handlers.hover, session, mark.outline, mode="multiple", is_queued=False)
    for part in (mark.objects, mark.buttons, mark.timeline):
        _on(part.act, handlers.object_action, session, page.marks, mode="multiple")
    _on(mark.add.click, handlers.add_object, session, page.marks)
    _on(mark.rest.click, handlers.add_rest, session, page.marks)
    for button, direction in ((mark.track, "all"), (mark.forwards, "forwards"), (mark.backwards, "backwards")):
        _on(button.click, handlers.track, [session, gr.State(direction)], page.following)
    _on(
        mark.segmenter.change, handlers.segmenter_chosen, [session, mark.segmenter], {page.download, *page.segmenters},
        mode="always_last",
    )  # fmt: skip
    _on(mark.find.submit, handlers.find, [session, mark.find], page.following)
    _on(mark.found.act, handlers.found_action, session, page.marks, mode="multiple")
    _on(mark.suggest.click, handlers.suggest, session, page.following)
    _on(mark.suggest_in_clip.click, handlers.suggest_in_clip, session, page.following)
    _on(mark.play.click, handlers.overlay_video, session, mark.overlay, busy=True, is_long=True)
    _on(mark.masks_in.upload, handlers.import_masks, [session, mark.masks_in], page.marks, busy=True, is_long=True)
    _download(page, mark.masks_out, handlers.export_masks, [session, mark.format])
    _on(mark.next.click, handlers.to_edit, session, {page.tabs, page.edit.caption, *page.marks})


def _wire_edit(page: Page, handlers: EditHandlers, marking: MarkHandlers) -> None:
    edit, session = page.edit, page.session
    _on(edit.words.act, handlers.word_action, session, {edit.target, *page.words}, mode="multiple", in_turn="words")
    _on(edit.ideas.act, handlers.random_idea, session, {edit.target, *page.words}, mode="multiple", in_turn="words")
    _on(  # one event for all: of several that an answer changes at once, the first is sent with the others' old values
        partial(gr.on, [each.change for each in page.texts]), handlers.texts_changed, {session, *page.texts},
        edit.sentence, mode="always_last", in_turn="words",
    )  # fmt: skip
    _on(edit.propose.click, handlers.propose_caption, session, edit.caption, in_turn="caption")
    _on(edit.lora_id.submit, handlers.add_lora, [session, edit.lora_id], {edit.loras, edit.lora_id, page.download})
    _on(edit.lora_in.upload, handlers.upload_lora, [session, edit.lora_in], {edit.loras, page.download}, busy=True)
    _on(edit.loras.act, handlers.lora_action, session, {edit.loras, page.download}, mode="multiple")
    _on(
        edit.pictures.file.upload, handlers.upload_picture, [session, edit.pictures.object, edit.pictures.file],
        {*page.pictures, page.download}, busy=True,
    )  # fmt: skip
    _on(edit.pictures.given.act, handlers.picture_action, session, {*page.pictures, page.download}, mode="multiple")
    _on(edit.controls.change, handlers.controls_chosen, edit.controls, page.guidance_rows, mode="always_last")
    seen = (page.tabs.change, edit.sentence.change, page.held.change, *(each.change for each in page.settings))
    _on(partial(gr.on, list(seen)), handlers.cost, {session, *page.settings}, edit.cost, mode="always_last")
    for field, chosen in ((edit.preset, handlers.preset_chosen), (edit.quality, handlers.quality_chosen)):
        _on(
            field.input, chosen, {session, *page.settings}, page.settings, mode="always_last", in_turn="preset",
        )  # fmt: skip
    single = {*edit.settings.values(), edit.controls, *page.guidance}  # by a user: what answers put in is taken already
    resets = [each.release for each in single if isinstance(each, gr.Slider)]  # which are no input
    _on(
        partial(gr.on, [*(each.input for each in single), *resets]), handlers.settings_changed, {session, *single},
        page.degrees, mode="always_last", in_turn="preset",
    )  # fmt: skip
    runs = {
        edit.preview_frame: handlers.preview_frame, edit.preview: handlers.preview, edit.vary: handlers.vary,
        edit.run: handlers.edit,
    }  # fmt: skip
    for button, run in runs.items():
        _on(
            button.click, run, {session, edit.collected, *page.form},
            {page.shown, edit.attention, *page.words, *page.jobs}, js=widgets.script("collect_words.js"),
        ).success(None, None, None, js=widgets.script("show_job.js"), api_visibility="private")  # fmt: skip
    for part in (edit.history, edit.variations):
        _on(
            part.act, handlers.history_action, [session, page.shown],
            {page.shown, edit.attention, *page.words, *page.form, *page.models, *page.jobs}, mode="multiple",
            in_turn="words",
        )  # fmt: skip
    edit.phrases.act(None, None, None, js=widgets.script("await_explanation.js"), api_visibility="private")
    explained = _on(edit.phrases.act, handlers.explain, session, edit.attention, busy=True, is_long=True)
    for ended in (explained.success, explained.failure):
        ended(None, None, None, js=widgets.script("show_explanation.js"), api_visibility="private")
    _on(edit.share.click, handlers.share, {session, *page.settings}, page.link).success(
        None, page.link, None, js=widgets.script("copy_link.js"), api_visibility="private"
    )
    _download(page, edit.result_out, handlers.export_result, [session, page.shown, edit.format])
    _download(page, edit.project_out, handlers.export_project, [session])
    _download(page, edit.masks_out, marking.export_masks, [session, gr.State(MaskFormat.PNG)])


def _download(page: Page, button: gr.Button, handler: Handler, inputs: Inputs) -> None:
    """Have a button make a file and the browser fetch it."""
    made = _on(button.click, handler, inputs, page.file, busy=True, is_long=True)
    made.success(None, page.file, None, js=widgets.script("download.js"))


def _on(
    listener: Callable[..., Dependency],
    handler: Handler,
    inputs: Inputs,
    outputs: Inputs,
    *,
    mode: Literal["once", "multiple", "always_last"] = "once",
    busy: bool = False,
    js: str | None = None,
    in_turn: str | None = None,
    is_long: bool = False,
    is_queued: bool = True,
) -> Dependency:
    """Have a handler answer an event of the page; the API has functions of its own (api.py) and sees none of these.

    Args:
        listener: the component event as Gradio offers it, such as `button.click`.
        handler: of a class in `ui.handlers`.
        inputs: components whose values the handler takes: one by one, or those of a set in one mapping.
        outputs: components that the handler may fill.
        mode: what happens to an event that comes while the one before is answered.
        busy: whether the outputs show that they are waited for.
        js: run in the browser on the inputs first.
        in_turn: events of the same name are answered one after the other, so that no answer is overtaken by an older.
        is_long: whether a clip or file is read or written: of all users' few are at a time (`LONG_WORK`), and the page
            shows the place of those that wait.
        is_queued: whether Gradio's queue takes it; else it is answered at once, by the request itself.
    """
    turns = LONG_WORK if is_long else Turns(in_turn, 1 if in_turn else None)
    return listener(
        in_plain_words(handler), inputs, outputs, trigger_mode=mode, js=js, queue=is_queued, api_visibility="private",
        api_name=f"page_{handler.__name__}",
        show_progress="minimal" if busy else "hidden", concurrency_limit=turns.limit, concurrency_id=turns.name,
    )  # fmt: skip
