"""The clip that masks are made for: what size and number they may have, and how they are brought to its frames."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import cv2
import numpy as np

from videograin.errors import RegionError
from videograin.masks.frame_times import frame_times, shown_frames
from videograin.media.filters import JITTER, crop_corner
from videograin.media.video import MAX_FRAMES, Clip, ClipOptions, clip_shape, clip_size

MAX_STRETCH = 1.02
"""How far the proportions of masks may be off those of the clip; rounding to whole pixels explains as much."""

MAX_MASK_PIXELS = 16 * 2**20
"""Of one mask, unless the video itself has more: twice a 4K frame."""

SOUND_TAIL = 0.25
"""Seconds by which sound outlasts its picture in ordinary files; their headers tell how long the sound is."""


@dataclass(frozen=True)
class MaskTarget:
    """The frames that masks have to fit.

    Attributes:
        shape: (F, H, W) of the clip.
        source: (width, height) of the uncropped video, upright and with square pixels.
        options: those that the clip was loaded with.
        source_frames: of the whole video by its header; 0 where that is unknown.
        source_fps: frames per second of the whole video.
        frames_less: that the whole video may have less than its header tells.
        as_stored: whether masks keep the size that they are stored at, once it is known to fit.
        clip: that it is, None where there is none.
    """

    shape: tuple[int, int, int]
    source: tuple[int, int]
    options: ClipOptions
    source_frames: int = 0
    source_fps: float = 0.0
    frames_less: int = 1
    as_stored: bool = False
    clip: Clip | None = None

    @classmethod
    def of(cls, clip: Clip, options: ClipOptions) -> Self:
        """Return the target that a clip is."""
        info, (frames, height, width) = clip.info, clip.frames.shape[:3]
        stated = round(info.duration * info.fps)
        return cls(
            shape=(frames, height, width),
            source=(info.width, info.height),
            options=options,
            source_frames=stated,
            source_fps=info.fps,
            frames_less=_frames_less(clip, options, stated),
            clip=clip,
        )

    def places(self, count: int, title: str, *, by_file: bool = False) -> list[int]:
        """Return which of `count` masks belong to the clip's frames, a place for each frame, or one for all.

        Masks are those of the clip's frames, or of all frames of the video, of which the clip may show a part. Where
        its rate varies, the frames that its file holds are others than those that are read at a constant rate.

        Args:
            count: of the masks.
            title: of them, for messages.
            by_file: whether they come from another program, which knows the file's frames alone; of others this is
                taken for true where their number is the file's and no other.

        Raises:
            RegionError: their number is neither.
        """
        frames = self.shape[0]
        is_whole = -1 <= self.source_frames - count <= self.frames_less
        may_be_clip = count == frames or is_whole
        if self.clip is not None and count > 1 and (by_file or not may_be_clip) and count == len(self._times):
            return shown_frames(self._times, self.clip.info, self.clip.start, self.clip.fps, frames)
        if count not in (1, frames) and is_whole:
            fps = self.options.fps or self.source_fps / (self.options.stride or 1)
            shown = [(self.options.start + frame / fps) * self.source_fps + JITTER for frame in range(frames)]
            return [min(int(place), count - 1) for place in shown]
        return list(range(self.check_count(count, title)))

    @cached_property
    def _times(self) -> np.ndarray:
        """When each frame of the video is shown (`frame_times`)."""
        return np.empty(0) if self.clip is None else frame_times(self.clip.path, self.clip.info)

    def check_count(self, count: int, title: str) -> int:
        """Return how many of `count` masks are to be read: one stands for all frames, those beyond the clip are not.

        Raises:
            RegionError: there are more or fewer masks than frames.
        """
        frames = self.shape[0]
        if count == 1:
            return 1
        if count < frames or (count > frames and frames != self.options.max_frames):
            raise RegionError(
                f"{title} has {count} masks for {frames} frames. Give one for each frame of the clip as it is "
                "sampled (start, fps, stride, max_frames), one for each frame of the whole video, or a single one for "
                "all."
            )
        return frames

    def check_size(self, width: int, height: int, title: str) -> None:
        """Raise RegionError unless masks of a size fit the clip or the uncropped video."""
        source_width, source_height = self.source
        if width * height > max(MAX_MASK_PIXELS, source_width * source_height):
            raise RegionError(
                f"{title} has masks of {width}×{height} pixels; {MAX_MASK_PIXELS >> 20} million pixels are allowed. "
                f"Save them at the video's size, {source_width}×{source_height}."
            )
        if (height, width) == self.shape[1:]:
            return
        stretch = (width * source_height) / (height * source_width) if width and height else 0.0
        if not 1 / MAX_STRETCH <= stretch <= MAX_STRETCH:
            raise RegionError(
                f"{title} has masks of {width}×{height} pixels but the video is {source_width}×{source_height}. Give "
                "masks of the same proportions."
            )

    def fit(self, plane: np.ndarray) -> np.ndarray:
        """Bring a checked plane (h, w), bool or integer, to the clip's (H, W) by its nearest pixels, or leave it."""
        _, height, width = self.shape
        if self.as_stored or plane.shape == (height, width):
            return plane
        scaled, _ = clip_size(*self.source, self.options)
        stored = plane.astype(np.uint8) if plane.dtype == np.bool_ else plane
        large = cv2.resize(stored, scaled, interpolation=cv2.INTER_NEAREST_EXACT)
        left, top = crop_corner(scaled, (width, height))
        return large[top : top + height, left : left + width].astype(plane.dtype)


