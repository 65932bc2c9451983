"""Handlers of the page as a whole: it is opened, it asks for news, a job is stopped."""

import gradio as gr

from ui.components import Page
from ui.views import IDLE_SECONDS, Updates, Views
from ui.work.service import StudioService


class WholePageHandlers:
    """Handlers of events that belong to no step. Each takes a session's id first; whoever has it has the work.

    Args:
        studio: does the work.
        page: whose components are filled.
    """

    def __init__(self, studio: StudioService, page: Page) -> None:
        self._studio, self._page, self._views = studio, page, Views(studio, page)

    def load(self, kept_id: str) -> Updates:
        """Open the page: find the work and the jobs of this browser again."""
        session, page = self._studio.sessions.find_or_create(kept_id), self._page
        step = "clip" if session.work is None else ("edit" if self._studio.edits(session) else "mark")
        return {
            page.kept: session.id,
            page.session: session.id,
            page.tabs: gr.Tabs(selected=step),
            **self._views.everything(session),
        }

    def tick(self, session_id: str, shown: str, seconds: float, installed: list[str]) -> Updates:
        """Show the jobs' progress; masks that were found are put in place, and what was downloaded is offered."""
        if seconds == IDLE_SECONDS and self._studio.is_dormant(session_id):
            return gr.skip()
        session = self._studio.sessions.find(session_id)
        with session.lock:
            has_news = self._studio.marking.take_finished(session)
            marks = self._views.marks(session) if has_news else self._views.sentence(session)
        is_listed = installed == self._studio.segmenters.installed()
        return {**marks, **self._views.jobs(session, shown), **({} if is_listed else self._views.segmenters(session))}

    def download_action(self, session_id: str, shown: str, event: gr.EventData) -> Updates:
        """Download what the user was told the size of, or stop that."""
        session = self._studio.sessions.find(session_id)
        if event.action == "download":
            self._studio.submit_download(session, event.value)
        else:
            self._studio.worker.cancel(event.value, session.id)
        return self._views.jobs(session, shown)

    def job_action(self, session_id: str, shown: str, event: gr.EventData) -> Updates:
        """Cancel a job."""
        session = self._studio.sessions.find(session_id)
        self._studio.worker.cancel(event.value, session.id)
        return self._views.jobs(session, shown)
