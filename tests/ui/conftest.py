"""A studio, its page without a browser, and a session that has a small clip open."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from studios import studio_with
from synthetic_video import make

from ui.components import Page
from ui.page import build_components, wire
from ui.views import Updates
from ui.work.service import ClipChoice, StudioService
from ui.work.session import Session
from videograin.jobs.settings import OperatorSettings


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioService]:
    """Offer the models for drawings and for photographs, without a network."""
    settings = OperatorSettings(
        data_folder=tmp_path_factory.mktemp("studio"), models=("emoji-world", "sd15"), device="cpu", offline=True
    )
    with studio_with(settings) as studio:
        yield studio


@pytest.fixture
def opened(studio: StudioService, tmp_path: Path) -> Session:
    """A session with a clip of four frames of 32×32 pixels."""
    make(tmp_path / "clip.mp4", "testsrc=s=64x64:r=8:d=0.5")
    session = studio.sessions.create()
    studio.open_clip(session, tmp_path / "clip.mp4", ClipChoice(short_side=32), "emoji-world")
    return session


@pytest.fixture
def blocks() -> gr.Blocks:
    return gr.Blocks()


@pytest.fixture
def page(studio: StudioService, blocks: gr.Blocks) -> Page:
    with blocks:
        page = build_components(studio)
        wire(blocks, page, studio)
    return page


@pytest.fixture
def answer(blocks: gr.Blocks, page: Page) -> Callable[..., Updates]:
    """Call the handler of an event of the page; it may only fill what the event is wired to."""

    def answer(handler: str, *arguments: Any) -> Updates:
        wired = next(fn for fn in blocks.fns.values() if fn.api_name == f"page_{handler}")
        assert wired.fn is not None
        updates = wired.fn(*arguments)
        assert updates == gr.skip() or updates.keys() <= set(wired.outputs)
        return updates

    return answer
