"""Edits for programs: the whole clip, a preview of it, one frame, or variations."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ui.answers import Document
from ui.api_models import ModelApi
from ui.arguments import member
from ui.work.session import Session
from videograin.errors import RegionError, SettingsError
from videograin.files.document import DocumentReader, to_plain
from videograin.jobs.store import JobKind
from videograin.models.presets import Preset, Quality, apply_preset, apply_quality
from videograin.project.objects import find_object
from videograin.project.variations import MAX_VARIATIONS, VARIATIONS
from videograin.region import ControlGuidance, EditSettings


class EditApi(ModelApi):
    """The functions by which programs ask for edits."""

    def edit(
        self,
        session: str,
        preset: str | None = None,
        settings: Document | None = None,
        controls: list[str] | None = None,
        quality: str | None = None,
    ) -> str:
        """Ask for the edit and return the job's id.

        `quality` is draft, standard or exact; `settings` overrides fields by name; `controls` names ControlNets: canny,
        depth, pose …, each with a scale and with the shares of the steps between which it acts if need be:
        "canny:0.6:0:0.5".
        """
        found = self._find(session)
        with found.lock:
            self._set_settings(found, preset, settings, controls, quality)
            return self._studio.submit_edit(found, JobKind.EDIT).id

    def preview(
        self,
        session: str,
        preset: str | None = None,
        settings: Document | None = None,
        controls: list[str] | None = None,
        frame: int | None = None,
    ) -> str:
        """Ask for a quick edit of the first frames, or of `frame` alone, as `edit`, and return the job's id."""
        found = self._find(session)
        with found.lock:
            self._set_settings(found, preset, settings, controls)
            return self._studio.submit_edit(found, JobKind.PREVIEW, frame).id

    def variations(self, session: str, count: int = VARIATIONS) -> list[str]:
        """Ask for the edit from other noise, `count` times over from one inversion; return the jobs' ids."""
        if not 1 <= count <= MAX_VARIATIONS:
            raise SettingsError(f"count is {count}; choose 1 to {MAX_VARIATIONS}.")
        found = self._find(session)
        with found.lock:
            return [job.id for job in self._studio.submit_variations(found, count)]

    def _set_settings(
        self,
        session: Session,
        preset: str | None,
        settings: Document | None,
        controls: list[str] | None,
        quality: str | None = None,
    ) -> None:
        guidance = tuple(ControlGuidance.parse(control) for control in controls or ())
        work, own = session.opened_work, self._studio.bundle(session).settings
        chosen = apply_preset(member(Preset, preset), own) if preset else work.settings
        if quality:
            chosen = apply_quality(member(Quality, quality), chosen, own)
        chosen = _overridden(chosen, settings or {})
        kinds = tuple(each.kind for each in guidance)
        session.set_words(replace(work, settings=chosen, controls=kinds, control_guidance=guidance))

    @contextmanager
    def _at(self, session: str, frame: int | None = None, number: int | None = None) -> Iterator[Session]:
        """Hold a session, with a frame shown and an object selected as far as they are given.

        Another call at the same time waits, or it would show another frame before this one has marked on its own.
        """
        found = self._find(session)
        with found.lock:
            count = len(found.opened_clip.frames)
            if frame is not None and not 0 <= frame < count:
                raise RegionError(f"Frame {frame} is not in the clip; it has {count}, counted from 0.")
            if number is not None:
                find_object(found.opened_work, number)
            found.frame, found.selected = found.frame if frame is None else frame, number
            yield found


def _overridden(settings: EditSettings, values: Document) -> EditSettings:
    """Return settings with single fields overridden, each checked for its name, type and range."""
    plain = to_plain(settings, Path())
    return DocumentReader(Path("settings")).read(EditSettings, {**plain, **values}, "settings")
