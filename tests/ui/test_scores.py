"""A result's scores where a user asks: the button, the table, and what is said where the CLIP is missing."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from ui.rendering.score_markup import score_button, score_panel, score_table
from ui.work.scores import SCORED_FRAMES, Scores
from videograin.errors import ModelError
from videograin.evaluation.report import as_document
from videograin.jobs.store import JobKind, JobStore
from videograin.jobs.worker import JobStatus
from videograin.masks.export import save_npz
from videograin.masks.load import MaskSource
from videograin.media.encode import save_video
from videograin.media.video import ClipOptions, load_clip
from videograin.project.project import Project, ProjectRegion

FRAMES, SIDE = SCORED_FRAMES + 2, 64


def finished(tmp_path: Path, frames: int = FRAMES) -> tuple[JobStatus, JobStore]:
    """A finished edit of noise that turned negative inside its object."""
    source = np.random.default_rng(0).integers(64, 192, (FRAMES, SIDE, SIDE, 3), np.uint8)
    masks = np.zeros((FRAMES, SIDE, SIDE), bool)
    masks[:, 16:48, 16:48] = True
    save_video(tmp_path / "clip.mp4", source, 8)
    save_video(tmp_path / "edit.mp4", np.where(masks[..., None], 255 - source, source)[:frames], 8)
    late = masks & (np.arange(FRAMES) >= SCORED_FRAMES)[:, None, None]
    save_npz(tmp_path / "masks.npz", {"cat": masks, "late": late})
    regions = (
        ProjectRegion(MaskSource(tmp_path / "masks.npz", key="cat"), "a <cat>", "cat & dog"),
        ProjectRegion(MaskSource(tmp_path / "masks.npz", key="late"), "a fox", "who comes in after what is scored"),
    )
    project = Project(
        clip=tmp_path / "clip.mp4", source_prompt="a dog", regions=regions, clip_options=ClipOptions(short_side=SIDE)
    )
    job = SimpleNamespace(id="7", kind=JobKind.EDIT)
    made = SimpleNamespace(video=Path("edit.mp4"), frames=frames)
    status = SimpleNamespace(job=job, results=tmp_path, result=made)
    store = SimpleNamespace(request=lambda _job, _kind: project)
    return cast(JobStatus, status), cast(JobStore, store)


def test_a_result_is_scored_on_its_first_frames_and_shown_as_a_table(tmp_path: Path) -> None:
    result, store = finished(tmp_path)
    scored = Scores().score(result, store)
    report, table = scored.report, score_panel(scored)
    assert report.frames == SCORED_FRAMES
    assert report.clip == "mini CLIP of Emoji World"
    assert f"the worst first: {report.worst[0] + 1}, " in table
    assert "<img src='data:image/jpeg" in table
    assert "words fit it best" not in table  # no other region's words could
    assert [each.name for each in report.regions] == ["cat & dog"]
    assert "cat &amp; dog" in table
    assert f"{report.regions[0].clip_t:.1f} %" in table
    assert f"{report.whole.warp_error:.2f}" in table
    assert "32 frames, measured by mini CLIP of Emoji World and optical flow by DIS." in table
    assert "unchanged" in score_table(replace(report, outside_psnr=math.inf))
    assert as_document(replace(report, seam_ratio=math.nan))["seam_ratio"] is None
    assert "data-action='score' data-value='7'" in score_button(result)


def test_a_result_that_was_stopped_early_is_scored_as_far_as_it_goes(tmp_path: Path) -> None:
    assert Scores().score(*finished(tmp_path, frames=5)).report.frames == 5


def test_the_result_of_every_second_frame_is_scored_beside_these(tmp_path: Path) -> None:
    result, store = finished(tmp_path)
    project = store.request(result.job, Project)
    thinned = replace(project, clip_options=replace(project.clip_options, stride=2))
    save_video(tmp_path / "edit.mp4", load_clip(project.clip, thinned.clip_options).frames, 4)
    report = Scores().score(result, cast(JobStore, SimpleNamespace(request=lambda *_: thinned))).report
    assert report.frames == FRAMES // 2
    assert report.outside_psnr > 35


def test_scores_are_not_offered_of_one_frame(tmp_path: Path) -> None:
    assert score_button(finished(tmp_path, frames=1)[0]) == ""


@pytest.mark.usefixtures("no_network")
def test_where_the_clip_is_missing_it_is_said_how_to_fetch_it(tmp_path: Path) -> None:
    result, store = finished(tmp_path)
    project = replace(store.request(result.job, Project), model="sd15")
    filmed = cast(JobStore, SimpleNamespace(request=lambda _job, _kind: project))
    with pytest.raises(ModelError, match="videograin download clip"):
        Scores().score(result, filmed)
