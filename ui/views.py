"""What the page's components show of a session."""

import math
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import gradio as gr
from gradio.blocks import Block

from ui.components import Page
from ui.rendering import found_markup, job_markup, markup, model_markup, picture_markup
from ui.rendering.job_markup import PastEdit
from ui.rendering.pictures import data_url, outline, overlay, overlay_frames
from ui.rendering.score_markup import score_button
from ui.settings_form import SETTING_FIELDS, shown
from ui.steps import SEGMENTER_INFO, STROKES_INFO, SUGGEST, SUGGEST_MOVING
from ui.work import attention_maps
from ui.work.pointing import other_answer
from ui.work.service import StudioService
from ui.work.session import Session
from ui.work.web_files import cached
from videograin.jobs.store import Job, JobKind, JobState
from videograin.jobs.worker import JobStatus
from videograin.models.bundles import ModelBundle, is_available_offline
from videograin.models.presets import preset_of, quality_of
from videograin.models.segmenters import is_for_photographs
from videograin.project import objects
from videograin.project.coverage import work_coverage_notes
from videograin.project.project import Project
from videograin.project.variations import are_variations
from videograin.project.workspace import Workspace
from videograin.region import EditSettings
from videograin.segment.names import reads_strokes

MARKING_KINDS = (JobKind.TRACK, JobKind.SUGGEST, JobKind.DISCOVER, JobKind.FIND)
"""Kinds of jobs whose progress is shown where objects are marked."""

FOUND = "#18181b"
"""Colour of the numbers on objects that were found and are in no one's list yet."""
MAX_PLAYED = 48
"""Frames of a clip that are played with its masks: of a longer one every second, or third, and so on."""

Updates = dict[Block, Any]
"""New values of components; those that are not named stay as they are."""

BUSY_SECONDS, IDLE_SECONDS = 1.0, 5.0
"""Seconds between two requests of a page for its jobs. It never stops: the answer to a request that saw no job may come
after the answer to the press that started one."""


