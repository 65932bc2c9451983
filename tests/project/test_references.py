"""Reference pictures in projects and works: read within limits, kept with the rest."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_work import any_clip, make_clip, small_work
from PIL import Image

from videograin.errors import RegionError
from videograin.media.video import load_clip
from videograin.project import references
from videograin.project.archive import export_workspace, import_workspace
from videograin.project.objects import change_object
from videograin.project.references import ReferenceFile, read_picture

RED = (200, 10, 20)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    image = Image.new("RGBA", (600, 300), (0, 0, 0, 0))
    image.paste((*RED, 255), (0, 0, 300, 300))
    image.save(tmp_path / "fox.png")
    return tmp_path / "fox.png"


def test_a_picture_is_reduced_and_transparent_parts_are_white(picture: Path) -> None:
    read = read_picture(picture)
    assert read.shape == (256, 512, 3)
    assert tuple(read[100, 20]) == RED
    assert tuple(read[100, 500]) == (255, 255, 255)


def test_what_is_no_picture_or_too_large_is_refused(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fake.png").write_bytes(b"GIF89a")
    (tmp_path / "notes.txt").write_text("fox")
    for name, message in (("fake.png", "cannot be read as a picture"), ("notes.txt", "Choose a PNG, JPEG or WebP")):
        with pytest.raises(RegionError, match=message):
            read_picture(tmp_path / name)
    monkeypatch.setattr(references, "MAX_PIXELS", 100_000)
    with pytest.raises(RegionError, match="600×300 pixels"):
        read_picture(picture)
    with pytest.raises(RegionError, match="choose 0 to 2"):
        ReferenceFile(picture, 2.5)


def test_a_picture_goes_with_the_work_and_into_its_edit(picture: Path, tmp_path: Path) -> None:
    work = small_work(make_clip(tmp_path))
    given = ReferenceFile(picture, 0.8)
    work = change_object(work, 2, lambda each: replace(each, reference=given))
    work = change_object(work, 1, lambda each: replace(each, reference=given))  # is kept: it has no words
    assert work.has_references
    export_workspace(work, tmp_path / "work.zip")
    again = import_workspace(tmp_path / "work.zip", tmp_path / "again", any_clip).workspace
    shirt = next(each for each in again.objects if each.id == 2)
    assert shirt.reference is not None
    assert shirt.reference.weight == 0.8
    assert shirt.reference.file.is_relative_to(tmp_path / "again")
    man, red_shirt, _ = again.load_regions(load_clip(again.clip, again.clip_options))
    assert man.reference is None
    assert red_shirt.reference is not None
    assert np.array_equal(red_shirt.reference.picture, read_picture(picture))
