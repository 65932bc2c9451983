"""Jobs as HTML: their progress, the frames that exist so far, and the list of results."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from ui.rendering.icons import icon
from ui.rendering.markup import duration, settings_line
from ui.rendering.pictures import as_url
from videograin.jobs.edit import edited_by
from videograin.jobs.store import Job, JobKind, JobState
from videograin.jobs.worker import JobStatus
from videograin.progress import Phase, Progress
from videograin.project.project import Project
from videograin.region import means_removal

JUST_NOW = 90.0
"""Seconds; the list is drawn again each second, and its times should not change as often."""

NO_RESULT = (
    "<div class='vg-nothing'><p>Your result appears here.</p><p>Say what each object becomes, try a quick "
    "<b>Preview</b> of the first frames, then <b>Edit the clip</b>.</p></div>"
)

FORMING = "<div class='vg-nothing'><p>{}</p><p>The clip appears here as it forms.</p></div>"

EARLIER = {
    JobState.QUEUED: "This is an earlier result. Your new one is waiting for its turn.",
    JobState.RUNNING: "This is an earlier result. Your new one is being made.",
    JobState.CANCELLED: "This is an earlier result. The latest was stopped.",
}
"""What is said of a result while the latest edit is in a state; of any other state, `EARLIER_THAN_FAILED`."""

EARLIER_THAN_FAILED = "This is an earlier result. The latest edit failed, as it says above."

NAMES = {
    JobKind.TRACK: "Following the objects",
    JobKind.SUGGEST: "Finding objects",
    JobKind.DISCOVER: "Finding objects in all frames",
    JobKind.FIND: "Finding what you typed",
    JobKind.PREVIEW: "Preview",
    JobKind.EDIT: "Edit",
    JobKind.DOWNLOAD: "Download",
}

PHASES = {
    Phase.DOWNLOAD: "downloading",
    Phase.SUGGEST: "looking",
    Phase.TRACK: "following",
    Phase.REMOVE: "looking behind the objects",
    Phase.ENCODE: "reading the clip",
    Phase.INVERT: "understanding the clip",
    Phase.EDIT: "drawing",
    Phase.DECODE: "developing the frames",
}

EDIT_WEIGHTS = {Phase.REMOVE: 0.0, Phase.ENCODE: 0.04, Phase.INVERT: 0.3, Phase.EDIT: 0.6, Phase.DECODE: 0.06}

WEIGHTS = {
    JobKind.TRACK: {Phase.TRACK: 1.0},
    JobKind.SUGGEST: {Phase.SUGGEST: 1.0},
    JobKind.FIND: {Phase.SUGGEST: 1.0},
    JobKind.DISCOVER: {Phase.ENCODE: 0.1, Phase.INVERT: 0.6, Phase.SUGGEST: 0.3},
    JobKind.PREVIEW: EDIT_WEIGHTS,
    JobKind.EDIT: EDIT_WEIGHTS,
    JobKind.DOWNLOAD: {Phase.DOWNLOAD: 1.0},
}
"""How far each phase of a job moves the bar, roughly, in the order of its phases."""


def progress_bars(statuses: Sequence[JobStatus]) -> str:
    """Return how far jobs that wait or run are, each with its button to cancel it; empty for none."""
    return "".join(progress_bar(status) for status in statuses)


def progress_bar(status: JobStatus) -> str:
    """Return how far a job that waits or runs is, in words and as a bar, with its button to cancel it."""
    job, share = status.job, _share(status)
    text = _queue_words(status) if job.state is JobState.QUEUED else _progress_words(status)
    return (
        f"<div class='vg-job'><div class='vg-job-line'><b>{NAMES[job.kind]}</b><span>{escape(text)}</span>"
        "<button type='button' class='vg-button' data-tell hidden>Tell me when it ends</button>"
        f"<button type='button' class='vg-button' data-action='cancel' data-value='{job.id}'"
        f"{' disabled' if status.is_stopping else ''}>Cancel</button></div>"
        f"<div class='vg-bar' role='progressbar' aria-label='{NAMES[job.kind]}' aria-valuenow='{100 * share:.0f}'>"
        f"<i style='width:{100 * share:.1f}%'></i></div></div>"
    )


def outcome(status: JobStatus | None) -> str:
    """Return how a job has ended: its notes, or why it failed; empty while it has not."""
    if status is None or not status.job.state.is_final:
        return ""
    job = status.job
    if job.state is JobState.DONE:
        return _notes(status)
    tone = "vg-stopped" if job.state is JobState.CANCELLED else "vg-failed"
    return f"<div class='vg-job {tone}' role='status'><b>{NAMES[job.kind]}</b><p>{escape(job.message)}</p></div>"


def forming(status: JobStatus) -> str:
    """Return the clip as far as it has formed in an edit that waits or runs; its progress is in its bar."""
    if status.preview is not None:
        with suppress(FileNotFoundError):  # a newer one has taken its place
            picture = as_url(status.preview.read_bytes(), "image/webp")
            return f"<img class='vg-forming' src='{picture}' alt='The clip so far'>"
    return FORMING.format("Waiting for its turn." if status.job.state is JobState.QUEUED else "Getting ready.")


def result_note(result: JobStatus, latest: JobStatus) -> str:
    """Return what must be said of the result that is shown: that it is a preview, or that a later edit has not ended.

    Args:
        result: an edit that is done.
        latest: the edit that was asked for last.
    """
    if latest.finished is not None:
        return _note("These windows of your new edit are finished; the others follow.", "vg-part")
    if latest.job.created > result.job.created and latest.job.state is not JobState.DONE:
        return _note(EARLIER.get(latest.job.state, EARLIER_THAN_FAILED), "vg-earlier")
    if result.job.kind is JobKind.PREVIEW:
        shown = "one frame" if result.result.frames == 1 else "the first frames"
        return _note(f"A preview: {shown} in few steps. For the whole clip, press <b>Edit the clip</b>.", "")
    return ""


@dataclass(frozen=True)
class PastEdit:
    """An edit or preview that was asked for.

    Attributes:
        job: its record.
        project: what was asked for.
        thumbnail: cached path of a small picture of its result; empty where there is none.
        video: cached path of its MP4; empty where it is not done.
    """

    job: Job
    project: Project
    thumbnail: str = ""
    video: str = ""


def history(edits: Sequence[PastEdit], shown: str) -> str:
    """Return the session's edits, the latest first, each with its picture, words, settings and times."""
    rows = [_history_row(each, each.job.id == shown) for each in edits]
    return f"<h2>Your edits so far</h2><ul class='vg-history'>{''.join(rows)}</ul>" if rows else ""


