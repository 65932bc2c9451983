"""What long work shows on the terminal: a bar for each phase, durations, and no other library's remarks."""

import sys
from collections.abc import Iterable
from typing import Self

from tqdm import tqdm

from videograin.progress import Phase, Progress

LABELS = {
    Phase.DOWNLOAD: "Downloading",
    Phase.SUGGEST: "Suggesting objects",
    Phase.TRACK: "Tracking objects",
    Phase.REMOVE: "Removing objects",
    Phase.ENCODE: "Reading the frames",
    Phase.INVERT: "Inverting",
    Phase.EDIT: "Editing",
    Phase.DECODE: "Drawing the frames",
}


class ProgressBars:
    """Shows progress as one bar a phase; a context, so that the last bar is closed whatever happens."""

    def __init__(self) -> None:
        self._phase: tuple[Phase, int] | None = None
        self._bar: tqdm | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, progress: Progress) -> None:
        """Show where the work is; a phase without steps, as an inversion that the cache has, shows none."""
        if not progress.total:
            return
        phase = (progress.phase, progress.part)
        if self._bar is None or phase != self._phase or progress.done < self._bar.n:  # frames, then masks, are read
            self.__exit__()
            self._phase = phase
            is_bytes = progress.phase is Phase.DOWNLOAD
            self._bar = tqdm(
                total=progress.total,
                desc=f"{LABELS[progress.phase]:18}"
                + (f" {progress.part}/{progress.parts}" if progress.parts > 1 else ""),
                unit="B" if is_bytes else "step",
                unit_scale=is_bytes,
            )
        self._bar.update(progress.done - self._bar.n)


def duration(seconds: float) -> str:
    """Return seconds as a user reads them: "42 s", "3 min 05 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def print_notes(notes: Iterable[str]) -> None:
    """Print what a user should know besides the result on standard error, at once."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr, flush=True)


def silence_libraries() -> None:
    """Keep the bars and remarks of diffusers and transformers from running through ours."""
    import diffusers
    import transformers
    from huggingface_hub.utils import disable_progress_bars

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    disable_progress_bars()
