import errno
import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import tiny_pipeline
from PIL import Image
from synthetic_video import make, moving_scene

from videograin.cli.edit import PROJECT, world_notes
from videograin.cli.main import INTERRUPTED, OK, UNEXPECTED, UNREAD, USAGE, main
from videograin.cli.mask import check_npz
from videograin.cli.projects import length_notes
from videograin.cli.terminal import LABELS, ProgressBars
from videograin.errors import ModelError, ProjectError
from videograin.finding.finder import Finder, FoundObject, Hits
from videograin.media.encode import GREEN, save_video
from videograin.media.video import ClipOptions, load_clip, probe
from videograin.models.bundles import find_bundle
from videograin.models.presets import QUALITIES, Quality
from videograin.progress import Phase, Progress, Report, ignore
from videograin.project.examples import example_path
from videograin.project.project import Project, load_project
from videograin.project.workspace import from_project
from videograin.project.workspace_files import save_workspace

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with everything beside it: a tiny model, a clip of 3 frames, a mask."""
    tiny_pipeline().save_pretrained(tmp_path / "tiny")
    save_video(tmp_path / "clip.mp4", moving_scene(3, 64, 96), 8)
    mask = np.zeros((64, 96), np.uint8)
    mask[16:48, 32:64] = 255
    Image.fromarray(mask).save(tmp_path / "ball.png")
    document = {
        "version": 1,
        "clip": "clip.mp4",
        "source_prompt": "a dog",
        "model": "tiny",
        "regions": [{"masks": {"path": "ball.png"}, "prompt": "a red panda"}],
        "clip_options": {"short_side": 32, "multiple": 16},
        "settings": {"num_inference_steps": 2, "strength": 1.0},
    }
    (tmp_path / "project.json").write_text(json.dumps(document))
    return tmp_path / "project.json"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_project_becomes_a_video_and_a_strip(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, strip = project.with_name("out.mp4"), project.with_name("strip.png")
    assert main(["edit", str(project), "-o", str(output), "--strip", str(strip), "--device", "cpu"]) == OK
    frames = load_clip(project.with_name("clip.mp4")).frames
    assert (probe(output).width, probe(output).height, probe(output).fps) == (96, 64, 8)  # as the source
    assert Image.open(strip).size == (len(frames) * 96, 2 * 64)
    said = capsys.readouterr()
    assert "3 frames of 32×32, 2 steps" in said.out
    assert "GiB" in said.out
    assert "out.mp4: a red panda" in said.out
    assert "Inverting" in said.err
    assert "Editing" in said.err


def test_a_kept_region_inside_an_edited_one_is_not_touched(project: Path) -> None:
    mask = np.zeros((64, 96), np.uint8)
    mask[24:40, 40:56] = 255
    Image.fromarray(mask).save(project.with_name("face.png"))
    document = json.loads(project.read_text())
    document["regions"].append({"masks": {"path": "face.png"}, "name": "face"})
    project.write_text(json.dumps(document))
    strip = project.with_name("strip.png")
    assert main(["edit", str(project), "--strip", str(strip), "--device", "cpu", "--steps", "1"]) == OK
    before, after = np.split(np.asarray(Image.open(strip)).reshape(2 * 64, 3, 96, 3), 2)
    assert np.array_equal(before[26:38, :, 42:54], after[26:38, :, 42:54])
    assert not np.array_equal(before[16:48, :, 32:64], after[16:48, :, 32:64])


def test_words_that_would_change_nothing_are_told_before_the_edit(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(project.read_text())
    mask = np.zeros((64, 96), np.uint8)
    mask[:12, :20] = 255
    Image.fromarray(mask).save(project.with_name("corner.png"))
    (ball,) = document["regions"]
    document["regions"] += [ball | {"prompt": "", "name": "suit"}, {"masks": {"path": "corner.png"}, "prompt": "a fox"}]
    project.write_text(json.dumps(document))
    assert main(["edit", str(project), "--device", "cpu", "--steps", "1"]) == OK
    said = capsys.readouterr().err
    assert "will not change: 'suit' covers" in said
    assert said.index("will not change") < said.index("Inverting")


def test_without_an_output_the_video_is_named_after_the_project(project: Path) -> None:
    assert main(["edit", str(project), "--device", "cpu", "--steps", "1", "--seed", "3"]) == OK
    assert project.with_suffix(".mp4").is_file()


def test_the_clip_of_a_project_of_its_name_is_never_replaced(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    beside, clip = project.with_name("clip.json"), project.with_name("clip.mp4")
    project.rename(beside)
    before = clip.read_bytes()
    assert main(["edit", str(beside), "--device", "cpu", "--steps", "1"]) == USAGE
    assert "is the clip that is edited. Name the result otherwise with -o." in capsys.readouterr().err
    assert clip.read_bytes() == before


def test_a_download_that_no_user_can_agree_to_is_no_defect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("videograin.models.catalog.CatalogEntry.is_installed", False)
    monkeypatch.setattr("videograin.models.catalog.CatalogEntry.missing_bytes", lambda _entry: 156_000_000)
    monkeypatch.setattr("sys.stdin", StringIO())
    assert main(["download", "sam2.1-tiny"]) == USAGE
    assert "nothing was downloaded. 'videograin download NAME --yes' asks nothing" in capsys.readouterr().err


def test_a_filmed_clip_is_told_from_a_model_s_drawn_world() -> None:
    filmed = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), np.uint8)
    assert "only knows drawings; --model sd15" in world_notes(find_bundle("emoji-world"), filmed)[0]
    assert not world_notes(find_bundle("emoji-world"), load_clip(example_path("friends") / "clip.mp4").frames)
    assert not world_notes(find_bundle("sd15"), filmed)


def test_a_lora_that_is_not_there_is_told_before_the_clip_is_read(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project.with_name("clip.mp4").unlink()
    assert main(["edit", str(project), "--device", "cpu", "--lora", "gone.safetensors"]) == USAGE
    assert "There is no file 'gone.safetensors'" in capsys.readouterr().err


def test_a_preset_takes_the_place_of_the_project_s_settings(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edit", str(project), "--device", "cpu", "--preset", "faithful", "--steps", "10"]) == OK
    assert "9 steps" in capsys.readouterr().out
    whole = project.with_suffix(".mp4").read_bytes()
    assert main(["edit", str(project), "--device", "cpu", "--quality", "draft", "--frame", "1"]) == OK
    assert project.with_suffix(".mp4").read_bytes() == whole, "what a look at one frame does not replace"
    assert len(load_clip(project.with_name("project-frame-1.mp4")).frames) == 1
    assert f"{QUALITIES[Quality.DRAFT].most_steps} steps" in capsys.readouterr().out


def test_a_folder_of_work_is_edited(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = project.with_name("work")
    work = from_project(
        load_project(project), load_clip(project.with_name("clip.mp4"), load_project(project).clip_options)
    )
    save_workspace(work, folder)
    document = json.loads((folder / "project.json").read_text())
    (folder / "project.json").write_text(json.dumps(document | {"mood": "good"}))
    assert main(["edit", str(folder), "--device", "cpu", "--steps", "1", "--frames", "2"]) == OK
    assert (probe(folder / "edit.mp4").width, len(load_clip(folder / "edit.mp4").frames)) == (96, 2)
    said = capsys.readouterr()
    assert "edit.mp4: a red panda" in said.out
    assert "note: 'project.json': mood is unknown" in said.err


def test_a_folder_with_an_edit_s_file_is_edited_too(project: Path) -> None:
    assert main(["edit", str(project.parent), "--device", "cpu", "--steps", "1"]) == OK
    assert probe(project.with_name("edit.mp4")).width == 96


def test_a_long_clip_is_edited_in_windows_of_the_length_that_is_asked_for(project: Path) -> None:
    arguments = ["--device", "cpu", "--steps", "1", "--window", "4", "--anchors", "1", "--no-focus"]
    save_video(project.with_name("clip.mp4"), moving_scene(7, 64, 96), 8)
    assert main(["edit", str(project), *arguments]) == OK
    assert load_clip(project.with_suffix(".mp4")).frames.shape[0] == 7
    assert probe(project.with_suffix(".mp4")).width == 48


def test_the_project_that_the_help_shows_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "project.json").write_text(PROJECT[PROJECT.index("{") : PROJECT.rindex("}") + 1])
    project = load_project(tmp_path / "project.json")
    assert (project.clip, project.regions[0].prompt) == (tmp_path / "dog.mp4", "a fox")
    shown = json.loads((tmp_path / "project.json").read_text())
    also = set(re.findall(r'"(\w+)"', PROJECT[PROJECT.index("also:") :]))
    assert also | shown.keys() == {field.name for field in fields(Project)} | {"version", "quality"}


def test_an_example_is_edited_by_its_name_into_the_current_folder(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--model", str(project.with_name("tiny")), "--device", "cpu", "--steps", "1", "--frames", "1"]
    assert main(["edit", "friends", *arguments]) == OK
    assert probe(tmp_path / "friends.mp4").width


def test_a_folder_of_one_s_own_comes_before_the_example_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "friends").mkdir()
    assert main(["edit", "friends"]) == USAGE
    assert "project.json' cannot be opened" in capsys.readouterr().err


def test_the_output_s_ending_chooses_the_format_and_a_cutout_shows_the_edited_object_alone(project: Path) -> None:
    arguments = ["edit", str(project), "--device", "cpu", "--steps", "1", "-o"]
    assert main([*arguments, str(project.with_suffix(".zip"))]) == OK
    with zipfile.ZipFile(project.with_suffix(".zip")) as pictures:
        assert pictures.namelist() == ["00000.png", "00001.png", "00002.png"]
    assert main([*arguments, str(project.with_name("green.mp4")), "--green-screen"]) == OK
    frame = load_clip(project.with_name("green.mp4"), ClipOptions(short_side=32, multiple=16)).frames[0].astype(int)
    is_green = np.abs(frame - GREEN).max(2) < 20
    assert is_green[:6].all()  # of the mask's rows, 8 to 24 of 32
    assert not is_green[10:22, 18:30].any()


def test_sound_is_kept(project: Path) -> None:
    sine = ("-f", "lavfi", "-i", "sine=440:d=0.4", "-shortest")
    make(project.with_name("clip.mp4"), "testsrc=s=96x64:r=8:d=0.4", *sine)
    assert main(["edit", str(project), "--device", "cpu", "--steps", "1"]) == OK
    assert probe(project.with_suffix(".mp4")).has_audio


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["edit", "gone.json"], "'gone.json' cannot be opened"),
        (["edit", "{project.parent}/tiny"], "project.json' cannot be opened"),
        (
            ["edit", "{project}", "-o", "out.avi"],
            "'out.avi' ends in no format that can be written. Choose one of",
        ),
        (["edit", "{project}", "-o", "/no/such/out.mp4"], "There is no folder '/no/such'"),
        (["edit", "{project}", "-o", "out.gif", "--green-screen"], "'out.gif' is not the name of"),
        (["edit", "{project}", "-o", "{project.parent}/tiny/../clip.mp4"], "clip.mp4' is the clip that is edited"),
        (["edit", "{project.parent}/clip.mp4"], "clip.mp4' is no project"),
        (["edit", "{project.parent}/work.zip"], "work.zip' is packed. Unpack it"),
        (["edit", "frends"], "There is no project 'frends'. Did you mean the example 'friends'?"),
        (["edit", "{project}", "--strip", "strip.jpg"], "'strip.jpg' must end in .png"),
        (["edit", "{project}", "--steps", "0"], "num_inference_steps is 0"),
        (["edit", "{project}", "--frame", "1", "--score", "--device", "cpu"], "One frame has no motion to be scored"),
        (["edit", "{project}", "--control", "edges"], "There is no ControlNet 'edges'"),
        (["edit", "{project}", "--device", "toaster"], "Device 'toaster'"),
        (
            ["edit", "{project}", "--device", "cpu", "--second-device", "cuda:9"],
            "Device 'cuda:9' is not on this machine",
        ),
        (["edit", "{project}", "--device", "cpu", "--dtype", "float16"], "float16 is several times slower"),
        (["edit", "{project}", "--model", "nobody/nothing", "--offline"], "not in the hub's local cache"),
        (["edit", "{project}", "--model", "sd1.5"], "There is no model 'sd1.5'. Choose one of emoji-world, sd15"),
        (["download", "./gone.safetensors"], "There is no model at './gone.safetensors'"),
        (["edit", "{project}", "--lora", "~ghost/x:0.5"], "'~ghost/x' cannot be a model's name or path"),
        (["info", "x" * 300], "xxx' cannot be used (File name too long)"),
        (["info", "never.mp4"], "'never.mp4' is not on this machine"),
        (["info", "{project.parent}/tiny/unet"], "unet' is neither a clip"),
        (
            ["score", "{project}", "{project.parent}/clip.mp4", "--json", "/no/such/x.json"],
            "There is no folder '/no/such'",
        ),
        (["mask", "/no/such/dog.mp4", "--click", "1,2"], "There is no file '/no/such/dog.mp4'"),
        (["mask", "{project.parent}/clip.mp4", "--click", "1,2", "--frames", "0"], "max_frames is 0"),
        (["mask", "{project.parent}/clip.mp4", "--click", "1,2", "-o", "matte.mp4"], "not written as 'matte.mp4'"),
        (["mask", "{project.parent}/clip.mp4", "--click", "1,2", "-o", "{project.parent}/vae"], "vae' is a file, not"),
        (["mask", "{project.parent}/clip.mp4", "--click", "1,2", "-o", "{project.parent}/a.npz"], "a.npz' is a folder"),
        (["edit", "{project}", "--strip", "{project.parent}/b.png"], "b.png' is a folder"),
    ],
)
def test_what_the_person_can_mend_is_one_line(
    project: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("work.zip", "vae"):
        project.with_name(name).write_bytes(b"PK")
    for name in ("a.npz", "b.png"):
        project.with_name(name).mkdir()
    assert main([argument.format(project=project) for argument in arguments]) == USAGE
    bars = re.compile(r".*\d+/\d+ \[.*step/s\]|")  # of what was done before
    (complaint,) = [line for line in capsys.readouterr().err.splitlines() if not bars.fullmatch(line)]
    assert complaint.startswith("error: ")
    assert message in complaint


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_place_that_cannot_be_written_is_told_before_the_work(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["edit", str(project), "-o", "/proc/out.mp4", "--device", "cpu"]) == USAGE
    (complaint,) = capsys.readouterr().err.splitlines()
    assert complaint.startswith("error: '/proc/out.mp4' cannot be written")


def test_whatever_signal_stops_a_command_leaves_no_temporary_files(tmp_path: Path) -> None:
    """In a process of its own, since a signal that is not caught ends it."""
    code = f"""if True:
        import signal, tempfile
        from videograin.cli import main, models
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            def work(_options):
                with tempfile.TemporaryDirectory(dir={str(tmp_path)!r}):
                    signal.raise_signal(number)
            models.run = work
            print(main.main(["models"]), flush=True)
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(INTERRUPTED)] * 3
    assert done.stderr == 3 * "Stopped; nothing is left half-written.\n"
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_is_no_mistake_of_the_user_s_whatever_error_comes_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_options: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:  # as native code may turn it into another one
            raise ModelError("The model cannot be loaded.") from error

    monkeypatch.setattr("videograin.cli.models.run", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["models"]) == INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "Stopped; nothing is left half-written.\n"


