"""What the page's components show of a session; each function returns values in the order that page.py wires."""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder

from ui.rendering import job_markup, markup
from ui.rendering.pictures import data_url, overlay
from ui.settings_form import SETTING_FIELDS, settings_to_form
from ui.work import attention_maps
from ui.work.service import StudioService
from ui.work.session import Session
from videograin.jobs.store import Job, JobKind
from videograin.jobs.worker import JobStatus
from videograin.project.project import Project

MARKS, FORM, MODEL, JOBS = 6, 5 + len(SETTING_FIELDS), 4, 11
"""How many values each function returns."""

BUSY_SECONDS, IDLE_SECONDS = 1.0, 5.0
"""Seconds between two requests of a page for its jobs. It never stops: the answer to a request that saw no job may come
after the answer to the press that started one."""

FOLLOWING = 4
"""How many of `jobs`, from the first, a job that follows or finds objects changes."""


def marks(session: Session, *, are_words_fresh: bool = False) -> list[Any]:
    """Return the picture, the list, its buttons, the timeline, the word rows and the sentence.

    Args:
        session: whose work it is.
        are_words_fresh: whether the words replace those on the page, including text that is being typed.
    """
    if session.work is None or session.clip is None:
        return [None, markup.NO_CLIP, "", "", markup.NO_CLIP, ""]
    work, frames = session.work, session.clip.frames
    picture = overlay(work, frames[session.frame], session.frame, session.selected)
    chosen = session.object
    clicks = [each for each in chosen.clicks if each.frame == session.frame] if chosen else []
    boxes = [each for each in chosen.boxes if each.frame == session.frame] if chosen else []
    stage = {
        "image": data_url(picture),
        "width": frames.shape[2],
        "height": frames.shape[1],
        "frame": session.frame,
        "markers": [
            {"x": each.x, "y": each.y, "inside": each.is_inside, "number": number}
            for number, each in enumerate(clicks, 1)
        ],
        "boxes": [[each.x0, each.y0, each.x1, each.y1] for each in boxes],
        "colour": chosen.colour if chosen else "#ffffff",
    }
    return [
        stage,
        markup.object_list(work, frames, session.selected),
        markup.mark_buttons(
            bool(session.past), bool(session.future), session.answer > 0, session.answer < len(session.answers) - 1
        ),
        markup.timeline(work, session.frame, len(frames)),
        markup.words(work, frames, are_fresh=are_words_fresh),
        markup.sentence(work),
    ]


def form(session: Session) -> list[Any]:
    """Return the texts and settings of the third step."""
    if session.work is None:
        return [gr.skip()] * FORM
    work = session.work
    texts = [work.source_prompt, work.background, work.negative_prompt, work.target_prompt]
    return [*texts, [kind.value for kind in work.controls], *settings_to_form(work.settings)]


def model(studio: StudioService, session: Session) -> list[Any]:
    """Return the model that is chosen, what it knows for two places, and the ControlNets that it has.

    The second place also says where the clip that is open has another size than suits the model.
    """
    bundle = studio.bundle(session)
    note = markup.model_note(bundle)
    size = markup.size_note(bundle, session.clip.frames.shape[1:3]) if session.clip else ""
    controls = [kind.value for kind in session.work.controls] if session.work else []
    return [bundle.name, note, note + size, gr.CheckboxGroup(choices=markup.control_choices(bundle), value=controls)]


def jobs(studio: StudioService, session: Session, shown: str) -> list[Any]:
    """Return timer, status, following, editing, the result asked for and what belongs to it, and the history.

    Args:
        studio: looks them up.
        session: whose they are.
        shown: id of the edit to show; empty shows the latest.
    """
    live = studio.live_jobs(session)
    edits = studio.edits(session)
    latest = studio.worker.status(edits[0].id, session.id) if edits else None
    following = next((job for job in live if job.kind in (JobKind.TRACK, JobKind.SUGGEST)), None)
    result = studio.find_result(session, shown)
    is_busy = bool(live or session.tracking or session.suggesting or studio.shelf.state.loading)
    return [
        gr.Timer(BUSY_SECONDS if is_busy else IDLE_SECONDS),
        status(studio, session),
        studio.shelf.state.held,
        job_markup.job_panel(studio.worker.status(following.id, session.id) if following else None),
        job_markup.job_panel(latest) if latest or result else job_markup.NO_RESULT,
        shown,
        _comparison(result) if result else None,
        downloads(result) if result else "",
        gr.Row(visible=result is not None),
        attention_maps.phrase_chips(result, studio.store, _colours(session)) if result else "",
        job_markup.history([(job, _project(studio, job)) for job in edits], result.job.id if result else ""),
    ]


def status(studio: StudioService, session: Session) -> str:
    """Return the status line."""
    device = str(studio.shelf.device).upper()
    return markup.status_line(studio.bundle(session).name, device, studio.shelf.state, studio.busy_with())


def downloads(result: JobStatus) -> str:
    """Return links to the files of a result."""
    video, both = (cached(result.results / file) for file in (result.result.video, result.result.comparison))
    return job_markup.download_links(video, both)


def _comparison(result: JobStatus) -> str:
    return cached(result.results / result.result.comparison)


def cached(file: Path) -> str:
    """Copy a file to where the server may serve it from, under a name that cannot be guessed without the file."""
    return save_file_to_cache(file, get_upload_folder())


def _colours(session: Session) -> dict[str, str]:
    return {each.name: each.colour for each in session.work.objects} if session.work else {}


def _project(studio: StudioService, job: Job) -> Project | None:
    try:
        return studio.store.request(job, Project)
    except (OSError, ValueError):  # deleted meanwhile
        return None
