"""Objects found by what a user types: shown with numbers first, and taken by one press, all or some."""

from collections.abc import Iterable
from dataclasses import replace

from ui.work.naming import free_name
from ui.work.segmenting import Segmenting, Shelf
from ui.work.session import Session
from videograin.errors import ModelError, RegionError
from videograin.finding.description import parse
from videograin.finding.finder import Finder
from videograin.finding.finders import has_judge, load_finder, suitable_finder
from videograin.jobs.download import check_here
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.suggest import FindRequest
from videograin.models.catalog import DETECTOR_IDS, find_entry
from videograin.models.segmenters import is_for_photographs, suitable_segmenter
from videograin.project import objects
from videograin.segment.names import DEFAULT_SEGMENTER

KEPT_FINDERS = 2
"""Finders whose weights stay in memory: one for drawings and one for photographs."""


class Finders:
    """The finders of this process, loaded when they are first asked.

    Args:
        settings: the operator's models.
        segmenting: holds the segmenters and what they have seen.
    """

    def __init__(self, settings: OperatorSettings, segmenting: Segmenting) -> None:
        self._settings, self._segmenting = settings, segmenting
        self._finders: Shelf[Finder] = Shelf(KEPT_FINDERS)

    def finder(self, name: str, segmenter: str) -> Finder:
        """Return a finder that cuts out with a segmenter.

        Raises:
            ModelError: one of them is not on this machine, or cannot be loaded.
        """
        source = self._segmenting

        def load() -> Finder:
            return load_finder(name, source.model(segmenter), source.embeddings, source.device, offline=True)

        return self._finders.get(f"{name} {segmenter}", load)

    def request(self, session: Session, text: str, name: str = "") -> FindRequest:
        """Return what is asked for where a user types a description of objects on the frame that is shown.

        Args:
            session: whose clip it is.
            text: the description.
            name: of the finder; empty takes the one that suits the clip.

        Raises:
            PromptError: the text names no object.
            ModelError: the finder is not offered, or not on this machine; then the session is offered its download,
                unless the studio is kept off the network.
        """
        work = session.opened_work
        parse(text)
        name = name or suitable_finder(work.model, session.is_photograph)
        self._check(session, name)
        segmenter = DEFAULT_SEGMENTER if has_judge(name) else self._segmenting.name_for(session)
        if not has_judge(name) and session.is_photograph and not is_for_photographs(segmenter):
            segmenter = suitable_segmenter(True, self._segmenting.offered)
        return FindRequest(
            clip=work.clip, frame=session.frame, text=text, finder=name, segmenter=segmenter,
            clip_options=work.clip_options,
        )  # fmt: skip

    def _check(self, session: Session, name: str) -> None:
        judges = [model for model in self._settings.models if has_judge(model)]
        if name not in (*judges, *DETECTOR_IDS):
            raise ModelError(
                f"'{name}' finds no objects by name. Choose one of: {', '.join((*judges, *DETECTOR_IDS))}."
            )
        if name in judges:
            return
        entry = find_entry(name)
        session.wanted_finder = "" if self._settings.offline else name
        check_here(
            entry,
            f"Objects in this clip are found by {entry.title}, which",
            "click on the objects",
            offline=self._settings.offline,
        )


def found_at(session: Session, x: float, y: float) -> int | None:
    """Return the place, from 0, of the smallest object found that lies under a point of the frame shown."""
    found = session.found
    height, width = session.opened_clip.frames.shape[1:3]
    if found is None or found.frame != session.frame or not (0 <= x < width and 0 <= y < height):
        return None
    hit = [place for place, each in enumerate(found.objects) if each.mask[int(y), int(x)]]
    return min(hit, key=lambda place: found.objects[place].mask.sum(), default=None)


def take_found(session: Session, places: Iterable[int] | None = None) -> None:
    """Add objects that were found to the list, in one step that can be undone; the others wait on.

    Args:
        session: whose they are.
        places: which of them, from 0; None takes all.

    Raises:
        RegionError: there are none of these places, or there are too many objects.
    """
    found, work, clip = session.found, session.opened_work, session.opened_clip
    if found is None:
        raise RegionError("Nothing that was found waits to be taken. Type what to select first.")
    every = range(len(found.objects))
    chosen = sorted(set(every if places is None else places))
    if not chosen or not set(chosen) <= set(every):
        given = ", ".join(str(place + 1) for place in chosen) or "none"
        raise RegionError(f"{len(found.objects)} objects were found, counted from 1. Take some of these, not {given}.")
    for place in chosen:
        each = found.objects[place]
        work = objects.add_object(work, free_name(work, each.name[: objects.MAX_NAME]))
        work = objects.set_mask(work, work.objects[-1].id, found.frame, each.mask, len(clip.frames))
    session.change(work)
    session.selected = work.objects[-1].id
    left = tuple(each for place, each in enumerate(found.objects) if place not in chosen)
    session.found = replace(found, objects=left) if left else None
