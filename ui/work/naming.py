"""Names for the objects that a user marks, and a caption of what the clip shows now.

Only a model that carries a judge of its own small world can name objects; with any other model the user names them.
"""

import random
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from ui.work.session import Session
from videograin.diffusion.prompt import compose_target_prompt, local_prompt
from videograin.errors import PromptError
from videograin.evaluation.vocabulary import known_names, known_phrases, with_article
from videograin.models.bundles import find_bundle
from videograin.project import objects
from videograin.project.workspace import MarkedObject, Workspace

if TYPE_CHECKING:
    from videograin.evaluation.judge import Judge

CREATURES = 79
"""Of the vocabulary's words, which begins with animals and people: they take each other's place best."""

UNNAMED = re.compile(r"Object \d+")
_NUMBERED = re.compile(r" \d+$")


class Naming:
    """The judges of this process, loaded when they are first asked."""

    def __init__(self) -> None:
        self._judges: dict[str, Judge | None] = {}
        self._lock = Lock()

    def judge(self, model: str) -> "Judge | None":
        """Return the judge of a model's world, None where it has none."""
        from videograin.engine import Judge

        with self._lock:
            if model not in self._judges:
                folder = Path(find_bundle(model).source)
                self._judges[model] = Judge.load(folder) if known_names(folder) else None
            return self._judges[model]

    def name_objects(self, session: Session, frame: int) -> None:
        """Name the objects that have no name yet by their looks in a frame, where these are clear."""
        work, clip = session.opened_work, session.opened_clip
        judge = self.judge(work.model)
        if judge is None:
            return
        for each in work.objects:
            mask = objects.mask_at(work, each.id, frame) if UNNAMED.fullmatch(each.name) else None
            name = judge.name_surely(clip.frames[frame], mask) if mask is not None else ""
            if name:
                work = objects.rename_object(work, each.id, free_name(work, name))
        session.set_words(work)


def free_name(work: Workspace, name: str) -> str:
    """Return a name that no object has: "cat", or "cat 2"."""
    taken = {each.name for each in work.objects}
    return next(each for each in (name, *(f"{name} {number}" for number in range(2, 1000))) if each not in taken)


def caption(work: Workspace) -> str:
    """Return a caption of what the clip shows now, out of the objects' names; empty where none has one."""
    named = [each for each in work.objects if local_prompt(each.name) and not UNNAMED.fullmatch(each.name)]
    phrases = [_phrase(each) for each in named if not each.is_rest]
    return compose_target_prompt(phrases) if phrases else ""


def random_idea(work: Workspace) -> Workspace:
    """Return the work with other words, taken at random from those its model knows, for each object that is marked."""
    marked = [each for each in work.objects if each.id in work.masks]
    said = {each.prompt for each in marked}
    phrases = [phrase for phrase in known_phrases(work.model)[:CREATURES] if phrase not in said]
    for each, phrase in zip(marked, random.sample(phrases, min(len(marked), len(phrases))), strict=False):
        work = objects.say(work, each.id, phrase)
    return work


def with_caption(work: Workspace, suggested: str) -> tuple[Workspace, str]:
    """Caption the work, unless the user has written a caption.

    Args:
        work: with the objects and the caption of the page.
        suggested: the caption that was put in last.

    Returns:
        The work, and the caption that was put in.
    """
    if work.source_prompt not in ("", suggested):
        return work, suggested
    found = caption(work)
    return replace(work, source_prompt=found), found


def without_composed_sentence(work: Workspace) -> Workspace:
    """Return the work without its own sentence where the words alone make the same, so that it follows the words."""
    with suppress(PromptError):  # where there are no words, a sentence is the user's own
        composed = compose_target_prompt([each.edit_prompt for each in work.objects], work.background)
        return replace(work, target_prompt="") if work.target_prompt == composed else work
    return work


def _phrase(each: MarkedObject) -> str:
    name = _NUMBERED.sub("", each.name).strip()
    return name if name.lower().startswith(("a ", "an ", "the ")) else with_article(name)
