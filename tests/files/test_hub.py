"""Repositories of a hub that plays its part on this machine, received whole whatever the network does."""

import errno
import json
import logging
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from benchmarks.hub import LoopbackHub, sha256
from videograin.errors import Cancelled, ModelError
from videograin.files import download, lock
from videograin.files.hub import Layout, fetch, needed_files
from videograin.progress import Progress

NETWORK = "owner/network"


@pytest.fixture
def network(hub: LoopbackHub) -> Path:
    """A repository of one network, of 1 MiB."""
    folder = hub.root / NETWORK
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "sam2"}))
    save_file({"weight": torch.arange(2**18, dtype=torch.int32)}, folder / "model.safetensors")
    return folder


def same_content(fetched: Path, source: Path) -> bool:
    return all((fetched / file.name).read_bytes() == file.read_bytes() for file in source.iterdir())


def test_a_repository_is_fetched_once_and_reported_in_bytes(hub: LoopbackHub, network: Path) -> None:
    seen: list[Progress] = []
    fetched = fetch(NETWORK, Layout.NETWORK, report=seen.append)
    assert same_content(fetched, network)
    size = (network / "model.safetensors").stat().st_size
    assert (seen[-1].done, seen[-1].total, hub.bytes_sent) == (size, size, size)
    assert fetch(NETWORK, Layout.NETWORK, offline=True) == fetched


def test_a_token_goes_to_the_hub_and_not_to_the_host_of_its_files(
    hub: LoopbackHub, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert same_content(fetch(NETWORK, Layout.NETWORK), network)
    assert hub.tokens == []


def test_a_connection_that_breaks_again_and_again_is_taken_up_where_it_broke(
    hub: LoopbackHub, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "RETRY_SECONDS", 0.0)
    hub.cut_after = 300_000
    assert same_content(fetch(NETWORK, Layout.NETWORK), network)
    assert hub.bytes_sent == (network / "model.safetensors").stat().st_size


def test_a_download_that_was_stopped_goes_on_where_it_was(hub: LoopbackHub, network: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.done > 2**19:
            raise Cancelled

    hub.bytes_per_second = 2**20
    started = time.monotonic()
    with pytest.raises(Cancelled):
        fetch(NETWORK, Layout.NETWORK, report=stop)
    assert time.monotonic() - started < 2
    assert same_content(fetch(NETWORK, Layout.NETWORK), network)
    assert hub.offsets[0] == 0
    assert hub.offsets[1] > 2**19


def test_weights_that_came_damaged_are_not_kept(hub: LoopbackHub, network: Path) -> None:
    weights = network / "model.safetensors"
    sha256(weights)  # the hub remembers what it announces
    weights.write_bytes(bytes(weights.stat().st_size))
    with pytest.raises(ModelError, match="came damaged"):
        fetch(NETWORK, Layout.NETWORK)
    assert not list((hub.root.parent / "hub-cache").rglob("*.part"))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "only to users with access"),
        (403, "only to users with access"),
        (404, "no such model on the hub"),
        (429, "the hub is busy"),
        (503, "a problem of its own"),
    ],
)
def test_a_hub_that_refuses_says_what_to_do(hub: LoopbackHub, network: Path, status: int, words: str) -> None:
    hub.refused[NETWORK] = status
    with pytest.raises(ModelError, match=words):
        fetch(NETWORK, Layout.NETWORK)


def test_without_a_network_a_plain_sentence_comes_at_once(no_network: None, caplog: pytest.LogCaptureFixture) -> None:
    started = time.monotonic()
    with pytest.raises(ModelError, match=r"^No connection to the model hub\. The embedded model works without one\.$"):
        fetch("owner/model", Layout.PIPELINE)
    assert time.monotonic() - started < 5
    assert caplog.records[0].levelno == logging.WARNING


def test_a_name_server_that_does_not_answer_holds_up_nothing(no_network: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("videograin.files.hub.CONNECT_SECONDS", 0.2)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: time.sleep(3))
    started = time.monotonic()
    with pytest.raises(ModelError, match="No connection"):
        fetch("owner/model", Layout.PIPELINE)
    assert time.monotonic() - started < 2


def test_a_disk_that_fills_up_is_named_and_given_back(
    hub: LoopbackHub, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ModelError, match="is full"):
        fetch(NETWORK, Layout.NETWORK)
    assert not list((hub.root.parent / "hub-cache").rglob("*.part"))


@pytest.mark.parametrize("layout", [Layout.NETWORK, Layout.CONFIGS])
def test_a_cache_that_cannot_be_written_is_not_taken_for_a_lack_of_network(
    hub: LoopbackHub, network: Path, monkeypatch: pytest.MonkeyPatch, layout: Layout
) -> None:
    (hub.root.parent / "hub-cache").mkdir()
    (hub.root.parent / "hub-cache" / "models--owner--network").touch()
    with pytest.raises(ModelError, match=r"cannot be written .* or set HF_HOME"):
        fetch(NETWORK, layout)
    (hub.root.parent / "file").touch()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub.root.parent / "file" / "cache"))
    with pytest.raises(ModelError, match=r"cannot be written .* or set HF_HOME"):
        fetch(NETWORK, layout)


def test_a_file_system_without_locks_is_no_reason_not_to_download(
    hub: LoopbackHub, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock, "flock", unknown)
    assert same_content(fetch(NETWORK, Layout.NETWORK), network)


def test_what_has_come_already_needs_no_room_again(
    hub: LoopbackHub, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(progress: Progress) -> None:
        if progress.done > 2**19:
            raise Cancelled

    hub.bytes_per_second = 2**20
    with pytest.raises(Cancelled):
        fetch(NETWORK, Layout.NETWORK, report=stop)
    (part,) = (hub.root.parent / "hub-cache").rglob("*.part")
    left = (network / "model.safetensors").stat().st_size - part.stat().st_size
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: SimpleNamespace(free=left - 1))
    with pytest.raises(ModelError, match="has room for"):
        fetch(NETWORK, Layout.NETWORK)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: SimpleNamespace(free=left))
    assert same_content(fetch(NETWORK, Layout.NETWORK), network)


TOP = ["model_index.json", "v1-5-pruned.safetensors", "README.md", "safety_checker/model.safetensors"]


@pytest.mark.parametrize(
    ("unet", "chosen"),
    [
        (["w.safetensors", "w.fp16.safetensors", "w.bin", "w.non_ema.safetensors"], ["w.safetensors"]),
        (["w.fp16.safetensors", "w.bin"], ["w.fp16.safetensors"]),
        (["w.bin", "w.fp16.bin"], ["w.bin"]),
        (
            ["w.safetensors.index.json", "w-00001-of-00002.safetensors", "w-00002-of-00002.safetensors", "w.bin",
             "w.bin.index.json", "w.fp16-00001-of-00002.safetensors", "w.safetensors.index.fp16.json"],
            ["w.safetensors.index.json", "w-00001-of-00002.safetensors", "w-00002-of-00002.safetensors"],
        ),
    ],
)  # fmt: skip
def test_of_each_network_one_set_of_weights_is_fetched(unet: list[str], chosen: list[str]) -> None:
    def path(name: str) -> str:
        return f"unet/{name}".replace("w", "diffusion_pytorch_model", 1)

    names = [*TOP, "unet/config.json", *map(path, unet)]
    assert needed_files(names, Layout.PIPELINE) == ["model_index.json", "unet/config.json", *map(path, chosen)]
    assert needed_files(names, Layout.CONFIGS) == ["model_index.json", "unet/config.json"]
