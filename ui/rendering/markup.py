"""Lists, strips and sentences of the page as HTML. Every text of a user goes through `html.escape` here.

A button or field with `data-action` calls the page's handler of that name (scripts/actions.js). A field's `data-value`
is what the server knows; what it shows may be newer (scripts/fields.js).
"""

import math
import secrets
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from ui.rendering.icons import icon
from ui.rendering.pictures import as_url, data_url, thumbnail
from videograin.diffusion.prompt import compose_target_prompt, phrase_places
from videograin.errors import PromptError
from videograin.evaluation.vocabulary import known_phrases
from videograin.jobs.model_shelf import ShelfState
from videograin.masks.shapes import Combination
from videograin.media.preview_webp import encode_preview
from videograin.models.bundles import find_bundle
from videograin.project.objects import is_followed, weakest_frame
from videograin.project.workspace import MarkedObject, Workspace
from videograin.region import EditSettings, means_removal

COMBINATIONS = {
    Combination.UNION: "Join with",
    Combination.DIFFERENCE: "Cut out",
    Combination.INTERSECTION: "Keep only inside",
}

KEYS = (
    ("Space", "Play or pause; while marking, play the clip with its masks"),
    ("← →", "Previous and next frame"),
    ("P A R", "Pick a new object, add to it, remove from it"),
    ("B E X", "Brush, eraser, box"),
    ("Enter", "New object"),
    ("Esc", "Back to picking; stop what plays"),
    ("[ ]", "A smaller or larger brush"),
    ("Wheel", "Zoom into the picture; the middle button or Alt moves it"),
    ("Ctrl+Z Ctrl+Shift+Z", "Undo, redo"),
    ("?", "This list"),
)
"""What keys do outside of text fields (scripts/keys.js)."""

SEEN_SECONDS = 2.0
"""For which masks play at least: less cannot be judged."""

NO_CLIP = "<p class='vg-empty'>Choose a clip in step 1 first.</p>"
EMPTY_OBJECTS = "Click on an object in the picture, or draw a Box around it. Each one appears here."


def header() -> str:
    """Return the top of the page."""
    return (
        "<header class='vg-header'><span class='vg-logo' aria-hidden='true'><i></i><i></i><i></i><i></i></span>"
        "<div><h1>VideoGrain Studio</h1><p>Click on objects in a clip, say what each becomes.</p></div>"
        "<button type='button' class='vg-button' data-keys title='Keys (?)' aria-label='Show the keys'>?</button>"
        f"{_keys_dialog()}</header>"
    )


def _keys_dialog() -> str:
    rows = "".join(
        f"<tr><td>{' '.join(f'<kbd>{key}</kbd>' for key in keys.split())}</td><td>{what}</td></tr>"
        for keys, what in KEYS
    )
    return (
        "<dialog class='vg-keys' aria-label='Keys'><form method='dialog'><h2>Keys</h2>"
        f"<table>{rows}</table><button class='vg-button'>Close</button></form></dialog>"
    )


def status_line(
    model: str,
    device: str,
    shelf: ShelfState,
    waiting: int,
    places: tuple[int, int] = (0, 1),
    *,
    gpus_each: int = 1,
    is_starting: bool = False,
    is_here: bool = True,
) -> str:
    """Return whether the model that is chosen is loaded, where it works, and how busy it is.

    Args:
        model: its name.
        device: where it works, in capitals.
        shelf: what is loaded.
        waiting: jobs that wait or run, of all users.
        places: how many edits can begin at once, and how many can run; told where there is more than one.
        gpus_each: how many GPUs each of them takes, where it takes any.
        is_starting: whether the studio has only just come up, and no model is asked for yet.
        is_here: whether the model is on this machine.
    """
    free, there = places
    gpus = "GPUs" if gpus_each == 1 else "pairs of GPUs"
    kind = gpus if device.startswith("CUDA") else "places"
    place = f"on {device}" if there < 2 else f"on {device} · {free} of {there} {kind} free"
    if shelf.loading:
        state, text = "busy", f"Loading {find_bundle(shelf.loading).title} {place}…"
    elif shelf.problem:
        state, text = "problem", shelf.problem
    elif is_starting:
        state, text = "busy", f"Starting {place}…"
    elif waiting:
        state, text = "busy", f"{place} · {waiting} job{'s' * (waiting != 1)} in the queue"
    elif shelf.held == model:
        state, text = "ready", f"{place} · ready"
    else:
        state, text = "idle", f"{place} · {'loads with the next edit' if is_here else 'this model is not here yet'}"
    return f"<p class='vg-status vg-{state}' role='status'><i></i>{escape(text)}</p>"


