import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from fake_jobs import ANN, BOB, finished, wait_until
from fakes import tiny_pipeline
from PIL import Image
from synthetic_video import make, psnr

from videograin import engine
from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.errors import JobError, VideoGrainError
from videograin.jobs.context import JobContext
from videograin.jobs.edit import PREVIEW_FRAMES, EditFiles, draft, read_attention
from videograin.jobs.editing.edit_jobs import REUSED, SHORTER_WINDOWS, EditJobs
from videograin.jobs.executor import START_SECONDS, gpu_seconds
from videograin.jobs.failures import OUT_OF_MEMORY, OUT_OF_SPACE
from videograin.jobs.model_shelf import ModelShelf
from videograin.jobs.runner import LEANER
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import Job, JobKind, JobState, JobStore
from videograin.jobs.worker import JobStatus, Worker
from videograin.masks.export import save_npz
from videograin.masks.load import MaskSource
from videograin.media.video import ClipOptions, clip_shape, load_clip, probe
from videograin.models.memory import MemoryPlan
from videograin.models.presets import Quality, apply_quality
from videograin.production import segments
from videograin.progress import Phase
from videograin.project.project import Project, ProjectRegion, load_project
from videograin.region import EditRequest, EditSettings

ROOT = Path(__file__).parents[2]
FRAMES, FPS = 6, 8
WHOLE = ClipOptions(short_side=None, multiple=1)
SOUND = ("-f", "lavfi", "-i", "sine=440:d=0.75", "-shortest")


@dataclass(frozen=True)
class Studio:
    """A worker that edits with a tiny model, and Ann's project."""

    worker: Worker
    store: JobStore
    project: Project

    def edit(self, project: Project | None = None, kind: JobKind = JobKind.EDIT) -> JobStatus:
        """Edit and wait for the end."""
        return finished(self.worker, self.submit(project, kind).id)

    def submit(self, project: Project | None = None, kind: JobKind = JobKind.EDIT) -> Job:
        """Ask for an edit."""
        return self.worker.submit(ANN, kind, project or self.project)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_pipeline().save_pretrained(folder)
    return str(folder)


@pytest.fixture
def project(tmp_path: Path, model: str) -> Project:
    make(tmp_path / "clip.mp4", f"testsrc=s=96x64:r={FPS}:d=0.75", *SOUND)
    mask = np.zeros((64, 96), np.uint8)
    mask[16:48, 32:64] = 255
    Image.fromarray(mask).save(tmp_path / "ball.png")
    return Project(
        clip=tmp_path / "clip.mp4",
        regions=(ProjectRegion(MaskSource(tmp_path / "ball.png"), "a red panda", "ball"),),
        source_prompt="a dog",
        model=model,
        clip_options=ClipOptions(short_side=32, multiple=16),
        settings=EditSettings(num_inference_steps=4),
    )


def kept(store: JobStore, project: Project, owner: str = ANN) -> Project:
    """Return a project whose files are an owner's."""
    regions = [
        replace(region, masks=replace(region.masks, path=store.keep(owner, region.masks.path)))
        for region in project.regions
    ]
    return replace(project, clip=store.keep(owner, project.clip), regions=tuple(regions))


@pytest.fixture
def studio(tmp_path: Path, model: str, project: Project) -> Iterator[Studio]:
    settings = OperatorSettings(data_folder=tmp_path, models=(model,), max_frames=16, max_side=256, max_steps=50)
    store = JobStore(tmp_path / "jobs")
    jobs = EditJobs(ModelShelf(tmp_path / "cache", "cpu", offline=True, speed=1e9), settings)
    worker = Worker(store, jobs.handlers(), settings)
    worker.start()
    project = kept(store, replace(project, clip_options=replace(project.clip_options, max_frames=16)))
    yield Studio(worker, store, project)
    assert worker.stop()


# What comes of an edit


