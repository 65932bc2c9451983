import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_video import make, moving_scene

from videograin.errors import RegionError
from videograin.masks.load import MaskSource
from videograin.media.encode import GREEN, OutputFormat, save_video
from videograin.media.video import ClipOptions, load_clip
from videograin.production.export import export_edit
from videograin.production.source_edit import SourceEdit
from videograin.project.project import Project, ProjectRegion

AS_IT_IS = ClipOptions(short_side=None, multiple=1)
RED = (200, 30, 30)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An edit of the middle of a clip of 4 frames of 96×64, edited at half its size."""
    save_video(tmp_path / "clip.mp4", moving_scene(4, 64, 96), 8)
    mask = np.zeros((64, 96), np.uint8)
    mask[16:48, 32:64] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    region = ProjectRegion(MaskSource(tmp_path / "mask.png"), "a fox")
    options = ClipOptions(short_side=32, multiple=16)
    return Project(clip=tmp_path / "clip.mp4", regions=(region,), source_prompt="a dog", clip_options=options)


@pytest.fixture
def stopped_early(tmp_path: Path) -> Path:
    """Its result, all red, of which 3 frames were finished."""
    save_video(tmp_path / "edit.mp4", np.full((3, 64, 96, 3), RED, np.uint8), 8)
    return tmp_path / "edit.mp4"


def is_near(frames: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(frames.astype(int) - colour).max(-1) < 25


def test_a_cutout_of_a_result_shows_the_edited_object_alone_at_the_source_s_size(
    project: Project, stopped_early: Path
) -> None:
    target = stopped_early.with_name("green.mp4")
    export_edit(project, stopped_early, target, OutputFormat.GREEN_SCREEN)
    frames = load_clip(target, AS_IT_IS).frames
    assert frames.shape == (3, 64, 96, 3)
    assert is_near(frames[:, 22:42, 38:58], RED).all()
    assert is_near(frames[:, :10], GREEN).all()
    assert is_near(frames[:, :, 70:], GREEN).all()


def test_a_cutout_is_transparent_where_a_whisker_made_way_for_the_background(project: Project, tmp_path: Path) -> None:
    mask = np.zeros((64, 96), np.uint8)
    mask[16:48, 32:64] = 255
    mask[30:34, 64:80] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    (tmp_path / "scratch").mkdir()
    source = SourceEdit.prepare(project, tmp_path / "scratch")
    opacity = next(source.opacities(0, 1))
    assert opacity[24:40, 40:56].min() == 1
    assert opacity[:, 68:].max() == 0


def test_pictures_of_a_result_need_no_source(project: Project, stopped_early: Path) -> None:
    project.clip.unlink()
    target = stopped_early.with_name("pictures.zip")
    export_edit(project, stopped_early, target, OutputFormat.PNG)
    with zipfile.ZipFile(target) as pictures:
        assert pictures.namelist() == ["00000.png", "00001.png", "00002.png"]


def test_pictures_of_a_result_are_as_large_as_a_source_of_odd_sides(project: Project, tmp_path: Path) -> None:
    make(tmp_path / "odd.mkv", "color=gray:s=95x63:r=8:d=0.25,format=yuv444p")
    save_video(tmp_path / "edit.mp4", np.full((2, 63, 95, 3), RED, np.uint8), 8)
    target = tmp_path / "pictures.zip"
    export_edit(replace(project, clip=tmp_path / "odd.mkv"), tmp_path / "edit.mp4", target, OutputFormat.PNG)
    with zipfile.ZipFile(target) as pictures, pictures.open("00000.png") as picture:
        assert Image.open(picture).size == (95, 63)


def test_a_result_of_more_than_a_minute_is_written_to_its_end(project: Project, tmp_path: Path) -> None:
    count = 1803
    make(tmp_path / "edit.mp4", f"color=red:s=32x32:r=30:d={count / 30}")
    export_edit(project, tmp_path / "edit.mp4", tmp_path / "pictures.zip", OutputFormat.PNG)
    with zipfile.ZipFile(tmp_path / "pictures.zip") as pictures:
        assert len(pictures.namelist()) == count


@pytest.mark.parametrize("marked", [False, True])
def test_an_edit_without_an_object_that_changes_is_refused_with_a_sentence(
    project: Project, tmp_path: Path, marked: bool
) -> None:
    kept = (replace(project.regions[0], prompt=""),) if marked else ()
    with pytest.raises(RegionError, match="prompt"):
        SourceEdit.prepare(replace(project, regions=kept), tmp_path)
