"""Handlers of the first step: a clip, an example or a project is chosen, and the model."""

from collections.abc import Mapping
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import Block

from ui.components import Page
from ui.plain_errors import plain_text
from ui.rendering import cost_markup, markup
from ui.rendering.trim import trim_strip
from ui.views import Updates, Views
from ui.work import transfer
from ui.work.costs import Amount, chosen_part, clip_cost
from ui.work.service import ClipChoice, StudioService
from ui.work.session import NO_CLIP
from videograin.errors import ProjectError, VideoGrainError
from videograin.media.appearance import looks_like_photograph
from videograin.media.video import VideoInfo
from videograin.models.bundles import find_bundle
from videograin.project.examples import example_path

NO_OTHER_CLIP = "The clip that is open is in step 2. To begin with another one, upload it here, or take an example."


class ClipHandlers:
    """Handlers of the first step.

    Args:
        studio: does the work.
        page: whose components are read and filled.
    """

    def __init__(self, studio: StudioService, page: Page) -> None:
        self._studio, self._page, self._views = studio, page, Views(studio, page)

    def video_chosen(self, file: str | None) -> Updates:
        """Measure a video, and set the fields of the first step to what it has; one that is refused makes room."""
        clip = self._page.clip
        try:
            info = self._studio.check_video(Path(file)) if file else None
        except VideoGrainError as error:
            gr.Warning(escape(plain_text(error)), title="This clip cannot be used", duration=None)
            info = None
        return {
            clip.video: gr.skip() if info else None,
            clip.measured: info,
            clip.part: gr.Column(visible=info is not None),
            clip.amount: Amount.WHOLE,
            clip.start: 0,
            clip.end: round(info.duration, 2) if info else None,
            clip.fps: round(info.fps, 3) if info else None,
        }

    def show_video(self, file: str | None) -> Updates:
        """Show pictures of a video, on which a part is chosen, and judge whether it was filmed.

        Of a video that cannot be used there are none, and `video_chosen` says why.
        """
        clip, strip, is_photograph = self._page.clip, "", False
        with suppress(VideoGrainError):
            if file:
                info = self._studio.check_video(Path(file))
                pictures = self._studio.film_strip(Path(file), info)
                strip, is_photograph = trim_strip(pictures, info.duration), looks_like_photograph(pictures)
        return {clip.trim: strip, clip.is_photograph: is_photograph}

    def notice(self, session_id: str, is_photograph: bool, model: str) -> Updates:
        """Say where a video was filmed and the model only knows drawings."""
        session, choices = self._studio.sessions.find(session_id), self._studio.segmenters
        text = choices.notice(model, is_photograph, choices.name_for(session))
        return {self._page.clip.notice: self._views.notice(session, text)}

    def switch_to_photographs(self, session_id: str, is_photograph: bool) -> Updates:
        """Take the model and the segmenter for filmed clips."""
        session = self._studio.sessions.find(session_id)
        self._studio.switch_to_photographs(session)
        bundle = self._studio.bundle(session)
        return {
            **self._views.model(session),
            **self._views.settings(session.work.settings if session.work else bundle.settings, bundle),
            **self._views.status(session),
            **self.notice(session_id, is_photograph, bundle.name),
            self._page.clip.side: bundle.short_side,
        }

    def amount_chosen(self, info: VideoInfo, amount: str, start: float, end: float | None) -> Updates:
        """Set the fields of the part to what a choice stands for."""
        clip = self._page.clip
        start, end, fps = chosen_part(Amount(amount), info, start or 0.0, end)
        return {clip.start: start, clip.end: end, clip.fps: round(fps, 3)}

    def part_changed(self, amount: str) -> Updates:
        """Say that it is no longer the whole clip."""
        return {self._page.clip.amount: Amount.PART if amount == Amount.WHOLE else amount}

    def gif_chosen(self, file: str) -> Updates:
        """Take a GIF, or pictures in a ZIP, as a video that browsers play."""
        return {self._page.clip.video: transfer.as_video(self._studio, Path(file))}

    def estimate(self, values: Mapping[Block, Any]) -> Updates:
        """Say what an edit of a part of a video takes."""
        clip = self._page.clip
        info: VideoInfo | None = values[clip.measured]
        if info is None:
            return {clip.estimate: cost_markup.EMPTY_CLIP_COST}
        model = values[self._page.model]
        try:
            cost = clip_cost(self._studio.shelf, info, self._studio.clip_options(self._choice(values), model), model)
        except VideoGrainError as error:
            return {clip.estimate: markup.problem(plain_text(error))}
        return {clip.estimate: cost_markup.clip_cost_note(cost)}

    def model_chosen(self, session_id: str, model: str) -> Updates:
        """Take another model, and show what it knows and the size and settings that suit it.

        Its field tells every change, by the pointer, by keys and by answers; only a choice by Enter or a press is new.
        """
        session = self._studio.sessions.find(session_id)
        if model == self._studio.bundle(session).name:
            return gr.skip()
        try:
            self._studio.choose_model(session, model)
        except VideoGrainError as error:
            gr.Warning(escape(plain_text(error)), title="This model cannot be used", duration=None)
            return self._views.model(session)
        bundle = find_bundle(model)
        return {
            **self._views.model(session),
            **self._views.settings(bundle.settings, bundle),
            **self._views.status(session),
            self._page.clip.side: bundle.short_side,
        }

    def example(self, session_id: str, frames: int, event: gr.EventData) -> Updates:
        """Take an example: its clip alone into the first step, or all of it, ready to be edited."""
        if event.action == "clip":
            return {self._page.clip.video: str(example_path(event.value) / "clip.mp4")}
        session = self._studio.sessions.find(session_id)
        self._studio.open_example(session, event.value, min(int(frames), self._studio.example_frames))
        return {self._page.tabs: gr.Tabs(selected="edit"), **self._views.everything(session)}

    def open_clip(self, values: Mapping[Block, Any]) -> Updates:
        """Go on to marking."""
        session, file = self._studio.sessions.find(values[self._page.session]), values[self._page.clip.video]
        if not file:
            raise ProjectError(NO_CLIP if session.work is None else NO_OTHER_CLIP)
        self._studio.open_clip(session, Path(file), self._choice(values), values[self._page.model])
        self._studio.marking.prepare_frame(session)
        return {self._page.tabs: gr.Tabs(selected="mark"), **self._views.everything(session)}

    def open_project(self, session_id: str, file: str) -> Updates:
        """Go on with the work that a ZIP file holds."""
        session = self._studio.sessions.find(session_id)
        for note in transfer.open_project(self._studio, session, Path(file)):
            gr.Warning(escape(note))
        self._studio.marking.prepare_frame(session)
        return {self._page.tabs: gr.Tabs(selected="mark"), **self._views.everything(session)}

    def _choice(self, values: Mapping[Block, Any]) -> ClipChoice:
        clip = self._page.clip
        return ClipChoice(
            start=values[clip.start] or 0.0,
            end=values[clip.end],
            fps=values[clip.fps],
            frames=values[clip.frames],
            short_side=values[clip.side],
            fit=values[clip.fit],
        )