def test_a_name_that_is_not_utf_8_is_no_defect(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = project.with_name("clip.mp4").rename(project.with_name(os.fsdecode(b"caf\xe9.mp4")))
    assert main(["info", str(clip)]) == OK
    assert "caf\\udce9.mp4: 96×64" in capsys.readouterr().out


def test_a_defect_says_how_to_report_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("videograin.production.source_edit.SourceEdit.prepare", lambda *_: 1 / 0)
    assert main(["edit", str(project)]) == UNEXPECTED
    assert "Run the command again with --debug" in capsys.readouterr().err
    for command in (["--debug", "edit", str(project)], ["edit", str(project), "--debug"]):
        assert main(command) == UNEXPECTED
        assert "Traceback" in capsys.readouterr().err


def test_a_full_disk_is_no_defect(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("videograin.production.source_edit.SourceEdit.prepare", full)
    assert main(["edit", str(project), "--device", "cpu"]) == UNEXPECTED
    said = capsys.readouterr().err
    assert "The disk is full" in said
    assert "defect" not in said


def test_info_describes_clip_model_and_machine(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(project.with_name("clip.mp4"))]) == OK
    assert "96×64, 8 fps" in capsys.readouterr().out
    (project.with_name("tiny") / "results.jpg").touch()  # as published models have
    assert main(["info", str(project.with_name("tiny"))]) == OK
    assert "on this machine" in capsys.readouterr().out
    assert main(["info", "sd15"]) == OK
    assert "ControlNets: canny, depth, depth_dpt, depth_zoe, pose, pose_body" in capsys.readouterr().out
    assert main(["info"]) == OK
    machine = capsys.readouterr().out
    assert "Device:" in machine
    assert "emoji-world" in machine


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], OK), (["edit", "--help"], OK), (["frobnicate"], USAGE)])
def test_the_command_explains_itself(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == code
    assert "usage: videograin" in "".join(capsys.readouterr())


def test_help_is_shown_where_the_terminal_knows_ascii_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(shown, encoding="ascii"))
    with pytest.raises(SystemExit):
        main(["mask", "--help"])
    sys.stdout.flush()
    assert b"X,Y,X,Y,\\u2026" in shown.getvalue()