def problem(text: str) -> str:
    """Return the problem of a choice, shown where it is made."""
    return f"<p class='vg-estimate vg-problem'>{escape(text)}</p>"


def playing_masks(frames: Iterable[np.ndarray], fps: float, seconds: float) -> str:
    """Return frames (H, W, 3) uint8 RGB that play over the picture (scripts/overlay.js).

    Args:
        frames: of the whole clip, or every other.
        fps: at which they play.
        seconds: that they last; the few of a shorter clip than `SEEN_SECONDS` play several times.
    """
    content = encode_preview(np.stack(list(frames)), fps)
    shown = seconds * math.ceil(SEEN_SECONDS / seconds)
    return (
        f"<div class='vg-masks' data-seconds='{shown:.2f}' data-start='{secrets.token_hex(8)}' title='Click to stop'>"
        f"<img src='{as_url(content, 'image/webp')}' alt='The clip with its masks'></div>"
    )


def moving_picture(frames: Iterable[np.ndarray], fps: float) -> str:
    """Return frames (H, W, 3) uint8 RGB as a picture that moves."""
    content = encode_preview(np.stack(list(frames)), fps)
    return f"<img class='vg-forming' src='{as_url(content, 'image/webp')}' alt='The clip, moving'>"


def duration(seconds: float) -> str:
    """Return a time in everyday words."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def object_list(work: Workspace, frames: np.ndarray, selected: int | None) -> str:
    """Return the list of objects, the topmost first."""
    rows = [_object_row(work, each, frames, each.id == selected) for each in reversed(work.objects)]
    return f"<ul class='vg-objects'>{''.join(rows)}</ul>" if rows else f"<p class='vg-empty'>{EMPTY_OBJECTS}</p>"


def mark_buttons(can_undo: bool, can_redo: bool, can_shrink: bool, can_grow: bool) -> str:
    """Return the buttons under the picture."""
    return (
        "<div class='vg-buttons'>"
        + _button("undo", icon("undo"), "Undo", enabled=can_undo)
        + _button("redo", icon("redo"), "Redo", enabled=can_redo)
        + "<span class='vg-gap'></span>"
        + _button("smaller", icon("smaller") + "Smaller", "A smaller object under the same click", enabled=can_shrink)
        + _button("bigger", icon("bigger") + "Bigger", "A larger object under the same click", enabled=can_grow)
        + "</div>"
    )


def timeline(work: Workspace, frame: int, frames: int) -> str:
    """Return the frame slider and, below it, how sure each object's place is in each frame."""
    last = frames - 1
    strips = "".join(_strip(work, each, frame) for each in reversed(work.objects) if each.id in work.masks)
    weakest = weakest_frame(work)
    return (
        "<div class='vg-timeline'><div class='vg-scrub'>"
        + _button("frame", icon("left"), "Previous frame", value=max(0, frame - 1), enabled=frame > 0)
        + f"<input type='range' min='0' max='{last}' data-value='{frame}' data-action='frame' data-live "
        f"aria-label='Frame' style='--share:{frame / max(1, last):.4f}'>"
        + _button("frame", icon("right"), "Next frame", value=min(last, frame + 1), enabled=frame < last)
        + f"<output>{frame + 1}<small>/{frames}</small></output>"
        + (
            _button("frame", f"Least sure: {weakest + 1}", "Go where the masks are least sure", value=weakest)
            if weakest is not None
            else ""
        )
        + "</div>"
        + (f"<div class='vg-strips'>{strips}</div>" if strips else "")
        + "</div>"
    )


def words(work: Workspace, frames: np.ndarray, *, are_fresh: bool = False) -> str:
    """Return a row for each object in which to say what it becomes.

    Args:
        work: its objects, each with its phrase, fill the list.
        frames: (F, H, W, 3) uint8 RGB of the clip.
        are_fresh: whether the words replace those on the page, including text that is being typed.
    """
    fresh = f" data-fresh='{secrets.token_hex(8)}'" if are_fresh else ""  # a page takes notice of what differs alone
    rows = [_word_row(work, each, frames) for each in work.objects]
    known = "".join(f"<option value='{escape(phrase)}'>" for phrase in known_phrases(work.model))
    return (
        f"<div class='vg-words'{fresh}>{''.join(rows)}<datalist id='vg-known'>{known}</datalist></div>"
        if rows
        else "<p class='vg-empty'>Nothing is marked yet. In step 2, click on each object that will change.</p>"
    )


