"""How good a result is, where a user asks: scored on the CPU, so that no edit waits or runs out of memory for it."""

from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING

from ui.work.segmenting import Shelf
from videograin.errors import ModelError
from videograin.jobs.edit import edited_by
from videograin.jobs.store import JobStore
from videograin.jobs.worker import JobStatus
from videograin.models.catalog import SCORER, find_entry, size_words
from videograin.project.project import Project

if TYPE_CHECKING:
    from videograin.evaluation.scorers import NamedScorer
    from videograin.production.scoring import ScoredResult

SCORED_FRAMES = 32
"""Frames of a result that are scored, from its first, which bounds seconds and memory."""

KEPT_SCORERS = 2
"""One for drawings and one for photographs."""


class Scores:
    """The CLIPs of this process, loaded when they are first asked; one result is scored at a time."""

    def __init__(self) -> None:
        self._scorers: Shelf[NamedScorer] = Shelf(KEPT_SCORERS)
        self._lock = Lock()

    def score(self, result: JobStatus, store: JobStore) -> "ScoredResult":
        """Score a finished edit or preview.

        Args:
            result: the edit.
            store: where its request is.

        Raises:
            ModelError: the CLIP that scores it is not on this machine.
            VideoGrainError: one frame, or no edited region, has no scores.
        """
        from videograin.engine import score_result

        project = edited_by(result.job.kind, store.request(result.job, Project))
        frames = min(SCORED_FRAMES, result.result.frames)
        project = replace(project, clip_options=replace(project.clip_options, max_frames=frames))
        scorer = self._scorer(project.model)
        with self._lock:
            return score_result(project, result.results / result.result.video, scorer)

    def _scorer(self, model: str) -> "NamedScorer":
        from videograin.engine import has_own_scorer, load_scorer

        is_own = has_own_scorer(model)
        entry = find_entry(SCORER)
        if not is_own and not entry.is_installed:
            raise ModelError(
                f"Results of this model are scored by {entry.title}, which is not on this machine; it takes "
                f"{size_words(entry.size)}. Whoever runs the studio can fetch it: videograin download {SCORER}"
            )
        return self._scorers.get(model if is_own else SCORER, lambda: load_scorer(model, offline=True))
