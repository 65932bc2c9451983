"""How much of a whole edit is left, from the progress of its phases."""

import time
from dataclasses import replace

from videograin.models.memory import Estimate
from videograin.progress import Phase, Progress, Report


class TimeLeft:
    """A report that passes on each progress with the seconds left of the whole edit instead of its phase.

    The time of later phases and parts is taken from the estimate, corrected by how long the current phase takes
    against its own.

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

    def __call__(self, progress: Progress) -> None:
        """Pass a progress on."""
        of_part = {phase: seconds / progress.parts for phase, seconds in self._whole.items()}
        expected = of_part.get(progress.phase, 0.0)
        later = sum(seconds for phase, seconds in of_part.items() if _follows(phase, progress.phase))
        later += sum(of_part.values()) * (progress.parts - progress.part)
        left = progress.seconds_left
        if progress.done == 0:
            self._started = time.monotonic()
        elif progress.total and expected:
            share = progress.done / progress.total
            self._pace = (time.monotonic() - self._started) / (share * expected)
        if left is None:
            left = expected * self._pace if progress.total else 0.0
        self._report(replace(progress, seconds_left=left + later * self._pace))


def _follows(phase: Phase, other: Phase) -> bool:
    order = list(Phase)
    return order.index(phase) > order.index(other)
