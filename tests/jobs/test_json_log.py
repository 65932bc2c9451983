import io
import json
import logging

import pytest

from videograin.jobs.json_log import log_as_json


@pytest.fixture
def stream():
    """What is logged; afterwards logging is as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    for handler in handlers:
        root.removeHandler(handler)
    stream = io.StringIO()
    log_as_json(stream)
    yield stream
    root.handlers[:], root.level = handlers, level


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_each_record_is_one_json_object_with_its_job(stream: io.StringIO) -> None:
    logging.getLogger("videograin.jobs.worker").info(
        "job %s", "ended", extra={"job": "id", "seconds": 1.5, "state": "done"}
    )
    (line,) = lines(stream)
    assert {name: line[name] for name in ("level", "logger", "message", "job", "seconds", "state")} == {
        "level": "info",
        "logger": "videograin.jobs.worker",
        "message": "job ended",
        "job": "id",
        "seconds": 1.5,
        "state": "done",
    }
    assert str(line["time"]).endswith("+00:00")


def test_line_breaks_and_traces_stay_within_a_line(stream: io.StringIO) -> None:
    try:
        raise KeyError("naïve\nkey")
    except KeyError:
        logging.getLogger("any").exception("it\nbroke")
    (line,) = lines(stream)
    assert line["message"] == "it\nbroke"
    assert str(line["error"]).startswith("Traceback")


def test_what_is_less_than_information_is_left_out(stream: io.StringIO) -> None:
    logging.getLogger("any").debug("detail")
    assert lines(stream) == []
