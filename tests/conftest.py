"""Fixtures that more than one test module uses, and where the recorded material lies."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.hub import LoopbackHub, loopback_hub
from benchmarks.studio import running_studio

SHARED = Path(__file__).resolve().parents[2] / "shared"
GOLDENS = Path(os.environ.get("VIDEOGRAIN_GOLDENS", SHARED / "goldens"))

torch.set_num_threads(max(1, (os.cpu_count() or 2) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run fast tests first, and those in a browser last; workers that share them begin with the long files instead.

    At the end a worker then waits for a short file of the other, not for the longest.
    """
    items.sort(
        key=lambda item: (bool(item.get_closest_marker("browser")), bool(item.get_closest_marker("slow"))),
        reverse="PYTEST_XDIST_WORKER" in os.environ,
    )


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a studio, which takes a quarter of a minute, for all tests whose sessions are their own; its address."""
    with running_studio(tmp_path_factory.mktemp("studio #1, 50%")) as studio:  # what addresses set apart
        yield studio.url


@pytest.fixture(scope="session")
def load_golden() -> Callable[[str], dict[str, Tensor]]:
    """Load one file of tensors recorded from the authors' code, by its name without ending."""
    if not GOLDENS.is_dir():
        pytest.skip(f"no recorded tensors at {GOLDENS}; set VIDEOGRAIN_GOLDENS")
    return lambda name: load_file(GOLDENS / f"{name}.safetensors")


@pytest.fixture(scope="session")
def load_golden_config(load_golden: object) -> Callable[[str], dict]:
    """Load one JSON file beside the recorded tensors."""
    return lambda name: json.loads((GOLDENS / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def real_clips() -> Path:
    """The folder of videos that were filmed."""
    clips = Path(os.environ.get("VIDEOGRAIN_CLIPS", SHARED / "clips"))
    if not clips.is_dir():
        pytest.skip(f"no folder of real clips at {clips}; set VIDEOGRAIN_CLIPS")
    return clips


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """The folder of files that other programs made and that were once read wrong."""
    cases = Path(os.environ.get("VIDEOGRAIN_CASES", SHARED / "cases"))
    if not cases.is_dir():
        pytest.skip(f"no files of other programs at {cases}; set VIDEOGRAIN_CASES")
    return cases


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """Serve the repositories that a test writes below `hub.root`, to a machine whose cache is empty."""
    with loopback_hub(tmp_path / "hub") as served:
        use_hub(monkeypatch, served.url, tmp_path / "hub-cache")
        yield served


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub on an address that takes no connection, and an empty cache."""
    use_hub(monkeypatch, "http://127.0.0.1:9", tmp_path / "hub-cache")


def use_hub(monkeypatch: pytest.MonkeyPatch, url: str, cache: Path) -> None:
    """Do in this process what HF_ENDPOINT and HF_HUB_CACHE do when it begins."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
