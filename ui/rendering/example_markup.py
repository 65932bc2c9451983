"""The examples as cards."""

import json
from functools import cache
from html import escape
from pathlib import Path

from ui.rendering.icons import icon
from ui.rendering.pictures import as_url, data_url
from videograin.media.video import ClipOptions, load_clip
from videograin.project.examples import example_names, example_path


@cache
def example_cards() -> str:
    """Return a card for each example: what its clip shows, and what becomes of it."""
    cards = "".join(_card(name, example_path(name)) for name in example_names())
    return f"<h2>Or try one of these</h2><div class='vg-examples'>{cards}</div>"


def _card(name: str, folder: Path) -> str:
    project = json.loads((folder / "project.json").read_text(encoding="utf-8"))
    frame = load_clip(folder / project["clip"], ClipOptions(max_frames=1, short_side=128, multiple=2)).frames[0]
    before, after = escape(project["source_prompt"]), escape(project["target_prompt"])
    return (
        f"<div class='vg-example'><div class='vg-cover'><img src='{data_url(frame)}' alt='Before: {before}'>"
        f"{_edited(folder, after)}</div>"
        f"<p title='{after}'>{after}</p>"
        f"<span class='vg-pair'><button type='button' class='vg-button' data-action='ready' data-value='{name}' "
        f"aria-label='Try this: {after}'>Try this</button>"
        f"<button type='button' class='vg-link' data-action='clip' data-value='{name}' "
        f"title='Take the clip alone: {before}'>Mark it yourself</button></span></div>"
    )


def _edited(folder: Path, prompt: str) -> str:
    """Return a picture of what becomes of an example, where benchmarks/cards.py has made one."""
    picture = folder / "after.jpg"
    if not picture.is_file():
        return ""
    url = as_url(picture.read_bytes(), "image/jpeg")
    return f"<img src='{url}' alt='After: {prompt}'><span>{icon('right')}</span>"
