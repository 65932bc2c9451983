"""The pipeline that the worker holds: one at a time, since two may not fit on a device."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from videograin.device import choose_device, choose_second_device, device_name
from videograin.errors import for_visitors
from videograin.files.disk import remove_unused
from videograin.files.hub import inversions_folder
from videograin.jobs.failures import release_memory
from videograin.models.time_left import Estimate
from videograin.region import ControlKind, EditSettings

if TYPE_CHECKING:
    import torch

    from videograin.diffusion.pipeline import VideoGrainPipeline
    from videograin.models.memory import ClipShape

CHECK_SECONDS = 0.2
"""How often a caller who waits for a model checks whether to go on waiting."""

SPEED_SECONDS = 20.0
"""For how long a measurement of a CPU's speed holds; one takes about a tenth of a second."""

_Key = tuple[str, tuple[ControlKind, ...]]


@dataclass(frozen=True)
class ShelfState:
    """The model that a shelf holds or loads.

    Attributes:
        held: name of the model that is ready; empty where there is none.
        loading: name of the model that is being loaded; empty where there is none.
        problem: why the latest one could not be loaded, in plain words; empty where it could.
    """

    held: str = ""
    loading: str = ""
    problem: str = ""


@dataclass(frozen=True)
class GpuMemory:
    """How full a GPU is, whatever uses it."""

    used_bytes: int
    total_bytes: int


class ModelShelf:
    """Loads a model when it is asked for and keeps it until another one is.

    Args:
        cache_dir: folder of inversions, kept between edits.
        device: where models work; None takes the best there is.
        second_device: computes half of guidance beside it; None leaves that to `device` as well.
        offline: whether to leave hubs alone.
        speed: operations a second of the device in a large matrix product; None measures it when a model is loaded,
            which takes a device that is there, and on a CPU also later, for it may have other work to do by then.

    Attributes:
        device_name: where models work, as torch names it.
        state: which model is ready or being loaded, to be read from any thread.
    """

    def __init__(
        self,
        cache_dir: Path,
        device: str | None = None,
        *,
        second_device: str | None = None,
        offline: bool = False,
        speed: float | None = None,
    ) -> None:
        self.device_name = device_name(device)
        self._second_device = None if second_device is None else choose_second_device(second_device, self.device)
        self._cache_dir = cache_dir
        self._offline = offline
        self._speed, self._measured_at = speed, None if speed is None else math.inf
        self._is_told, self._rates = speed is not None, None
        self._workers = 0
        self._held: tuple[_Key, VideoGrainPipeline] | None = None
        self._loading: Future[None] | None = None
        self.state = ShelfState()

    @cached_property
    def device(self) -> "torch.device":
        """Where models work."""
        return choose_device(self.device_name)

    def get(
        self, model: str, controls: Sequence[ControlKind] = (), check: Callable[[], object] = lambda: None
    ) -> "VideoGrainPipeline":
        """Return a model with its ControlNets, loading it if need be; for the worker's thread alone.

        Args:
            model: name of a bundle, folder, file or hub id.
            controls: kinds of ControlNet.
            check: called while the model is loaded; an error that it raises ends the waiting, but not the loading,
                which cannot be stopped: the next caller waits for that first.

        Raises:
            ModelError: it cannot be loaded.
        """
        key = (model, tuple(controls))
        if self._loading:
            self._wait(self._loading, check)
        if self._held is None or self._held[0] != key:
            self._held, self.state = None, ShelfState(loading=model)
            self._loading = _in_background(lambda: self._put_up(key))
            self._wait(self._loading, check).result()
        assert self._held is not None
        return self._held[1]

    def purge(self, max_age: float) -> None:
        """Remove the inversions that were not used for `max_age` seconds."""
        remove_unused(inversions_folder(self._cache_dir), max_age)

    def estimate(
        self, model: str, controls: Sequence[ControlKind], clip_shape: "ClipShape", settings: EditSettings
    ) -> Estimate | None:
        """Estimate an edit's time and memory, from any thread; None while the model is not loaded."""
        held = self._held
        if held is None or held[0] != (model, tuple(controls)):
            return None
        from videograin.engine import estimate_edit

        speed = self._current_speed(held[1])
        return estimate_edit(held[1], clip_shape, settings, self.device, speed=speed, rates=self._rates)

    def gpu_memory(self) -> list[GpuMemory]:
        """Return how full the GPUs are on which models work; nothing where there are none, or none is used yet."""
        torch = sys.modules.get("torch")
        if self.device_name == "cpu" or torch is None or not torch.cuda.is_initialized():  # to ask would initialise it
            return []
        memory = map(torch.cuda.mem_get_info, filter(None, (self.device, self._second_device)))
        return [GpuMemory(total - free, total) for free, total in memory]

    def stage_seconds(self) -> Mapping[str, float]:
        """Return what the stages of edits have taken at the places of a cluster; nothing elsewhere."""
        return {}

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Mark the device as busy with an edit of this process, during which its speed is not measured."""
        self._workers += 1
        try:
            yield
        finally:
            self._workers -= 1

    def _current_speed(self, pipeline: "VideoGrainPipeline") -> float:
        """Return the device's speed, measured while no edit runs: its own load is no reason to expect longer edits."""
        is_old = self._measured_at is None or (
            self.device_name == "cpu" and time.monotonic() - self._measured_at > SPEED_SECONDS
        )
        from videograin.engine import measure_speed

        if self._speed is None or (is_old and not self._workers):
            self._speed, self._measured_at = measure_speed(self.device, pipeline.unet.dtype), time.monotonic()
        return self._speed

    def _wait(self, loading: Future[None], check: Callable[[], object]) -> Future[None]:
        while not wait([loading], CHECK_SECONDS).done:
            check()
        self._loading = None
        return loading

    def _put_up(self, key: _Key) -> None:
        try:
            self._held = (key, self._load(key))
        except Exception as error:
            self.state = ShelfState(problem=for_visitors(str(error)))
            raise
        self.state = ShelfState(held=key[0])

    def _load(self, key: _Key) -> "VideoGrainPipeline":
        from videograin.engine import device_rates, load_pipeline

        release_memory()
        model, controls = key
        pipeline = load_pipeline(
            model,
            controls,
            device=self.device,
            second_device=self._second_device,
            offline=self._offline,
            cache_dir=self._cache_dir,
        )
        self._current_speed(pipeline)  # later the device may be busy
        self._rates = None if self._is_told else device_rates(pipeline.unet, self.device)
        return pipeline


def cache_folder(data_folder: Path) -> Path:
    """Return where a studio keeps inversions."""
    return data_folder / "cache"


def _in_background(work: Callable[[], None]) -> Future[None]:
    """Start a thread of its own, since the threads of a pool would not be there any more after a fork."""
    future: Future[None] = Future()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(None)

    Thread(target=run, daemon=True).start()
    return future