def advice(notes: Iterable[str]) -> str:
    """Return notes that the user should read before going on."""
    return "".join(f"<p class='vg-note vg-advice' role='status'>{escape(note)}</p>" for note in notes)


def ideas(model: str) -> str:
    """Return the words that a model knows as chips (scripts/chips.js), and a button for a random idea."""
    chips = "".join(
        f"<button type='button' class='vg-button vg-known' data-chip='{escape(phrase)}'>{escape(phrase)}</button>"
        for phrase in known_phrases(model)
    )
    if not chips:
        return ""
    return (
        "<div class='vg-ideas'><p class='vg-note'>Words that this model knows; a click puts one into the field."
        "</p>"
        + _button("idea", "Surprise me", "Random words for all objects")
        + f"<div class='vg-chips'>{chips}</div></div>"
    )


def sentence(work: Workspace) -> str:
    """Return the whole target prompt with each phrase in its object's colour."""
    prompt = target_prompt(work)
    if not prompt:
        return "<p class='vg-sentence vg-empty'>The sentence forms here as you type.</p>"
    return f"<p class='vg-sentence'>{coloured(prompt, work.objects)}</p>"


def target_prompt(work: Workspace) -> str:
    """Return the target prompt that an edit will have, empty while there are no words."""
    try:
        phrases = [each.edit_prompt for each in work.objects if not means_removal(each.edit_prompt)]
        return work.target_prompt or compose_target_prompt(phrases, work.background)
    except PromptError:
        return ""


def coloured(prompt: str, objects: Sequence[MarkedObject]) -> str:
    """Return a prompt with the objects' phrases marked in their colours; longer phrases choose first."""
    taken = [-1] * len(prompt)
    for number, each in sorted(enumerate(objects), key=lambda pair: -len(pair[1].edit_prompt)):
        places = phrase_places(prompt, each.edit_prompt.strip())
        start, stop = next((place for place in places if max(taken[slice(*place)]) < 0), (0, 0))
        taken[start:stop] = [number] * (stop - start)
    return "".join(
        escape(text) if number < 0 else f"<mark style='--colour:{objects[number].colour}'>{escape(text)}</mark>"
        for number, text in _runs(prompt, taken)
    )


def settings_line(settings: EditSettings) -> str:
    """Return the settings that matter most in one line."""
    return (
        f"{settings.num_inference_steps} steps · change {settings.strength:g} · words "
        f"{settings.guidance_scale:g} · seed {settings.seed}"
    )


def _runs(text: str, taken: Sequence[int]) -> list[tuple[int, str]]:
    runs: list[tuple[int, str]] = []
    for number, letter in zip(taken, text, strict=True):
        if runs and runs[-1][0] == number:
            runs[-1] = (number, runs[-1][1] + letter)
        else:
            runs.append((number, letter))
    return runs


def _object_row(work: Workspace, each: MarkedObject, frames: np.ndarray, is_selected: bool) -> str:
    state = "in every frame" if is_followed(work, each.id) else _marked_in(work, each.id)
    if each.is_rest:
        state = "all that no other object covers"
    shape = _shape_tools(work, each) if is_selected and not each.is_rest else ""
    return (
        f"<li class='vg-object{' vg-selected' if is_selected else ''}' style='--colour:{each.colour}'>"
        f"<button type='button' class='vg-thumb' data-action='select' data-id='{each.id}' "
        f"aria-label='Select {escape(each.name)}' aria-pressed='{str(is_selected).lower()}'>"
        f"{_picture(work, each, frames)}</button>"
        f"<div class='vg-name'><input type='text' data-value='{escape(each.name)}' maxlength='60' required "
        f"data-action='rename' data-id='{each.id}' aria-label='Name'><small>{state}</small></div>"
        "<div class='vg-tools'>"
        + _button("hide", icon("hidden" if each.is_hidden else "shown"), "Show or hide", each.id)
        + _button("raise", icon("up"), "Move up", each.id)
        + _button("lower", icon("down"), "Move down", each.id)
        + _button("delete", icon("delete"), "Delete", each.id)
        + f"</div>{shape}</li>"
    )


