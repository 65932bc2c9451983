"""An object of a file is removed at the source's size; only what no frame shows is drawn."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fake_jobs import ANN, finished
from fakes import tiny_pipeline

from videograin.cli.main import main
from videograin.errors import Cancelled
from videograin.files.document import to_plain
from videograin.jobs.editing.edit_jobs import EditJobs
from videograin.jobs.model_shelf import ModelShelf
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import JobKind, JobState, JobStore
from videograin.jobs.worker import Worker
from videograin.masks.load import MaskSource
from videograin.media.encode import save_video
from videograin.media.npz import write_npz
from videograin.media.video import ClipOptions, load_clip, stream_frames
from videograin.production.plate import Plate
from videograin.production.source_edit import SourceEdit
from videograin.progress import Progress, ignore
from videograin.project.project import Project, ProjectRegion
from videograin.region import NOTHING

FRAMES, HEIGHT, WIDTH = 8, 128, 192
WHOLE = ClipOptions(short_side=None, multiple=1)


def stretched(texture: np.ndarray) -> np.ndarray:
    """Bring a texture to the range from 20 to 235."""
    return 20 + 215 * (texture - texture.min()) / np.ptp(texture)


def backdrop() -> np.ndarray:
    noise = np.random.default_rng(1).random((HEIGHT, WIDTH, 3)).astype(np.float32)
    still = stretched(cv2.GaussianBlur(noise, (0, 0), 3)).astype(np.uint8)
    return np.repeat(still[None], FRAMES, axis=0)


def ball(speed: float) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([np.hypot(rows - 64, columns - 50 - speed * t) <= 14 for t in range(FRAMES)])


def project_with(folder: Path, speed: float) -> Project:
    """A ball over a texture that is to become nothing, in a clip half as large as its source."""
    frames, masks = backdrop(), ball(speed)
    frames[masks] = (250, 250, 30)
    save_video(folder / "clip.mp4", frames, 8)
    write_npz(folder / "masks.npz", {"ball": masks})
    return Project(
        clip=folder / "clip.mp4",
        source_prompt="a ball",
        background="on grass",
        model=str(folder / "no model is here"),
        clip_options=ClipOptions(short_side=64, multiple=32),
        regions=(ProjectRegion(MaskSource(folder / "masks.npz", key="ball"), NOTHING, "ball"),),
    )


def test_what_is_seen_in_other_frames_needs_no_model(tmp_path: Path) -> None:
    project, background = project_with(tmp_path, speed=10.0), backdrop()
    source = SourceEdit.prepare(project, tmp_path)
    assert source.request is None
    assert source.plate is not None
    assert source.size == (WIDTH, HEIGHT)
    before = load_clip(project.clip, WHOLE).frames
    hidden = ball(10.0)
    error = np.abs(source.plate.frames.astype(int) - background)
    assert error[hidden].mean() < 6, "what video compression left of it"
    far = ~cv2.dilate(np.asarray(hidden.any(0), np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    assert np.array_equal(source.plate.frames[:, far], before[:, far])


def test_reading_a_large_source_stops_within_a_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def counted(*arguments: Any) -> Iterator[np.ndarray]:
        for frame in stream_frames(*arguments):
            read.append(frame)
            yield frame

    def stop(_progress: Progress) -> None:
        raise Cancelled

    monkeypatch.setattr("videograin.production.plate.stream_frames", counted)
    with pytest.raises(Cancelled):
        SourceEdit.prepare(project_with(tmp_path, speed=10.0), tmp_path, report=stop)
    assert len(read) == 1


def test_what_no_frame_shows_is_drawn_as_background_from_noise_alone(tmp_path: Path) -> None:
    source = SourceEdit.prepare(project_with(tmp_path, speed=0.0), tmp_path)
    assert source.request is not None
    (region,) = source.request.regions
    assert (region.prompt, region.is_new) == ("grass", True)
    assert source.numbers == (0,)
    sentence = replace(
        project_with(tmp_path, speed=0.0), background=r"on gr\a\s\s", target_prompt="nothing on a meadow"
    )
    asked = SourceEdit.prepare(sentence, tmp_path).request
    assert asked is not None
    assert asked.target_prompt == r"gr\a\s\s on a meadow"


def test_a_smaller_object_in_one_that_is_removed_stays(tmp_path: Path) -> None:
    project = project_with(tmp_path, speed=0.0)
    clip = load_clip(project.clip, project.clip_options)
    (removed,) = project.load_regions(clip)
    small = np.zeros_like(removed.masks)
    small[:, 30:34, 22:28] = True
    plate = Plate.of(clip, project, [removed, replace(removed, masks=small, prompt="a fox")], tmp_path, ignore)
    assert not plate.unseen[:, 31:33, 24:26].any()
    assert plate.unseen.any()


def test_a_job_removes_an_object_and_says_so(tmp_path: Path) -> None:
    project = project_with(tmp_path, speed=10.0)
    tiny_pipeline().save_pretrained(tmp_path / "tiny")
    store = JobStore(tmp_path / "jobs")
    settings = OperatorSettings(data_folder=tmp_path, models=(str(tmp_path / "tiny"),), max_side=256)
    shelf = ModelShelf(tmp_path / "cache", "cpu", offline=True, speed=1e9)
    worker = Worker(store, EditJobs(shelf, settings).handlers(), settings)
    worker.start()
    (region,) = project.regions
    kept = replace(region, masks=replace(region.masks, path=store.keep(ANN, region.masks.path)))
    asked = replace(project, clip=store.keep(ANN, project.clip), model=str(tmp_path / "tiny"), regions=(kept,))
    status = finished(worker, worker.submit(ANN, JobKind.EDIT, asked).id)
    assert status.job.state is JobState.DONE, status.job.message
    assert shelf.state.held == "", "no model was needed"
    result = load_clip(status.results / status.result.video, WHOLE).frames
    assert np.abs(result.astype(int) - backdrop())[ball(10.0)].mean() < 8
    assert worker.stop()


def test_the_command_line_removes_an_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = project_with(tmp_path, speed=10.0)
    document = to_plain(replace(project, model="emoji-world"), tmp_path) | {"version": 1}
    (tmp_path / "project.json").write_text(json.dumps(document))
    main(["edit", str(tmp_path / "project.json"), "-o", str(tmp_path / "without.mp4"), "--device", "cpu"])
    assert "without.mp4: nothing" in capsys.readouterr().out
    result = load_clip(tmp_path / "without.mp4", WHOLE).frames
    assert np.abs(result.astype(int) - backdrop())[ball(10.0)].mean() < 8
