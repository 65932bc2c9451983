"""Faults between a visitor and a studio, over HTTP with a real process, real files and the embedded model."""

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from api_visitor import ApiVisitor
from gradio_client.exceptions import AppError
from synthetic_video import ffmpeg, make

from benchmarks.studio import RunningStudio, running_studio
from videograin.media.video import ClipOptions, load_clip

pytestmark = pytest.mark.slow

ANN, BOB = ("ann", "a-secret"), ("bob", "another")
PROMPT = "a zebra in pyjamas"
WHOLE = ClipOptions(short_side=None, multiple=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio")


WITH_A_DEFECT = """
import runpy
from ui.work import pointing

def fail(*_):
    raise RuntimeError("a defect of ours")

pointing.choose_answer = fail
runpy.run_path("app.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def studio(folder: Path) -> Iterator[RunningStudio]:
    """A studio of a strict operator with two users."""
    with running_studio(
        folder, ("-c", WITH_A_DEFECT), auth="ann:a-secret,bob:another", max_upload_mb=1,
        max_video_seconds=5, max_frames=12, max_side=320,
        max_steps=50,
    ) as started:  # fmt: skip
        yield started


@pytest.fixture(scope="module")
def ann(studio: RunningStudio) -> ApiVisitor:
    return ApiVisitor(studio.url, ANN)


@pytest.fixture(scope="module")
def bob(studio: RunningStudio) -> ApiVisitor:
    return ApiVisitor(studio.url, BOB)


@pytest.fixture(scope="module")
def web(studio: RunningStudio) -> Iterator[httpx.Client]:
    """Raw HTTP as Bob, who is logged in."""
    with httpx.Client(base_url=studio.url) as client:
        assert client.post("login", data={"username": BOB[0], "password": BOB[1]}).status_code == 200
        yield client


@pytest.fixture(scope="module")
def good(folder: Path) -> Path:
    return make(folder / "good.mp4", "testsrc2=s=96x64:r=8:d=1.5")


# Files


def not_a_video(path: Path, _good: Path) -> None:
    path.write_text("Dear Sir or Madam, this is not a video.\n" * 100)


def without_its_end(path: Path, good: Path) -> None:
    content = good.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def empty(path: Path, _good: Path) -> None:
    path.touch()


def only_sound(path: Path, _good: Path) -> None:
    make(path, "sine=d=0.5", "-c:a", "aac")


def too_long(path: Path, _good: Path) -> None:
    make(path, "testsrc2=s=64x64:r=4:d=9")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (not_a_video, "is not a video"),
        (without_its_end, "was cut off while it was copied"),
        (empty, "0 bytes"),
        (only_sound, "holds only sound"),
        (too_long, "lasts 9 s; at most 5 s are allowed"),
    ],
)
def test_a_bad_file_is_refused_in_plain_words_and_the_work_before_stays(
    ann: ApiVisitor, good: Path, tmp_path: Path, spoil, message: str
) -> None:
    before = ann.open(good)
    spoil(tmp_path / "clip.mp4", good)
    with pytest.raises(AppError, match=message):
        ann.open(tmp_path / "clip.mp4")
    assert ann.call("get_work") == before


@pytest.mark.parametrize(("bytes_", "status"), [(900_000, 200), (1_100_000, 413)])
def test_an_upload_larger_than_allowed_is_refused_by_the_server(web: httpx.Client, bytes_: int, status: int) -> None:
    assert web.post("gradio_api/upload", files={"files": ("a.mp4", bytes(bytes_))}).status_code == status


def test_frames_larger_than_allowed_and_too_many_steps_are_refused(ann: ApiVisitor, good: Path, tmp_path: Path) -> None:
    with pytest.raises(AppError, match="at most 320 pixels a side are allowed"):
        ann.open(good, short_side=512)
    ann.mark_middle(tmp_path, ann.open(good))
    with pytest.raises(AppError, match="The edit has 51 steps; at most 50 are allowed"):
        ann.edit(steps=51)


def test_no_more_frames_than_allowed_are_read(ann: ApiVisitor, tmp_path: Path) -> None:
    assert ann.open(make(tmp_path / "a.mp4", "testsrc2=s=96x64:r=8:d=4"), frames=1000)["frames"] == 12
    assert ann.call("open_example", "friends", frames=1000)["frames"] == 12


def one_frame(path: Path) -> Path:
    return make(path, "testsrc2=s=96x64:r=8:d=1", "-frames:v", "1")


def tall_4k(path: Path) -> Path:
    """As phones film upright: 3840×2160 and a note to turn it."""
    flat = make(path.with_name("flat.mp4"), "testsrc2=s=3840x2160:r=4:d=1", "-preset", "ultrafast", "-crf", "45")
    ffmpeg("-display_rotation", "90", "-i", flat, "-c", "copy", path)
    return path


def uneven(path: Path) -> Path:
    """Eight frames in the first second and two in the next."""
    return make(
        path, "testsrc2=s=96x64:r=8:d=2", "-vf", "select='lt(t,1)+not(mod(n,4))'", "-fps_mode", "vfr"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("film", "frames", "size", "whole"),
    [
        (one_frame, 1, (64, 96), (64, 96)),
        (tall_4k, 4, (128, 64), (3840, 2160)),
        (uneven, 7, (64, 96), (64, 96)),
    ],
)
def test_odd_videos_are_edited_like_any_other(
    ann: ApiVisitor, tmp_path: Path, film, frames: int, size: tuple[int, int], whole: tuple[int, int]
) -> None:
    work = ann.open(film(tmp_path / "odd.mp4"), frames=8, fps=4)
    assert (work["height"], work["width"]) == size
    ann.mark_middle(tmp_path, work, PROMPT)
    job = ann.edit()
    assert ann.wait(job)["state"] == "done"
    assert load_clip(ann.result(job), WHOLE).frames.shape == (frames, *whole, 3)  # the source's own size


# Users


def test_without_a_login_no_request_is_answered(studio: RunningStudio) -> None:
    with httpx.Client(base_url=studio.url) as stranger:
        assert stranger.get("health").json()["status"] == "ok"
        for path in ("config", "gradio_api/info", "gradio_api/file=app.py", "gradio_api/queue/data?session_hash=x"):
            assert stranger.get(path).status_code == 401, path
        assert stranger.post("gradio_api/upload", files={"files": ("a.mp4", b"x")}).status_code == 401
        assert stranger.post("gradio_api/call/new_session", json={"data": []}).status_code == 401
        assert stranger.post("login", data={"username": "ann", "password": "guess"}).status_code == 400
    with pytest.raises(ValueError, match="Could not login"):
        ApiVisitor(studio.url, ("ann", BOB[1]))


def test_two_users_see_nothing_of_each_other(ann: ApiVisitor, bob: ApiVisitor, good: Path, tmp_path: Path) -> None:
    ann.mark_middle(tmp_path, ann.open(good), PROMPT)
    job = ann.edit(seed=3)
    assert ann.wait(job)["state"] == "done"
    bob.open(good)
    assert bob.call("get_work")["jobs"] == []
    for name in ("get_job", "cancel"):
        with pytest.raises(AppError, match="no such job of yours"):
            bob.call(name, job)
    with pytest.raises(AppError, match="not done yet, or it is none of yours"):
        bob.call("get_result", job)


def test_no_file_of_a_user_s_work_is_served_or_opened(
    studio: RunningStudio, ann: ApiVisitor, web: httpx.Client, bob: ApiVisitor, folder: Path, good: Path, tmp_path: Path
) -> None:
    ann.mark_middle(tmp_path, ann.open(good), PROMPT)
    assert ann.wait(ann.edit(seed=4))["state"] == "done"
    data = folder / "data"
    kept = [path for path in data.rglob("*") if path.is_file() and not path.is_relative_to(data / "web")]
    assert {"job.json", "request.json", "edit.mp4", "project.json"} <= {path.name for path in kept}
    for path in [*kept, studio.log, Path("/etc/passwd")]:
        for address in (str(path), quote(str(path), safe=""), f"{data}/web/../../../../../../..{path}"):
            assert web.get(f"gradio_api/file={address}").status_code in (403, 404), address
        with pytest.raises(AppError, match="not uploaded"):
            bob.call("open_clip", {"path": str(path)})


@pytest.mark.parametrize("name", ["../../../../escaped.mp4", "..\\..\\escaped.mp4", "/etc/escaped.mp4", "a\x00b.mp4"])
def test_an_upload_cannot_leave_its_folder(web: httpx.Client, folder: Path, name: str) -> None:
    answer = web.post("gradio_api/upload", files={"files": (name, b"content")})
    if answer.status_code == 200:
        assert Path(answer.json()[0]).resolve().is_relative_to(folder / "data/web")
    else:
        assert answer.status_code < 500
    assert not list(folder.parent.glob("escaped.mp4"))


def test_answers_carry_the_guard_s_headers_and_links_no_host_that_a_visitor_made_up(web: httpx.Client) -> None:
    page = web.get("", headers={"X-Forwarded-Host": "evil.example"})
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'self'" in page.headers["Content-Security-Policy"]
    assert "evil.example" not in page.text
    assert web.get("gradio_api/dev/reload").status_code == 404


def test_a_call_larger_than_words_can_be_is_refused(web: httpx.Client) -> None:
    answer = web.post("gradio_api/call/new_session", json={"data": ["x" * 5_000_000]})
    assert (answer.status_code, answer.text) == (413, "This is too large; at most 4 MB can be sent here at once.")


@pytest.mark.parametrize("number", [b"NaN", b"Infinity"])
def test_a_number_that_json_does_not_have_is_the_sender_s_fault(web: httpx.Client, number: bytes) -> None:
    body = {"content": b'{"data": ' + number + b"}", "headers": {"Content-Type": "application/json"}}
    answer = web.post("gradio_api/call/new_session", **body)
    assert (answer.status_code, answer.text) == (400, "NaN and Infinity are no numbers of JSON.")


def test_a_second_studio_on_the_same_data_refuses_to_start_and_names_the_first(
    studio: RunningStudio, folder: Path
) -> None:
    refusal = rf"in use by another studio \(process {studio.process.pid} "
    with pytest.raises(RuntimeError, match=refusal), running_studio(folder):
        raise AssertionError("two studios on one folder")


def test_an_address_in_the_place_of_a_file_is_not_fetched(bob: ApiVisitor, web: httpx.Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as inner:
        inner.settimeout(1)
        url = f"http://127.0.0.1:{inner.getsockname()[1]}/clip.mp4"
        for file in ({"path": url}, {"path": url, "url": url, "meta": {"_type": "gradio.FileData"}}):
            with pytest.raises(AppError):
                bob.call("open_clip", file)
        with pytest.raises(TimeoutError):
            inner.accept()
    assert web.get(f"gradio_api/file={url}").status_code in (403, 404)


def test_an_uploaded_page_is_served_as_a_file_to_save(web: httpx.Client) -> None:
    page = b"<script>alert(document.cookie)</script>"
    for name in ("a.html", "a.svg", "a.xhtml"):
        (path,) = web.post("gradio_api/upload", files={"files": (name, page)}).json()
        answer = web.get(f"gradio_api/file={path}")
        assert answer.headers["content-disposition"].startswith("attachment"), name


# Jobs


def test_to_cancel_three_times_and_after_the_end_does_no_harm(ann: ApiVisitor, good: Path, tmp_path: Path) -> None:
    ann.mark_middle(tmp_path, ann.open(good, frames=12, short_side=160), PROMPT)
    running = ann.edit(steps=50)
    ann.wait(running, "running")
    waiting = ann.edit(steps=49)
    for _ in range(3):
        ann.call("cancel", running)
        ann.call("cancel", waiting)
    assert ann.wait(running)["state"] == ann.wait(waiting)["state"] == "cancelled"
    for job in (running, waiting):
        assert ann.call("cancel", job)["message"] == "Stopped, as you asked."
    ann.mark_middle(tmp_path, ann.open(good), PROMPT)
    assert ann.wait(done := ann.edit(seed=5))["state"] == "done"
    assert ann.call("cancel", done)["state"] == "done"
    assert ann.result(done).stat().st_size > 0


def test_who_closes_the_tab_finds_job_and_result_when_coming_back(
    studio: RunningStudio, good: Path, tmp_path: Path
) -> None:
    first = ApiVisitor(studio.url, ANN)
    first.mark_middle(tmp_path, first.open(good), PROMPT)
    job, session = first.edit(seed=6), first.session
    del first
    again = ApiVisitor(studio.url, ANN, session)
    assert job in again.call("get_work")["jobs"]
    assert again.wait(job)["state"] == "done"
    assert load_clip(again.result(job), WHOLE).frames.shape == (4, 64, 96, 3)


# The log


def test_the_log_has_every_job_and_error_but_no_user_s_words(
    studio: RunningStudio, ann: ApiVisitor, good: Path, tmp_path: Path
) -> None:
    ann.mark_middle(tmp_path, ann.open(good), PROMPT)
    job = ann.edit(seed=7)
    ann.wait(job)
    with pytest.raises(AppError, match=r"Something went wrong \(id (\w+)\)") as error:
        ann.call("other_size")
    number = str(error.value).partition("(id ")[2].partition(")")[0]
    lines = studio.lines()
    assert [line["message"] for line in lines if line.get("job") == job] == ["job queued", "job started", "job ended"]
    assert any(line.get("error_id") == number and "Traceback" in line["error"] for line in lines)
    assert PROMPT not in studio.log.read_text()
    assert ann.session not in studio.log.read_text()
