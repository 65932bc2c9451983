"""The examples as cards."""

import json
from functools import cache
from html import escape
from pathlib import Path

from ui.rendering.icons import icon
from ui.rendering.pictures import as_url
from videograin.project.examples import CARD, example_names, example_path


@cache
def example_cards() -> str:
    """Return a card for each example: what its clip shows, and what becomes of it."""
    cards = "".join(_card(name, example_path(name)) for name in example_names())
    return f"<h2>Or try one of these</h2><div class='vg-examples'>{cards}</div>"


def _card(name: str, folder: Path) -> str:
    project = json.loads((folder / "project.json").read_text(encoding="utf-8"))
    before, after = escape(project["source_prompt"]), escape(project["target_prompt"])
    return (
        f"<div class='vg-example'><div class='vg-cover'>"
        f"<img src='{as_url((folder / CARD).read_bytes(), 'image/webp')}' alt='Before: {before}. After: {after}'>"
        f"<span>{icon('right')}</span></div><p title='{after}'>{after}</p>"
        f"<span class='vg-pair'><button type='button' class='vg-button' data-action='ready' data-value='{name}' "
        f"aria-label='Try this: {after}'>Try this</button>"
        f"<button type='button' class='vg-link' data-action='clip' data-value='{name}' "
        f"title='Take the clip alone: {before}'>Mark it yourself</button></span></div>"
    )