def test_a_reader_that_has_seen_enough_is_no_defect() -> None:
    command = [sys.executable, "-m", "videograin", "models"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stderr
        child.stdout.close()
        assert child.stderr.read() == ""
    assert child.returncode == UNREAD


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_half_written(project: Path) -> None:
    document = json.loads(project.read_text())
    document["settings"]["num_inference_steps"] = 1000
    project.write_text(json.dumps(document))
    before = set(project.parent.iterdir())
    command = [sys.executable, "-m", "videograin", "edit", str(project), "--device", "cpu"]
    # A shell's background job, such as this test run may be, starts with Ctrl-C ignored.
    listen = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    child = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=listen)
    assert child.stderr
    seen = ""
    while "Inverting" not in seen:
        seen += child.stderr.read(1)
    child.send_signal(signal.SIGINT)
    _, complaint = child.communicate(timeout=60)
    assert child.returncode == INTERRUPTED
    assert "Stopped" in complaint
    assert "Traceback" not in complaint
    rates = project.with_name("cache")  # the device was measured first
    assert set(project.parent.iterdir()) - {rates} == before


@pytest.mark.slow
def test_emoji_world_edits_from_the_command_line(project: Path) -> None:
    save_video(project.with_name("clip.mp4"), moving_scene(2, 256, 256), 8)
    document = json.loads(project.read_text()) | {"clip_options": {"short_side": 128}, "model": "emoji-world"}
    document["regions"][0]["prompt"] = "a cat"
    mask = np.zeros((256, 256), np.uint8)
    mask[64:192, 64:192] = 255
    Image.fromarray(mask).save(project.with_name("ball.png"))
    project.write_text(json.dumps(document))
    command = [sys.executable, "-m", "videograin", "edit", str(project), "--device", "cpu", "--steps", "3"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)
    assert probe(project.with_suffix(".mp4")).width == 256  # the source's, whatever the edit was drawn at


