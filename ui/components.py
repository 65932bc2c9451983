"""The page's components by name: every component that a handler reads or fills."""

from dataclasses import dataclass

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from videograin.region import ControlKind

SettingComponent = gr.Slider | gr.Dropdown | gr.Checkbox | gr.Number
"""A field of `EditSettings`, by its type and range."""


@dataclass(frozen=True)
class ClipStep:
    """Components of the first step."""

    video: gr.Video
    measured: gr.State
    is_photograph: gr.State
    examples: gr.HTML
    notice: gr.HTML
    trim: gr.HTML
    part: gr.Column
    amount: gr.Radio
    start: gr.Number
    end: gr.Number
    fps: gr.Number
    frames: gr.Slider
    side: gr.Slider
    fit: gr.Radio
    knows: gr.HTML
    gif_in: gr.UploadButton
    project_in: gr.UploadButton
    estimate: gr.HTML
    open: gr.Button


@dataclass(frozen=True)
class MarkStep:
    """Components of the second step."""

    notice: gr.HTML
    stage: gr.HTML
    outline: gr.HTML
    buttons: gr.HTML
    timeline: gr.HTML
    find: gr.Textbox
    found: gr.HTML
    objects: gr.HTML
    add: gr.Button
    rest: gr.Button
    segmenter: gr.Dropdown
    suggest: gr.Button
    suggest_in_clip: gr.Button
    track: gr.Button
    forwards: gr.Button
    backwards: gr.Button
    job: gr.HTML
    play: gr.Button
    overlay: gr.HTML
    masks_in: gr.UploadButton
    masks_out: gr.Button
    format: gr.Dropdown
    next: gr.Button


@dataclass(frozen=True)
class GuidanceRow:
    """Fields of one ControlNet, shown while it is ticked."""

    row: gr.Row
    scale: gr.Slider
    start: gr.Slider
    end: gr.Slider


@dataclass(frozen=True)
class PictureFields:
    """Fields of the pictures that objects are drawn after; the whole is shown with models that take pictures."""

    whole: gr.Accordion
    given: gr.HTML
    object: gr.Dropdown
    file: gr.UploadButton


@dataclass(frozen=True)
class EditStep:
    """Components of the third step; `settings` by the names of `EditSettings`' fields."""

    words: gr.HTML
    ideas: gr.HTML
    background: gr.Textbox
    caption: gr.Textbox
    propose: gr.Button
    sentence: gr.HTML
    target: gr.Textbox
    negative: gr.Textbox
    knows: gr.HTML
    controls: gr.CheckboxGroup
    guidance: dict[ControlKind, GuidanceRow]
    loras: gr.HTML
    lora_id: gr.Textbox
    lora_in: gr.UploadButton
    pictures: PictureFields
    preset: gr.Radio
    quality: gr.Radio
    settings: dict[str, SettingComponent]
    share: gr.Button
    cost: gr.HTML
    preview_frame: gr.Button
    preview: gr.Button
    run: gr.Button
    collected: gr.Textbox
    job: gr.HTML
    note: gr.HTML
    compare: gr.HTML
    variations: gr.HTML
    vary: gr.Button
    downloads: gr.HTML
    takeaway: gr.Row
    format: gr.Dropdown
    result_out: gr.Button
    project_out: gr.Button
    masks_out: gr.Button
    phrases: gr.HTML
    attention: gr.HTML
    history: gr.HTML


