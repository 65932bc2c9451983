"""The parts of a studio, put together as its operator's settings say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diffusers.utils import logging as diffusers_logging
from huggingface_hub.utils import disable_progress_bars
from transformers.utils import logging as transformers_logging

from videograin.files.disk import DiskRoom
from videograin.jobs.context import Handler
from videograin.jobs.download import download_handlers
from videograin.jobs.edit import EditJobs
from videograin.jobs.executor import ZERO_GPU_SPEED, is_zero_gpu, on_own_thread, on_zero_gpu
from videograin.jobs.model_shelf import ModelShelf
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import JobKind, JobStore
from videograin.jobs.suggest import discover_handlers
from videograin.jobs.worker import Purge, Worker
from videograin.models.bundles import find_bundle
from videograin.models.loading import check_obtainable


@dataclass(frozen=True)
class Studio:
    """A studio at work.

    Attributes:
        settings: the operator's, which decided how the parts were made.
        room: that the data folder has on its disk.
        store: where files are kept for their owners.
        shelf: knows what an edit will cost.
        worker: takes jobs.
    """

    settings: OperatorSettings
    room: DiskRoom
    store: JobStore
    shelf: ModelShelf
    worker: Worker


def open_studio(
    settings: OperatorSettings,
    handlers: Mapping[JobKind, Handler[Any, Any]] | None = None,
    purges: Sequence[Purge] = (),
) -> Studio:
    """Start to work; the default model is loaded by the worker's thread, before its first job.

    Args:
        settings: data folder, models, device and limits, as the operator chose them.
        handlers: how to carry out the kinds of jobs besides edits and previews.
        purges: remove what else is kept of users (`Worker`).

    Raises:
        VideoGrainError: the model cannot be obtained, or another process uses the data folder.
    """
    diffusers_logging.disable_progress_bar()  # standard error is the log's, one JSON object a line
    transformers_logging.disable_progress_bar()
    disable_progress_bars()
    lends = is_zero_gpu()
    default = settings.models[0]
    check_obtainable(find_bundle(default), settings.offline)
    shelf = ModelShelf(
        settings.data_folder / "cache",
        settings.device or None,
        offline=settings.offline,
        speed=ZERO_GPU_SPEED if lends else None,
    )
    if lends:
        shelf.get(default)  # before the first fork, so that no job has to load it again
    room = DiskRoom(
        settings.data_folder,
        total_bytes=settings.max_data_gb * 1e9,
        reserve_bytes=settings.min_free_gb * 1e9,
        owner_bytes=settings.max_session_mb * 1e6,
    )
    store = JobStore(settings.data_folder / "jobs", room)
    own = EditJobs(shelf, settings).handlers() | discover_handlers(shelf, settings) | download_handlers(settings)
    every = own | dict(handlers or {})
    executor = on_zero_gpu if lends else on_own_thread
    worker = Worker(store, every, settings, executor, [shelf.purge, *purges], lambda: shelf.get(default))
    worker.start()
    return Studio(settings=settings, room=room, store=store, shelf=shelf, worker=worker)
