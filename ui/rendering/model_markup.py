"""Models and segmenters as the page offers them: what each is for, and what it lacks on this machine."""

from collections.abc import Iterable
from html import escape

from videograin.models.bundles import ModelBundle, find_bundle
from videograin.models.catalog import CONTROL_TITLES, CatalogEntry, size_words

OTHER_SIZE = 1.5
"""From this ratio to the size that suits the model, in either direction, the page warns of the clip's size."""


def model_note(bundle: ModelBundle) -> str:
    """Return what a model can draw."""
    return f"<p class='vg-note'><b>{escape(bundle.title)}</b> knows: {escape(bundle.knows)}</p>"


def model_choices(models: Iterable[str]) -> list[tuple[str, str]]:
    """Return models as a list offers them: their titles, and their names."""
    return [(find_bundle(model).title, model) for model in models]


def download_offer(entry: CatalogEntry, *, can_ask: bool) -> str:
    """Return what an entry of the catalog is for and its size, with a button to download it where that can be."""
    text = f"<b>{escape(entry.title)}</b> is not on this machine yet. {escape(entry.about)}"
    if not can_ask:
        return f"<div class='vg-job'><p>{text} This studio is kept off the network; choose another model.</p></div>"
    return (
        f"<div class='vg-job'><div class='vg-job-line'><span>{text} It is downloaded once: "
        f"{size_words(entry.size)}.</span><button type='button' class='vg-button' data-action='download' "
        f"data-value='{escape(entry.name, quote=True)}'>Download</button></div></div>"
    )


def size_note(bundle: ModelBundle, size: tuple[int, int]) -> str:
    """Return that frames of a size (H, W) do not suit a model, and what to do; empty where they do."""
    height, width = size
    if 1 / OTHER_SIZE < min(size) / bundle.short_side < OTHER_SIZE:
        return ""
    return (
        f"<p class='vg-note vg-advice'>This clip is open at {width}×{height}, but this model draws best with a shorter "
        f"side of {bundle.short_side} pixels. To change that, continue from step 1 again; marking then starts over.</p>"
    )


def control_choices(bundle: ModelBundle) -> list[tuple[str, str]]:
    """Return the ControlNets that a model has, with what each holds an edit to."""
    return [(CONTROL_TITLES[kind], kind.value) for kind in bundle.controls]
