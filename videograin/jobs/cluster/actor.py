"""What runs in each process of a cluster: jobs and windows of other jobs, with models that it keeps between them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from videograin.errors import Cancelled
from videograin.jobs.cluster.job_files import place_files
from videograin.jobs.cluster.sharing import SharedWindows, WindowHelper
from videograin.jobs.cluster.stages import Stage, StageClock
from videograin.jobs.editing.edit_jobs import EditJobs
from videograin.jobs.executor import Outcome
from videograin.jobs.failures import release_memory
from videograin.jobs.model_shelf import GpuMemory, ModelShelf, ShelfState, cache_folder
from videograin.jobs.runner import JobRunner
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import Job
from videograin.jobs.suggest import discover_handlers
from videograin.models.memory import ClipShape
from videograin.models.time_left import Estimate
from videograin.project.project import Project
from videograin.region import ControlKind, EditSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ActorState:
    """What an actor tells of itself.

    Attributes:
        shelf: which model it holds.
        device: where its models work.
        seconds: that each stage of its work on edits has taken so far.
        memory: of its GPU, if it has one.
    """

    shelf: ShelfState
    device: str
    seconds: Mapping[Stage, float]
    memory: tuple[GpuMemory, ...] = ()


class Editor:
    """Carries out jobs one at a time. `run` and `help` are called by one thread, all else by others meanwhile.

    Args:
        settings: the operator's; the data folder is the same for all hosts, under the same name, or else the jobs'
            files travel by a store.
        name: of this place.
    """

    def __init__(self, settings: OperatorSettings, name: str) -> None:
        self._files, self._default = place_files(settings, name), settings.models[0]
        self._shelf = ModelShelf(
            cache_folder(settings.data_folder),
            settings.device or None,
            second_device=settings.second_device or None,
            offline=settings.offline,
        )
        self._clock = StageClock()
        share = partial(SharedWindows, self._files.shared, name, self._clock)
        jobs = EditJobs(self._shelf, settings, share)
        handlers = jobs.handlers() | discover_handlers(self._shelf, settings)
        self._runner = JobRunner(self._files, handlers, log_words=settings.log_prompts)
        self._helper = WindowHelper(jobs, self._shelf.device, name, self._clock)
        self._recalled = 0

    def prepare(self) -> str:
        """Load the default model, and return why that failed, in plain words; empty where it did not."""
        try:
            self._shelf.get(self._default)
        except Exception:
            log.exception("preparation failed")
        return self._shelf.state.problem

    def run(self, job: Job) -> Outcome:
        """Carry a job out, whatever happens in it.

        Raises:
            JobError: its files cannot be had or sent.
        """
        with self._clock.at_work(), self._files.running(job):
            return self._runner.run(job)

    def help(self, job: Job, number: int) -> bool:
        """Make windows of an edit that runs at another place, and return whether this place may be asked again.

        Args:
            job: the edit.
            number: of this help, one more each time, by which it is recalled.
        """
        folder = self._files.folder(job)
        try:
            with self._clock.at_work(), self._files.helping(job):
                request, shared = self._files.request(job, Project), self._files.shared(folder)
                self._helper.help(request, folder, shared, lambda: self._recalled >= number)
        except Cancelled:
            return True
        except Exception:  # short of memory, say; the job's own place makes what this one leaves
            log.exception("help failed", extra={"job": job.id, "kind": job.kind})
            release_memory()
            return False
        return True

    def recall(self, number: int) -> None:
        """Stop a help before its next step, or before it has begun; it may arrive later than this."""
        self._recalled = max(self._recalled, number)

    def state(self) -> ActorState:
        """Return which model is held, how full the GPU is, and what its time went to."""
        return ActorState(
            shelf=self._shelf.state,
            device=self._shelf.device_name,
            seconds=self._clock.seconds,
            memory=tuple(self._shelf.gpu_memory()),
        )

    def estimate(
        self, model: str, controls: tuple[ControlKind, ...], clip_shape: ClipShape, settings: EditSettings
    ) -> Estimate | None:
        """Estimate an edit (`ModelShelf.estimate`)."""
        return self._shelf.estimate(model, controls, clip_shape, settings)