def test_every_phase_has_words_for_the_bar() -> None:
    assert set(LABELS) == set(Phase)


def test_a_phase_without_steps_shows_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBars() as bars:
        bars(Progress(Phase.INVERT, 0, 0, None))
        assert capsys.readouterr().err == ""
        bars(Progress(Phase.EDIT, 0, 2, None))
        assert "Editing" in capsys.readouterr().err


@pytest.fixture
def ball_clip(tmp_path: Path) -> Path:
    """A red ball and a blue one that move over grey, 5 frames of 120×80."""
    frames = np.full((5, 80, 120, 3), 128, np.uint8)
    for t, frame in enumerate(frames):
        cv2.circle(frame, (30 + 3 * t, 25), 12, (220, 40, 30), cv2.FILLED)
        cv2.circle(frame, (90 - 3 * t, 60), 10, (40, 60, 220), cv2.FILLED)
    save_video(tmp_path / "balls.mp4", frames, 8)
    return tmp_path / "balls.mp4"


class Colours:
    """Finds balls by their colours."""

    def find(self, frame: np.ndarray, nouns: Sequence[str], report: Report = ignore) -> Hits:
        assert nouns == ["ball"]
        colours = frame.astype(int)
        masks = [colours[..., 0] - colours[..., 2] > 60, colours[..., 2] - colours[..., 0] > 60]
        return {"ball": [FoundObject("ball", mask, 0.9) for mask in masks]}


