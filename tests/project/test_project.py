import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_video import moving_scene
from whole_requests import load_request

from videograin.errors import ProjectError, SettingsError
from videograin.files.document import format_document, to_plain
from videograin.masks.load import MaskSource
from videograin.media.encode import save_video
from videograin.media.video import ClipOptions
from videograin.models.bundles import find_bundle
from videograin.models.presets import Quality, apply_quality
from videograin.project.project import VERSION, Project, ProjectRegion, load_project
from videograin.region import ControlKind, Convention, EditSettings

MINIMAL = {
    "version": 1,
    "clip": "clip.mp4",
    "source_prompt": "a ball on the wall",
    "regions": [{"masks": {"path": "ball.png"}, "prompt": "a red panda", "name": "ball"}],
}


def write(folder: Path, **changes: object) -> Path:
    """A project file; a change of None takes the key out."""
    document = {key: value for key, value in (MINIMAL | changes).items() if value is not None}
    (folder / "project.json").write_text(json.dumps(document))
    return folder / "project.json"


def full_project(folder: Path) -> Project:
    return Project(
        clip=folder / "clips" / "clip.mp4",
        regions=(
            ProjectRegion(MaskSource(folder / "masks" / "left"), "a red panda", "left", 2.0),
            ProjectRegion(MaskSource(folder / "davis", label=2)),
            ProjectRegion(MaskSource(folder / "masks.npz", key="right"), "a fox"),
        ),
        source_prompt="zwei Männer",
        model="sd15",
        clip_options=ClipOptions(start=1.5, end=3.0, fps=8.0, fit="fit"),
        background="on grass",
        controls=(ControlKind.CANNY, ControlKind.DEPTH),
        settings=EditSettings(num_inference_steps=7, convention=Convention.RELEASE, seed=3),
        output=folder / "out.mp4",
    )


def write_project(project: Project, file: Path) -> Path:
    """A project file with every key."""
    file.write_bytes(format_document(VERSION, to_plain(project, file.parent)))
    return file


def test_a_quality_takes_the_place_of_the_model_s_steps_and_shortcuts_but_not_of_what_the_file_sets(
    tmp_path: Path,
) -> None:
    own = find_bundle("emoji-world").settings
    written = write(tmp_path, quality="draft", settings={"seed": 3, "num_inference_steps": 5})
    expected = replace(apply_quality(Quality.DRAFT, own, own), seed=3, num_inference_steps=5)
    assert load_project(written).settings == expected
    with pytest.raises(ProjectError, match="quality is 'best'; give one of: draft, standard, exact"):
        load_project(write(tmp_path, quality="best"))


def test_a_file_with_every_key_is_loaded_as_it_was_written(tmp_path: Path) -> None:
    assert load_project(write_project(full_project(tmp_path), tmp_path / "project.json")) == full_project(tmp_path)


def test_a_project_folder_can_be_moved(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    write_project(full_project(tmp_path / "here"), tmp_path / "here" / "project.json")
    (tmp_path / "here").rename(tmp_path / "there")
    assert load_project(tmp_path / "there" / "project.json") == full_project(tmp_path / "there")


def test_what_the_file_leaves_out_is_what_suits_the_model(tmp_path: Path) -> None:
    bundle = find_bundle("emoji-world")
    project = load_project(write(tmp_path, settings={"seed": 5}, clip_options={"fps": 8}))
    assert project.settings == replace(bundle.settings, seed=5)
    assert project.clip_options == ClipOptions(fps=8.0, short_side=256, multiple=32)
    assert load_project(write(tmp_path), model="sd15").clip_options.short_side == 512


def test_a_model_beside_the_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "my-model").mkdir()
    assert load_project(write(tmp_path, model="my-model")).model == str(tmp_path / "my-model")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source_promt": "x"}, "source_promt is unknown. Did you mean 'source_prompt'"),
        ({"settings": {"guidance_scal": 3}}, "settings.guidance_scal is unknown. Did you mean 'guidance_scale'"),
        ({"settings": {"xyzzy": 3}}, "settings.xyzzy is unknown. Known are: num_inference_steps"),
        ({"settings": {"seed": "3"}}, "settings.seed is '3'; give a whole number"),
        ({"settings": {"seed": True}}, "settings.seed is True; give a whole number"),
        ({"settings": []}, r"settings is \[\]; give an object"),
        ({"settings": {"convention": "mine"}}, "settings.convention is 'mine'; choose one of: paper, release"),
        ({"clip_options": {"fit": "zoom"}}, "clip_options.fit is 'zoom'; choose one of: crop, fit"),
        ({"controls": "canny"}, "controls is 'canny'; give a list"),
        ({"controls": ["cany"]}, r"controls\[0\] is 'cany'; choose one of: canny"),
        ({"clip": None}, "clip is missing.$"),
        ({"source_prompt": None, "source_promt": "x"}, "source_prompt is missing. Is 'source_promt' meant"),
        ({"regions": [{"prompt": "a fox"}]}, r"regions\[0\].masks is missing"),
        ({"regions": [{"masks": {"path": 3}}]}, r"regions\[0\].masks.path is 3; give a path"),
        ({"model": 3}, "model is 3; give a text"),
        ({"version": 2}, "a whole folder of work. Give its folder"),
        ({"version": 3}, "version 3; this program reads version 1"),
        ({"version": None}, "version None"),
    ],
)
def test_what_does_not_belong_is_named(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(ProjectError, match=message):
        load_project(write(tmp_path, **changes))


def test_a_value_out_of_range_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="guidance_scale is 99"):
        load_project(write(tmp_path, settings={"guidance_scale": 99}))


def test_a_byte_order_mark_before_the_file_does_not_matter(tmp_path: Path) -> None:
    path = write(tmp_path)
    plain = load_project(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_project(path) == plain


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"version": 1,\n  "clip" "x"}', "damaged at line 2, column 10"),
        (b"", "damaged at line 1, column 1"),
        (b"[1]", "holds no JSON object"),
        (b'{"version": "\xff"}', "not JSON in UTF-8"),
    ],
)
def test_a_damaged_file_is_reported_with_its_place(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "project.json").write_bytes(content)
    with pytest.raises(ProjectError, match=message):
        load_project(tmp_path / "project.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"gone\.json' cannot be opened"):
        load_project(tmp_path / "gone.json")


def test_a_project_becomes_a_request(tmp_path: Path) -> None:
    save_video(tmp_path / "clip.mp4", moving_scene(4, 64, 96), 8)
    mask = np.zeros((64, 96), np.uint8)
    mask[16:48, 32:64] = 255
    Image.fromarray(mask).save(tmp_path / "ball.png")
    options = {"short_side": 64, "multiple": 32, "max_frames": 3}
    request, clip = load_request(load_project(write(tmp_path, clip_options=options, controls=["canny"])))
    assert request.frames.shape == clip.frames.shape == (3, 64, 96, 3)
    assert np.array_equal(request.regions[0].masks, np.broadcast_to(mask > 0, (3, 64, 96)))
    assert request.regions[0].prompt == "a red panda"
    assert request.control_images[0].shape == request.frames.shape
