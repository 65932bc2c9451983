"""The parts of a studio, put together as its operator's settings say."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from threading import Event
from typing import Any

from huggingface_hub.utils import disable_progress_bars

from videograin.errors import SettingsError
from videograin.files.disk import DiskRoom
from videograin.jobs.context import Handler
from videograin.jobs.download import download_handlers
from videograin.jobs.edit import Edit, edit_handlers
from videograin.jobs.executor import ZERO_GPU_SPEEDS, Executor, is_zero_gpu, on_own_thread, on_zero_gpu
from videograin.jobs.model_shelf import ModelShelf, cache_folder
from videograin.jobs.settings import RAY, OperatorSettings, variable_of
from videograin.jobs.store import Job, JobKind, JobStore, jobs_folder
from videograin.jobs.suggest import discover_handlers
from videograin.jobs.worker import Purge, Worker
from videograin.models.bundles import check_obtainable, find_bundle


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
    observe: Callable[[Job], object] | None = None,
    begin: Event | None = None,
) -> Studio:
    """Start to work; the default model is loaded by the worker's thread, before its first job.

    Args:
        settings: data folder, models, device and limits, as the operator chose them.
        handlers: how to carry out the kinds of jobs besides edits and previews.
        purges: remove what else is kept of users (`Worker`).
        observe: told of each job that has begun or ended.
        begin: set when a model may be loaded, by which a page that is being built would be late; None is at once.

    Raises:
        VideoGrainError: the model cannot be obtained, or another process uses the data folder.
    """
    disable_progress_bars()  # standard error is the log's, one JSON object a line
    check_obtainable(find_bundle(settings.models[0]), settings.offline)
    room = DiskRoom(
        settings.data_folder,
        total_bytes=settings.max_data_gb * 1e9,
        reserve_bytes=settings.min_free_gb * 1e9,
        owner_bytes=settings.max_session_mb * 1e6,
    )
    store = JobStore(jobs_folder(settings.data_folder), room)
    executor, shelf, prepare = _executor(settings, begin)
    edits = edit_handlers(lambda: _load_edit(shelf, settings), shelf, settings)
    own = edits | discover_handlers(shelf, settings) | download_handlers(settings)
    worker = Worker(store, own | dict(handlers or {}), settings, executor, [shelf.purge, *purges], prepare, observe)
    worker.start()
    return Studio(settings=settings, room=room, store=store, shelf=shelf, worker=worker)


def _load_edit(shelf: ModelShelf, settings: OperatorSettings) -> Edit:
    """Return what carries edits out; imported by the thread that edits."""
    from videograin.jobs.editing.edit_jobs import EditJobs

    return EditJobs(shelf, settings).edit


def _prepare(shelf: ModelShelf, model: str, begin: Event | None = None) -> None:
    """Import what computes, and load a model."""
    if begin is not None:
        begin.wait()
    from videograin.engine import without_progress_bars

    without_progress_bars()
    shelf.get(model)


def _executor(settings: OperatorSettings, begin: Event | None) -> tuple[Executor, ModelShelf, Callable[[], object]]:
    """Return where edits run, what is known there of models, and what to call before the first job."""
    if settings.executor == RAY:
        if find_spec("ray") is None:
            raise SettingsError(
                f"{variable_of('executor')} is {RAY}, but Ray is not installed. Run in the studio's clone: "
                "uv tool install '.[ray]' or pip install '.[ray]', or leave the variable empty."
            )
        from videograin.jobs.cluster.ray_cluster import RayCluster

        cluster = RayCluster(settings)
        return cluster.places, cluster.shelf, cluster.wait_until_ready
    lends, default = is_zero_gpu(), settings.models[0]
    shelf = ModelShelf(
        cache_folder(settings.data_folder),
        settings.device or None,
        second_device=settings.second_device or None,
        offline=settings.offline,
        speed=ZERO_GPU_SPEEDS[settings.zero_gpu_size] if lends else None,
    )
    if lends:
        _prepare(shelf, default)  # before the first fork, so that no job has to load it again
    executor = partial(on_zero_gpu, size=settings.zero_gpu_size) if lends else on_own_thread
    return executor, shelf, lambda: _prepare(shelf, default, begin)
