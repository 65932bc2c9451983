"""Models and segmenters as the page offers them: what each is for, and what it lacks on this machine."""

from collections.abc import Iterable, Sequence
from html import escape

from videograin.models.adapters import Adapter
from videograin.models.bundles import ModelBundle, find_bundle
from videograin.models.catalog import CONTROL_TITLES, SEGMENTER_TITLES, CatalogEntry, find_entry, size_words
from videograin.segment.names import is_here

OTHER_SIZE = 1.5
"""From this ratio to the size that suits the model, in either direction, the page warns of the clip's size."""


def model_note(bundle: ModelBundle) -> str:
    """Return what a model can draw."""
    return f"<p class='vg-note'><b>What {escape(bundle.title)} knows.</b> {escape(bundle.knows)}</p>"


def model_choices(models: Iterable[str]) -> list[tuple[str, str]]:
    """Return models as a list offers them: their titles, and their names."""
    return [(find_bundle(model).title, model) for model in models]


def download_offer(entry: CatalogEntry, *, can_ask: bool) -> str:
    """Return what an entry of the catalog is for and its size, with a button to download it where that can be."""
    text = f"<b>{escape(entry.title)}</b> is not on this machine yet. {escape(entry.about)}"
    if not can_ask:
        return f"<div class='vg-job'><p>{text} This studio is kept off the network; {entry.instead}.</p></div>"
    return (
        f"<div class='vg-job'><div class='vg-job-line'><span>{text} It is downloaded once: "
        f"{size_words(entry.size)}.</span><button type='button' class='vg-button' data-action='download' "
        f"data-value='{escape(entry.name, quote=True)}'>Download</button></div></div>"
    )


def segmenter_choices(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return segmenters as a list offers them: their titles, with the size of those that lack, and their names."""
    return [(_segmenter_title(name), name) for name in names]


def photograph_notice(text: str, *, can_switch: bool) -> str:
    """Return a notice about a filmed clip, with a button that switches to what is meant for these."""
    if not text:
        return ""
    switch = "<button type='button' class='vg-button' data-action='photographs'>Switch to filmed clips</button>"
    button = switch if can_switch else ""
    return f"<div class='vg-note vg-advice vg-switch' role='status'><span>{escape(text)}</span>{button}</div>"


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


def lora_list(adapters: Sequence[Adapter]) -> str:
    """Return the LoRAs and textual inversions of an edit, each with its weight and words and a button to remove it."""
    if not adapters:
        return "<p class='vg-note'>None. A LoRA changes how the model draws; a textual inversion teaches it a word.</p>"
    return "".join(_lora_row(number, each) for number, each in enumerate(adapters, 1))


def _lora_row(number: int, each: Adapter) -> str:
    words = escape(each.words, quote=True)
    return (
        f"<div class='vg-word vg-lora'><b>{escape(each.title)}</b>"
        f"<label><small>Its words</small><input type='text' data-value='{words}' maxlength='100' "
        f"placeholder='trigger words, if it has any' data-action='words' data-word='lora{number}' data-id='{number}'>"
        f"</label><label class='vg-pull'><small>Weight <b>{each.weight:g}</b></small><input type='range' min='-1' "
        f"max='2' step='0.05' data-value='{each.weight:g}' data-action='weight' data-id='{number}' "
        f"aria-label='Weight'></label><button type='button' class='vg-button' data-action='remove' "
        f"data-id='{number}' data-value='{escape(each.title)}'>Remove</button></div>"
    )


def _segmenter_title(name: str) -> str:
    title = SEGMENTER_TITLES.get(name, name)
    if is_here(name) or name not in SEGMENTER_TITLES:
        return title
    return f"{title} ({size_words(find_entry(name).size)} to download)"
