"""Attention maps of an edit: a button for each phrase, and its map over the frames when pressed."""

from collections.abc import Mapping
from html import escape

from ui.rendering.markup import moving_picture
from videograin.errors import ProjectError
from videograin.jobs.edit import read_attention
from videograin.jobs.store import JobStore
from videograin.jobs.worker import JobStatus
from videograin.media.video import MAX_FRAMES, ClipOptions, load_clip
from videograin.media.visualize import attention_overlay
from videograin.project.objects import COLOURS
from videograin.project.project import Project
from videograin.region import means_removal

PICTURE_SIDE = 256
"""Shorter side in pixels at which maps are shown; they are far coarser themselves."""


def phrase_chips(result: JobStatus, store: JobStore, colours: Mapping[str, str]) -> str:
    """Return a button for each phrase of a result; empty where no maps were recorded.

    Args:
        result: a finished edit; its maps were recorded or not.
        store: where its request is.
        colours: of the objects by their names.
    """
    if result.result.attention is None:
        return ""
    chips = "".join(
        f"<button type='button' class='vg-button vg-chip' style='--colour:{colours.get(name, COLOURS[0])}' "
        f"data-action='attention' data-id='{number}' data-value='{result.job.id}'>{escape(prompt)}</button>"
        for number, (name, prompt) in _phrases(result, store).items()
    )
    return f"<div class='vg-phrases'><span>See where each phrase landed:</span>{chips}</div>"


def moving_attention_map(result: JobStatus, store: JobStore, number: int) -> str:
    """Return a result's frames under the attention map of a phrase, as HTML that moves.

    Args:
        result: a finished edit; its maps were recorded or not.
        store: where its request is.
        number: of the region, counted from 0.

    Raises:
        ProjectError: no map was recorded of this phrase.
    """
    _, phrase = _phrases(result, store).get(number, ("", ""))
    maps = read_attention(result.results / result.result.attention) if result.result.attention else {}
    if not phrase or number not in maps:
        raise ProjectError("No attention map was recorded of this phrase: this result's frames do not show its object.")
    clip = load_clip(
        result.results / result.result.video, ClipOptions(max_frames=MAX_FRAMES, short_side=PICTURE_SIDE, multiple=2)
    )
    count = min(len(clip.frames), len(maps[number]))
    picture = moving_picture(attention_overlay(clip.frames[:count], maps[number][:count]), clip.fps)
    return (
        f"<figure class='vg-attention'>{picture}<figcaption>The brighter, the more attention “{escape(phrase)}” had, "
        "over all steps. The light should lie on its object.</figcaption></figure>"
    )


def _phrases(result: JobStatus, store: JobStore) -> dict[int, tuple[str, str]]:
    """Return name and prompt of the regions that were to become something else, by their numbers."""
    regions = dict(enumerate(store.request(result.job, Project).regions))
    return {
        number: (each.name, each.prompt)
        for number, each in regions.items()
        if each.prompt and not means_removal(each.prompt)
    }
