"""Does anything that a program sends break a studio, or leave a session that cannot be used?

    python -m benchmarks.fuzz [--minutes 5] [--seed 0] [--json FILE]

Every documented function is called with wrong types, sizes, encodings, numbers and orders of arguments, and the web
server is sent broken bodies, headers and paths. A defect is an answer of 500 or above, a traceback, "Something went
wrong" instead of a reason, no answer, or a session whose work cannot be asked for and clicked on afterwards.
"""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from benchmarks.studio import running_studio
from benchmarks.table import print_table

ANSWER_SECONDS = 60.0
CHECK_EVERY = 25
"""Calls between two checks that the session can be used."""

LEFT_OUT = ("/download",)
"""Functions that go on in the background for minutes, or need a network."""

SIGNS = ("Traceback", "Something went wrong", "Internal Server Error", 'File "')
"""What only a defect of ours shows to a visitor."""

Call = tuple[str, list[Any]]


@dataclass
class Findings:
    """What a run of the fuzzer found.

    Attributes:
        seed: repeats the run.
        load: of the machine at the end, over a minute, and its cores.
        sent: requests by their kind.
        statuses: answers by their HTTP status.
        unexplained: calls that Gradio refused without a reason, mostly for the number of their arguments.
        defects: what was sent and what came back.
    """

    seed: int
    load: tuple[float, int] = (0.0, 0)
    sent: dict[str, int] = field(default_factory=lambda: {"calls": 0, "raw": 0})
    statuses: dict[int, int] = field(default_factory=dict)
    unexplained: int = 0
    defects: list[dict[str, str]] = field(default_factory=list)

    def note(self, what: str, answer: str) -> None:
        """Write a defect down."""
        self.defects.append({"sent": what[:500], "answer": answer[:500]})


class Studio:
    """A running studio as a program that keeps no rules sees it.

    Args:
        client: speaks to it.
        findings: where statuses and defects go.

    Attributes:
        latest_refusal: what was answered to the latest call, where it was an error.
    """

    def __init__(self, client: httpx.Client, findings: Findings) -> None:
        self._client, self.findings = client, findings
        self.latest_refusal = ""

    def request(self, method: str, path: str, **sent: Any) -> httpx.Response | None:
        """Send a request, and look at its answer; None where none came."""
        what = f"{method} {path} {sent}"
        try:
            answer = self._client.request(method, path, **sent)
        except httpx.HTTPError as error:  # a connection that was closed on purpose has an answer before
            self.findings.note(what, repr(error))
            return None
        self.findings.statuses[answer.status_code] = self.findings.statuses.get(answer.status_code, 0) + 1
        if answer.status_code >= 500 or any(sign in answer.text for sign in SIGNS):
            self.findings.note(what, f"{answer.status_code} {answer.text}")
        return answer

    def call(self, name: str, arguments: Any) -> Any:
        """Call a documented function; return what it does, None where it refuses."""
        body = json.dumps({"data": arguments}).encode()
        asked = self.request(
            "POST", f"gradio_api/call{name}", content=body, headers={"Content-Type": "application/json"}
        )
        event = _event_id(asked)
        if event is None:
            return None
        answer = self.request("GET", f"gradio_api/call{name}/{event}")
        kind, data = _last_event(answer.text) if answer else ("", "")
        if answer and kind not in ("complete", "error"):
            self.findings.note(f"{name} {arguments}", f"no end: {answer.text}")
        self.latest_refusal = data if kind == "error" else ""
        self.findings.unexplained += '"error": null' in self.latest_refusal
        return json.loads(data) if kind == "complete" else None

    def functions(self) -> dict[str, list[dict[str, Any]]]:
        """Return the parameters of every function by its name."""
        answer = self.request("GET", "gradio_api/info")
        assert answer is not None
        named = answer.json()["named_endpoints"]
        return {name: about["parameters"] for name, about in named.items() if name not in LEFT_OUT}

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        """Upload a file and return what a call names it by; a path to nothing where it was refused."""
        answer = self.request("POST", "gradio_api/upload", files={"files": (name, content)})
        path = answer.json()[0] if answer is not None and answer.status_code == httpx.codes.OK else "nothing"
        return {"path": path, "meta": {"_type": "gradio.FileData"}}


