"""Two objects at the ends of a frame are edited in one picture of two crops, and land where they were."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from synthetic_video import make

from videograin.diffusion.control import DepthDetector
from videograin.errors import Cancelled
from videograin.masks.load import MaskSource
from videograin.media.video import ClipOptions
from videograin.production.source_edit import SourceEdit
from videograin.progress import Progress
from videograin.project.project import Project, ProjectRegion
from videograin.region import ControlKind

FRAMES, WIDTH, HEIGHT = 2, 384, 128
BALLS = {"left": (20, 30), "right": (360, 90)}
"""Their middles, x and y."""


class Brightness(torch.nn.Linear):
    """A model of depth for which what is bright is near."""

    def forward(self, pixel_values: torch.Tensor) -> SimpleNamespace:  # pyright: ignore[reportIncompatibleMethodOverride]
        return SimpleNamespace(predicted_depth=pixel_values.float().mean(-1))


def ball(name: str) -> np.ndarray:
    """Return the mask (H, W) bool of a ball at the video's size."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.hypot(x - BALLS[name][0], y - BALLS[name][1]) < 12


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An edit of both balls in a clip a quarter as large as its video."""
    np.savez(tmp_path / "masks.npz", left=[ball("left")] * FRAMES, right=[ball("right")] * FRAMES)
    clip = make(tmp_path / "clip.mp4", f"testsrc=s={WIDTH}x{HEIGHT}:r=8:d={FRAMES / 8}")
    regions = tuple(
        ProjectRegion(MaskSource(tmp_path / "masks.npz", key=name), prompt=f"a {name} fox") for name in BALLS
    )
    options = ClipOptions(short_side=64, multiple=16)
    (tmp_path / "scratch").mkdir()
    return Project(clip=clip, source_prompt="balls", regions=regions, clip_options=options)


@pytest.fixture
def source(tmp_path: Path, project: Project) -> SourceEdit:
    return SourceEdit.prepare(project, tmp_path / "scratch")


def test_both_are_drawn_in_one_picture_at_the_source_s_own_pixels(source: SourceEdit) -> None:
    assert source.request is not None
    assert source.crops is not None
    assert len(source.crops.corners) == 2
    assert source.request.frames.shape == (FRAMES, 64, 128, 3)
    frame = next(source.source_frames())
    assert np.array_equal(source.request.frames[0], source.crops.cut(0, frame))
    for region, name in zip(source.request.regions, BALLS, strict=True):
        assert np.array_equal(region.masks[0], source.crops.cut(0, ball(name)))


def test_what_is_drawn_covers_both_balls_and_nothing_else(source: SourceEdit) -> None:
    assert source.request is not None
    before = list(source.source_frames())
    after = np.stack(list(source.finished(0, 255 - source.request.frames, before)))
    both = ball("left") | ball("right")
    (opacity, _) = source.opacities(0, FRAMES)
    assert np.array_equal(opacity > 0.5, both)
    assert np.abs(after[0][both].astype(int) - (255 - before[0][both])).max() <= 1


def test_attention_maps_show_each_ball_at_its_place(source: SourceEdit) -> None:
    maps = np.zeros((2, FRAMES, 4, 8), np.float32)
    maps[0, :, :, :4], maps[1, :, :, 4:] = 1, 2
    whole = source.attention(0, maps)
    scale = whole.shape[3] / WIDTH
    for region, (x, y) in enumerate(BALLS.values()):
        assert whole[region, 0, int(y * scale), int(x * scale)] == region + 1
        assert (whole[region, 0] > 0).mean() < 0.2


def test_while_frames_masks_and_control_images_are_made_it_is_told_and_can_be_stopped(
    tmp_path: Path, project: Project
) -> None:
    project, told = replace(project, controls=(ControlKind.CANNY,)), []
    SourceEdit.prepare(project, tmp_path / "scratch", report=told.append)
    assert [(each.done, each.total, each.seconds_left) for each in told] == [(done, 4, None) for done in range(5)]

    def stop(progress: Progress) -> None:
        if progress.done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        SourceEdit.prepare(project, tmp_path / "scratch", report=stop)


def test_what_control_images_show_of_depth_is_that_of_the_whole_clip_in_whatever_parts_it_is_looked_at(
    tmp_path: Path, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    nearness_is_brightness = DepthDetector(
        Brightness(1, 1), lambda images, **_: {"pixel_values": torch.from_numpy(np.stack(images))}
    )
    monkeypatch.setattr("videograin.diffusion.control.load_detector", lambda *_, **__: nearness_is_brightness)
    monkeypatch.setattr("videograin.production.source_edit.FRAMES_AT_ONCE", 1)
    make(project.clip, f"color=gray:s={WIDTH}x{HEIGHT}:r=8:d={FRAMES / 8},geq=lum='60+50*(1+N)*gt(X,{WIDTH / 2})'")
    source = SourceEdit.prepare(replace(project, controls=(ControlKind.DEPTH,)), tmp_path / "scratch")
    assert source.request is not None
    (images,) = source.request.control_images
    assert np.array_equal(images, nearness_is_brightness(source.request.frames))
    assert images[0].max() < images[1].max() == 255
