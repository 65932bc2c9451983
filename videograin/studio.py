"""The parts of a studio, put together as its operator's settings say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from videograin.edit_job import EditJobs
from videograin.executor import ZERO_GPU_SPEED, is_zero_gpu, on_own_thread, on_zero_gpu
from videograin.job_context import Handler
from videograin.jobs import JobKind, JobStore
from videograin.model_shelf import ModelShelf
from videograin.operator_settings import OperatorSettings
from videograin.worker import Worker


@dataclass(frozen=True)
class Studio:
    """A studio at work.

    Attributes:
        settings: of its operator.
        store: where files are kept for their owners.
        shelf: knows what an edit will cost.
        worker: takes jobs.
    """

    settings: OperatorSettings
    store: JobStore
    shelf: ModelShelf
    worker: Worker


def open_studio(settings: OperatorSettings, handlers: Mapping[JobKind, Handler[Any, Any]] | None = None) -> Studio:
    """Load the default model and start to work.

    Args:
        settings: of the operator.
        handlers: how to carry out the kinds of jobs besides edits and previews.

    Raises:
        VideoGrainError: the model cannot be loaded, or another process uses the data folder.
    """
    lends = is_zero_gpu()
    shelf = ModelShelf(
        settings.data_folder / "cache",
        settings.device or None,
        offline=settings.offline,
        speed=ZERO_GPU_SPEED if lends else None,
    )
    shelf.get(settings.models[0])  # before the first job, and on ZeroGPU before the first fork
    store = JobStore(settings.data_folder / "jobs")
    every = EditJobs(shelf, settings).handlers() | dict(handlers or {})
    worker = Worker(store, every, settings, on_zero_gpu if lends else on_own_thread)
    worker.start()
    return Studio(settings, store, shelf, worker)
