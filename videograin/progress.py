"""How long work tells where it is, and how it is stopped."""

import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol, TypeVar

T_co = TypeVar("T_co", covariant=True)


class Phase(StrEnum):
    """The parts of the work that take time, in their order."""

    DOWNLOAD = "download"
    SUGGEST = "suggest"
    TRACK = "track"
    REMOVE = "remove"
    ENCODE = "encode"
    INVERT = "invert"
    EDIT = "edit"
    DECODE = "decode"


STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")
"""Signals that end a program: by Ctrl-C, by another program and with its terminal. Windows knows some of them."""


@dataclass(frozen=True)
class Progress:
    """Where an edit is.

    Attributes:
        phase: what is being done.
        done: steps of this phase that are finished.
        total: all its steps.
        seconds_left: of this phase, from the mean of the steps so far; None before the first.
        part, parts: which of the parts it is that the edit of a long clip has, and how many there are; each goes
            through all phases.
        share, later: of the work of all parts, what this one is and what those after it are together.
    """

    phase: Phase
    done: int
    total: int
    seconds_left: float | None
    part: int = 1
    parts: int = 1
    share: float = 1.0
    later: float = 0.0


Report = Callable[[Progress], None]
"""Called after every step; it may raise `Cancelled` to stop the edit there."""


class Parts:
    """Numbers the parts of an edit in its reports.

    Args:
        sizes: how much work each of them is, in any unit.
        done: how many of them were done before.
    """

    def __init__(self, sizes: Sequence[float], done: int = 0) -> None:
        self._sizes = sizes
        self._part = done

    def next(self, report: Report) -> Report:
        """Begin the next part: its progress is passed on to `report` with the part's number.

        Where a part has to be done again there are more of them than were counted: these are numbered as the last one.
        """
        self._part = min(self._part + 1, len(self._sizes))
        whole = sum(self._sizes) or 1
        part, parts = self._part, len(self._sizes)
        share, later = self._sizes[part - 1] / whole, sum(self._sizes[part:]) / whole
        return lambda progress: report(replace(progress, part=part, parts=parts, share=share, later=later))


class SizedIterable(Sized, Iterable[T_co], Protocol[T_co]):
    """An iterable that knows its length."""


def ignore(progress: Progress) -> None:
    """Take a report, and do nothing with it."""


def track(phase: Phase, items: SizedIterable[T_co], report: Report) -> Iterator[T_co]:
    """Yield the items one by one, reporting before the first and after each."""
    started = time.monotonic()
    total = len(items)
    report(Progress(phase, 0, total, None))
    for done, item in enumerate(items, 1):
        yield item
        report(Progress(phase, done, total, (time.monotonic() - started) / done * (total - done)))


def stop_signals() -> list[signal.Signals]:
    """Return the signals that are to end this program.

    Where one is ignored, as Ctrl-C is in a background job of a shell and the terminal's end under nohup, that stays so,
    and so does what a program in another language that runs this one does on it (None).
    """
    known = [signal.Signals[name] for name in STOPPING if name in signal.Signals.__members__]
    return [number for number in known if signal.getsignal(number) not in (signal.SIG_IGN, None)]
