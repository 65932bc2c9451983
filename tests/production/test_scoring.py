"""Which pixels of a result are scored: those that its source has, also where an encoder has added some."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from synthetic_video import make, psnr

from videograin.evaluation.scorers import NamedScorer
from videograin.masks.export import save_npz
from videograin.masks.load import MaskSource
from videograin.media.encode import save_video
from videograin.media.video import ClipOptions, load_clip, stream_frames
from videograin.production import scoring
from videograin.project.project import Project, ProjectRegion
from videograin.region import EditRequest


@pytest.mark.parametrize("size", [(95, 161), (399, 76), (128, 96)])
def test_the_result_of_a_source_with_odd_sides_is_scored_pixel_by_pixel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    width, height = size
    smooth = f"testsrc2=s=320x240:r=8:d=0.5,format=gbrp,gblur=3,scale={width}:{height},setsar=1,format=yuv444p"
    source = make(tmp_path / "clip.mkv", smooth, "-crf", "1")
    masks = np.zeros((1, height, width), bool)
    masks[:, 20:40, 20:40] = True
    save_npz(tmp_path / "masks.npz", {"cat": masks[0][None]})
    project = Project(
        clip=source,
        source_prompt="a dog",
        clip_options=ClipOptions(short_side=64, multiple=32),
        regions=(ProjectRegion(MaskSource(tmp_path / "masks.npz"), prompt="a cat"),),
    )
    whole = replace(project.clip_options, short_side=None, multiple=1)
    save_video(tmp_path / "edit.mp4", stream_frames(load_clip(source, whole), whole), 8, crf=1)
    seen: dict[str, np.ndarray] = {}

    def score_request(_clip: object, request: EditRequest, result: np.ndarray, *_: object) -> SimpleNamespace:
        seen.update(source=request.frames, result=result)
        return SimpleNamespace()

    monkeypatch.setattr(scoring, "score_request", score_request)
    scoring.score_result(project, tmp_path / "edit.mp4", NamedScorer("none", SimpleNamespace()))  # pyright: ignore[reportArgumentType]
    assert seen["result"].shape == seen["source"].shape
    assert psnr(seen["result"], seen["source"]) > 33
