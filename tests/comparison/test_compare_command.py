"""An edit by several methods, and one that is scored at once, on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from fakes import tiny_pipeline
from PIL import Image

from videograin.cli.main import OK, USAGE, main
from videograin.comparison.pictures import BAR, TitledClip, side_by_side, strip
from videograin.evaluation.votes import find_edits
from videograin.files.assets import EMBEDDED_MODEL
from videograin.masks.export import save_npz
from videograin.media.encode import save_video
from videograin.media.video import load_clip

SIDE = 64


@pytest.fixture
def project(tmp_path: Path) -> Path:
    frames = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
    masks = np.zeros((3, SIDE, SIDE), bool)
    masks[:, 16:48, 16:48] = True
    save_video(tmp_path / "clip.mp4", frames, 8)
    save_npz(tmp_path / "masks.npz", {"cat": masks})
    document = {
        "version": 1, "clip": "clip.mp4", "source_prompt": "a dog", "clip_options": {"short_side": SIDE},
        "settings": {"num_inference_steps": 1},
        "regions": [{"masks": {"path": "masks.npz", "key": "cat"}, "prompt": "a cat", "name": "cat"}],
    }  # fmt: skip
    (tmp_path / "project.json").write_text(json.dumps(document))
    return tmp_path / "project.json"


@pytest.mark.slow
def test_an_edit_is_compared_method_by_method_and_may_be_voted_on(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, model = project.parent / "study/cat", project.parent / "tiny"
    tiny_pipeline().save_pretrained(model)
    command = ["compare", str(project), "--methods", "blending", "tokenflow", "-o", str(folder), "--device", "cpu"]
    assert main([*command, "--model", str(model), "--clip", str(EMBEDDED_MODEL / "clip"), "--offline"]) == OK
    said = capsys.readouterr()
    rows = {line[:15].strip(): line[15:].split() for line in said.out.splitlines()}
    scores = json.loads((folder / "scores.json").read_text())
    assert list(scores) == ["blending", "tokenflow"]
    assert float(rows["masked blending"][0]) == pytest.approx(scores["blending"]["scores"]["whole"]["clip_f"], abs=0.01)
    assert scores["tokenflow"]["cost"]["host_bytes"] > 1e8
    assert scores["blending"]["scores"]["outside_psnr"] is None  # infinite: nothing has changed outside
    assert scores["tokenflow"]["scores"]["outside_psnr"] < 40
    assert "DMT needs a text-to-video model" in said.err
    assert Image.open(folder / "strip.png").size == (3 * SIDE, 3 * (SIDE + BAR))
    assert load_clip(folder / "side-by-side.mp4").frames.shape[0] == 3
    [edit] = find_edits(folder.parent)
    assert (edit.prompt, sorted(edit.results)) == ("a cat", ["blending", "tokenflow"])


@pytest.mark.slow
def test_an_edit_is_scored_at_once_where_that_is_asked(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edit", str(project), "--score", "--device", "cpu"]) == OK
    assert "cat: CLIP-T" in capsys.readouterr().out
    assert main(["edit", str(project), "--score", "-o", str(project.with_suffix(".gif"))]) == USAGE
    assert "scored as an MP4, not as GIF" in capsys.readouterr().err
    assert not project.with_suffix(".gif").exists()


def test_what_cannot_be_compared_is_said_before_the_work(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(project), "--methods", "dmt"]) == USAGE
    assert "no method 'dmt'" in capsys.readouterr().err
    assert main(["compare", str(project), "-o", str(project)]) == USAGE
    assert "cannot be made a folder" in capsys.readouterr().err
    assert main(["compare", str(project), "--frames", "1", "--device", "cpu"]) == USAGE
    assert "One frame has no motion to be scored" in capsys.readouterr().err
    source = project.with_name("clip.mp4").rename(project.with_name("source.mp4"))
    project.write_text(project.read_text().replace("clip.mp4", source.name))
    assert main(["compare", str(project), "-o", str(project.parent)]) == USAGE
    assert f"A result would replace the clip, '{source}'" in capsys.readouterr().err


def test_clips_lie_under_their_titles_in_rows_and_on_a_grid() -> None:
    clips = [TitledClip(name, np.full((9, 40, 60, 3), 10 * place, np.uint8)) for place, name in enumerate("abc")]
    rows, grid = strip(clips), side_by_side(clips)
    assert rows.shape == (3 * (BAR + 40), 6 * 60, 3)
    assert grid.shape == (9, 2 * (BAR + 40), 2 * 60, 3)
    assert (rows[2 * BAR + 40 : 2 * (BAR + 40)] == 10).all()
    assert (grid[:, BAR : BAR + 40, 60:] == 10).all()
    assert rows[:BAR].min() < 128 < rows[:BAR].max()  # a title in ink on paper
