import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_video import moving_scene

from videograin.jobs.edit import EditFiles
from videograin.jobs.package import pack_edit
from videograin.masks.load import MaskSource
from videograin.media.video import ClipOptions, save_video
from videograin.project.project import Project, ProjectRegion, load_project, load_request

FILES = EditFiles(Path("edit.mp4"), Path("comparison.mp4"), "a fox", frames=3, fps=8.0, seconds=1.0)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Two regions in one file of masks and one in another, as the store names files."""
    save_video(tmp_path / "3f2a.mp4", moving_scene(3, 64, 96), 8)
    box = np.zeros((64, 96), np.uint8)
    box[16:48, 32:64] = 1
    np.savez(tmp_path / "77b0.npz", cat=box, dog=1 - box)
    Image.fromarray(box * 255).save(tmp_path / "91cc.png")
    (tmp_path / "results").mkdir()
    for name in ("edit.mp4", "comparison.mp4", "other.tmp"):
        (tmp_path / "results" / name).write_bytes(name.encode())
    return Project(
        clip=tmp_path / "3f2a.mp4",
        regions=(
            ProjectRegion(MaskSource(tmp_path / "77b0.npz", key="cat"), "a fox", "cat"),
            ProjectRegion(MaskSource(tmp_path / "77b0.npz", key="dog"), "", "dog"),
            ProjectRegion(MaskSource(tmp_path / "91cc.png"), "a hat", "../../etc"),
        ),
        source_prompt="a cat and a dog",
        clip_options=ClipOptions(short_side=32, multiple=16),
    )


def test_the_package_holds_everything_and_can_be_edited_again_elsewhere(project: Project, tmp_path: Path) -> None:
    pack_edit(project, tmp_path / "results", FILES, tmp_path / "edit.zip")
    elsewhere = tmp_path / "elsewhere"
    with zipfile.ZipFile(tmp_path / "edit.zip") as archive:
        archive.extractall(elsewhere)
    assert sorted(path.name for path in elsewhere.iterdir()) == [
        "clip.mp4", "comparison.mp4", "edit.mp4", "masks-1.npz", "masks-2.png", "project.json",
    ]  # fmt: skip
    unpacked = load_project(elsewhere / "project.json")
    assert unpacked.clip == elsewhere / "clip.mp4"
    assert replace(unpacked, clip=project.clip, regions=project.regions) == project
    (ours, _), (theirs, _) = load_request(project), load_request(unpacked)
    assert np.array_equal(ours.frames, theirs.frames)
    for mine, other in zip(ours.regions, theirs.regions, strict=True):
        assert np.array_equal(mine.masks, other.masks)
        assert (mine.prompt, mine.name) == (other.prompt, other.name)


def test_no_path_of_the_server_is_in_it(project: Project, tmp_path: Path) -> None:
    pack_edit(project, tmp_path / "results", FILES, tmp_path / "edit.zip")
    assert str(tmp_path).encode() not in (tmp_path / "edit.zip").read_bytes()


def test_a_package_that_cannot_be_whole_is_not_there(project: Project, tmp_path: Path) -> None:
    (tmp_path / "results/edit.mp4").unlink()
    before = set(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError):
        pack_edit(project, tmp_path / "results", FILES, tmp_path / "edit.zip")
    assert set(tmp_path.iterdir()) == before
