"""What an edit will cost, and how much of it is left, from the progress of its phases."""

import time
from dataclasses import dataclass, replace

from videograin.progress import Phase, Progress, Report

GIB = 2**30


@dataclass(frozen=True)
class Estimate:
    """What an edit will cost.

    Attributes:
        seconds: from frames to frames.
        inversion_seconds: the part of them that a cached inversion saves.
        peak_bytes: on the device, weights included.
    """

    seconds: float
    inversion_seconds: float
    peak_bytes: int

    @property
    def peak_gib(self) -> float:
        """Peak memory in GiB."""
        return self.peak_bytes / GIB


class TimeLeft:
    """A report that passes on each progress with the seconds left of the whole edit instead of its phase.

    The time of later phases is taken from the estimate, corrected by how long the current phase takes against its own.
    So is that of later parts, until one is finished: from then on they take what the largest finished one took, and the
    present one no less.

    Args:
        estimate: expected seconds of inversion and of the whole edit.
        report: receives the progress with the seconds left.
    """

    def __init__(self, estimate: Estimate, report: Report) -> None:
        inversion = estimate.inversion_seconds
        self._whole = {Phase.INVERT: inversion, Phase.EDIT: estimate.seconds - inversion}
        self._report = report
        self._started = time.monotonic()
        self._pace = 1.0
        self._part = _Part(0, 0.0, self._started)
        self._measured: _Measured | None = None

    def __call__(self, progress: Progress) -> None:
        """Pass a progress on."""
        self._note_part(progress)
        of_part = {phase: seconds * progress.share for phase, seconds in self._whole.items()}
        expected = of_part.get(progress.phase, 0.0)
        later = sum(seconds for phase, seconds in of_part.items() if _follows(phase, progress.phase))
        left = progress.seconds_left
        if progress.done == 0:
            self._started = time.monotonic()
        elif progress.total and expected:
            share = progress.done / progress.total
            self._pace = (time.monotonic() - self._started) / (share * expected)
        if left is None:
            left = expected * self._pace if progress.total else 0.0
        left += later * self._pace
        whole = sum(self._whole.values()) * self._pace
        if self._measured:  # with flow, encoding and decoding, which the estimate's phases leave out
            whole = self._measured.whole_seconds
            left = max(left, whole * progress.share - (time.monotonic() - self._part.started))
        self._report(replace(progress, seconds_left=left + progress.later * whole))

    def _note_part(self, progress: Progress) -> None:
        """Measure the part that has ended, if another one begins."""
        if progress.part == self._part.number:
            return
        ended, now = self._part, time.monotonic()
        self._part = _Part(progress.part, progress.share, now)
        if ended.share and (self._measured is None or ended.share >= self._measured.share):
            self._measured = _Measured(ended.share, (now - ended.started) / ended.share)


@dataclass(frozen=True)
class _Part:
    """The part that is being made, what share of the whole it is, and since when."""

    number: int
    share: float
    started: float


@dataclass(frozen=True)
class _Measured:
    """The largest finished part, and how long the whole takes at its pace."""

    share: float
    whole_seconds: float


def _follows(phase: Phase, other: Phase) -> bool:
    order = list(Phase)
    return order.index(phase) > order.index(other)
