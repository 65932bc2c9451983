"""Handlers of the second step: objects are marked, listed and followed."""

from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path

import gradio as gr

from ui.components import Page
from ui.plain_errors import plain_text
from ui.rendering.found_markup import where
from ui.rendering.pictures import outlines
from ui.views import Updates, Views
from ui.work import pointing, transfer
from ui.work.objects.finding import take_found
from ui.work.pointing import Tool
from ui.work.service import StudioService
from ui.work.session import Session
from videograin.errors import VideoGrainError
from videograin.masks.shapes import Combination
from videograin.project import objects
from videograin.project.workspace import Workspace

OBJECT_ACTIONS: dict[str, Callable[[Workspace, int, str], Workspace]] = {
    "rename": objects.rename_object,
    "delete": lambda work, number, _: objects.delete_object(work, number),
    "hide": lambda work, number, _: objects.change_object(
        work, number, lambda each: replace(each, is_hidden=not each.is_hidden)
    ),
    "raise": lambda work, number, _: objects.move_object(work, number, 1),
    "lower": lambda work, number, _: objects.move_object(work, number, -1),
    "grow": lambda work, number, value: objects.change_object(
        work, number, lambda each: replace(each, grow=float(value))
    ),
    "feather": lambda work, number, value: objects.change_object(
        work, number, lambda each: replace(each, feather=float(value))
    ),
    "clean": lambda work, number, _: objects.clean_up_object(work, number),
    "combine": lambda work, number, value: _combined(work, number, *value.split()),
}
"""What the buttons and sliders of the object list do."""


class MarkHandlers:
    """Handlers of the second step. Each takes the id of the session first; whoever has it has the work.

    What changes the marks also draws them before it lets go of the session: no answer shows less than one before it.

    Args:
        studio: does the work.
        page: whose components are filled.
    """

    def __init__(self, studio: StudioService, page: Page) -> None:
        self._studio, self._page, self._views = studio, page, Views(studio, page)

    def mark(self, session_id: str, event: gr.EventData) -> Updates:
        """Take a press on the picture."""
        session = self._studio.sessions.find(session_id)
        points = [(float(x), float(y)) for x, y in event.points]
        with session.lock:
            self._show_frame(session, int(event.frame))  # where it was pressed; the next may be asked for already
            self._studio.marking.mark(session, Tool(event.tool), points, float(event.radius))
            return self._views.marks(session)

    def hover(self, session_id: str, event: gr.EventData) -> Updates:
        """Outline what a click where the pointer rests would mark."""
        session, found = self._studio.sessions.find(session_id), None
        if int(event.frame) == session.frame:  # else another one is on its way to the page
            found = self._studio.marking.would_mark(session, Tool(event.tool), float(event.x), float(event.y))
        lines = [] if found is None else outlines(found)
        return {self._page.mark.outline: {"question": event.question, "outlines": lines}}

    def object_action(self, session_id: str, event: gr.EventData) -> Updates:
        """Do what a button of the object list or the timeline says."""
        session = self._studio.sessions.find(session_id)
        with session.lock:
            self._act(session, event.action, int(event.id), event.value)
            return self._views.marks(session)

    def add_object(self, session_id: str) -> Updates:
        """Begin a new object; the next click marks it."""
        session = self._studio.sessions.find(session_id)
        with session.lock:
            session.change(objects.add_object(session.opened_work))
            session.selected = session.opened_work.objects[-1].id
            return self._views.marks(session)

    def add_rest(self, session_id: str) -> Updates:
        """Add everything that no other object covers."""
        session = self._studio.sessions.find(session_id)
        with session.lock:
            session.change(objects.add_rest(session.opened_work))
            return self._views.marks(session)

    def track(self, session_id: str, direction: str) -> Updates:
        """Follow all objects through the clip, or in one direction from the frame that is shown."""
        session = self._studio.sessions.find(session_id)
        self._studio.marking.follow(session, direction)
        return self._views.following(session)

    def segmenter_chosen(self, session_id: str, name: str) -> Updates:
        """Have another segmenter answer and follow from now on; one that is refused makes room for the former one."""
        session = self._studio.sessions.find(session_id)
        if name == self._studio.segmenters.name_for(session):
            return gr.skip()
        try:
            self._studio.segmenters.choose(session, name)
        except VideoGrainError as error:
            gr.Warning(escape(plain_text(error)), title="This segmenter cannot be used", duration=None)
        return {**self._views.segmenters(session), **self._views.download(session)}

    def find(self, session_id: str, text: str) -> Updates:
        """Find what a user typed on the frame that is shown."""
        session = self._studio.sessions.find(session_id)
        self._studio.marking.find(session, text or "")
        return self._views.following(session)

    def found_action(self, session_id: str, event: gr.EventData) -> Updates:
        """Take an object that was found, all of them, or none."""
        session = self._studio.sessions.find(session_id)
        with session.lock:
            if event.action == "dismiss":
                session.found = None
            else:
                self._take_found(session, event)
            return self._views.marks(session)

    def suggest(self, session_id: str) -> Updates:
        """Find objects on the frame that is shown."""
        session = self._studio.sessions.find(session_id)
        self._studio.marking.suggest_on_frame(session)
        return self._views.following(session)

    def suggest_in_clip(self, session_id: str) -> Updates:
        """Find objects in all frames at once."""
        session = self._studio.sessions.find(session_id)
        self._studio.marking.suggest_in_clip(session)
        return self._views.following(session)

    def overlay_video(self, session_id: str) -> Updates:
        """Show the clip with its objects laid over."""
        return self._views.playing(self._studio.sessions.find(session_id))

    def import_masks(self, session_id: str, file: str) -> Updates:
        """Add the objects that a file holds."""
        session = self._studio.sessions.find(session_id)
        gr.Info(escape(transfer.import_masks(session, Path(file))), title="Masks imported")
        with session.lock:
            return self._views.marks(session)

    def export_masks(self, session_id: str, kind: str) -> Updates:
        """Write the masks to a file."""
        session = self._studio.sessions.find(session_id)
        return {self._page.file: transfer.export_masks(self._studio, session, transfer.MaskFormat(kind))}

    def to_edit(self, session_id: str) -> Updates:
        """Go on to the words, with a caption of what the clip shows where one can be guessed."""
        session, page = self._studio.sessions.find(session_id), self._page
        self._studio.suggest_caption(session)
        with session.lock:
            return {
                page.tabs: gr.Tabs(selected="edit"),
                page.edit.caption: session.opened_work.source_prompt,
                **self._views.marks(session),
            }

    def _take_found(self, session: Session, event: gr.EventData) -> None:
        """Take the object that a button is for, or all, unless the press before has."""
        there, is_every = session.found.objects if session.found else (), event.action == "take-all"
        if places := [place for place, each in enumerate(there) if is_every or where(each) == event.value]:
            take_found(session, places)

    def _show_frame(self, session: Session, number: int) -> None:
        session.frame = max(0, min(len(session.opened_clip.frames) - 1, number))

    def _act(self, session: Session, action: str, number: int, value: str) -> None:
        work = session.opened_work
        match action:
            case "frame":
                self._show_frame(session, int(value))
                self._studio.marking.prepare_frame(session)
            case "select":
                session.selected = None if session.selected == number else number
            case "undo":
                session.undo()
            case "redo":
                session.redo()
            case "smaller" | "bigger":
                pointing.choose_answer(session, -1 if action == "smaller" else 1)
            case _:
                session.change(OBJECT_ACTIONS[action](work, number, value))


def _combined(work: Workspace, number: int, how: str, other: str) -> Workspace:
    return objects.combine_objects(work, number, int(other), Combination(how))
