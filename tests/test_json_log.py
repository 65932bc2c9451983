import io
import json
import logging
import subprocess
import sys

import pytest

from videograin.json_log import JsonFormatter, log_as_json


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


PRINTING = """
import sys, threading, traceback, warnings
from videograin.json_log import JsonFormatter, log_as_json, log_what_is_printed

log_as_json()
log_what_is_printed()
try:
    raise ValueError("a zebra\\n{\\"level\\": \\"forged\\"}")
except ValueError as error:
    traceback.print_exc()
    try:
        raise KeyError("in pyjamas") from error
    except KeyError:
        traceback.print_exc()
sys.stderr.write("half a line, ")
print("and the other\u2028 half", file=sys.stderr)
warnings.warn("old")
thread = threading.Thread(target=lambda: {}["striped"])
thread.start()
thread.join()
raise RuntimeError("the end of a zebra")
"""


def test_all_that_a_process_prints_as_errors_is_json_without_the_values_in_its_errors() -> None:
    ended = subprocess.run([sys.executable, "-c", PRINTING], capture_output=True, text=True, check=False)
    records = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [record["message"].split("\n")[0] for record in records if record["logger"] != "py.warnings"] == [
        "error printed by a library",
        "error printed by a library",
        "half a line, and the other\u2028 half",
        "uncaught error",
        "uncaught error",
    ]
    assert any(record["logger"] == "py.warnings" for record in records)
    assert records[1]["error"].count("Traceback") == 2
    assert records[1]["error"].endswith("KeyError")
    for words in ("zebra", "forged", "in pyjamas", "striped"):
        assert words not in ended.stderr


def test_errors_quote_values_where_words_may_be_logged() -> None:
    with_words = JsonFormatter(log_words=True)
    try:
        raise ValueError("a zebra")
    except ValueError:
        assert with_words.formatException(sys.exc_info()).endswith("ValueError: a zebra")
        assert JsonFormatter().formatException(sys.exc_info()).endswith("ValueError")