def _frames_less(clip: Clip, options: ClipOptions, stated: int) -> int:
    """Return how many frames fewer than its header states a clip's video may have, at least 1."""
    info, frames = clip.info, len(clip.frames)
    if not info.has_audio:
        return 1
    is_cut = frames == options.max_frames
    if not is_cut and (options.end is None or options.end >= info.duration):
        last = clip.start + (frames - 1) / clip.fps  # is shown at least
        return max(1, stated - round(last * info.fps))
    tail = round(SOUND_TAIL * info.fps)
    uncut, _, _ = clip_shape(info, replace(options, max_frames=MAX_FRAMES))
    # Where the first frames of a clip are shown that is nearly as long as its video, masks may be those of the clip.
    return 1 if is_cut and stated - uncut <= 2 * tail else max(1, tail)


def fit_masks(masks: np.ndarray, clip: Clip, options: ClipOptions, name: str) -> np.ndarray:
    """Bring masks to a clip's frames, by the nearest pixel and with the clip's own crop.

    Args:
        masks: (F, H, W) or (H, W) bool, of the frames' size or in the proportions of the uncropped source; those
            of frames beyond the options' `max_frames` are left out.
        clip: the clip.
        options: those that the clip was loaded with.
        name: of the region, for messages.

    Returns:
        (F, H, W) bool of the clip's size.

    Raises:
        RegionError: they do not fit.
    """
    target, title = MaskTarget.of(clip, options), f"Region '{name}'"
    planes = masks[None] if masks.ndim == 2 else masks
    count = target.check_count(len(planes), title)
    target.check_size(planes.shape[2], planes.shape[1], title)
    return stack([target.fit(plane) for plane in planes[:count]], target)


def stack(planes: list[np.ndarray], target: MaskTarget) -> np.ndarray:
    """Return fitted planes as one array (F, H, W), as large as the largest; a single one stands for all frames."""
    height, width = max(plane.shape for plane in planes)
    same = [plane if plane.shape == (height, width) else _enlarged(plane, (width, height)) for plane in planes]
    return np.stack(same * target.shape[0] if len(same) == 1 else same)


def _enlarged(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    large = cv2.resize(plane.view(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT)
    return large.view(plane.dtype)
