"""Join the frames of overlapping windows into one clip."""

from collections.abc import Iterable, Iterator
from functools import cached_property

import numpy as np

from videograin.diffusion.compositing import opacity
from videograin.diffusion.region_masks import RegionMasks
from videograin.diffusion.windows.plan import Window
from videograin.media.flow import OpticalFlow, optical_flow, warp
from videograin.region import EditRequest

LINGER = 4
"""Frames after an overlap in which what the older window drew otherwise goes on fading out. An overlap of as many
frames would have to be denoised twice."""


class CrossFade:
    """Fades each window into the next one: first their shared frames, then what was different in the last of these.

    That difference is carried along the source's motion, so that an object keeps its look for a while after the window
    that drew it has ended.

    Args:
        request: whose windows they are.
        tail: of an earlier run that is resumed.

    Attributes:
        tail: (n, H, W, 3) uint8, the frames of the latest window that the next one has as well.
    """

    def __init__(self, request: EditRequest, tail: np.ndarray | None = None) -> None:
        self._request = request
        self.tail = np.empty((0, 0, 0, 3), np.uint8) if tail is None else tail

    def join(self, window: Window, chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the frames of the clip that are final, some at a time.

        Args:
            window: the one that follows the window of the last call.
            chunks: its frames in order, (n, H, W, 3) uint8 each.
        """
        assert len(self.tail) == window.overlap, "windows are joined in their order"
        kept, number, end = [], window.start, window.stop - window.next_overlap
        frames = _Faded(self._request, window, self.tail)
        for chunk in chunks:
            faded = np.stack([frames.next(frame) for frame in chunk])
            final = min(len(chunk), max(0, end - number))
            if final:
                yield faded[:final]
            kept.append(faded[final:])
            number += len(chunk)
        self.tail = np.concatenate(kept)


class _Faded:
    """The frames of a window, one after the other, as far as the older window has faded out of them.

    Args:
        request: the edit.
        window: the newer one.
        older: (window.overlap, H, W, 3) uint8, what the older window made of its first frames.
    """

    def __init__(self, request: EditRequest, window: Window, older: np.ndarray) -> None:
        self._request, self._start, self._older = request, window.start, older
        self._place, self._difference = 0, np.zeros((1, 1, 3), np.float32)

    def next(self, newer: np.ndarray) -> np.ndarray:
        """Return the next frame (H, W, 3) uint8, given what the newer window made of it."""
        place = self._place
        self._place += 1
        share = 1 - self._place / (len(self._older) + LINGER + 1)
        if place < len(self._older):
            self._difference = self._older[place].astype(np.float32) - newer
        elif not len(self._older) or share <= 0:
            return newer
        else:
            self._difference = self._carried(place)
        return np.rint(np.clip(newer + share * self._difference, 0, 255)).astype(np.uint8)

    @cached_property
    def _flow(self) -> OpticalFlow:
        """The source's motion up to each frame in which the difference lingers, from the one before."""
        first = self._start + len(self._older)
        return optical_flow(self._request.frames[first - 1 : first + LINGER])

    def _carried(self, place: int) -> np.ndarray:
        """Return the difference of the frame before one, (H, W, 3) float32, where that one shows it and is edited."""
        flow = self._flow.pair(place - len(self._older))
        moved = warp(self._difference, flow.backward[0])
        moved[flow.backward_occluded[0]] = 0
        if self._request.settings.blend_background:
            regions = RegionMasks.of(self._request, [self._start + place])
            moved *= opacity(regions.edited_part[0].numpy(), regions.kept_part[0].numpy())[..., None]
        return moved
