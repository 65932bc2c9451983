"""Which segmenter marks a session's clip, and whether its model is for clips of this kind at all."""

from dataclasses import dataclass, replace

from ui.work.segmenting import Segmenting
from ui.work.session import Session
from videograin.jobs.limits import check_segmenter
from videograin.jobs.settings import OperatorSettings
from videograin.models.bundles import find_bundle, is_available_offline
from videograin.models.segmenters import is_for_photographs, suitable_segmenter
from videograin.segment.names import is_here, reads_strokes


@dataclass(frozen=True)
class SegmenterChoice:
    """A segmenter that may be chosen.

    Attributes:
        name: by which it is chosen.
        is_chosen: whether it is the one that answers now.
        is_here: whether it needs no download.
        is_for_photographs: whether it can mark filmed clips.
        reads_strokes: whether the brush tells it where the object is, rather than painting the mask itself.
    """

    name: str
    is_chosen: bool
    is_here: bool
    is_for_photographs: bool
    reads_strokes: bool


class SegmenterChoices:
    """Shows and takes users' choices of a segmenter.

    Args:
        settings: the operator's.
        segmenting: holds the segmenters.
    """

    def __init__(self, settings: OperatorSettings, segmenting: Segmenting) -> None:
        self._settings, self._segmenting = settings, segmenting

    def offered(self, session: Session) -> list[SegmenterChoice]:
        """Return the segmenters that may be chosen, in the operator's order."""
        chosen = self._segmenting.name_for(session)
        return [
            SegmenterChoice(
                name=name,
                is_chosen=name == chosen,
                is_here=is_here(name),
                is_for_photographs=is_for_photographs(name),
                reads_strokes=reads_strokes(name),
            )
            for name in self._settings.segmenters
        ]

    def installed(self) -> list[str]:
        """Return the names of the segmenters, and of the model for photographs, that need no download."""
        here = [name for name in self._settings.segmenters if is_here(name)]
        return [*here, self.model_for_photographs() or ""]

    def name_for(self, session: Session) -> str:
        """Return the segmenter that marks a session's clip."""
        return self._segmenting.name_for(session)

    def choose(self, session: Session, name: str) -> None:
        """Have a segmenter answer from now on; masks that are there stay. An empty name goes with the model.

        One that is not on this machine has to be downloaded before it answers.

        Raises:
            ModelError: it is not offered, or not on this machine and the studio is kept off the network.
        """
        if name:
            check_segmenter(name, self._settings, may_download=not self._settings.offline)
        with session.lock:
            session.chosen_segmenter = name
            if session.work is not None:
                session.set_words(replace(session.work, segmenter=name))

    def model_for_photographs(self) -> str | None:
        """Return the first model offered that knows photographs and is on this machine; None where there is none."""
        bundles = [find_bundle(name) for name in self._settings.models]
        return next((each.name for each in bundles if each.knows_photographs and is_available_offline(each)), None)

    def choose_for_photographs(self, session: Session) -> None:
        """Have the segmenter answer that goes with models for photographs."""
        self.choose(session, suitable_segmenter(True, self._segmenting.offered))

    def notice(self, model: str, is_photograph: bool, segmenter: str) -> str:
        """Return what to tell about a filmed clip with a model that only knows drawings; empty where the two agree."""
        bundle = find_bundle(model)
        if bundle.knows_photographs or not is_photograph:
            return ""
        if not is_for_photographs(segmenter):
            return f"This clip looks filmed, but {bundle.title} only knows drawings."
        return (
            f"{bundle.title} only knows drawings: mark, follow and export cut-outs of this clip, or choose another "
            "model to edit it."
        )
