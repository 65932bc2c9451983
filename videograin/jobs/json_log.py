"""A log for machines: one JSON object a line, on standard error."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

FIELDS = ("job", "kind", "state", "seconds", "words", "error_id", "error")
"""What a record may carry besides its message, as logging's `extra`."""


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON."""

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
        return json.dumps(line, ensure_ascii=False)


def log_as_json(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send everything that is logged in this process to a stream (standard error if None), and nowhere else."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
