"""Ctrl-C, remembered: a KeyboardInterrupt that meets native code may come out of it as another exception."""

import signal
from types import FrameType
from typing import Self

STOPPING = {"SIGINT": signal.default_int_handler, "SIGTERM": signal.SIG_DFL, "SIGHUP": signal.SIG_DFL}
"""Signals that end a command, by Ctrl-C, by another program and with its terminal, and what Python does on them by
itself. Where one is ignored, as Ctrl-C is in a background job and the terminal's end under nohup, that stays so."""


class CtrlC:
    """A context in which Ctrl-C, or another signal to stop, raises KeyboardInterrupt and is remembered.

    Python by itself leaves temporary files behind on the others.

    Attributes:
        came: whether one came since the context was entered.
    """

    def __init__(self) -> None:
        self.came = False
        known = [
            (signal.Signals[name], usual) for name, usual in STOPPING.items() if name in signal.Signals.__members__
        ]
        self._before = {number: usual for number, usual in known if signal.getsignal(number) == usual}

    def __enter__(self) -> Self:
        for number in self._before:
            signal.signal(number, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        for number, usual in self._before.items():
            signal.signal(number, usual)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        signal.default_int_handler(number, frame)
