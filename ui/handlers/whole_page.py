"""Handlers of the page as a whole: it is opened, it asks for news, a job is stopped."""

from html import escape

import gradio as gr

from ui.components import Page
from ui.plain_errors import plain_text
from ui.views import IDLE_SECONDS, Updates, Views
from ui.work.service import StudioService
from ui.work.session import Session
from ui.work.settings_link import PARAMETER
from videograin.errors import VideoGrainError
from videograin.jobs.store import JobState


class WholePageHandlers:
    """Handlers of events that belong to no step. Each takes a session's id first; whoever has it has the work.

    Args:
        studio: does the work.
        page: whose components are filled.
    """

    def __init__(self, studio: StudioService, page: Page) -> None:
        self._studio, self._page, self._views = studio, page, Views(studio, page)

    def load(self, kept_id: str, request: gr.Request) -> Updates:
        """Open the page: find the work and the jobs of this browser again, and take the settings of a link."""
        session, page = self._studio.sessions.find_or_create(kept_id), self._page
        session.typed = {}  # the fields of a page that is opened have what was taken
        self._take_finished(session)
        if token := request.query_params.get(PARAMETER):
            self._take_settings(session, token)
        step = "clip" if session.work is None else ("edit" if self._studio.edits(session) else "mark")
        return {
            page.kept: session.id,
            page.session: session.id,
            page.tabs: gr.Tabs(selected=step),
            **(self._views.settings(session.settings, self._studio.bundle(session)) if session.settings else {}),
            **self._views.everything(session),
        }

    def tick(self, session_id: str, shown: str, seconds: float, installed: list[str]) -> Updates:
        """Show the jobs' progress; masks that were found are put in place, and what was downloaded is offered."""
        if seconds == IDLE_SECONDS and self._studio.is_dormant(session_id):
            return gr.skip()
        session = self._studio.sessions.find(session_id)
        with session.lock:
            awaited = session.tracking
            has_news = self._studio.marking.take_finished(session)
            is_followed = has_news and awaited != session.tracking and self._is_done(awaited, session.id)
        playing = self._views.playing(session) if is_followed else {}
        is_listed = installed == self._studio.segmenters.installed()
        listed = {} if is_listed else self._views.segmenters(session)
        jobs = self._views.jobs(session, shown)
        with session.lock:  # at last: a press may have been answered meanwhile
            marks = self._views.marks(session) if has_news else self._views.sentence(session)
        return {**marks, **playing, **jobs, **listed}

    def download_action(self, session_id: str, shown: str, event: gr.EventData) -> Updates:
        """Download what the user was told the size of, or stop that."""
        session = self._studio.sessions.find(session_id)
        if event.action == "download":
            self._studio.submit_download(session, event.value)
        else:
            self._studio.worker.cancel(event.value, session.id)
        return self._views.jobs(session, shown)

    def _take_finished(self, session: Session) -> None:
        """Put the masks of a job that has ended in place; where they cannot be, the page is opened without them."""
        try:
            with session.lock:
                self._studio.marking.take_finished(session)
        except VideoGrainError as error:
            gr.Warning(escape(plain_text(error)), title="What was found cannot be taken", duration=None)

    def _take_settings(self, session: Session, token: str) -> None:
        try:
            self._studio.take_settings(session, token)
        except VideoGrainError as error:
            gr.Warning(escape(plain_text(error)), title="The settings of this link cannot be used", duration=None)
        else:
            gr.Info("The settings of the link are taken; they are in step 3.")

    def _is_done(self, job_id: str, owner: str) -> bool:
        return self._studio.worker.status(job_id, owner).job.state is JobState.DONE

    def job_action(self, session_id: str, shown: str, event: gr.EventData) -> Updates:
        """Cancel a job."""
        session = self._studio.sessions.find(session_id)
        self._studio.worker.cancel(event.value, session.id)
        return self._views.jobs(session, shown)