@dataclass(frozen=True)
class Page:
    """All components that handlers read or fill.

    Attributes:
        kept: id of the session that this browser has kept.
        session: id of the session of this page.
        shown: id of the edit that the user asked to see; empty shows the latest.
        timer: asks for news of the jobs.
        tabs: the three steps.
        status: whether the model is loaded, and where.
        held: name of the model that is loaded.
        download: what the model that is chosen lacks on this machine, and the progress of its download.
        installed: names of what the page shows as installed for photographs; more of them are new since then.
        progress: of the jobs that wait or run, in sight in every step.
        model: that edits use.
        file: path of a file that the browser will fetch.
        link: what the address of the page has for the settings that are shared.
        clip: the first step.
        mark: the second step.
        edit: the third step.
    """

    kept: gr.Textbox
    session: gr.State
    shown: gr.State
    timer: gr.Timer
    tabs: gr.Tabs
    status: gr.HTML
    held: gr.State
    download: gr.HTML
    installed: gr.State
    progress: gr.HTML
    model: gr.Dropdown
    file: gr.Textbox
    link: gr.Textbox
    clip: ClipStep
    mark: MarkStep
    edit: EditStep

    @property
    def choice(self) -> set[gr.Number | gr.Slider | gr.Radio | gr.Dropdown]:
        """Fields that say which part of the video is edited, how large, and with which model."""
        clip = self.clip
        return {clip.start, clip.end, clip.fps, clip.frames, clip.side, clip.fit, self.model}

    @property
    def marks(self) -> set[Block]:
        """Components that show the marked objects and their words."""
        mark = self.mark
        return {
            mark.stage, mark.found, mark.objects, mark.buttons, mark.timeline, mark.track, mark.next, *self.words,
        }  # fmt: skip

    @property
    def words(self) -> set[Block]:
        """Components that show what the objects become."""
        return {self.edit.words, self.edit.sentence, self.edit.preview_frame, *self.pictures}

    @property
    def pictures(self) -> set[Block]:
        """Components that show the pictures that objects are drawn after."""
        return {self.edit.pictures.given, self.edit.pictures.object}

    @property
    def texts(self) -> set[gr.Textbox]:
        """Text fields of an edit."""
        edit = self.edit
        return {edit.caption, edit.background, edit.negative, edit.target}

    @property
    def settings(self) -> set[SettingComponent | gr.Radio]:
        """Fields of `EditSettings`, and the preset and quality that they amount to."""
        return {*self.edit.settings.values(), *self.degrees}

    @property
    def degrees(self) -> set[gr.Radio]:
        """How much may change, and how much of the arithmetic may be left out."""
        return {self.edit.preset, self.edit.quality}

    @property
    def form(self) -> set[Component]:
        """All fields of an edit but the objects' words."""
        return {*self.texts, self.edit.controls, *self.guidance, *self.settings}

    @property
    def guidance(self) -> set[gr.Slider]:
        """Fields of the ControlNets."""
        return {field for row in self.edit.guidance.values() for field in (row.scale, row.start, row.end)}

    @property
    def guidance_rows(self) -> set[Block]:
        """Rows of the ControlNets' fields."""
        return {row.row for row in self.edit.guidance.values()}

    @property
    def models(self) -> set[Block]:
        """Components that show the model and the segmenter that are chosen."""
        notes = {self.download, self.edit.loras, self.edit.ideas, self.clip.knows, self.edit.knows, self.mark.notice}
        return {self.model, self.edit.controls, self.edit.pictures.whole, *self.segmenters, *notes}

    @property
    def segmenters(self) -> set[Block]:
        """Components that show which segmenters are installed, and what the one that is chosen can do."""
        return {self.installed, self.mark.segmenter, self.mark.notice, self.mark.suggest}

    @property
    def following(self) -> set[Block]:
        """Components that show how far objects are followed or found."""
        return {self.timer, self.status, self.held, self.download, self.progress, self.mark.job}

    @property
    def jobs(self) -> set[Block]:
        """Components that show jobs and results."""
        edit = self.edit
        files = {edit.downloads, edit.takeaway, edit.format, edit.result_out}
        results = {edit.job, edit.note, edit.compare, edit.variations, edit.phrases, edit.history, *files}
        return {*self.following, *results}

    @property
    def everything(self) -> set[Block]:
        """Components that show a whole work and its jobs."""
        return {*self.marks, *self.form, *self.models, *self.jobs, self.shown}
