"""Handlers of the third step: words and settings are given, edits are asked for, and their results shown."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import Block

from ui.components import Page
from ui.rendering import cost_markup
from ui.rendering.score_markup import score_panel
from ui.settings_form import settings_from_form
from ui.views import Updates, Views
from ui.work import attention_maps, transfer
from ui.work.costs import work_cost
from ui.work.naming import random_idea
from ui.work.objects import references
from ui.work.service import StudioService
from ui.work.session import Session
from ui.work.settings_link import to_token
from videograin.errors import ProjectError, RegionError, SettingsError, VideoGrainError
from videograin.jobs.store import JobKind
from videograin.media.encode import OutputFormat
from videograin.models.adapters import Adapter
from videograin.models.presets import Preset, Quality, apply_preset, apply_quality
from videograin.project import objects
from videograin.project.coverage import work_coverage_notes
from videograin.project.workspace import Workspace
from videograin.region import ControlGuidance, ControlKind, EditSettings

WORD_ACTIONS: dict[str, Callable[[Workspace, int, str], Workspace]] = {
    "remove": lambda work, number, _: objects.toggle_removal(work, number),
    "prompt": lambda work, number, value: objects.say(work, number, value.strip()),
    "strength": lambda work, number, value: objects.change_object(
        work, number, lambda each: replace(each, strength=float(value))
    ),
}
"""What the fields of a word row do to its object."""


class EditHandlers:
    """Handlers of the third step.

    Args:
        studio: does the work.
        page: whose components are read and filled.
    """

    def __init__(self, studio: StudioService, page: Page) -> None:
        self._studio, self._page, self._views = studio, page, Views(studio, page)

    def word_action(self, session_id: str, event: gr.EventData) -> Updates:
        """Take what an object becomes, also while it is being typed, or how firmly its words are bound to it."""
        session = self._studio.sessions.find(session_id)
        if event.action == "typed":
            session.typed = {int(event.id): event.value}
            return self._views.sentence(session)
        with session.lock:
            session.typed = {}
            before = session.opened_work
            work = WORD_ACTIONS[event.action](before, int(event.id), event.value)
            session.set_words(work)
            return {**self._views.words(session), **self._sentence(before, work)}

    def random_idea(self, session_id: str) -> Updates:
        """Say at random what the objects become."""
        session = self._studio.sessions.find(session_id)
        with session.lock:
            session.typed = {}
            before = session.opened_work
            work = random_idea(before)
            session.set_words(work)
            return {**self._views.words(session, are_fresh=True), **self._sentence(before, work)}

    def texts_changed(self, values: Mapping[Block, Any]) -> Updates:
        """Take caption, background, what to avoid and the sentence."""
        session = self._studio.sessions.find(values[self._page.session])
        if session.work is not None:
            with session.lock:
                session.set_words(self._with_texts(session.opened_work, values))
        return self._views.sentence(session)

    def propose_caption(self, session_id: str) -> Updates:
        """Propose what the clip shows now."""
        session = self._studio.sessions.find(session_id)
        self._studio.propose_caption(session)
        return {self._page.edit.caption: session.opened_work.source_prompt}

    def controls_chosen(self, controls: list[str]) -> Updates:
        """Show the fields of the ControlNets that are ticked."""
        return self._views.guidance_rows(controls)

    def settings_changed(self, values: Mapping[Block, Any]) -> Updates:
        """Take the settings as the form has them, and say which preset and quality they are now."""
        session = self._studio.sessions.find(values[self._page.session])
        try:
            settings, guidance = self._settings(values), self._guidance(values)
        except SettingsError:  # two of them do not fit yet; the buttons of an edit say what is wrong
            return gr.skip()
        self._studio.set_settings(session, settings, guidance)
        return self._views.degrees(settings, self._studio.bundle(session))

    def preset_chosen(self, values: Mapping[Block, Any]) -> Updates:
        """Set the settings that a preset means, with the seed and quality of the form."""
        session, edit = self._studio.sessions.find(values[self._page.session]), self._page.edit
        bundle = self._studio.bundle(session)
        seed = values[edit.settings["seed"]] or 0
        chosen = replace(apply_preset(Preset(values[edit.preset]), bundle.settings), seed=seed)
        quality = Quality(values[edit.quality] or Quality.EXACT)  # none where settings were changed one by one
        return self._set(session, apply_quality(quality, chosen, bundle.settings))

    def quality_chosen(self, values: Mapping[Block, Any]) -> Updates:
        """Set the settings that a quality means; all others stay as the form has them."""
        session = self._studio.sessions.find(values[self._page.session])
        quality, own = Quality(values[self._page.edit.quality]), self._studio.bundle(session).settings
        return self._set(session, apply_quality(quality, self._settings(values), own))

    def share(self, values: Mapping[Block, Any]) -> Updates:
        """Return a link's part that carries the model and the settings of the form."""
        page, session = self._page, self._studio.sessions.find(values[self._page.session])
        return {page.link: to_token(self._studio.bundle(session).name, self._settings(values))}

    def cost(self, values: Mapping[Block, Any]) -> Updates:
        """Say what the edit takes, and show which part of the picture is drawn; nothing while it cannot be made."""
        page = self._page
        session, note = self._studio.sessions.find(values[page.session]), ""
        with suppress(VideoGrainError):
            cost = work_cost(self._studio.shelf, session, self._settings(values))
            note = cost_markup.work_cost_note(cost, session.opened_clip.frames) if cost else ""
        return {page.edit.cost: note}

    def preview_frame(self, values: Mapping[Block, Any]) -> Updates:
        """Ask for a preview of the frame that the second step shows."""
        session = self._studio.sessions.find(values[self._page.session])
        return self._submit(JobKind.PREVIEW, values, session.frame)

    def preview(self, values: Mapping[Block, Any]) -> Updates:
        """Ask for a preview."""
        return self._submit(JobKind.PREVIEW, values)

    def vary(self, values: Mapping[Block, Any]) -> Updates:
        """Ask for variations of the edit."""
        session = self._take_form(values)
        self._studio.submit_variations(session)
        self._warn(session)
        return self._asked(session, "")

    def edit(self, values: Mapping[Block, Any]) -> Updates:
        """Ask for the edit."""
        return self._submit(JobKind.EDIT, values)

    def history_action(self, session_id: str, shown: str, event: gr.EventData) -> Updates:
        """Show an earlier result, or put its words, settings and model into the form."""
        session = self._studio.sessions.find(session_id)
        if event.action == "show":
            return self._shown(session, event.value)
        before = self._studio.bundle(session).name
        transfer.use_again(self._studio, session, event.value)
        if event.action == "take":
            shown = event.value
        model = self._studio.bundle(session)
        if model.name != before:
            gr.Info(f"{escape(model.title)} made this result; it is the model again.", title="Another model")
        return {
            **self._views.words(session, are_fresh=True),
            **self._views.form(session),
            **self._views.model(session),
            **self._views.jobs(session, shown),
            self._page.shown: shown,
        }

    def explain(self, session_id: str, event: gr.EventData) -> Updates:
        """Show the attention map of a phrase in a result, or the result's scores."""
        studio = self._studio
        result = studio.find_result(studio.sessions.find(session_id), event.value)
        if result is None:
            shown = ""
        elif event.action == "score":
            shown = score_panel(studio.scores.score(result, studio.store))
        else:
            shown = attention_maps.moving_attention_map(result, studio.store, int(event.id))
        return {self._page.edit.attention: shown}

    def add_lora(self, session_id: str, hub_id: str) -> Updates:
        """Add a LoRA of the hub; what it takes is said before it is downloaded."""
        session = self._studio.sessions.find(session_id)
        self._studio.add_adapter(session, Adapter(hub_id=(hub_id or "").strip()))
        return {**self._views.loras(session), self._page.edit.lora_id: ""}

    def upload_lora(self, session_id: str, file: str) -> Updates:
        """Add a LoRA's file."""
        session = self._studio.sessions.find(session_id)
        self._studio.add_adapter(session, Adapter(file=Path(file)))
        return self._views.loras(session)

    def lora_action(self, session_id: str, event: gr.EventData) -> Updates:
        """Change the weight or the words of a LoRA, or remove it."""
        session, place = self._studio.sessions.find(session_id), int(event.id) - 1

        def change(adapters: tuple[Adapter, ...]) -> tuple[Adapter, ...]:
            before, found, after = adapters[:place], adapters[place : place + 1], adapters[place + 1 :]
            if event.action == "weight":
                found = tuple(replace(each, weight=float(event.value)) for each in found)
            elif event.action == "words":
                found = tuple(replace(each, words=event.value.strip()) for each in found)
            else:  # a second press may come before the first has moved another one to this place
                found = tuple(each for each in found if each.title != event.value)
            return (*before, *found, *after)

        self._studio.change_adapters(session, change)
        return self._views.loras(session)

    def upload_picture(self, session_id: str, number: int | None, file: str) -> Updates:
        """Have an object drawn after a picture."""
        session = self._studio.sessions.find(session_id)
        if number is None:
            raise RegionError("No object is chosen. Mark one in step 2, then choose it beside the button.")
        references.give_picture(self._studio.store, session, int(number), Path(file))
        return {**self._views.pictures(session), **self._views.download(session)}

    def picture_action(self, session_id: str, event: gr.EventData) -> Updates:
        """Change the weight of an object's picture, or remove it."""
        session = self._studio.sessions.find(session_id)
        if event.action == "weigh":
            references.weigh_picture(session, int(event.id), float(event.value))
        else:
            references.remove_picture(session, int(event.id))
        return {**self._views.pictures(session), **self._views.download(session)}

    def export_result(self, session_id: str, shown: str, kind: str) -> Updates:
        """Write the result that is shown in another format."""
        session = self._studio.sessions.find(session_id)
        result = self._studio.find_result(session, shown)
        if result is None:
            raise ProjectError("There is no result yet. Edit the clip first.")
        return {self._page.file: transfer.export_result(self._studio, session, result, OutputFormat(kind))}

    def export_project(self, session_id: str) -> Updates:
        """Write the whole work with its results to a file."""
        return {self._page.file: transfer.export_project(self._studio, self._studio.sessions.find(session_id))}

    def _submit(self, kind: JobKind, values: Mapping[Block, Any], frame: int | None = None) -> Updates:
        session = self._take_form(values)
        job = self._studio.submit_edit(session, kind, frame)
        if job.state.is_final:
            gr.Info("Here it is: this was made before, with the same words and settings. Another seed draws another.")
        self._warn(session)
        return self._asked(session, job.id if job.state.is_final else "")

    def _take_form(self, values: Mapping[Block, Any]) -> Session:
        """Take the words and settings as the fields have them, and return the session."""
        page = self._page
        session = self._studio.sessions.find(values[page.session])
        settings, guidance = self._settings(values), self._guidance(values)
        with session.lock:
            work = self._with_texts(session.opened_work, values)
            session.set_words(_with_words(work, json.loads(values[page.edit.collected])))
            self._studio.set_settings(session, settings, guidance)
        return session

    def _set(self, session: Session, settings: EditSettings) -> Updates:
        """Take settings and show them."""
        self._studio.set_settings(session, settings)
        return self._views.settings(settings, self._studio.bundle(session))

    def _warn(self, session: Session) -> None:
        for note in work_coverage_notes(session.opened_work, session.opened_clip):
            gr.Warning(escape(note), title="These words change nothing")

    def _asked(self, session: Session, shown: str) -> Updates:
        return {**self._views.words(session), **self._shown(session, shown)}

    def _shown(self, session: Session, shown: str) -> Updates:
        """Return a result that is shown from now on."""
        return {**self._views.jobs(session, shown), self._page.shown: shown, self._page.edit.attention: ""}

    def _sentence(self, before: Workspace, work: Workspace) -> Updates:
        """Return the sentence in the user's own words if it has changed; else the user may be typing in it."""
        is_same = work.target_prompt == before.target_prompt
        return {} if is_same else {self._page.edit.target: work.target_prompt}

    def _settings(self, values: Mapping[Block, Any]) -> EditSettings:
        return settings_from_form({name: values[field] for name, field in self._page.edit.settings.items()})

    def _guidance(self, values: Mapping[Block, Any]) -> tuple[ControlGuidance, ...]:
        chosen = [ControlKind(name) for name in values[self._page.edit.controls]]
        rows = {kind: self._page.edit.guidance[kind] for kind in chosen}
        return tuple(
            ControlGuidance(kind, values[row.scale], values[row.start], values[row.end]) for kind, row in rows.items()
        )

    def _with_texts(self, work: Workspace, values: Mapping[Block, Any]) -> Workspace:
        edit = self._page.edit
        return replace(
            work,
            source_prompt=(values[edit.caption] or "").strip(),
            background=(values[edit.background] or "").strip(),
            negative_prompt=(values[edit.negative] or "").strip(),
            target_prompt=(values[edit.target] or "").strip(),
        )


def _with_words(work: Workspace, fields: Mapping[str, tuple[str, str]]) -> Workspace:
    """Return the work with what objects become, and LoRAs' words, as the page's fields have them.

    Args:
        work: with the page's own sentence, which has the phrases that the page knew of.
        fields: what the page knew of, and what a field holds now, by objects' ids and by "lora1" for the first LoRA.
    """
    adapters = []
    for number, each in enumerate(work.adapters, 1):
        before, now = fields.get(f"lora{number}", (each.words, each.words))
        is_same = before == each.words  # else one above was removed, and the page does not know that yet
        adapters.append(replace(each, words=now.strip()) if is_same else each)
    work = replace(work, adapters=tuple(adapters))
    for each in work.objects:
        if str(each.id) in fields:
            before, now = fields[str(each.id)]
            work = objects.change_object(work, each.id, partial(replace, prompt=before))
            work = objects.say(work, each.id, now.strip())
    return work