class Views:
    """The views of a page.

    Args:
        studio: looks jobs and models up.
        page: whose components are filled.
    """

    def __init__(self, studio: StudioService, page: Page) -> None:
        self._studio, self._page = studio, page

    def everything(self, session: Session) -> Updates:
        """Return a whole work, its jobs and its model; the masks of a job that has ended are put in place."""
        with session.lock:
            self._studio.marking.take_finished(session)
        return {
            **self.marks(session, are_words_fresh=True),
            **self.form(session),
            **self.model(session),
            **self.jobs(session, ""),
            self._page.shown: "",
        }

    def marks(self, session: Session, *, are_words_fresh: bool = False) -> Updates:
        """Return the picture, the list, its buttons, the timeline and the words.

        Args:
            session: whose work it is.
            are_words_fresh: whether the words replace those on the page, including text that is being typed.
        """
        mark, words = self._page.mark, self.words(session, are_fresh=are_words_fresh)
        if session.work is None or session.clip is None:
            empty = {mark.stage: None, mark.objects: markup.NO_CLIP}
            return empty | dict.fromkeys((mark.buttons, mark.timeline, mark.found), "") | words
        work, frames = session.work, session.clip.frames
        return {
            mark.stage: _stage(session),
            mark.objects: markup.object_list(work, frames, session.selected),
            mark.buttons: markup.mark_buttons(
                can_undo=bool(session.past),
                can_redo=bool(session.future),
                can_shrink=other_answer(session, -1) is not None,
                can_grow=other_answer(session, 1) is not None,
            ),
            mark.timeline: markup.timeline(work, session.frame, len(frames)),
            mark.found: found_markup.found(session.found, session.frame) if session.found else "",
            **self._next_step(work),
            **words,
        }

    def _next_step(self, work: Workspace) -> Updates:
        """Return the green button's place: on the words as soon as all that is marked is known in every frame."""
        mark = self._page.mark
        known = [each for each in work.objects if each.is_rest or each.id in work.masks]
        is_done = bool(known) and all(each.is_rest or objects.is_followed(work, each.id) for each in known)
        return {
            mark.track: gr.Button(variant="secondary" if is_done else "primary"),
            mark.next: gr.Button(variant="primary" if is_done else "secondary"),
        }

    def playing(self, session: Session) -> Updates:
        """Return the clip with its objects laid over, to be played once."""
        work, clip = session.opened_work, session.opened_clip
        step = math.ceil(len(clip.frames) / MAX_PLAYED)
        frames, seconds = overlay_frames(work, clip.frames, step), len(clip.frames) / clip.fps
        return {self._page.mark.overlay: markup.playing_masks(frames, clip.fps / step, seconds)}

    def words(self, session: Session, *, are_fresh: bool = False) -> Updates:
        """Return what the objects become, and which frame can be previewed alone.

        Args:
            session: whose work it is.
            are_fresh: whether text that is being typed is replaced as well.
        """
        edit, sentence = self._page.edit, self.sentence(session)
        if session.work is None or session.clip is None:
            return {edit.words: markup.NO_CLIP, **self.pictures(session), **sentence}
        rows = markup.words(session.work, session.clip.frames, are_fresh=are_fresh)
        notes = markup.advice(work_coverage_notes(session.work, session.clip))
        return {
            edit.words: rows + notes,
            edit.preview_frame: gr.Button(f"Preview frame {session.frame + 1}"),
            **self.pictures(session),
            **sentence,
        }

    def pictures(self, session: Session) -> Updates:
        """Return the pictures that objects are drawn after, and the objects that may have one."""
        fields, work = self._page.edit.pictures, session.work
        choices = [(each.name, each.id) for each in work.objects] if work else []
        only = gr.Dropdown(choices=choices, value=choices[0][1]) if len(choices) == 1 else gr.Dropdown(choices=choices)
        return {
            fields.given: picture_markup.picture_list(work) if work else picture_markup.NONE,
            fields.object: only,
        }

    def sentence(self, session: Session) -> Updates:
        """Return the whole target prompt in its objects' colours, with the words that are being typed."""
        if session.work is None:
            return {self._page.edit.sentence: ""}
        work = session.work
        for number, text in session.typed.items():
            if any(each.id == number for each in work.objects):
                work = objects.say(work, number, text.strip())
        return {self._page.edit.sentence: markup.sentence(work)}

    def form(self, session: Session) -> Updates:
        """Return the texts and settings of the third step; nothing before there is a work."""
        if session.work is None:
            return {}
        work, edit = session.work, self._page.edit
        return {
            edit.caption: work.source_prompt,
            edit.background: work.background,
            edit.negative: work.negative_prompt,
            edit.target: work.target_prompt,
            edit.controls: [kind.value for kind in work.controls],
            **self.guidance(work),
            **self.settings(work.settings, self._studio.bundle(session)),
        }

    def guidance(self, work: Workspace) -> Updates:
        """Return how strictly, and in which steps, each ControlNet holds the edit to the source."""
        updates: Updates = {}
        for kind, row in self._page.edit.guidance.items():
            guidance = work.guidance_of(kind)
            updates |= {row.scale: guidance.scale, row.start: guidance.start, row.end: guidance.end}
        return updates

    def guidance_rows(self, controls: Collection[str]) -> Updates:
        """Return the rows of the ControlNets that are ticked."""
        return {row.row: gr.Row(visible=kind in controls) for kind, row in self._page.edit.guidance.items()}

    def settings(self, settings: EditSettings, bundle: ModelBundle) -> Updates:
        """Return the fields of some settings, each with the value that suits the model."""
        fields = self._page.edit.settings
        return self.degrees(settings, bundle) | {
            fields[each.name]: gr.update(**shown(each, settings, bundle.settings)) for each in SETTING_FIELDS
        }

    def degrees(self, settings: EditSettings, bundle: ModelBundle) -> Updates:
        """Return the preset and the quality that some settings amount to; none where they were changed one by one."""
        edit, own = self._page.edit, bundle.settings
        return {edit.preset: preset_of(settings, own), edit.quality: quality_of(settings, own)}

    def model(self, session: Session) -> Updates:
        """Return the model that is chosen, what it knows for two places, and the ControlNets that it has.

        The second place also says where the clip that is open has another size than suits the model.
        """
        page, bundle = self._page, self._studio.bundle(session)
        note = model_markup.model_note(bundle)
        size = model_markup.size_note(bundle, session.clip.frames.shape[1:3]) if session.clip else ""
        controls = [kind.value for kind in session.work.controls] if session.work else []
        return {
            **self.loras(session),
            page.model: bundle.name,
            page.edit.pictures.whole: gr.Accordion(visible=bundle.takes_pictures),
            page.clip.knows: note,
            page.edit.knows: note + size,
            page.edit.ideas: markup.ideas(bundle.name),
            page.edit.controls: gr.CheckboxGroup(choices=model_markup.control_choices(bundle), value=controls),
            **self.segmenters(session),
        }

    def segmenters(self, session: Session) -> Updates:
        """Return the list of segmenters, with what they take to download, and the notice about filmed clips."""
        page, studio = self._page, self._studio
        name = studio.segmenters.name_for(session)
        return {
            page.installed: studio.segmenters.installed(),
            page.mark.segmenter: gr.Dropdown(
                choices=model_markup.segmenter_choices(studio.settings.segmenters),
                value=name,
                info=STROKES_INFO if reads_strokes(name) else SEGMENTER_INFO,
            ),
            page.mark.notice: self.notice(session, studio.photograph_notice(session)),
            page.mark.suggest: SUGGEST_MOVING if reads_strokes(name) else SUGGEST,
        }

    def notice(self, session: Session, text: str) -> str:
        """Return a notice about a filmed clip, with a button that takes the model and the segmenter for such clips."""
        choices = self._studio.segmenters
        has_model = choices.model_for_photographs() is not None
        return model_markup.photograph_notice(
            text, can_switch=has_model or not is_for_photographs(choices.name_for(session))
        )

    def loras(self, session: Session) -> Updates:
        """Return the LoRAs and textual inversions, and whether one has to be downloaded."""
        adapters = session.work.adapters if session.work else ()
        return {self._page.edit.loras: model_markup.lora_list(adapters), **self.download(session)}

    def download(self, session: Session) -> Updates:
        """Return what the model that is chosen lacks on this machine, with its size, or how far its download is."""
        studio = self._studio
        job = next((job for job in studio.worker.jobs(session.id) if job.kind is JobKind.DOWNLOAD), None)
        missing = studio.missing(session)
        offer = model_markup.download_offer(missing, can_ask=not studio.settings.offline) if missing else ""
        if job is not None and not job.state.is_final:
            offer = job_markup.progress_bar(studio.worker.status(job.id, session.id))
        elif job is not None and missing and job.state is JobState.FAILED:
            offer = job_markup.outcome(studio.worker.status(job.id, session.id)) + offer
        return {self._page.download: offer}

    def following(self, session: Session) -> Updates:
        """Return how far objects are followed or looked for, the status and the pace of the timer."""
        page, studio, shelf = self._page, self._studio, self._studio.shelf.state
        job = next((job for job in studio.worker.jobs(session.id) if job.kind in MARKING_KINDS), None)
        live = [studio.worker.status(each.id, session.id) for each in studio.live_jobs(session)]
        is_busy = any((live, session.tracking, session.suggesting, studio.worker.is_preparing, shelf.loading))
        return {
            **self.download(session),
            page.timer: gr.Timer(BUSY_SECONDS if is_busy else IDLE_SECONDS),
            **self.status(session),
            page.held: shelf.held,
            page.progress: job_markup.progress_bars(
                [each for each in reversed(live) if each.job.kind is not JobKind.DOWNLOAD]
            ),
            page.mark.job: job_markup.outcome(studio.worker.status(job.id, session.id) if job else None),
        }

    def status(self, session: Session) -> Updates:
        """Return the status line."""
        studio, bundle = self._studio, self._studio.bundle(session)
        line = markup.status_line(
            bundle.name, studio.shelf.device_name.upper(), studio.shelf.state, studio.busy_with(),
            studio.worker.edit_places(), gpus_each=studio.settings.ray_gpus, is_starting=studio.worker.is_preparing,
            is_here=is_available_offline(bundle),
        )  # fmt: skip
        return {self._page.status: line}

    def jobs(self, session: Session, shown: str) -> Updates:
        """Return the jobs under way, the result asked for with its files and phrases, and the history.

        Args:
            session: whose they are.
            shown: id of the edit to show; empty shows the latest.
        """
        edit, studio = self._page.edit, self._studio
        following = self.following(session)  # first: the page asks again soon for what ends between this and the rest
        edits = studio.edits(session)
        current = next((job for job in reversed(edits) if not job.state.is_final), next(iter(edits), None))
        latest = studio.worker.status(current.id, session.id) if current else None
        if latest and shown:  # who asks for a result sees it, not the finished windows of the next
            latest = replace(latest, finished=None)
        result = studio.find_result(session, shown)
        return {
            **following,
            edit.job: _edit_panel(latest),
            edit.note: job_markup.result_note(result, latest) if result and latest else "",
            edit.compare: _compared(latest, result),
            **self._files(result),
            edit.phrases: self._explanations(result, session) if result else "",
            **self._past(session, edits, result.job.id if result else ""),
        }

    def _explanations(self, result: JobStatus, session: Session) -> str:
        """Return a button for each phrase of a result, and the one for its scores."""
        colours = {each.name: each.colour for each in session.work.objects} if session.work else {}
        return attention_maps.phrase_chips(result, self._studio.store, colours) + score_button(result)

    def _files(self, result: JobStatus | None) -> Updates:
        """Return what can be taken along: a preview is no video to keep, but the project and its masks are."""
        edit, is_edit = self._page.edit, result is not None and result.job.kind is JobKind.EDIT
        return {
            edit.downloads: downloads(result) if result and is_edit else "",
            edit.takeaway: gr.Row(visible=result is not None),
            edit.format: gr.Dropdown(visible=is_edit),
            edit.result_out: gr.Button(visible=is_edit),
        }

    def _past(self, session: Session, jobs: Sequence[Job], shown: str) -> Updates:
        """Return the list of edits, and those of them that are variations of the one that is shown."""
        edits = [found for job in jobs if (found := self._past_edit(session, job))]
        chosen = next((each for each in edits if each.job.id == shown), None)
        alike = [
            each
            for each in reversed(edits)
            if chosen and each.video and each.job.kind is chosen.job.kind
            and are_variations(each.project, chosen.project)
        ]  # fmt: skip
        return {
            self._page.edit.history: job_markup.history(edits, shown),
            self._page.edit.variations: job_markup.variation_grid(alike, shown),
        }

    def _past_edit(self, session: Session, job: Job) -> PastEdit | None:
        studio = self._studio
        with suppress(OSError, ValueError):  # deleted meanwhile
            project = studio.store.request(job, Project)
            if job.state is not JobState.DONE:
                return PastEdit(job, project)
            done = studio.worker.status(job.id, session.id)
            small = done.result.thumbnail
            return PastEdit(
                job, project, thumbnail=cached(done.results / small) if small else "",
                video=cached(done.results / done.result.video),
            )  # fmt: skip
        return None


