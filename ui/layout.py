"""What stands where in the three steps."""

from dataclasses import dataclass

import gradio as gr

from ui import markup, widgets
from ui.example_markup import example_cards
from ui.service import StudioService
from ui.settings_form import PRESETS, SETTING_FIELDS, Preset, Range, SettingField
from ui.transfer import MaskFormat
from videograin.models import find_bundle
from videograin.region import EditSettings


@dataclass(frozen=True)
class ClipStep:
    """Components of the first step."""

    video: gr.Video
    examples: gr.HTML
    start: gr.Number
    end: gr.Number
    fps: gr.Number
    frames: gr.Slider
    side: gr.Slider
    fit: gr.Radio
    model: gr.Dropdown
    knows: gr.HTML
    estimate: gr.HTML
    open: gr.Button


@dataclass(frozen=True)
class MarkStep:
    """Components of the second step."""

    stage: gr.HTML
    buttons: gr.HTML
    timeline: gr.HTML
    objects: gr.HTML
    add: gr.Button
    suggest: gr.Button
    track: gr.Button
    forwards: gr.Button
    backwards: gr.Button
    job: gr.HTML
    play: gr.Button
    overlay: gr.HTML
    masks_in: gr.UploadButton
    masks_out: gr.Button
    format: gr.Dropdown
    file: gr.Textbox
    next: gr.Button


@dataclass(frozen=True)
class EditStep:
    """Components of the third step."""

    words: gr.HTML
    background: gr.Textbox
    caption: gr.Textbox
    sentence: gr.HTML
    target: gr.Textbox
    negative: gr.Textbox
    preset: gr.Radio
    settings: list[gr.components.Component]
    preview: gr.Button
    run: gr.Button
    collected: gr.Textbox
    job: gr.HTML
    compare: gr.HTML
    downloads: gr.HTML
    takeaway: gr.Row
    project_out: gr.Button
    masks_out: gr.Button
    file: gr.Textbox
    history: gr.HTML


def build_clip_step(studio: StudioService) -> ClipStep:
    """Lay the first step out."""
    limits, bundle = studio.settings, find_bundle(studio.default_model)
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            video = gr.Video(
                label="Your clip", sources=["upload", "webcam"], height=340, elem_id="upload",
                webcam_options=gr.WebcamOptions(mirror=False), buttons=[],
            )  # fmt: skip
            examples = widgets.panel("examples")
            examples.value = example_cards()
        with gr.Column(scale=2, min_width=300, elem_classes="vg-card"):
            gr.HTML("<h2>Which part, how large</h2>", apply_default_css=False)
            with gr.Row():
                start = gr.Number(0, label="From second", step=0.1, min_width=120)
                end = gr.Number(None, label="To second", step=0.1, min_width=120, placeholder="end")
            fps = gr.Number(None, label="Frames per second", info="Fewer show a longer stretch at the same cost.")
            frames = gr.Slider(1, limits.max_frames, studio.default_frames, step=1, label="Frames at most")
            side = gr.Slider(64, limits.max_side, bundle.short_side, step=32, label="Shorter side in pixels")
            fit = gr.Radio([("Crop the edges", "crop"), ("Keep everything", "fit")], value="crop", label="Shape")
            model = gr.Dropdown(list(limits.models), value=studio.default_model, label="Model")
            knows = gr.HTML(markup.model_note(bundle), apply_default_css=False)
            estimate = gr.HTML(markup.EMPTY_ESTIMATE, elem_id="estimate", apply_default_css=False)
            open_button = gr.Button("Continue to marking", variant="primary", elem_id="open-clip")
    return ClipStep(video, examples, start, end, fps, frames, side, fit, model, knows, estimate, open_button)


