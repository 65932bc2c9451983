"""Downloads that users ask for: what they take is said before, they show bytes, stop at once and go on later."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_jobs import ANN, finished, wait_until
from fakes import tiny_controlnet, tiny_pipeline, tiny_unet

from benchmarks.hub import LoopbackHub
from videograin.cli.main import OK, USAGE, main
from videograin.errors import ModelError
from videograin.files.download import RemoteFile
from videograin.jobs.download import DownloadRequest, check_installed, download_handlers
from videograin.jobs.settings import OperatorSettings
from videograin.jobs.store import JobKind, JobState, JobStore
from videograin.jobs.worker import Worker
from videograin.models.bundles import find_bundle
from videograin.models.catalog import catalog, find_entry, size_words
from videograin.project.project import Project
from videograin.region import ControlKind
from videograin.segment import names

SD15, CANNY = find_bundle("sd15").source, find_bundle("sd15").controls[ControlKind.CANNY]


@pytest.fixture
def sd15(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LoopbackHub:
    """A hub with a tiny model and ControlNet where Stable Diffusion 1.5's are, and SAM's file at another address."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pipeline = tiny_pipeline()
    pipeline.save_pretrained(hub.root / SD15)
    tiny_controlnet(tiny_unet()).save_pretrained(hub.root / CANNY)
    return hub


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    settings = OperatorSettings(data_folder=tmp_path / "data")
    worker = Worker(JobStore(tmp_path / "jobs"), download_handlers(settings), settings)
    worker.start()
    yield worker
    assert worker.stop()


def project(model: str, *controls: ControlKind) -> Project:
    return Project(clip=Path("clip.mp4"), source_prompt="", regions=(), model=model, controls=controls)


def test_an_edit_names_what_is_missing_with_its_size_until_it_was_downloaded(sd15: LoopbackHub) -> None:
    wanted = project("sd15", ControlKind.CANNY)
    with pytest.raises(ModelError, match=r"Stable Diffusion 1\.5 is not on this machine yet.*it takes 4\.3 GB"):
        check_installed(wanted)
    assert find_entry("sd15").download() == sd15.bytes_sent > 0
    with pytest.raises(ModelError, match=r"Outlines for Stable Diffusion 1\.5 is not on this machine yet"):
        check_installed(wanted)
    with pytest.raises(ModelError, match=r"Outlines .*, and this studio is kept off the network; go on without it\.$"):
        check_installed(wanted, offline=True)
    find_entry("sd15+canny").download()
    check_installed(wanted)
    check_installed(project("emoji-world", ControlKind.CANNY))


def test_a_download_shows_its_bytes_stops_at_once_and_goes_on(sd15: LoopbackHub, worker: Worker) -> None:
    size = find_entry("sd15").missing_bytes()
    sd15.bytes_per_second = size / 4
    first = worker.submit(ANN, JobKind.DOWNLOAD, DownloadRequest("sd15"))
    wait_until(lambda: (progress := worker.status(first.id, ANN).progress) and progress.done > size / 4)
    progress = worker.status(first.id, ANN).progress
    assert progress is not None
    assert progress.total == size
    worker.cancel(first.id, ANN)
    assert finished(worker, first.id).job.state is JobState.CANCELLED
    sd15.bytes_per_second, before = None, find_entry("sd15").missing_bytes()
    second = worker.submit(ANN, JobKind.DOWNLOAD, DownloadRequest("sd15"))
    assert finished(worker, second.id).job.state is JobState.DONE
    assert find_entry("sd15").is_installed
    assert before < size or any(offset > 0 for offset in sd15.offsets)


def test_without_a_network_a_download_fails_in_time_and_in_plain_words(no_network: None, worker: Worker) -> None:
    job = worker.submit(ANN, JobKind.DOWNLOAD, DownloadRequest("sam2.1-tiny"))
    ended = finished(worker, job.id).job
    assert ended.message == "No connection to the model hub. The embedded model works without one."
    assert ended.ended
    assert ended.started
    assert ended.ended - ended.started < 5


def test_only_what_the_operator_offers_is_downloaded(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Model 'owner/other' is not offered here"):
        worker.submit(ANN, JobKind.DOWNLOAD, DownloadRequest("owner/other"))
    admit = download_handlers(OperatorSettings(data_folder=tmp_path, offline=True))[JobKind.DOWNLOAD].admit
    with pytest.raises(ModelError, match="kept off the network"):
        admit(DownloadRequest("sd15"))


def test_a_controlnet_whose_images_cannot_be_found_is_not_downloaded(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rtmlib", None)
    with pytest.raises(ModelError, match=r"'rtmlib', which is not installed.*install '\.\[pose\]'"):
        worker.submit(ANN, JobKind.DOWNLOAD, DownloadRequest("sd15+pose"))


def test_the_catalog_lists_what_may_have_to_be_downloaded(sd15: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {entry.name: entry for entry in catalog(["emoji-world", "sd15"])}
    assert list(entries)[:5] == ["emoji-world", "emoji-world+canny", "sd15", "sd15+canny", "sd15+depth"]
    assert entries["emoji-world"].is_installed
    assert not entries["edgetam"].is_installed
    assert [size_words(size) for size in (entries["sd15"].size, entries["vit_b"].size, 0)] == [
        "4.3 GB", "375 MB", "a size that is known once it has begun",
    ]  # fmt: skip
    content = sd15.root / "sam/vit_b/sam.pth"
    content.parent.mkdir(parents=True)
    content.write_bytes(b"checkpoint")
    sha256 = "0" * 64
    monkeypatch.setitem(names.SAM_FILES, "vit_b", RemoteFile(f"{sd15.other_host}/large/sam/vit_b/sam.pth", sha256, 10))
    with pytest.raises(ModelError, match="came damaged"):
        find_entry("vit_b").download()


def test_the_command_line_lists_asks_and_downloads(
    sd15: LoopbackHub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert main(["download", "sd15"]) == OK
    assert sd15.bytes_sent == 0
    assert main(["download", "sd15", "--yes"]) == OK
    assert main(["models"]) == OK
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert "here" in lines["sd15"].split()
    assert "156 MB" in lines["sam2.1-tiny"]
    assert main(["download", "sd15+pattern"]) == USAGE
