"""How finely a result is encoded: what was not edited must look untouched, for which grain takes more than a wall."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from threading import Event

import numpy as np

from videograin.errors import Cancelled
from videograin.media.encode import DEFAULT_CRF, save_part
from videograin.media.video import ClipOptions, load_clip, stream_frames
from videograin.production.source_edit import SourceEdit

KEPT_DB = 45.5
"""PSNR of kept pixels that encoding must leave; half a decibel above what is promised, for a sample is not the clip."""

FINEST_CRF = 6
"""A finer H.264 costs megabits for what no eye sees."""

DB_A_STEP = 0.55
"""By which PSNR rises with each step of finer CRF where there is grain, a little less than was measured."""

SAMPLES, SAMPLE_FRAMES = 3, 4
"""Runs of consecutive frames by which a clip is judged, evenly spread, and frames of each."""

_WHOLE = ClipOptions(short_side=None, multiple=1)


@contextmanager
def judged_beside(source: SourceEdit, scratch: Path) -> Iterator[Callable[[], int]]:
    """Find a source's CRF while its edit begins, which takes seconds where frames are large; it ends with the block.

    Args:
        source, scratch: see `kept_crf`.

    Yields:
        What waits for it and returns it; it raises the errors of `kept_crf`.
    """
    is_over = Event()

    def check() -> None:
        if is_over.is_set():
            raise Cancelled("The edit ended before its source was judged.")

    with ThreadPoolExecutor(1, "quality") as beside:
        try:
            yield beside.submit(kept_crf, source, scratch, check).result
        finally:
            is_over.set()


def kept_crf(source: SourceEdit, scratch: Path, check: Callable[[], None] = lambda: None) -> int:
    """Return the coarsest CRF, `DEFAULT_CRF` at most, at which a source's own frames stay as they are.

    The same source gives the same answer, so that an edit that was cut off goes on with it.

    Args:
        source: whose frames make up most of the result.
        scratch: a folder for a sample.
        check: called before each frame is encoded; may raise.

    Raises:
        VideoError: the source has become unreadable, or the sample cannot be written.
    """
    sample = _sample(source)
    crf = DEFAULT_CRF
    while crf > FINEST_CRF and (missing := KEPT_DB - _encoded_psnr(sample, source.clip.fps, crf, scratch, check)) > 0:
        crf = max(FINEST_CRF, crf - int(np.ceil(missing / DB_A_STEP)))
    return crf


def _sample(source: SourceEdit) -> np.ndarray:
    """Return runs of frames (n, H, W, 3) uint8 at the result's size, one run after the other."""
    clip, frames = source.clip, []
    length = min(SAMPLE_FRAMES, len(clip.frames))
    for number in range(SAMPLES):
        first = (len(clip.frames) - length) * (2 * number + 1) // (2 * SAMPLES)
        if source.crops is None:
            frames.extend(clip.frames[first : first + length])  # += would add the array to the list
            continue
        options = replace(source.inputs.clip_options, start=clip.start + first / clip.fps)
        run = replace(clip, frames=clip.frames[first : first + length], start=options.start)
        frames += islice(stream_frames(run, options), length)
    return np.stack(frames)


def _encoded_psnr(frames: np.ndarray, fps: float, crf: int, scratch: Path, check: Callable[[], None]) -> float:
    """Return what is left of frames after encoding, in dB; infinite where nothing is lost."""
    file = scratch / "sample.mp4"
    save_part(file, _checked(frames, check), fps, crf)
    decoded = load_clip(file, _WHOLE).frames[:, : frames.shape[1], : frames.shape[2]]
    file.unlink()
    squared = np.mean([np.mean(np.square(a.astype(np.float32) - b)) for a, b in zip(decoded, frames, strict=True)])
    return float(10 * np.log10(255**2 / squared)) if squared else float("inf")


def _checked(frames: np.ndarray, check: Callable[[], None]) -> Iterator[np.ndarray]:
    for frame in frames:
        check()
        yield frame
