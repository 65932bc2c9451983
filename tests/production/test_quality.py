"""How finely a result is encoded follows from what is kept of its source."""

from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Event, Timer

import numpy as np
import pytest
from PIL import Image
from synthetic_video import moving_scene, psnr

from videograin.errors import Cancelled
from videograin.masks.load import MaskSource
from videograin.media.encode import DEFAULT_CRF, save_part, save_video
from videograin.media.video import ClipOptions, load_clip
from videograin.production.quality import FINEST_CRF, judged_beside, kept_crf
from videograin.production.source_edit import SourceEdit
from videograin.project.project import Project, ProjectRegion

FPS = 8
WHOLE = ClipOptions(short_side=None, multiple=1)


@pytest.fixture
def source(tmp_path: Path) -> Callable[[np.ndarray], SourceEdit]:
    """Make the edit of a film's middle, at a quarter of its size."""
    mask = np.zeros((96, 128), np.uint8)
    mask[40:56, 56:72] = 255
    Image.fromarray(mask).save(tmp_path / "ball.png")

    def prepare(frames: np.ndarray) -> SourceEdit:
        save_video(tmp_path / "film.mp4", frames, FPS, crf=4)
        project = Project(
            clip=tmp_path / "film.mp4",
            regions=(ProjectRegion(MaskSource(tmp_path / "ball.png"), "a panda"),),
            source_prompt="a ball",
            clip_options=ClipOptions(short_side=32, multiple=16),
        )
        (tmp_path / "scratch").mkdir()
        return SourceEdit.prepare(project, tmp_path / "scratch")

    return prepare


def test_a_wall_is_encoded_as_usual(source, tmp_path: Path) -> None:
    assert kept_crf(source(np.full((8, 96, 128, 3), 128, np.uint8)), tmp_path) == DEFAULT_CRF


def test_grain_is_kept_at_45_decibels(source, tmp_path: Path) -> None:
    grain = np.random.default_rng(0).normal(0, 4, (8, 96, 128, 1))
    edit = source(np.clip(np.rint(moving_scene(8, 96, 128) + grain), 0, 255).astype(np.uint8))
    crf = kept_crf(edit, tmp_path)
    assert FINEST_CRF < crf < DEFAULT_CRF
    kept = np.stack(list(edit.source_frames()))
    save_part(tmp_path / "result.mp4", kept, FPS, crf)
    assert psnr(load_clip(tmp_path / "result.mp4", WHOLE).frames, kept) >= 45
    save_part(tmp_path / "usual.mp4", kept, FPS)
    assert psnr(load_clip(tmp_path / "usual.mp4", WHOLE).frames, kept) < 45


def test_a_source_is_judged_while_its_edit_begins(source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begins = Event()
    monkeypatch.setattr("videograin.production.quality.kept_crf", lambda *_: 20 if begins.wait(10) else 0)
    with judged_beside(source(moving_scene(8, 96, 128)), tmp_path) as crf:
        begins.set()
        assert crf() == 20


def test_an_edit_that_ends_does_not_wait_until_its_source_is_judged(source, tmp_path: Path, monkeypatch) -> None:
    edit, judging, ended = source(moving_scene(8, 96, 128)), Event(), Event()

    def save_slowly(path: Path, frames: Iterable[np.ndarray], *_: object) -> None:
        judging.set()
        assert ended.wait(10)
        save_part(path, frames, FPS)  # it fails when it asks for a frame

    monkeypatch.setattr("videograin.production.quality.save_part", save_slowly)
    with judged_beside(edit, tmp_path) as crf:
        assert judging.wait(10)
        Timer(0.2, ended.set).start()
    with pytest.raises(Cancelled, match="before its source was judged"):
        crf()
    assert not list(tmp_path.glob("sample*"))
