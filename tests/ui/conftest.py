"""A studio without a page, and a session of it that has a small clip open."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from synthetic_video import make

from ui.work.service import ClipChoice, StudioService
from ui.work.session import Session
from videograin.jobs.settings import OperatorSettings


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioService]:
    """Offer the models for drawings and for photographs, without a network."""
    settings = OperatorSettings(
        data_folder=tmp_path_factory.mktemp("studio"), models=("emoji-world", "sd15"), device="cpu", offline=True
    )
    studio = StudioService(settings)
    yield studio
    assert studio.worker.stop(timeout=60)  # a busy machine may still be loading the first model


@pytest.fixture
def opened(studio: StudioService, tmp_path: Path) -> Session:
    """A session with a clip of four frames of 32×32 pixels."""
    make(tmp_path / "clip.mp4", "testsrc=s=64x64:r=8:d=0.5")
    session = studio.sessions.create()
    studio.open_clip(session, tmp_path / "clip.mp4", ClipChoice(short_side=32), "emoji-world")
    return session
