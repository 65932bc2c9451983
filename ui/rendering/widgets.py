"""The page's own components: HTML with a script each, from `scripts/`."""

import re
from pathlib import Path

import gradio as gr

from ui.rendering.icons import icon

SCRIPTS = Path(__file__).parents[1] / "static/scripts"


def panel(elem_id: str, *, visible: bool = True) -> gr.HTML:
    """Return HTML whose buttons and fields with `data-action` trigger its event `act`; fields show `data-value`."""
    return gr.HTML(
        "", elem_id=elem_id, js_on_load=script("actions.js") + script("fields.js"), apply_default_css=False,
        visible=visible, padding=False,
    )  # fmt: skip


def progress() -> gr.HTML:
    """Return the bars of the jobs under way; its buttons trigger its event `act`."""
    return gr.HTML(
        "", elem_id="progress", js_on_load=script("actions.js") + script("progress.js"), apply_default_css=False,
        padding=False,
    )  # fmt: skip


def ideas() -> gr.HTML:
    """Return chips that fill the fields of words; its other buttons trigger its event `act`."""
    return gr.HTML(
        "", elem_id="ideas", js_on_load=script("actions.js") + script("chips.js"), apply_default_css=False,
        padding=False,
    )  # fmt: skip


def overlay() -> gr.HTML:
    """Return what plays over the picture of the second step for a while."""
    return gr.HTML("", elem_id="overlay", js_on_load=script("overlay.js"), apply_default_css=False, padding=False)


def stage() -> gr.HTML:
    """Return the picture that the user clicks and draws on.

    Its event `mark` has tool, points and radius; its event `hover` has tool, x, y and the number of the question.
    """
    return gr.HTML(
        None, elem_id="stage", html_template=_template("stage.html"),
        js_on_load=script("stage.js") + script("stage_zoom.js") + script("stage_hover.js"),
        apply_default_css=False, padding=False,
    )  # fmt: skip


def outline() -> gr.HTML:
    """Return what takes answers to the picture's `hover`: {question, outlines}, which it passes on to the picture."""
    return gr.HTML(None, elem_id="outline", html_template="", js_on_load=script("outline.js"), padding=False)


def trim() -> gr.HTML:
    """Return the strip on which the user chooses a part of a video; its event `act` says that a handle was moved."""
    return gr.HTML("", elem_id="trim", js_on_load=script("trim.js"), apply_default_css=False, padding=False)


def compare() -> gr.HTML:
    """Return a player of before and after; its value is the cached path of a video with both side by side."""
    return gr.HTML(
        None, elem_id="compare", html_template=_template("compare.html"), js_on_load=script("compare.js"),
        apply_default_css=False, padding=False,
    )  # fmt: skip


def script(name: str) -> str:
    """Return a script of the page."""
    return (SCRIPTS / name).read_text(encoding="utf-8")


def _template(name: str) -> str:
    return re.sub(r"@(\w+)@", lambda match: icon(match[1]), script(name))