def test_marked_objects_are_followed_and_saved_as_masks_of_the_video_s_size(
    ball_clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("videograin.tracking.engines.load_segmenter", None)  # what answers marks is not loaded twice
    marks = ["--object", "red", "--box", "10,8,50,45", "--object", "blue", "--box", "62,44,94,76,2"]
    output = ball_clip.with_name("masks.npz")
    assert main(["mask", str(ball_clip), *marks, "--segmenter", "grabcut", "-o", str(output)]) == OK
    with np.load(output) as masks:
        assert sorted(masks) == ["blue", "red"]
        assert masks["red"].shape == (5, 80, 120)
        assert masks["red"][4, 25, 42]
        assert not masks["red"][4, 25, 20]
        assert masks["blue"][0, 60, 90]
    assert "red: sure in" in capsys.readouterr().out


def test_a_video_that_is_longer_than_what_is_read_of_it_is_told(
    ball_clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_video(ball_clip, load_clip(ball_clip, ClipOptions(short_side=None, multiple=1)).frames.repeat(4, axis=0), 8)
    monkeypatch.setattr("videograin.media.video.MAX_FRAMES", 5)
    command = ["mask", str(ball_clip), "--box", "10,8,50,45", "--segmenter", "grabcut"]
    assert main([*command, "-o", str(ball_clip.with_name("all.npz"))]) == OK
    assert "note: only the first 5 frames are read, 0.625 of 2.5 s; cut the video" in capsys.readouterr().err
    assert main([*command, "-o", str(ball_clip.with_name("few.npz")), "--frames", "4"]) == OK
    assert "note:" not in capsys.readouterr().err


def test_the_usual_limit_of_frames_is_told_where_it_ends_an_edit_and_a_chosen_one_is_not(tmp_path: Path) -> None:
    save_video(tmp_path / "clip.mp4", np.zeros((1, 16, 16, 3), np.uint8).repeat(2200, axis=0), 240)
    usual = ClipOptions(short_side=16, multiple=1)
    for options, count in ((usual, 1), (replace(usual, max_frames=1500), 0), (replace(usual, end=7.5), 0)):
        clip = load_clip(tmp_path / "clip.mp4", options)
        assert len(length_notes(clip, options, ClipOptions.max_frames, "")) == count


def test_an_object_of_two_parts_has_a_box_for_each(ball_clip: Path) -> None:
    output = ball_clip.with_name("masks.npz")
    boxes = ["--box", "10,8,50,45", "--box", "70,44,110,76"]
    assert main(["mask", str(ball_clip), *boxes, "--segmenter", "grabcut", "--frames", "1", "-o", str(output)]) == OK
    with np.load(output) as masks:
        (both,) = masks["object"]
    assert both[25, 30]
    assert both[60, 90]
    assert not both[:, 52:68].any()


def test_what_is_described_in_words_is_marked_and_followed(
    ball_clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def by_colour(name: str, *_: object) -> Finder:
        assert name == "emoji-world"
        return Colours()

    monkeypatch.setattr("videograin.finding.finders.load_finder", by_colour)
    output = ball_clip.with_name("masks.npz")
    words = ["--text", "the two balls", "--text-frame", "2", "--finder", "emoji-world", "--segmenter", "grabcut"]
    assert main(["mask", str(ball_clip), *words, "-o", str(output)]) == OK
    with np.load(output) as masks:
        assert sorted(masks) == ["ball", "ball 2"]
        assert masks["ball"][0, 25, 30]
        assert masks["ball 2"][4, 60, 78]
    assert "ball 2: sure in" in capsys.readouterr().out
    assert main(["mask", str(ball_clip), *words[:3], "7", *words[4:], "-o", str(output)]) == USAGE
    assert "Frame 7 is not in the clip; it has 5" in capsys.readouterr().err


def test_a_mark_that_is_no_mark_or_not_in_the_clip_is_named(
    ball_clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong in (
        ["--click", "12"],
        ["--click", "1,2,3,4"],
        ["--box", "1,2"],
        ["--stroke", "a,b,c,d"],
        ["--stroke", "1,1,inf,1"],
    ):
        with pytest.raises(SystemExit):
            main(["mask", str(ball_clip), *wrong])
        assert f"argument {wrong[0]}: '{wrong[1]}' is not" in capsys.readouterr().err
    assert main(["mask", str(ball_clip)]) == USAGE
    assert "Nothing is marked" in capsys.readouterr().err
    assert main(["mask", str(ball_clip), "--click", "5,5,9", "--segmenter", "grabcut"]) == USAGE
    assert "Frame 9 is not in the clip; it has 5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (["--click", "1290,20"], "The point 1290,20 is outside the video, whose frames have 1280×720 pixels"),
        (["--stroke", "5,5,5,721"], "is outside the video"),
        (["--box", "900,300,700,500"], "The box 900,300,700,500 holds nothing of the video"),
    ],
)
def test_a_mark_outside_the_video_is_named_in_the_video_s_own_pixels(
    tmp_path: Path, mark: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    large = make(tmp_path / "large.mp4", "color=gray:s=1280x720:r=8:d=0.25")
    assert main(["mask", str(large), *mark, "--segmenter", "grabcut"]) == USAGE
    assert message in capsys.readouterr().err


def test_an_npz_that_could_not_be_read_again_is_refused_before_the_work() -> None:
    check_npz(Path("masks.zip"), 3600, (2160, 3840))
    check_npz(Path("masks.npz"), 3600, (480, 640))
    with pytest.raises(ProjectError, match="An NPZ of 300 masks of 3840×2160 pixels exceeds the 2 GiB"):
        check_npz(Path("masks.NPZ"), 300, (2160, 3840))


def test_masks_never_replace_a_folder_of_other_files(ball_clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mask", str(ball_clip), "--click", "30,25", "-o", str(ball_clip.parent)]) == USAGE
    assert "holds something already" in capsys.readouterr().err


def test_the_current_folder_may_be_the_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ball").mkdir()
    for number in range(2):
        frame = np.full((48, 64, 3), 128, np.uint8)
        cv2.circle(frame, (30, 25), 12, (220, 40, 30), cv2.FILLED)
        Image.fromarray(frame).save(tmp_path / f"ball/{number}.png")
    monkeypatch.chdir(tmp_path / "ball")
    assert main(["mask", ".", "--box", "16,10,46,40", "--segmenter", "grabcut"]) == OK
    assert len(list(tmp_path.glob("ball-masks/object/*.png"))) == 2
