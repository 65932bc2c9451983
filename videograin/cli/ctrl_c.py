"""Ctrl-C, remembered: a KeyboardInterrupt that meets native code may come out of it as another exception."""

import signal
from types import FrameType
from typing import Self


class CtrlC:
    """A context in which Ctrl-C raises KeyboardInterrupt and is remembered.

    Attributes:
        came: whether Ctrl-C was pressed since the context was entered.
    """

    def __init__(self) -> None:
        self.came = False
        self._before = signal.getsignal(signal.SIGINT)

    def __enter__(self) -> Self:
        if self._before is signal.default_int_handler:  # a background job ignores Ctrl-C, and so do we then
            signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._before)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        signal.default_int_handler(number, frame)
