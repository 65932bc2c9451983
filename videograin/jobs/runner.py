"""Carry out one job, whatever happens in it: a second attempt where memory ran out, and an outcome in any case."""

import logging
from collections.abc import Mapping
from typing import Any

from videograin.errors import Cancelled, VideoGrainError
from videograin.files.dataclass_json import texts_in
from videograin.jobs.context import Handler, JobContext, write_result
from videograin.jobs.executor import Outcome
from videograin.jobs.failures import OUT_OF_MEMORY, describe, in_plain_words, is_out_of_memory, release_memory
from videograin.jobs.store import Job, JobFiles, JobKind, JobState

LEANER = "Memory ran short, so this ran once more in a leaner, slower way."

log = logging.getLogger(__name__)


class JobRunner:
    """Carries jobs out by their kinds' handlers.

    Args:
        files: of the jobs, their requests among them.
        handlers: what to do for each kind of job.
        log_words: whether users' words may appear in the log.
    """

    def __init__(self, files: JobFiles, handlers: Mapping[JobKind, Handler[Any, Any]], *, log_words: bool) -> None:
        self._files = files
        self._handlers = handlers
        self._log_words = log_words

    def run(self, job: Job) -> Outcome:
        """Carry a job out, if memory runs out once more in the leaner mode; nothing is raised."""
        outcome = self._attempt_and_tidy(job, is_lean=False)
        if outcome is None:
            log.warning("out of memory", extra={"job": job.id, "kind": job.kind})
            outcome = self._attempt_and_tidy(job, is_lean=True)
        return outcome or Outcome(JobState.FAILED, OUT_OF_MEMORY)

    def _attempt_and_tidy(self, job: Job, *, is_lean: bool) -> Outcome | None:
        outcome = self._attempt(job, is_lean=is_lean)
        if outcome is None or outcome.state is not JobState.DONE:
            release_memory()  # here, where an error's hold on tensors is gone; it costs up to half a second
        return outcome

    def _attempt(self, job: Job, *, is_lean: bool) -> Outcome | None:
        """Return how it went, None where memory ran out."""
        texts: list[str] = []
        try:
            handler = self._handlers[job.kind]
            request = self._files.request(job, handler.request)
            texts = texts_in(request)
            context = JobContext(self._files.folder(job), is_lean)
            result = handler.run(request, context)
            assert isinstance(result, handler.result), f"{job.kind} returned {result!r}"
            write_result(context.folder, result)
        except Cancelled:
            return Outcome(JobState.CANCELLED)
        except BaseException as error:  # a library that calls exit() must not end the worker either
            if is_out_of_memory(error):
                return None
            self._log_failure(job, error, texts)
            return Outcome(JobState.FAILED, in_plain_words(error, job.id))
        return Outcome(JobState.DONE, notes=(*([LEANER] if is_lean else []), *context.notes))

    def _log_failure(self, job: Job, error: BaseException, texts: list[str]) -> None:
        """Log a defect with its trace, and what the user can mend in a line."""
        level = logging.INFO if isinstance(error, VideoGrainError) else logging.ERROR
        description = describe(error, hidden=[] if self._log_words else texts)
        log.log(level, "job failed", extra={"job": job.id, "kind": job.kind, "error": description})