def build_mark_step() -> MarkStep:
    """Lay the second step out."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            stage = widgets.stage()
            buttons = widgets.panel("mark-buttons")
            timeline = widgets.panel("timeline")
        with gr.Column(scale=2, min_width=300, elem_classes="vg-card"):
            gr.HTML("<h2>Objects</h2>", apply_default_css=False)
            objects = widgets.panel("objects")
            with gr.Row():
                add = gr.Button("New object", size="sm", min_width=100)
                suggest = gr.Button("Suggest objects", size="sm", min_width=100)
            gr.HTML(
                "<h2>Follow them through the clip</h2><p class='vg-note'>Then look at the coloured strips: where one "
                "is pale, go there, correct it with a click, and follow again. What you marked stays.</p>",
                apply_default_css=False,
            )
            track = gr.Button("Track all", variant="primary", elem_id="track-all")
            with gr.Row():
                backwards = gr.Button("Backwards", size="sm", min_width=100)
                forwards = gr.Button("From here on", size="sm", min_width=100)
            job = widgets.panel("mark-job")
            play = gr.Button("Play with masks", size="sm")
            overlay = gr.HTML("", elem_id="overlay", apply_default_css=False)
            with gr.Accordion("Masks from and to files", open=False):
                masks_in = gr.UploadButton(
                    "Import masks (PNG, NPZ, video, ZIP)", size="sm",
                    file_types=[".png", ".npz", ".mp4", ".mov", ".webm", ".zip"],
                )  # fmt: skip
                mask_format = gr.Dropdown([each.value for each in MaskFormat], value=MaskFormat.PNG, label="Export as")
                masks_out = gr.Button("Export masks", size="sm")
            file = gr.Textbox(visible=False)
            next_button = gr.Button("Continue to words", elem_id="to-edit")
    return MarkStep(
        stage, buttons, timeline, objects, add, suggest, track, forwards, backwards, job, play, overlay, masks_in,
        masks_out, mask_format, file, next_button,
    )  # fmt: skip


def build_edit_step(studio: StudioService) -> EditStep:
    """Lay the third step out."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=320, elem_classes="vg-card"):
            gr.HTML("<h2>What each one becomes</h2>", apply_default_css=False)
            words = widgets.panel("words")
            background = gr.Textbox(
                label="Everything around them", placeholder="on grass under a clear sky", max_length=300
            )
            sentence = gr.HTML(elem_id="sentence", apply_default_css=False)
            with gr.Accordion("Sentence, caption, what to avoid", open=False):
                target = gr.Textbox(
                    label="The whole sentence, in your own words", placeholder="empty: put together from the above",
                    info="It must contain each object's words.", max_length=600,
                )  # fmt: skip
                caption = gr.Textbox(
                    label="What the clip shows now", info="A plain caption; the better it fits, the better the edit.",
                    max_length=300,
                )  # fmt: skip
                negative = gr.Textbox(label="What to avoid", placeholder="blurry, deformed", max_length=300)
            preset = gr.Radio(list(Preset), value=Preset.BALANCED, label="How daring", info=_preset_info())
            with gr.Accordion("Every setting", open=False):
                settings = [_setting(field, find_bundle(studio.default_model).settings) for field in SETTING_FIELDS]
            with gr.Row():
                preview = gr.Button("Preview", elem_id="preview", min_width=100)
                run = gr.Button("Edit the clip", variant="primary", elem_id="edit", min_width=160, scale=2)
        with gr.Column(scale=3, min_width=320):
            job = widgets.panel("edit-job")
            compare = widgets.compare()
            downloads = widgets.panel("downloads")
            with gr.Row(visible=False) as takeaway:
                masks_out = gr.Button("Masks (.zip)", size="sm", min_width=100)
                project_out = gr.Button("Whole project (.zip)", size="sm", min_width=100, elem_id="project-out")
            history = widgets.panel("history")
            collected, file = gr.Textbox(visible=False), gr.Textbox(visible=False)
    return EditStep(
        words, background, caption, sentence, target, negative, preset, settings, preview, run, collected, job,
        compare, downloads, takeaway, project_out, masks_out, file, history,
    )  # fmt: skip


def _preset_info() -> str:
    return " ".join(f"{preset.value}: {change.info}" for preset, change in PRESETS.items())


def _setting(field: SettingField, defaults: EditSettings) -> gr.components.Component:
    value = getattr(defaults, field.name)
    if isinstance(field.allowed, Range):
        allowed = field.allowed
        return gr.Slider(allowed.low, allowed.high, value, step=allowed.step, label=field.label, info=field.info)
    if field.allowed is not None:
        return gr.Dropdown([each.value for each in field.allowed], value=value, label=field.label, info=field.info)
    if isinstance(value, bool):
        return gr.Checkbox(value, label=field.label, info=field.info)
    return gr.Number(value, label=field.label, info=field.info, precision=0, minimum=0)
