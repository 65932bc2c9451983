"""Ctrl-C, remembered: a KeyboardInterrupt that meets native code may come out of it as another exception."""

import signal
from types import FrameType
from typing import Self

from videograin.progress import stop_signals


class CtrlC:
    """A context in which Ctrl-C, or another signal to stop, raises KeyboardInterrupt and is remembered.

    Python by itself leaves temporary files behind on the others.

    Attributes:
        came: whether one came since the context was entered.
    """

    def __init__(self) -> None:
        self.came = False
        self._before = {number: signal.getsignal(number) for number in stop_signals()}

    def __enter__(self) -> Self:
        for number in self._before:
            signal.signal(number, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        signal.default_int_handler(number, frame)
