"""What an edit looks like while it is being made: small moving pictures that cost next to nothing.

Before decoding, the clean latents that each step predicts are turned into colours by a linear map. No VAE's latents are
far from linear in colour; the map is fitted to the clip at hand, so any VAE will do.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from videograin.diffusion.autoencoder import to_uint8
from videograin.media.preview_webp import resize, shrink

if TYPE_CHECKING:
    from videograin.diffusion.pipeline import VideoGrainPipeline

T = TypeVar("T")

MAX_SHARE = 0.03
"""Of an edit's time that previews may take."""

MIN_SECONDS = 1.0
"""From one preview to the next, at least; a browser has to load them."""

FIT_FRAMES = 4
"""Frames of a clip that say enough about its colours."""

Show = Callable[[np.ndarray], None]
"""Shows frames (F, h, w, 3) uint8 RGB."""


class LatentColours:
    """The linear map from latents to colours that fits a clip best, by least squares.

    Args:
        latents: (F, C, h, w) of some frames.
        frames: (F, H, W, 3) uint8 RGB, the same ones.
    """

    def __init__(self, latents: Tensor, frames: np.ndarray) -> None:
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).movedim(-1, 1).float() / 255
        colours = F.interpolate(pixels, latents.shape[-2:], mode="area").movedim(1, -1).reshape(-1, 3)
        # Where a clip has fewer colours than the map has numbers, gelsd takes the smallest of the maps that fit.
        self._map = torch.linalg.lstsq(
            _with_one(latents.float().cpu()).flatten(0, -2), colours, driver="gelsd"
        ).solution

    def __call__(self, latents: Tensor) -> np.ndarray:
        """Return small frames (F, h, w, 3) uint8 RGB of latents (F, C, h, w)."""
        colours = _with_one(latents.float()) @ self._map.to(latents.device)
        return to_uint8(colours.movedim(-1, 1).clamp(0, 1))


class FormingClip:
    """Shows a clip while it forms, as often as `MAX_SHARE` and `MIN_SECONDS` allow.

    Args:
        colours: from latents to colours, fitted to this clip.
        show: gets all frames each time.
    """

    def __init__(self, colours: LatentColours, show: Show) -> None:
        self._colours = colours
        self._show = show
        self._due = 0.0
        self._latents: Tensor | None = None
        self._finished: list[np.ndarray] = []

    def step_end(
        self, _pipeline: "VideoGrainPipeline", _index: int, _timestep: int, values: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Show the clean latents that a step predicted of its window; a step callback that changes nothing."""
        self._latents = values["pred_original_sample"]
        if time.monotonic() >= self._due:
            self._show_now(self._colours(self._latents))
        return {}

    def frames_end(self, frames: np.ndarray) -> None:
        """Show the finished frames among those that are still to come; a frames callback of the pipeline.

        Args:
            frames: (n, H, W, 3) uint8 RGB, the next ones of the clip.
        """
        self._finished.append(shrink(frames))
        if time.monotonic() >= self._due:
            finished = np.concatenate(self._finished)
            if self._latents is not None:
                coming = self._colours(self._latents[len(finished) :])
                finished = np.concatenate([finished, resize(coming, finished.shape[1:3])])
            self._show_now(finished)

    def apart(self, windows: Iterable[T]) -> Iterator[T]:
        """Yield windows as they are finished and forget each: where no edited region shows, the next has no steps."""
        for window in windows:
            self._latents, self._finished = None, []
            yield window

    def _show_now(self, frames: np.ndarray) -> None:
        started = time.monotonic()
        self._show(frames)
        ended = time.monotonic()
        self._due = ended + max(MIN_SECONDS, (ended - started) / MAX_SHARE)


def _with_one(latents: Tensor) -> Tensor:
    """Turn latents (F, C, h, w) into (F, h, w, C + 1) with a constant, so that the map may have an offset."""
    return F.pad(latents.movedim(1, -1), (0, 1), value=1.0)