def variation_grid(edits: Sequence[PastEdit], shown: str) -> str:
    """Return results that differ in nothing but their noise, side by side; a press on one takes it."""
    tiles = "".join(
        f"<button type='button' class='vg-variation' data-action='take' data-value='{each.job.id}' "
        f"aria-pressed='{str(each.job.id == shown).lower()}' title='Show this one, and use its seed from now on'>"
        f"<video src='{file_address(each.video)}' muted loop autoplay playsinline></video>"
        f"<span>Seed {each.project.settings.seed}</span></button>"
        for each in edits
    )
    return f"<h2>Variations</h2><div class='vg-variations'>{tiles}</div>" if len(edits) > 1 else ""


def _note(words: str, tone: str) -> str:
    return f"<p class='vg-note vg-advice {tone}' role='status'>{words}</p>"


def _queue_words(status: JobStatus) -> str:
    if not status.ahead:
        return "starts in a moment"
    jobs = f"{status.ahead} job{'s' * (status.ahead != 1)} ahead"
    return jobs if status.seconds_ahead is None else f"{jobs}, about {duration(status.seconds_ahead)}"


def _progress_words(status: JobStatus) -> str:
    progress = status.progress
    if status.is_stopping:
        return "stopping…"
    if progress is None:
        return "getting ready"
    steps = f" · {_amount(progress)}" if progress.total > 1 else ""
    left = "" if progress.seconds_left is None else f" · {duration(progress.seconds_left)} left"
    part = f" · part {progress.part} of {progress.parts}" if progress.parts > 1 else ""
    return PHASES[progress.phase] + part + steps + left


