"""What stands where in the three steps."""

import gradio as gr

from ui.components import ClipStep, EditStep, GuidanceRow, MarkStep, PictureFields, SettingComponent
from ui.rendering import cost_markup, model_markup, widgets
from ui.rendering.example_markup import example_cards
from ui.settings_form import EVERYDAY_FIELDS, RESEARCH_GROUPS, Range, SettingField, described
from ui.work.costs import AMOUNTS, Amount
from ui.work.service import StudioService
from ui.work.transfer import MaskFormat
from videograin.files.hub import ADAPTER_SUFFIXES
from videograin.masks.load import MASK_FILES
from videograin.media.encode import OutputFormat
from videograin.models.bundles import find_bundle
from videograin.models.catalog import CONTROL_TITLES
from videograin.models.presets import PRESETS, QUALITIES, Preset, Quality
from videograin.project.references import REFERENCE_FILES
from videograin.region import ControlKind, EditSettings

SUGGEST, SUGGEST_MOVING = "Suggest on this frame", "Suggest what moves here"
"""What a press suggests: objects by a network that knows them, or what a rule can tell from the background."""

SEGMENTER_INFO = "Answers clicks and boxes, and follows the objects."
STROKES_INFO = (
    "Sees colours and motion, not objects. Draw a Box around the object, then a Brush stroke along it and an Erase "
    "stroke beside it. Add box takes in another part."
)
"""What a segmenter is for, and how a rule is best told what is meant."""


def build_clip_step(studio: StudioService) -> ClipStep:
    """Lay the first step out."""
    limits, bundle = studio.settings, find_bundle(studio.default_model)
    with gr.Row(equal_height=False, elem_id="clip-step"):
        with gr.Column(scale=3, min_width=320):
            video = gr.Video(
                label="Your clip", sources=["upload", "webcam"], height=340, elem_id="upload",
                webcam_options=gr.WebcamOptions(mirror=False), buttons=[],
            )  # fmt: skip
            with gr.Row():  # browsers count GIFs among pictures, so that the box above takes neither
                gif_in = gr.UploadButton(
                    "Upload a GIF, or pictures (.zip)",
                    size="sm",
                    min_width=120,
                    file_types=[".gif", ".zip"],
                    elem_id="gif-in",
                )
                project_in = gr.UploadButton(
                    "Open a saved project (.zip)", size="sm", file_types=[".zip"], elem_id="project-in"
                )
            examples = widgets.panel("examples")
            examples.value = example_cards()
        with gr.Column(scale=2, min_width=300, elem_classes="vg-card"):
            gr.HTML("<h2>Which part, and how large</h2>", apply_default_css=False)
            notice = widgets.panel("notice")
            trim = widgets.trim()
            with gr.Column(visible=False) as part:  # before there is a clip, its fields could only show zeros
                amount = gr.Radio(
                    [(words, each) for each, words in AMOUNTS.items()], value=Amount.WHOLE, show_label=False,
                    label="How much of it", elem_id="amount",
                )  # fmt: skip
                with gr.Row():
                    start = gr.Number(0, label="From second", step=0.1, min_width=80)
                    end = gr.Number(None, label="To second", step=0.1, min_width=80, placeholder="end")
                    fps = gr.Number(None, label="Frames/s", min_width=80)
            estimate = gr.HTML(cost_markup.EMPTY_CLIP_COST, elem_id="estimate", apply_default_css=False)
            with gr.Accordion("Advanced", open=False, elem_id="advanced"):
                frames = gr.Slider(1, limits.max_frames, limits.max_frames, step=1, label="Frames at most")
                side = gr.Slider(
                    64, limits.max_side, bundle.short_side, step=32, label="Shorter side in pixels",
                    info="At which objects are marked and drawn; the result keeps the video's size.",
                )  # fmt: skip
                fit = gr.Radio(
                    [("Trim them", "crop"), ("Stretch to fit", "fit")], value="crop", label="Edges",
                    info="Where the model cannot draw exactly this size.",
                )  # fmt: skip
            knows = gr.HTML(model_markup.model_note(bundle), apply_default_css=False)
            with gr.Row(elem_classes="vg-go"):
                open_button = gr.Button("Continue to marking", variant="primary", elem_id="open-clip")
    return ClipStep(
        video=video, measured=gr.State(), is_photograph=gr.State(False), examples=examples, notice=notice, trim=trim,
        part=part, amount=amount, start=start, end=end, fps=fps, frames=frames, side=side, fit=fit, knows=knows,
        gif_in=gif_in, project_in=project_in, estimate=estimate, open=open_button,
    )  # fmt: skip