def main() -> None:
    """Send for as long as asked, print what was found, and fail where there is a defect."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the findings there")
    options = parser.parse_args()
    findings = Findings(options.seed)
    with TemporaryDirectory(prefix="videograin-") as folder, running_studio(Path(folder)) as running:
        # A connection each: the server may close one after a broken request, while the next is on its way.
        alone = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(base_url=running.url, timeout=ANSWER_SECONDS, limits=alone) as client:
            fuzz(Studio(client, findings), random.Random(options.seed), time.monotonic() + 60 * options.minutes)  # noqa: S311
        for line in running.lines():
            if line["message"] == "action failed":
                findings.note("the log", str(line.get("error")))
    findings.load = (round(os.getloadavg()[0], 1), os.cpu_count() or 0)
    report(findings)
    if options.json:
        options.json.write_text(json.dumps(asdict(findings), indent=2))
    sys.exit(1 if findings.defects else 0)


def report(findings: Findings) -> None:
    """Print what was sent and what was found."""
    load, cores = findings.load
    statuses = " ".join(f"{status}×{count}" for status, count in sorted(findings.statuses.items()))
    counts = (findings.sent["calls"], findings.sent["raw"], statuses, findings.unexplained, len(findings.defects))
    columns = ["calls", "raw requests", "answers", "unexplained", "defects"]
    print_table(f"Fuzz, load {load} on {cores} cores", columns, [[str(count) for count in counts]])
    for defect in findings.defects[:20]:
        print(f"\n{defect['sent']}\n  {defect['answer']}")


def fuzz(studio: Studio, rng: random.Random, deadline: float) -> None:
    """Send calls and raw requests until the deadline."""
    functions = studio.functions()
    session = begin(studio)
    while time.monotonic() < deadline:
        for _ in range(CHECK_EVERY):
            if rng.random() < 0.2:
                studio.findings.sent["raw"] += 1
                rng.choice(RAW)(studio, rng)
            else:
                studio.findings.sent["calls"] += 1
                name = rng.choice(list(functions))
                studio.call(name, distorted(fitting(studio, session, functions[name], rng), rng))
        if broken := what_is_unusable(studio, session):
            studio.findings.note("the session", f"{broken} does not work any more: {studio.latest_refusal}")
            session = begin(studio)
        stop_jobs(studio, session)


def begin(studio: Studio) -> str:
    """Return a session that works on an example."""
    (session,) = studio.call("/new_session", [])
    studio.call("/open_example", [session, "friends", 2])
    return session


def what_is_unusable(studio: Studio, session: str) -> str:
    """Return what a session can do no more of: open a clip, click on it, tell its work; empty where it can."""
    for name, arguments in (
        ("/get_work", [session]),
        ("/open_example", [session, "friends", 2]),
        ("/click", [session, 0, 63, 164, 0, True]),
    ):
        if studio.call(name, arguments) is None:
            return name
    return ""


def stop_jobs(studio: Studio, session: str) -> None:
    """Cancel all jobs of a session."""
    for job in (studio.call("/get_work", [session]) or [{"jobs": []}])[0]["jobs"]:
        studio.call("/cancel", [session, job])


def fitting(studio: Studio, session: str, parameters: list[dict[str, Any]], rng: random.Random) -> list[Any]:
    """Return arguments that a function takes, or nearly."""
    known: dict[str, Callable[[], Any]] = {
        "session": lambda: session,
        "video": lambda: studio.upload("a.mp4", rng.randbytes(200)),
        "file": lambda: studio.upload(rng.choice(("a.zip", "a.npz", "a.png", "a.json")), rng.randbytes(200)),
        "name": lambda: "friends",
        "frames": lambda: 2,
        "frame": lambda: rng.randrange(3),
        "number": lambda: rng.randrange(4),
        "other": lambda: rng.randrange(4),
        "job": lambda: "no-such-job",
        "points": lambda: [[10, 10], [20, 20]],
        "settings": lambda: {"num_inference_steps": 1},
    }
    return [
        known[each["parameter_name"]]() if each["parameter_name"] in known else default(each, rng)
        for each in parameters
    ]


def default(parameter: dict[str, Any], rng: random.Random) -> Any:
    """Return a parameter's default, or a small number where it has none."""
    return parameter["parameter_default"] if parameter.get("parameter_has_default") else rng.randrange(64)


