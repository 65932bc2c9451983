"""The pipeline that the worker holds: one at a time, since two may not fit on a device."""

from collections.abc import Sequence
from pathlib import Path

import torch

from videograin.control import ControlKind
from videograin.failures import release_memory
from videograin.flops import matmul_speed
from videograin.inversion import InversionCache
from videograin.memory import ClipShape, Estimate, estimate_edit
from videograin.models import choose_device, inversions_folder, load_pipeline
from videograin.pipeline import VideoGrainPipeline
from videograin.region import EditSettings

_Key = tuple[str, tuple[ControlKind, ...]]


class ModelShelf:
    """Loads a model when it is asked for and keeps it until another one is.

    Args:
        cache_dir: where inversions are kept between edits.
        device: where models work; None takes the best there is.
        offline: whether to leave hubs alone.
        speed: operations a second of the device in a large matrix product; None measures it when a model is loaded,
            which takes a device that is there, and at rest.
    """

    def __init__(
        self,
        cache_dir: Path,
        device: torch.device | str | None = None,
        *,
        offline: bool = False,
        speed: float | None = None,
    ) -> None:
        self.device = choose_device(device)
        self._cache_dir = cache_dir
        self._offline = offline
        self._speed = speed
        self._held: tuple[_Key, VideoGrainPipeline] | None = None

    def get(self, model: str, controls: Sequence[ControlKind] = ()) -> VideoGrainPipeline:
        """Return a model with its ControlNets, loading it if need be; for the worker's thread alone.

        Raises:
            ModelError: it cannot be loaded.
        """
        key = (model, tuple(controls))
        if self._held is None or self._held[0] != key:
            self._held = None
            release_memory()
            pipeline = load_pipeline(
                model, controls, device=self.device, offline=self._offline, cache_dir=self._cache_dir
            )
            if self._speed is None:
                matmul_speed(self.device, pipeline.unet.dtype)  # it is remembered; later the device may be busy
            self._held = (key, pipeline)
        return self._held[1]

    def purge(self, max_age: float) -> None:
        """Remove the inversions that were not used for `max_age` seconds."""
        InversionCache(inversions_folder(self._cache_dir)).purge(max_age)

    def estimate(
        self, model: str, controls: Sequence[ControlKind], clip_shape: ClipShape, settings: EditSettings
    ) -> Estimate | None:
        """Say what an edit will cost, from any thread; None while the model is not loaded."""
        held = self._held
        if held is None or held[0] != (model, tuple(controls)):
            return None
        return estimate_edit(held[1], clip_shape, settings, self.device, speed=self._speed)
