"""The examples as cards."""

import json
from functools import cache
from html import escape
from pathlib import Path

from ui.rendering.icons import icon
from ui.rendering.pictures import data_url
from videograin.media.video import ClipOptions, load_clip
from videograin.project.examples import example_names, example_path


@cache
def example_cards() -> str:
    """Return a card for each example: its first frame, and what becomes of it."""
    cards = "".join(_card(name, example_path(name)) for name in example_names())
    return f"<h2>Or try one of these</h2><div class='vg-examples'>{cards}</div>"


def _card(name: str, folder: Path) -> str:
    project = json.loads((folder / "project.json").read_text(encoding="utf-8"))
    frame = load_clip(folder / project["clip"], ClipOptions(max_frames=1, short_side=128, multiple=2)).frames[0]
    before, after = escape(project["source_prompt"]), escape(project["target_prompt"])
    return (
        f"<div class='vg-example'><button type='button' class='vg-cover' data-action='clip' data-value='{name}' "
        f"title='Use this clip: {before}'><img src='{data_url(frame)}' alt='{before}'></button>"
        f"<p title='{after}'>{after}</p>"
        f"<span class='vg-pair'><button type='button' class='vg-button' data-action='run' data-value='{name}' "
        f"title='Edit it now, as it says here'>{icon('play')}Run</button>"
        f"<button type='button' class='vg-button' data-action='ready' data-value='{name}' "
        "title='Open it with its objects marked and its words written'>Open</button></span></div>"
    )
