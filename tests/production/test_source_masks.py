"""Masks that are finer than the clip are cut into the crop as they are."""

from pathlib import Path

import numpy as np
import pytest
from synthetic_video import make

from videograin.masks.load import MaskSource
from videograin.media.video import ClipOptions
from videograin.production.source_edit import SourceEdit
from videograin.project import project as projects
from videograin.project.project import Project, ProjectRegion

FRAMES, WIDTH, HEIGHT = 3, 192, 128


@pytest.fixture
def exact() -> np.ndarray:
    """Masks of a disc at the video's size, (F, H, W) bool."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([np.hypot(x - 100 - 2 * frame, y - 60) < 9.5 for frame in range(FRAMES)])


@pytest.fixture
def project(tmp_path: Path, exact: np.ndarray) -> Project:
    """An edit of a clip of 48×32 pixels whose video is four times as large, with masks of two regions."""
    np.savez(tmp_path / "masks.npz", ball=exact, spot=exact & (np.arange(WIDTH) < 98))
    clip = make(tmp_path / "clip.mp4", f"color=gray:s={WIDTH}x{HEIGHT}:r=8:d={FRAMES / 8}")
    regions = (
        ProjectRegion(MaskSource(tmp_path / "masks.npz", key="ball"), prompt="a fox"),
        ProjectRegion(MaskSource(tmp_path / "masks.npz", key="spot")),
    )
    options = ClipOptions(short_side=32, multiple=16)
    return Project(clip=clip, source_prompt="a ball", clip_options=options, regions=regions)


def overlaps(project: Project, exact: np.ndarray, scratch: Path) -> list[float]:
    """Return the IoU of both regions that the pipeline is given with the exact ones."""
    scratch.mkdir()
    source = SourceEdit.prepare(project, scratch)
    assert source.request is not None
    assert source.crops is not None
    assert source.crops.box == source.crops.tile
    found = []
    for region, wanted in zip(source.request.regions, (exact, exact & (np.arange(WIDTH) < 98)), strict=True):
        parts = np.stack([source.crops.cut(frame, mask) for frame, mask in enumerate(wanted)])
        found.append(float((parts & region.masks).sum() / (parts | region.masks).sum()))
    return found


def test_masks_of_the_video_s_size_stay_exact_and_the_clip_s_size_is_used_where_they_would_not_fit_in_memory(
    project: Project, exact: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert overlaps(project, exact, tmp_path / "fine") == [1.0, 1.0]
    monkeypatch.setattr(projects, "MAX_STORED_BYTES", 0)
    assert max(overlaps(project, exact, tmp_path / "coarse")) < 0.95