def test_what_belongs_to_no_region_keeps_the_sources_pixels(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[np.ndarray] = []
    write = segments.save_part

    def note(path: Path, frames: Iterable[np.ndarray], fps: float, *crf: int) -> None:
        written.append(np.stack(list(frames)))
        write(path, written[-1], fps, *crf)

    monkeypatch.setattr(segments, "save_part", note)
    assert studio.edit().job.state is JobState.DONE
    source = load_clip(studio.project.clip, WHOLE).frames
    changed = (written[0] != source).any(-1)
    assert changed[:, 20:44, 36:60].any()
    changed[:, 8:56, 24:72] = False  # around the ball
    assert not changed.any()


def test_an_edit_becomes_a_video_with_rate_and_sound_and_one_beside_the_source(studio: Studio) -> None:
    status = studio.edit()
    assert status.job.state is JobState.DONE, status.job.message
    files = status.result
    assert isinstance(files, EditFiles)
    assert files.attention is not None
    attention = read_attention(status.results / files.attention)
    assert attention.keys() == {0}
    assert len(attention[0]) == files.frames
    edited, beside = probe(status.results / files.video), probe(status.results / files.comparison)
    assert (edited.width, edited.height, edited.fps, edited.has_audio) == (96, 64, FPS, True)  # as the source
    assert (beside.width, beside.height, beside.fps, beside.has_audio) == (192, 64, FPS, True)
    assert (files.frames, files.fps, files.target_prompt) == (FRAMES, FPS, "a red panda")
    source, alone, halves = (
        load_clip(file, WHOLE).frames
        for file in (studio.project.clip, status.results / files.video, status.results / files.comparison)
    )
    left, right = halves[:, :, :96], halves[:, :, 96:]
    assert psnr(left, source) > psnr(right, source) + 5
    assert psnr(right, alone) > psnr(left, alone) + 5


def test_a_preview_edits_the_first_frames_in_few_steps(studio: Studio) -> None:
    status = studio.edit(kind=JobKind.PREVIEW)
    assert status.result.frames == PREVIEW_FRAMES
    many = EditSettings(num_inference_steps=40, inject_steps=20, seed=7)
    quick = draft(replace(studio.project, settings=many)).settings
    assert quick == apply_quality(Quality.DRAFT, many, EditSettings())
    assert quick.inject_steps <= quick.num_inference_steps < 25
    few = EditSettings(num_inference_steps=4)
    assert draft(replace(studio.project, settings=few)).settings.num_inference_steps == 4


def test_the_clip_can_be_seen_while_it_forms(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, seen = Event(), Event()
    show = JobContext.preview

    def show_and_wait(context: JobContext, frames: np.ndarray, fps: float) -> None:
        show(context, frames, fps)
        shown.set()
        seen.wait(60)

    monkeypatch.setattr(JobContext, "preview", show_and_wait)
    job = studio.submit()
    assert shown.wait(60)
    status = studio.worker.status(job.id, ANN)
    seen.set()
    assert status.preview is not None
    image = Image.open(status.preview)
    assert (image.format, image.size, getattr(image, "n_frames", 1)) == (
        "WEBP",
        (16, 16),
        FRAMES,
    )  # the crop's latents
    assert status.progress is not None
    assert (status.progress.phase, status.progress.done) == (Phase.EDIT, 0)
    assert status.progress.seconds_left is not None
    assert finished(studio.worker, job.id).job.state is JobState.DONE


# The same again


def test_other_words_for_the_same_clip_reuse_its_inversion_and_say_so(studio: Studio) -> None:
    assert studio.edit().job.notes == ()
    fox = replace(studio.project, regions=(replace(studio.project.regions[0], prompt="a blue fox"),))
    status = studio.edit(fox)
    assert status.job.notes == (REUSED,)
    assert status.result.target_prompt == "a blue fox"


def test_the_same_edit_is_answered_by_the_finished_one(studio: Studio) -> None:
    first = studio.edit()
    again = studio.submit()
    assert (again.id, again.state) == (first.job.id, JobState.DONE)
    assert studio.submit(replace(studio.project, settings=EditSettings(num_inference_steps=4, seed=1))).id != again.id


def test_words_that_were_cut_off_are_noted(studio: Studio) -> None:
    long = replace(studio.project, target_prompt="a red panda " + "on the grass " * 40)
    assert any("words were left out" in note for note in studio.edit(long).job.notes)


# What is refused at once


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "sd15"}, "Model 'sd15' is not offered here. Choose one of: "),
        (
            {"clip_options": ClipOptions(short_side=32, multiple=16, max_frames=17)},
            "There would be up to 17 frames; at most 16 are allowed here. Choose a shorter part.",
        ),
        (
            {"clip_options": ClipOptions(short_side=512, max_frames=8)},
            "would be 768×512; at most 256 pixels a side",
        ),
        (
            {"settings": EditSettings(num_inference_steps=51)},
            "The edit has 51 steps; at most 50 are allowed here",
        ),
    ],
)
def test_beyond_the_operator_s_limits_nothing_is_queued(
    studio: Studio, change: dict[str, object], message: str
) -> None:
    with pytest.raises(VideoGrainError) as error:
        studio.submit(replace(studio.project, **change))  # pyright: ignore[reportArgumentType]
    assert message in str(error.value)
    assert studio.worker.jobs(ANN) == []


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (
            {"max_video_seconds": 0.5},
            "The video lasts 0.75 s; at most 0.5 s are allowed here. Cut it first.",
        ),
        ({"max_upload_mb": 0.001}, "at most 0.001 MB are allowed here. Compress it or cut it first."),
    ],
)
def test_a_video_that_is_too_long_or_large_is_refused(
    studio: Studio, model: str, tmp_path: Path, limit: dict[str, float], message: str
) -> None:
    settings = OperatorSettings(data_folder=tmp_path, models=(model,), **limit)  # pyright: ignore[reportArgumentType]
    jobs = EditJobs(ModelShelf(tmp_path, "cpu"), settings)
    with pytest.raises(VideoGrainError) as error:
        jobs.handlers()[JobKind.EDIT].admit(studio.project)
    assert message in str(error.value)


