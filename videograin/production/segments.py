"""The finished windows of an edit on disk: an edit that was cut off goes on behind them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from videograin.media.encode import DEFAULT_CRF, save_part
from videograin.media.filters import rate_of
from videograin.media.join import join_videos
from videograin.media.npz import read_npz, write_npz
from videograin.media.sound import AudioSource
from videograin.media.video import ClipOptions, load_clip
from videograin.threads import map_in_threads

BESIDE_SIDE = 960
"""Longer side in pixels, at most, of source and edit in the comparison, which is for looking at."""

_BESIDE = "-beside.mp4"


class FinishedWindow(Protocol):
    """What is kept of a window besides its frames; an `EditedWindow` has it."""

    @property
    def tail(self) -> np.ndarray:
        """The frames that fade into the next window."""
        ...

    @property
    def target_prompt(self) -> str:
        """The prompt that was denoised."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know."""
        ...


class Segments:
    """One MP4 for each finished window, one of source and edit side by side, and what the next window needs.

    Args:
        folder: theirs alone; it may hold those of an earlier run.
        fps: frames per second.
        crf: returns the quality of the result, the same for all of them; asked when the first is written.
    """

    def __init__(self, folder: Path, fps: float, crf: Callable[[], int]) -> None:
        self._folder = folder
        self._fps, self._crf = fps, crf
        self._states = sorted(folder.glob("*.npz"))

    @property
    def count(self) -> int:
        """How many windows are finished."""
        return len(self._states)

    @property
    def frames(self) -> int:
        """How many frames they have together."""
        return sum(int(read_npz(state)["frames"]) for state in self._states)

    @property
    def tail(self) -> np.ndarray | None:
        """The tail of the last finished window, None before the first."""
        return read_npz(self._states[-1])["tail"] if self._states else None

    @property
    def attention(self) -> np.ndarray | None:
        """The attention maps of all finished frames, (R, F, h, w) float16; None where none were recorded."""
        maps = [read_npz(state).get("attention") for state in self._states]
        return np.concatenate([each for each in maps if each is not None], axis=1) if maps[0] is not None else None

    @property
    def target_prompt(self) -> str:
        """The prompt that was denoised; a window must be finished."""
        return self._words[0]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know about it; a window must be finished."""
        return tuple(self._words[1:])

    @property
    def _words(self) -> list[str]:
        return read_npz(self._states[-1])["words"].tolist()

    @property
    def middle_frame(self) -> np.ndarray:
        """The first frame of the middle window, (H, W, 3) uint8; a window must be finished."""
        state = self._states[len(self._states) // 2]
        options = ClipOptions(max_frames=1, short_side=None, multiple=1)
        return load_clip(state.with_suffix(".mp4"), options).frames[0]

    def add(
        self,
        edited: Sequence[np.ndarray],
        sources: Sequence[np.ndarray],
        window: FinishedWindow,
        attention: np.ndarray | None,
    ) -> None:
        """Write the next window; it counts as finished when the last of its files is there.

        Args:
            edited: its finished frames, (H, W, 3) uint8.
            sources: the source's.
            window: where they come from.
            attention: its maps in the source's frames.
        """
        name = f"{self.count:06}"
        beside = (np.concatenate([_reduced(a), _reduced(b)], axis=1) for a, b in zip(sources, edited, strict=True))
        files = (self._folder / f"{name}.mp4", self._folder / f"{name}{_BESIDE}")
        map_in_threads(save_part, files, (edited, beside), (self._fps, self._fps), (self._crf(), DEFAULT_CRF))
        state = self._folder / f"{name}.npz"
        words = np.array([window.target_prompt, *window.warnings])
        maps = {} if attention is None else {"attention": attention.astype(np.float16)}
        write_npz(state, {"frames": np.array(len(edited)), "tail": window.tail, "words": words, **maps})
        self._states.append(state)

    def join(self, target: Path, audio: AudioSource | None) -> None:
        """Write the clip of all finished windows with its sound as an MP4."""
        self._join(target, ".mp4", audio)

    def join_beside(self, target: Path, audio: AudioSource | None) -> None:
        """Write source and edit side by side, as `join`."""
        self._join(target, _BESIDE, audio)

    def _join(self, target: Path, ending: str, audio: AudioSource | None) -> None:
        parts = [state.with_name(state.stem + ending) for state in self._states]
        join_videos(parts, target, float(self.frames / rate_of(self._fps)), audio)


def _reduced(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    scale = min(1.0, BESIDE_SIDE / max(height, width))
    if scale == 1.0:
        return frame
    return cv2.resize(frame, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
