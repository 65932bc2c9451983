"""Pictures that objects are drawn after, by the page's service and by programs."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from ui.api import Api
from ui.page import build_components
from ui.views import Views
from ui.work import transfer
from ui.work.service import StudioService
from ui.work.session import Session
from videograin.errors import ModelError, RegionError
from videograin.project import objects


@pytest.fixture
def session(opened: Session) -> Session:
    """A clip with a ball that becomes a fox, followed."""
    ball = {"ball": np.ones(opened.opened_clip.frames.shape[:3], bool)}
    work = objects.add_masks(opened.opened_work, ball)
    opened.change(objects.change_object(work, 1, lambda each: replace(each, prompt="a fox")))
    return opened


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A picture that was uploaded."""
    monkeypatch.setattr("ui.work.transfer.get_upload_folder", lambda: str(tmp_path))
    Image.new("RGB", (40, 30), "orange").save(tmp_path / "fox.jpg")
    return SimpleNamespace(path=str(tmp_path / "fox.jpg"))


def as_photographs(session: Session) -> None:
    session.set_words(replace(session.opened_work, model="sd15"))


def test_a_picture_is_given_weighed_and_removed(studio: StudioService, session: Session, picture: Any) -> None:
    api = Api(studio)
    with pytest.raises(ModelError, match="Emoji World draws by words alone"):
        api.give_picture(session.id, 1, picture)
    as_photographs(session)
    assert api.give_picture(session.id, 1, picture) == [{"number": 1, "name": "ball", "weight": 0.6}]
    Path(picture.path).unlink()  # it is kept
    assert api.weigh_picture(session.id, 1, 1.2)[0]["weight"] == 1.2
    with pytest.raises(RegionError, match="choose 0 to 2"):
        api.weigh_picture(session.id, 1, 3)
    region = studio.project_of(session).load_regions(session.opened_clip)[0]
    assert region.reference is not None
    assert region.reference.picture.shape == (30, 40, 3)
    assert api.remove_picture(session.id, 1) == []
    with pytest.raises(RegionError, match="has no picture"):
        api.weigh_picture(session.id, 1, 1)
    with pytest.raises(RegionError, match="There is no object 7"):
        api.remove_picture(session.id, 7)


def test_an_edit_with_a_picture_waits_for_what_draws_after_pictures(
    studio: StudioService, session: Session, picture: Any, monkeypatch: pytest.MonkeyPatch, no_network: None
) -> None:
    as_photographs(session)
    Api(studio).give_picture(session.id, 1, picture)
    monkeypatch.setattr(
        "videograin.models.catalog.HubPart.is_here", property(lambda part: "IP-Adapter" not in part.source)
    )
    missing = studio.missing(session)
    assert missing is not None
    assert missing.name == "ip-adapter"
    with pytest.raises(ModelError, match=r"IP-Adapter .* is not on this machine, and this studio is kept off"):
        Api(studio).edit(session.id)


def test_pictures_go_with_a_project_and_are_shown(studio: StudioService, session: Session, picture: Any) -> None:
    as_photographs(session)
    Api(studio).give_picture(session.id, 1, picture)
    again = studio.sessions.create()
    assert transfer.open_project(studio, again, Path(transfer.export_project(studio, session))) == ()
    (ball,) = again.opened_work.objects
    assert ball.reference is not None
    assert ball.reference.file.is_file()
    with gr.Blocks():
        page = build_components(studio)
    shown = Views(studio, page).everything(again)
    assert "Weight of the picture of ball" in shown[page.edit.pictures.given]
    assert shown[page.edit.pictures.whole].visible
    studio.choose_model(again, "emoji-world")
    assert not Views(studio, page).model(again)[page.edit.pictures.whole].visible