def distorted(arguments: list[Any], rng: random.Random) -> Any:
    """Return arguments with something wrong about them, most of the time."""
    wrong = list(arguments)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        if wrong:
            wrong[rng.randrange(len(wrong))] = junk(rng)
    way = rng.random()
    if way < 0.05:
        rng.shuffle(wrong)
    elif way < 0.1:
        wrong = wrong[: rng.randrange(len(wrong) + 1)]
    elif way < 0.15:
        wrong += [junk(rng)] * rng.randrange(1, 4)
    elif way < 0.17:
        return junk(rng)
    return wrong


def junk(rng: random.Random) -> Any:
    """Return a value that few functions expect."""
    deep: Any = 0
    for _ in range(50):
        deep = [deep]
    return rng.choice(
        (
            None, True, False, 0, -1, 1, 2**31, -(2**63), 10**30, 0.5, -1e308, float("nan"), float("inf"), "", " ", "a",
            "0", "friends", "../../etc/passwd", "/etc/passwd", "~nosuchuser", "C:\\con", "x" * 5000, "ä" * 500, "🐼",
            "\ud800", "a\x00b", "a\nb", "<img src=x onerror=alert(1)>", "'; rm -rf ~", [], [[]], [None], {}, deep,
            {"path": "/etc/passwd"}, {"path": "../../../etc/passwd", "meta": {"_type": "gradio.FileData"}},
            {"path": "a", "url": "http://127.0.0.1:9/a", "meta": {"_type": "gradio.FileData"}}, {"": None},
            {"num_inference_steps": -1}, {"num_inference_steps": "many"}, {"seed": 10**40}, ["canny", "no-such"],
            [["a", "b"]], [[1]], [[1, 2, 3]], [[float("nan"), 0]] * 3, "x" * 32, "-" * 32,
        )
    )  # fmt: skip


def broken_json(studio: Studio, rng: random.Random) -> None:
    """Send a body that is no JSON, or not the JSON that is expected."""
    bodies = (
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'{"data": 3}',
        b'{"data": [}',
        b"[" * 2000,
        b'{"data": "\\ud800"}',
    )
    path = rng.choice(("call/get_work", "call/click", "queue/join", "call/no_such_function", "run/get_work"))
    studio.request(
        "POST", f"gradio_api/{path}", content=rng.choice(bodies), headers={"Content-Type": "application/json"}
    )


def broken_upload(studio: Studio, rng: random.Random) -> None:
    """Send a form that is none."""
    kinds = (
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "text/plain",
        "multipart/form-data; boundary=" + "y" * 300,
    )
    bodies = (
        b"",
        b"--x",
        b"--x\r\n\r\n\r\n--x--",
        b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--",
        rng.randbytes(500),
    )
    studio.request("POST", "gradio_api/upload", content=rng.choice(bodies), headers={"Content-Type": rng.choice(kinds)})


def strange_name(studio: Studio, rng: random.Random) -> None:
    """Upload a file whose name leads elsewhere."""
    studio.upload(rng.choice(("../../a.mp4", "a\x00b", "", ".", "..", "a" * 400, "/etc/passwd", "con", "🐼.mp4")), b"x")


def strange_path(studio: Studio, rng: random.Random) -> None:
    """Ask for what is not there, or not for visitors."""
    paths = (
        "gradio_api/file=/etc/passwd", "gradio_api/file=../../etc/passwd", "gradio_api/file=", "gradio_api/file=%00",
        "gradio_api/file=http://127.0.0.1:9/", "gradio_api/dev/reload",
        "gradio_api/queue/data", "gradio_api/heartbeat/", "theme.css?v=%ff", "%2e%2e/%2e%2e/etc/passwd",
        "static/..%2f..%2fa",
        "assets/none.js", "svelte/none", "gradio_api/upload_progress?upload_id=none", "config",
        "monitoring", "a" * 3000,
    )  # fmt: skip
    studio.request(rng.choice(("GET", "HEAD", "POST", "DELETE", "OPTIONS")), rng.choice(paths))


RAW = (broken_json, broken_upload, strange_name, strange_path)


def _event_id(answer: httpx.Response | None) -> str | None:
    try:
        return answer.json()["event_id"] if answer is not None and answer.status_code == httpx.codes.OK else None
    except (ValueError, KeyError, TypeError):
        return None


def _last_event(stream: str) -> tuple[str, str]:
    """Return kind and data of the last event of a stream that is not a sign of life."""
    kinds = [line.removeprefix("event: ") for line in stream.splitlines() if line.startswith("event: ")]
    data = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: ")]
    return (kinds[-1], data[-1]) if kinds and data else ("", "")


if __name__ == "__main__":
    main()
