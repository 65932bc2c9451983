"""Jobs as HTML: their progress, the frames that exist so far, and the list of results."""

from collections.abc import Sequence
from html import escape

from ui.rendering.icons import icon
from ui.rendering.markup import duration, settings_line
from ui.rendering.pictures import as_url
from videograin.jobs.store import Job, JobKind, JobState
from videograin.jobs.worker import JobStatus
from videograin.progress import Phase, Progress
from videograin.project.project import Project

NO_RESULT = (
    "<div class='vg-nothing'><p>Your result appears here.</p><p>Say what each object becomes, try a quick "
    "<b>Preview</b> of the first frames, then <b>Edit the clip</b>.</p></div>"
)

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
    Phase.ENCODE: "reading the clip",
    Phase.INVERT: "understanding the clip",
    Phase.EDIT: "drawing",
    Phase.DECODE: "developing the frames",
}

EDIT_WEIGHTS = {Phase.ENCODE: 0.04, Phase.INVERT: 0.3, Phase.EDIT: 0.6, Phase.DECODE: 0.06}

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


def job_panel(status: JobStatus | None) -> str:
    """Return where a job is, in words and as a bar; empty for none."""
    if status is None or status.job.state is JobState.DONE:
        return _notes(status)
    job, name = status.job, NAMES[status.job.kind]
    if job.state is JobState.QUEUED:
        return _panel(name, _queue_words(status), 0.0, job, None)
    if job.state is JobState.RUNNING:
        return _panel(name, _progress_words(status), _share(status), job, status)
    tone = "vg-stopped" if job.state is JobState.CANCELLED else "vg-failed"
    return f"<div class='vg-job {tone}' role='status'><b>{name}</b><p>{escape(job.message)}</p></div>"


def history(jobs: Sequence[tuple[Job, Project | None]], shown: str) -> str:
    """Return the session's edits, the latest first, each with its words and settings."""
    rows = [_history_row(job, project, job.id == shown) for job, project in jobs if project is not None]
    return f"<h2>Your edits so far</h2><ul class='vg-history'>{''.join(rows)}</ul>" if rows else ""


def _panel(name: str, text: str, share: float, job: Job, status: JobStatus | None) -> str:
    preview = status.preview if status else None
    picture = ""
    if preview is not None:
        try:
            picture = (
                f"<img class='vg-forming' src='{as_url(preview.read_bytes(), 'image/webp')}' alt='The clip so far'>"
            )
        except FileNotFoundError:  # a newer one has taken its place
            picture = ""
    return (
        f"<div class='vg-job' role='status'>{picture}<div class='vg-job-line'><b>{name}</b><span>{escape(text)}</span>"
        f"<button type='button' class='vg-button' data-action='cancel' data-value='{job.id}'"
        f"{' disabled' if status and status.is_stopping else ''}>Cancel</button></div>"
        f"<div class='vg-bar' role='progressbar' aria-valuenow='{100 * share:.0f}'><i style='width:{100 * share:.1f}%'>"
        "</i></div></div>"
    )


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
        return "loading the model"
    steps = f" · {_amount(progress)}" if progress.total else ""
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


def _history_row(job: Job, project: Project, is_shown: bool) -> str:
    phrases = ", ".join(region.prompt for region in project.regions if region.prompt)
    seconds = f" · {duration(job.ended - job.started)}" if job.ended and job.started else ""
    state = "" if job.state is JobState.DONE else f" · {job.state.value}"
    show = (
        f"<button type='button' class='vg-button' data-action='show' data-value='{job.id}' "
        f"aria-pressed='{str(is_shown).lower()}'>{icon('play')}Show</button>"
        if job.state is JobState.DONE
        else ""
    )
    return (
        f"<li><div><b>{NAMES[job.kind]}: {escape(phrases)}</b><small>{escape(settings_line(project.settings))}"
        f"{seconds}{state}</small></div>{show}<button type='button' class='vg-button' data-action='reload' "
        f"data-value='{job.id}' title='Put these words, settings and model into the form'>Use again</button></li>"
    )


def download_links(video: str, comparison: str) -> str:
    """Return links to cached files."""
    links = (("MP4", video), ("Side by side", comparison))
    return "<p class='vg-downloads'>" + "".join(
        f"<a class='vg-button' href='gradio_api/file={escape(path)}' download>{icon('download')}{name}</a>"
        for name, path in links
    ) + "</p>"  # fmt: skip
