"""What a place's time goes to, by the stages of its work on edits."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum


class Stage(StrEnum):
    """The stages of an edit at a place, in their order; one that helps joins nothing."""

    PREPARE = "prepare"
    ANCHORS = "anchors"
    WINDOWS = "windows"
    WAIT = "wait"
    JOIN = "join"


class StageClock:
    """Adds up the seconds of each stage. Used by one thread, read by any."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(Stage, 0.0)
        self._stage: Stage | None = None
        self._since = 0.0

    @property
    def seconds(self) -> Mapping[Stage, float]:
        """What each stage has taken so far, those of the one that runs left out."""
        return dict(self._seconds)

    def begin(self, stage: Stage | None, ended: Stage | None = None) -> None:
        """End the stage that runs, if any, and begin another one.

        Args:
            stage: that begins; None is none.
            ended: what the one that ends has turned out to be.
        """
        now = time.monotonic()
        if self._stage is not None:
            self._seconds[ended or self._stage] += now - self._since
        self._stage, self._since = stage, now

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Count a piece of work on an edit, which begins with its preparation."""
        self.begin(Stage.PREPARE)
        try:
            yield
        finally:
            self.begin(None)