def build_mark_step() -> MarkStep:
    """Lay the second step out."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            notice = widgets.panel("mark-notice")
            with gr.Column(elem_id="picture"):
                stage, outline = widgets.stage(), widgets.outline()
                overlay = widgets.overlay()
            timeline = widgets.panel("timeline")
            buttons = widgets.panel("mark-buttons")
        with gr.Column(scale=2, min_width=300, elem_classes="vg-card"):
            gr.HTML("<h2>Objects</h2>", apply_default_css=False)
            find = gr.Textbox(
                label="Type what to select", placeholder="the two bears, left man's hat", max_length=200,
                submit_btn="Find", elem_id="find",
            )  # fmt: skip
            found = widgets.panel("found")
            objects = widgets.panel("objects")
            with gr.Row():
                add = gr.Button("New object", size="sm", min_width=90, elem_id="new-object")
                rest = gr.Button("Everything else", size="sm", min_width=90, elem_id="rest")
            with gr.Row():
                suggest = gr.Button(SUGGEST, size="sm", min_width=145)
                suggest_in_clip = gr.Button("Suggest in all frames", size="sm", min_width=145, elem_id="suggest-all")
            gr.HTML(
                "<h2>Follow them through the clip</h2><p class='vg-note'>Then look at the coloured strips below the "
                "picture: where one is pale, go there, correct it with a click, and follow again. What you marked "
                "stays.</p>",
                apply_default_css=False,
            )
            job = widgets.panel("mark-job")
            with gr.Row():
                backwards = gr.Button("Follow backwards", size="sm", min_width=112)
                forwards = gr.Button("Follow from here on", size="sm", min_width=112)
                play = gr.Button("Play with masks", size="sm", min_width=112, elem_id="play-masks")
            segmenter = gr.Dropdown(label="Segmenter", info=SEGMENTER_INFO, elem_id="segmenter")
            with gr.Accordion("Masks from and to files", open=False):
                masks_in = gr.UploadButton(
                    "Import masks (PNG, NPZ, COCO, video, ZIP)", size="sm",
                    file_types=[".zip", *(suffix for suffix in MASK_FILES if suffix != ".txt")], elem_id="masks-in",
                )  # fmt: skip
                mask_format = gr.Dropdown([each.value for each in MaskFormat], value=MaskFormat.PNG, label="Export as")
                masks_out = gr.Button("Export masks", size="sm", elem_id="masks-out")
            with gr.Row(elem_id="mark-go", elem_classes="vg-go"):
                track = gr.Button("Follow all", variant="primary", min_width=100, elem_id="track-all")
                next_button = gr.Button("Continue to words", variant="secondary", min_width=160, elem_id="to-edit")
    return MarkStep(
        notice=notice, stage=stage, outline=outline, buttons=buttons, timeline=timeline, find=find, found=found,
        objects=objects, add=add, rest=rest, segmenter=segmenter, suggest=suggest, suggest_in_clip=suggest_in_clip,
        track=track, forwards=forwards, backwards=backwards, job=job, play=play, overlay=overlay, masks_in=masks_in,
        masks_out=masks_out, format=mask_format, next=next_button,
    )  # fmt: skip


def build_edit_step(studio: StudioService) -> EditStep:
    """Lay the third step out."""
    bundle = find_bundle(studio.default_model)
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=320, elem_classes="vg-card"):
            gr.HTML("<h2>What each one becomes</h2>", apply_default_css=False)
            words = widgets.panel("words")
            sentence = gr.HTML(elem_id="sentence", apply_default_css=False)
            ideas = widgets.ideas()
            knows = gr.HTML(model_markup.model_note(bundle), apply_default_css=False)
            background = gr.Textbox(
                label="Everything around them", placeholder="on grass under a clear sky", max_length=300
            )
            with gr.Accordion("Sentence, caption, what to avoid", open=False):
                caption, propose, target, negative = _sentence_fields()
            preset, quality = _degrees()
            with gr.Accordion("Every setting", open=False, elem_id="settings"):
                controls = gr.CheckboxGroup(
                    model_markup.control_choices(bundle), label="Keep from the clip",
                    info="Its lines, depth or poses, by ControlNets; without any, shapes change most freely.",
                )  # fmt: skip
                guidance = {kind: _guidance_row(kind) for kind in ControlKind}
                settings = {field.name: _setting(field, bundle.settings) for field in EVERYDAY_FIELDS}
                with gr.Accordion("For researchers", open=False):
                    settings |= _research_settings(bundle.settings)
                share = gr.Button("Copy a link to these settings", size="sm", elem_id="share")
            with gr.Accordion("LoRAs and textual inversions", open=False, elem_id="loras"):
                loras = widgets.panel("lora-list")
                lora_id, lora_in = _lora_sources()
            pictures = _picture_fields(bundle.takes_pictures)
            cost = widgets.panel("cost")
            preview_frame, preview, vary, run = _edit_buttons()
        with gr.Column(scale=3, min_width=320):
            job = widgets.panel("edit-job")
            note = gr.HTML("", elem_id="result-note", apply_default_css=False, padding=False)
            compare = widgets.compare()
            variations = widgets.panel("variations")
            with gr.Row(visible=False, elem_id="takeaway") as takeaway:
                downloads = widgets.panel("downloads")
                masks_out = gr.Button("Masks (.zip)", size="sm", min_width=60, scale=0)
                project_out = gr.Button("Project (.zip)", size="sm", min_width=60, scale=0, elem_id="project-out")
                result_format, result_out = _other_formats()
            phrases = widgets.panel("phrases")
            attention = gr.HTML("", elem_id="attention", apply_default_css=False, padding=False)
            history = widgets.panel("history")
            collected = gr.Textbox("@words", visible=False)  # the place of what scripts/collect_words.js finds
    return EditStep(
        words=words, ideas=ideas, background=background, caption=caption, propose=propose, sentence=sentence,
        target=target, negative=negative, knows=knows, controls=controls, guidance=guidance, loras=loras,
        lora_id=lora_id, lora_in=lora_in, pictures=pictures, preset=preset, quality=quality, settings=settings,
        share=share, cost=cost, preview_frame=preview_frame, preview=preview, vary=vary, run=run, collected=collected,
        job=job, note=note, compare=compare, variations=variations, downloads=downloads, takeaway=takeaway,
        format=result_format, result_out=result_out, project_out=project_out, masks_out=masks_out, phrases=phrases,
        attention=attention, history=history,
    )  # fmt: skip


def _lora_sources() -> tuple[gr.Textbox, gr.UploadButton]:
    from_hub = gr.Textbox(
        label="From the model hub", placeholder="owner/name, or owner/name/file", max_length=200,
        elem_id="lora-id", submit_btn="Add",
    )  # fmt: skip
    from_file = gr.UploadButton(
        f"Add a file ({', '.join(ADAPTER_SUFFIXES)})", file_types=[*ADAPTER_SUFFIXES], size="sm", elem_id="lora-in"
    )
    return from_hub, from_file


def _picture_fields(is_shown: bool) -> PictureFields:
    with gr.Accordion("Reference pictures", open=False, visible=is_shown, elem_id="pictures") as whole:
        given = widgets.panel("picture-list")
        with gr.Row():
            chosen = gr.Dropdown(label="Object", elem_id="picture-object", min_width=140)
            file = gr.UploadButton(
                "Add its picture (PNG, JPEG, WebP)", file_types=[*REFERENCE_FILES], size="sm", elem_id="picture-in"
            )
    return PictureFields(whole=whole, given=given, object=chosen, file=file)


def _other_formats() -> tuple[gr.Dropdown, gr.Button]:
    choices = [(each.description, each) for each in OutputFormat if each is not OutputFormat.MP4]
    kind = gr.Dropdown(
        choices, value=OutputFormat.WEBM, label="Another format", min_width=420, scale=0, elem_id="result-format"
    )
    return kind, gr.Button("Download it", size="sm", min_width=60, scale=0, elem_id="result-out")


def _guidance_row(kind: ControlKind) -> GuidanceRow:
    title = CONTROL_TITLES[kind]
    with gr.Row(visible=False) as row:
        return GuidanceRow(
            row=row,
            scale=gr.Slider(0, 2, 1, step=0.05, label=f"{title}: how strictly", min_width=140),
            start=gr.Slider(0, 1, 0, step=0.05, label=f"{title}: from share of steps", min_width=140),
            end=gr.Slider(0, 1, 1, step=0.05, label=f"{title}: to share of steps", min_width=140),
        )


def _research_settings(defaults: EditSettings) -> dict[str, SettingComponent]:
    settings = {}
    for heading, group in RESEARCH_GROUPS.items():
        gr.HTML(f"<h3>{heading}</h3>", apply_default_css=False)
        settings |= {field.name: _setting(field, defaults) for field in group}
    return settings


def _setting(field: SettingField, defaults: EditSettings) -> SettingComponent:
    value, info = getattr(defaults, field.name), described(field, defaults)
    if isinstance(field.allowed, Range):
        allowed = field.allowed
        return gr.Slider(allowed.low, allowed.high, value, step=allowed.step, label=field.label, info=info)
    if field.allowed is not None:
        return gr.Dropdown([each.value for each in field.allowed], value=value, label=field.label, info=info)
    if isinstance(value, bool):
        return gr.Checkbox(value, label=field.label, info=info)
    return gr.Number(value, label=field.label, info=info, precision=0, minimum=0)


def _degrees() -> tuple[gr.Radio, gr.Radio]:
    """Lay out how much may change, and how much of the arithmetic may be left out."""
    preset = gr.Radio(
        [(f"{each.value}: {change.info}", each.value) for each, change in PRESETS.items()],
        value=Preset.BALANCED, label="How much may change", elem_id="preset",
    )  # fmt: skip
    quality = gr.Radio(
        [(f"{each.value.capitalize()}: {left_out.info}", each.value) for each, left_out in QUALITIES.items()],
        value=Quality.EXACT, label="Quality and speed", elem_id="quality",
    )  # fmt: skip
    return preset, quality


def _sentence_fields() -> tuple[gr.Textbox, gr.Button, gr.Textbox, gr.Textbox]:
    """Return the fields of the caption, its proposal, the whole sentence and what to avoid."""
    caption = gr.Textbox(
        label="What the clip shows now", info="A plain caption; the better it fits, the better the edit.",
        max_length=300, elem_id="caption",
    )  # fmt: skip
    propose = gr.Button("Propose a caption", size="sm", elem_id="propose-caption")
    target = gr.Textbox(
        label="The whole sentence, in your own words", placeholder="empty: put together from the above",
        info="It must contain each object's words.", max_length=600,
    )  # fmt: skip
    negative = gr.Textbox(label="What to avoid", placeholder="blurry, deformed", max_length=300)
    return caption, propose, target, negative


def _edit_buttons() -> tuple[gr.Button, gr.Button, gr.Button, gr.Button]:
    """Return the buttons for one frame, the first frames, variations and the whole clip."""
    with gr.Row(elem_id="go", elem_classes="vg-go"):
        preview_frame = gr.Button("Preview frame 1", elem_id="preview-frame", min_width=100, size="sm")
        preview = gr.Button("Preview", elem_id="preview", min_width=100, size="sm")
        vary = gr.Button("Four variations", elem_id="vary", min_width=100, size="sm")
        run = gr.Button("Edit the clip", variant="primary", elem_id="edit", min_width=160, scale=2)
    return preview_frame, preview, vary, run