def _shape_tools(work: Workspace, each: MarkedObject) -> str:
    others = [other for other in work.objects if other.id != each.id and other.id in work.masks]
    options = "".join(
        f"<option value='{how.value} {other.id}'>{words} {escape(other.name)}</option>"
        for how, words in COMBINATIONS.items()
        for other in others
    )
    combine = (
        f"<select data-action='combine' data-id='{each.id}' aria-label='Combine with another object'>"
        f"<option value='' selected disabled>Combine with another object…</option>{options}</select>"
    )
    return (
        "<div class='vg-shape'>"
        + _slider("grow", each.id, "Grow", each.grow, -16, 32)
        + _slider("feather", each.id, "Soft edge", each.feather, 0, 32)
        + (_clean_up(each.id) if each.id in work.masks else "")
        + (combine if others and each.id in work.masks else "")
        + "</div>"
    )


def _clean_up(number: int) -> str:
    title = "Fill small holes and remove specks in every frame"
    return _button("clean", "Clean up", title, number)


def _word_row(work: Workspace, each: MarkedObject, frames: np.ndarray) -> str:
    return (
        f"<div class='vg-word' style='--colour:{each.colour}'>"
        f"<span class='vg-thumb'>{_picture(work, each, frames)}</span>"
        f"<label><small>{escape(each.name)} becomes</small>"
        f"<input type='text' data-value='{escape(each.edit_prompt)}' maxlength='200' placeholder='(stays as it is)' "
        f"list='vg-known' data-action='prompt' data-typing='typed' data-word='{each.id}' data-id='{each.id}'></label>"
        + _remove(each)
        + f"<label class='vg-pull' title='How firmly these words are bound to this object'><small>Strength "
        f"<b>{each.strength:g}×</b></small><input type='range' min='0' max='3' step='0.1' "
        f"data-value='{each.strength:g}' data-action='strength' data-id='{each.id}' "
        "aria-label='Strength of the words'></label></div>"
    )


def _remove(each: MarkedObject) -> str:
    title = "Take it out of the clip; the background comes from frames that show it"
    return _button("remove", "Remove", title, each.id, pressed=means_removal(each.edit_prompt))


def _marked_in(work: Workspace, number: int) -> str:
    known = work.masks.get(number)
    count = len(known.anchors) if known else 0
    return f"marked in {count} frame{'s' * (count != 1)}" if count else "not marked yet"


def _picture(work: Workspace, each: MarkedObject, frames: np.ndarray) -> str:
    picture = thumbnail(work, each, frames)
    return "" if picture is None else f"<img src='{data_url(picture)}' alt=''>"


def _strip(work: Workspace, each: MarkedObject, frame: int) -> str:
    known = work.masks[each.id]
    cells = "".join(
        f"<button type='button' tabindex='-1' data-action='frame' data-value='{index}' "
        f"class='{'vg-anchor ' if index in known.anchors else ''}{'vg-now' if index == frame else ''}' "
        f"style='--sure:{sure:.2f}' title='Frame {index + 1}: {_surety(known.anchors, index, sure)}'></button>"
        for index, sure in enumerate(known.confidence)
    )
    return f"<div class='vg-strip' style='--colour:{each.colour}'><span>{escape(each.name)}</span><i>{cells}</i></div>"


def _surety(anchors: Sequence[int], index: int, sure: float) -> str:
    return "marked by you" if index in anchors else f"{sure:.0%} sure"


def _slider(action: str, number: int, label: str, value: float, low: int, high: int) -> str:
    return (
        f"<label><small>{label} <b>{value:g} px</b></small><input type='range' min='{low}' max='{high}' step='1' "
        f"data-value='{value:g}' data-action='{action}' data-id='{number}'></label>"
    )


def _button(
    action: str,
    content: str,
    title: str,
    number: int | None = None,
    *,
    value: int | None = None,
    enabled: bool = True,
    pressed: bool | None = None,
) -> str:
    attributes = "" if number is None else f" data-id='{number}'"
    attributes += "" if value is None else f" data-value='{value}'"
    attributes += "" if pressed is None else f" aria-pressed='{str(pressed).lower()}'"
    attributes += "" if enabled else " disabled"
    return (
        f"<button type='button' class='vg-button' data-action='{action}' title='{title}' aria-label='{title}'"
        f"{attributes}>{content}</button>"
    )