def _edit_panel(latest: JobStatus | None) -> str:
    """Return how the latest edit forms, or how it has ended."""
    if latest is None:
        return job_markup.NO_RESULT
    return job_markup.outcome(latest) if latest.job.state.is_final else job_markup.forming(latest)


def _compared(latest: JobStatus | None, result: JobStatus | None) -> str | None:
    """Return the video in the player: the finished part of an edit that runs, or else a result."""
    if latest is not None and latest.finished is not None:
        with suppress(OSError):  # a newer one has taken its place, or the edit has ended
            return cached(latest.finished)
    return cached(result.results / result.result.comparison) if result else None


def downloads(result: JobStatus) -> str:
    """Return links to the files of a result."""
    video, both = (cached(result.results / file) for file in (result.result.video, result.result.comparison))
    return job_markup.download_links(video, both)


def _stage(session: Session) -> dict[str, Any]:
    """Return what the picture shows (scripts/stage.js): the frame, and the selected object's clicks and boxes on it."""
    frames, chosen = session.opened_clip.frames, session.object
    clicks = [each for each in chosen.clicks if each.frame == session.frame] if chosen else []
    boxes = [each for each in chosen.boxes if each.frame == session.frame] if chosen else []
    picture = overlay(session.opened_work, frames[session.frame], session.frame, session.selected)
    found = session.found.objects if session.found and session.found.frame == session.frame else ()
    picture = outline(picture, [each.mask for each in found])
    return {
        "image": data_url(picture),
        "width": frames.shape[2],
        "height": frames.shape[1],
        "frame": session.frame,
        "markers": [
            {"x": each.x, "y": each.y, "inside": each.is_inside, "number": number}
            for number, each in enumerate(clicks, 1)
        ]
        + [
            {"x": each.centre[0], "y": each.centre[1], "inside": True, "number": number, "colour": FOUND}
            for number, each in enumerate(found, 1)
        ],
        "boxes": [[each.x0, each.y0, each.x1, each.y1] for each in boxes],
        "colour": chosen.colour if chosen else "#ffffff",
    }