def _amount(progress: Progress) -> str:
    """Return how much is done of how much: steps, or megabytes and how fast they come."""
    if progress.phase is not Phase.DOWNLOAD:
        return f"step {progress.done} of {progress.total}"
    left, seconds = progress.total - progress.done, progress.seconds_left
    speed = f" · {left / seconds / 1e6:.1f} MB/s" if seconds else ""
    return f"{progress.done / 1e6:.0f} of {progress.total / 1e6:.0f} MB{speed}"


def _share(status: JobStatus) -> float:
    progress = status.progress
    if progress is None:
        return 0.0
    weights = WEIGHTS[status.job.kind]
    phases = list(weights)
    if progress.phase not in weights:
        return 0.0
    part = progress.done / progress.total if progress.total else 1.0
    before = phases[: phases.index(progress.phase)]
    share = sum(weights[phase] for phase in before) + weights[progress.phase] * part
    return (progress.part - 1 + share) / progress.parts


def _notes(status: JobStatus | None) -> str:
    if status is None or not status.job.notes:
        return ""
    return "<ul class='vg-notes'>" + "".join(f"<li>{escape(note)}</li>" for note in status.job.notes) + "</ul>"


def _history_row(each: PastEdit, is_shown: bool) -> str:
    job, project = each.job, each.project
    phrases = ", ".join(
        f"{region.name or 'an object'} removed" if means_removal(region.prompt) else region.prompt
        for region in project.regions
        if region.prompt
    )
    seconds = f" · {duration(job.ended - job.started)}" if job.ended and job.started else ""
    is_frame = job.kind is JobKind.PREVIEW and project.clip_options.max_frames == 1
    name = "Preview of one frame" if is_frame else NAMES[job.kind]
    state = "" if job.state is JobState.DONE else f" · {job.state.value}"
    settings = edited_by(job.kind, project).settings
    show = (
        f"<button type='button' class='vg-button' data-action='show' data-value='{job.id}' "
        f"aria-pressed='{str(is_shown).lower()}'>{icon('play')}{'Shown' if is_shown else 'Show'}</button>"
        if job.state is JobState.DONE
        else ""
    )
    return (
        f"<li>{_thumbnail(each)}<div><b>{name}: {escape(phrases)}</b><small>{escape(settings_line(settings))}"
        f"{seconds}{_ago(job)}{state}</small></div>{show}<button type='button' class='vg-button' data-action='reload' "
        f"data-value='{job.id}' title='Put these words, settings and model into the form'>Use these settings</button>"
        "</li>"
    )


def _thumbnail(each: PastEdit) -> str:
    picture = f"<img src='{file_address(each.thumbnail)}' alt=''>" if each.thumbnail else ""
    return f"<span class='vg-thumb'>{picture}</span>"


def _ago(job: Job) -> str:
    if not job.ended:
        return ""
    seconds = time.time() - job.ended
    return " · just now" if seconds < JUST_NOW else f" · {duration(seconds)} ago"


def download_links(video: str, comparison: str) -> str:
    """Return links to an edit's cached files."""
    links = (("Download MP4", video, "vg-first"), ("Side by side", comparison, ""))
    return "<p class='vg-downloads'>" + "".join(
        f"<a class='vg-button {tone}' href='{file_address(path)}' download>{icon('download')}{name}</a>"
        for name, path, tone in links
    ) + "</p>"  # fmt: skip


def file_address(path: str) -> str:
    """Return where the server serves a cached file, relative to the page; a folder's name may hold "#" or "%"."""
    return f"gradio_api/file={quote(path)}"
