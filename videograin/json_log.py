"""A log for machines: one JSON object a line on standard error, whatever writes there, and no user's words in it."""

import io
import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

FIELDS = ("job", "kind", "state", "seconds", "words", "error_id", "error")
"""What a record may carry besides its message, as logging's `extra`."""

_ExceptionInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of ASCII JSON, since some readers take U+2028 for the end of a line.

    Args:
        log_words: whether the messages of errors may appear, which quote the values that a user gave.
    """

    def __init__(self, *, log_words: bool = False) -> None:
        super().__init__()
        self._log_words = log_words

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)

    def formatException(self, ei: _ExceptionInfo) -> str:  # noqa: N802 (logging's name)
        """Return the trace of an error and of its causes, without messages where words are not logged."""
        error = ei[1]
        if error is None:
            return ""
        return "".join(traceback.format_exception(error)).strip() if self._log_words else _without_values(error)


class LoggedStream(io.TextIOBase):
    """A stand-in for standard error: what libraries print there becomes records.

    Args:
        logger: takes a record for each line, and one for a whole trace.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._local = threading.local()  # lines of two threads do not mix

    def writable(self) -> bool:
        """Return True; print() asks."""
        return True

    def write(self, text: str) -> int:
        """Log the lines that are whole by now; the text of a trace is dropped for the error that it tells of."""
        if error := sys.exc_info()[1]:
            self._log_once(error)
            return len(text)
        *lines, self._local.rest = (getattr(self._local, "rest", "") + text).split("\n")
        for line in filter(str.strip, lines):
            self._logger.warning("%s", line)
        return len(text)

    def _log_once(self, error: BaseException) -> None:
        """Log an error at the first of the many writes that print its trace."""
        if not getattr(error, "_is_logged", False):
            error.__dict__["_is_logged"] = True
            self._logger.error("error printed by a library", exc_info=error)


def log_as_json(stream: TextIO | None = None, level: int = logging.INFO, *, log_words: bool = False) -> None:
    """Send everything that is logged in this process to a stream, and nowhere else.

    Args:
        stream: standard error if None.
        level: of the records that are written.
        log_words: whether users' words may appear, as error messages quote them.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(log_words=log_words))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)


def log_what_is_printed() -> None:
    """From now on log whatever is printed to standard error, tracebacks of libraries and of threads among it."""
    logging.raiseExceptions = False  # the complaint that standard error is closed would go there as well
    sys.stderr = LoggedStream(logging.getLogger("stderr"))
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda caught: _log_uncaught(caught.exc_type, caught.exc_value, caught.exc_traceback)


def _log_uncaught(_kind: type[BaseException], error: BaseException | None, _trace: TracebackType | None) -> None:
    logging.getLogger("uncaught").error("uncaught error", exc_info=error)


def _without_values(error: BaseException) -> str:
    """Return the traces of an error and its causes, each ending with the kind of the error instead of its message."""
    parts: list[str] = []
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        trace = "".join(traceback.format_tb(cause.__traceback__))
        parts.insert(0, f"Traceback (most recent call last):\n{trace}{type(cause).__qualname__}")
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "\n\n".join(parts)