def test_what_is_no_video_is_refused_at_once(studio: Studio, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    with pytest.raises(VideoGrainError, match="is not a video"):
        studio.submit(replace(studio.project, clip=studio.store.keep(ANN, text)))


def test_files_that_are_not_one_s_own_cannot_be_edited(studio: Studio, project: Project) -> None:
    bob_s = kept(studio.store, project, BOB)
    for clip in (project.clip, bob_s.clip, Path("/etc/passwd")):
        with pytest.raises(JobError, match="You have no file"):
            studio.submit(replace(studio.project, clip=clip))


def test_how_long_it_takes_is_known_once_the_model_is_loaded(studio: Studio) -> None:
    assert studio.edit().job.expected_seconds is None
    second = studio.submit(replace(studio.project, settings=EditSettings(num_inference_steps=8)))
    third = studio.submit(replace(studio.project, settings=EditSettings(num_inference_steps=16)))
    assert second.expected_seconds
    assert third.expected_seconds
    assert third.expected_seconds > 1.5 * second.expected_seconds


def test_a_lent_gpu_is_asked_for_by_the_frames_size_and_steps_of_the_request(studio: Studio) -> None:
    studio.edit()  # loads the model; the GPU of the fixture is as slow as 10⁹ operations a second

    def lent(frames: int = 4, side: int = 32, steps: int = 10) -> int:
        options = replace(studio.project.clip_options, max_frames=frames, short_side=side)
        settings = EditSettings(num_inference_steps=steps)
        job = studio.submit(replace(studio.project, clip_options=options, settings=settings))
        studio.worker.cancel(job.id, ANN)
        return gpu_seconds(job)

    assert START_SECONDS < lent() < lent(steps=40)
    assert lent() < lent(frames=16)
    assert lent() < lent(side=64)


def test_the_clip_s_shape_is_known_before_it_is_read(studio: Studio) -> None:
    for options in (
        ClipOptions(short_side=32, multiple=16),
        ClipOptions(short_side=None, multiple=1, start=0.25, end=0.6),
        ClipOptions(short_side=64, multiple=32, stride=2),
        ClipOptions(short_side=64, multiple=32, fps=20, max_frames=3, fit="fit"),
    ):
        shape = clip_shape(probe(studio.project.clip), options)
        assert load_clip(studio.project.clip, options).frames.shape[:3] == shape


# Cancelling and shortages


def test_a_running_edit_is_cancelled_and_the_next_one_is_unharmed(studio: Studio) -> None:
    job = studio.submit(replace(studio.project, settings=EditSettings(num_inference_steps=50)))
    wait_until(lambda: (progress := studio.worker.status(job.id, ANN).progress) and progress.done)
    studio.worker.cancel(job.id, ANN)
    assert finished(studio.worker, job.id).job.state is JobState.CANCELLED
    assert studio.edit().job.state is JobState.DONE


def exhaust(monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """Let the next edits run out of memory; returns the frames per VAE batch of each."""
    batches: list[int] = []
    whole = VideoGrainPipeline.edit_windows

    def edit_windows(pipeline: VideoGrainPipeline, *args, **kwargs):
        batches.append(pipeline.frames_per_vae_batch)
        if len(batches) <= times:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(pipeline, *args, **kwargs)

    monkeypatch.setattr(VideoGrainPipeline, "edit_windows", edit_windows)
    return batches


def test_an_edit_is_cancelled_at_once_while_its_model_is_loaded(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, load = Event(), Event(), engine.load_pipeline

    def load_later(*args: object, **kwargs: object) -> object:
        begun.set()
        assert go_on.wait(60)
        return load(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "load_pipeline", load_later)
    job = studio.submit()
    assert begun.wait(60)
    studio.worker.cancel(job.id, ANN)
    assert finished(studio.worker, job.id).job.state is JobState.CANCELLED
    go_on.set()
    assert studio.edit().job.state is JobState.DONE


def test_out_of_memory_once_is_mended_by_smaller_pieces(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = exhaust(monkeypatch, times=1)
    assert studio.edit().job.notes == (LEANER,)
    assert batches == [4, 1]
    assert studio.edit(replace(studio.project, source_prompt="a fox")).job.notes == ()
    assert batches == [4, 1, 4]  # the next edit runs at full speed again


def test_out_of_memory_twice_gives_advice_and_the_next_edit_works(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    exhaust(monkeypatch, times=2)
    assert studio.edit().job.message == OUT_OF_MEMORY
    assert studio.edit().job.state is JobState.DONE


def test_the_lean_mode_gives_the_same_edit(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = studio.edit()
    exhaust(monkeypatch, times=1)
    lean = studio.edit(replace(studio.project, background="", negative_prompt=" "))
    options = ClipOptions(short_side=None, multiple=1)
    a, b = (load_clip(status.results / status.result.video, options).frames for status in (quick, lean))
    assert psnr(a, b) > 30


def test_what_cannot_fit_is_refused_with_advice(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("videograin.models.memory.free_bytes", lambda _device: 1000)
    monkeypatch.setattr("videograin.models.memory._bytes_on", lambda *_: 0)
    assert "choose a smaller size" in studio.edit().job.message


def test_where_memory_is_short_windows_are_shorter_and_the_result_says_so(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videograin.jobs.editing.edit_jobs.plan_memory", lambda *_: MemoryPlan(window_frames=4))
    done = studio.edit(replace(studio.project, settings=EditSettings(num_inference_steps=1, anchor_frames=0)))
    assert done.job.notes == (SHORTER_WINDOWS.format(4, 16),)
    assert done.result.frames == FRAMES


def test_an_object_that_comes_in_after_the_first_window_is_edited(studio: Studio, tmp_path: Path) -> None:
    masks = np.zeros((FRAMES, 64, 96), bool)
    masks[FRAMES - 1, 16:48, 32:64] = True
    save_npz(tmp_path / "late.npz", {"ball": masks})
    late = ProjectRegion(MaskSource(studio.store.keep(ANN, tmp_path / "late.npz")), "a red panda", "ball")
    settings = EditSettings(num_inference_steps=1, window_frames=3, anchor_frames=0)
    done = studio.edit(replace(studio.project, regions=(late,), settings=settings))
    assert done.job.state is JobState.DONE, done.job.message
    assert done.result.frames == FRAMES


def test_an_edit_that_goes_on_has_the_windows_that_it_had(
    tmp_path: Path, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    whole = VideoGrainPipeline.edit_windows

    def edit_windows(pipeline: VideoGrainPipeline, request: EditRequest, **kwargs):
        asked.append(request.settings.window_frames)
        for window in whole(pipeline, request, **kwargs):
            yield window
            if len(asked) == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(VideoGrainPipeline, "edit_windows", edit_windows)
    jobs = EditJobs(ModelShelf(tmp_path / "cache", "cpu", offline=True, speed=1e9), OperatorSettings(tmp_path))
    (folder := tmp_path / "job").mkdir()
    quick = replace(studio.project, settings=EditSettings(num_inference_steps=1, anchor_frames=0))
    for most in (4, 5):  # more memory is free the second time
        monkeypatch.setattr(
            "videograin.jobs.editing.edit_jobs.plan_memory", lambda *_, most=most: MemoryPlan(window_frames=most)
        )
        with suppress(KeyboardInterrupt):
            jobs.edit(quick, JobContext(folder))
    assert asked == [4, 4]


# A full disk

FILL = """
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from fake_jobs import ANN, Count, finished, handler, make_worker
import numpy as np
from videograin.jobs.store import JobKind
from videograin.media.encode import save_video

def encode(request, context):
    noise = np.random.default_rng(0).integers(0, 256, (8, 256, 256, 3), np.uint8)  # nothing of it can be left out
    save_video(context.results / "edit.mp4", noise, 8)

worker = make_worker(Path(sys.argv[2]), {JobKind.EDIT: handler(encode), JobKind.PREVIEW: handler()})
worker.start()
before = finished(worker, worker.submit(ANN, JobKind.PREVIEW, Count("before")).id)
full = finished(worker, worker.submit(ANN, JobKind.EDIT, Count("fox")).id)
after = finished(worker, worker.submit(ANN, JobKind.PREVIEW, Count("after")).id)
print(full.job.state, full.results.exists(), (before.results / "word.txt").read_text(), after.job.state, sep="|")
print(full.job.message)
worker.stop()
"""


def can_mount() -> bool:
    """Whether this machine lets us have a small disk of our own."""
    if not shutil.which("unshare"):
        return False
    probe_mount = "mount -t tmpfs -o size=64k tmpfs /mnt"
    return subprocess.run(["unshare", "-rm", "sh", "-c", probe_mount], capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="this machine allows no mounts of one's own")
def test_a_disk_that_fills_while_encoding_fails_that_job_alone(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    script = 'mount -t tmpfs -o size=256k tmpfs "$3" && exec "$1" -c "$4" "$2" "$3"'
    arguments = [sys.executable, str(ROOT / "tests/support"), str(disk), FILL]
    outcome = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", *arguments],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    told, message = outcome.stdout.splitlines()
    assert told == "failed|False|before|done"
    assert message == OUT_OF_SPACE


# A real model


@pytest.mark.slow
@pytest.mark.skipif(
    not (ROOT / "assets/models/emoji-world/model_index.json").is_file(),
    reason="assets/models/emoji-world is not assembled",
)
def test_the_embedded_model_edits_an_example_as_a_job(tmp_path: Path) -> None:
    example = load_project(ROOT / "assets/clips/friends/project.json")
    settings = OperatorSettings(data_folder=tmp_path)
    store = JobStore(tmp_path / "jobs")
    jobs = EditJobs(ModelShelf(tmp_path / "cache", "cpu", offline=True), settings)
    worker = Worker(store, jobs.handlers(), settings)
    worker.start()
    few = replace(example.settings, num_inference_steps=5)
    project = kept(store, replace(example, settings=few))
    job = worker.submit(ANN, JobKind.PREVIEW, project)
    wait_until(lambda: worker.status(job.id, ANN).job.state.is_final, seconds=600)
    status = worker.status(job.id, ANN)
    assert status.job.state is JobState.DONE, status.job.message
    edited = load_clip(status.results / status.result.video, ClipOptions(short_side=None, multiple=1)).frames
    source = load_clip(project.clip, replace(project.clip_options, max_frames=PREVIEW_FRAMES)).frames
    with np.load(ROOT / "assets/clips/friends/masks.npz") as masks:
        inside = np.any([masks[name][:PREVIEW_FRAMES] for name in masks.files], axis=0)
    difference = np.abs(edited.astype(int) - source).mean(-1)
    assert difference[inside].mean() > 4 * difference[~inside].mean()
    assert worker.stop()
