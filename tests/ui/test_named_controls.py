"""Messages that name a control name one that is there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest
from studios import studio_with

from ui.page import build_components
from ui.rendering.model_markup import download_offer
from ui.views import Views
from videograin.jobs.settings import OperatorSettings
from videograin.models.catalog import find_entry
from videograin.project.examples import example_names

ROOT = Path(__file__).parents[2]
FILES = [*ROOT.glob("ui/**/*.py"), *ROOT.glob("videograin/**/*.py")]

NAMED = re.compile(r"(?<![=\w])'([A-Z][a-z]+(?: [a-z]+)*)'|<b>([A-Z][a-z ]+)</b>")
"""A control's name in a message: capitalised and in quotes (after = it is an attribute of HTML), or bold."""


def messages(file: Path) -> Iterator[str]:
    """Yield the texts in a file that are no docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = None
    yield from (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))


@pytest.fixture
def labels(tmp_path: Path) -> set[str]:
    """All that stands on or beside the controls of a page with an example opened."""
    with studio_with(OperatorSettings(data_folder=tmp_path, device="cpu", offline=True)) as studio:
        session = studio.sessions.create()
        studio.open_example(session, example_names()[0], frames=2)
        with gr.Blocks() as blocks:
            page = build_components(studio)
            shown = Views(studio, page).everything(session)
    own = {str(getattr(each, name, "")) for each in blocks.blocks.values() for name in ("label", "value")}
    offer = download_offer(find_entry("sd15"), can_ask=True)
    html = offer + "".join(value for value in shown.values() if isinstance(value, str))
    return own | set(re.findall(r"(?<=>)[^<>]+(?=<)", html))


def test_every_control_named_in_a_message_is_on_the_page(labels: set[str]) -> None:
    named = {first or second for file in FILES for text in messages(file) for first, second in NAMED.findall(text)}
    assert {"Follow all", "Everything else"} <= named
    assert named <= labels
