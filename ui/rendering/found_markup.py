"""Objects that were found by what a user typed, as HTML: a button for each, and one for all."""

from html import escape

from ui.rendering.icons import icon
from videograin.finding.finder import FoundObject
from videograin.jobs.suggest import FoundOnFrame


def found(on_frame: FoundOnFrame, shown: int) -> str:
    """Return the buttons that take what was found.

    Args:
        on_frame: the objects that wait to be taken.
        shown: the frame that the picture shows, counted from 0.
    """
    if not on_frame.objects:
        return "<p class='vg-note' role='status'>What you typed is in the list already.</p>"
    many = len(on_frame.objects) > 1
    each = "".join(
        f"<button type='button' class='vg-button' data-action='take' data-value='{where(each)}' "
        f"aria-label='Take {number}, {escape(each.name)}'><b>{number}</b> {escape(each.name)}</button>"
        for number, each in enumerate(on_frame.objects, 1)
    )
    every = "<button type='button' class='vg-button' data-action='take-all'>Take all</button>" if many else ""
    place = "" if on_frame.frame == shown else f" on frame {on_frame.frame + 1}"
    count = f"{len(on_frame.objects)} object{'s' * many} found{place}. Click on those that you want."
    return (
        f"<div class='vg-buttons' role='group' aria-label='Objects found'><span class='vg-note'>{count}</span>{each}"
        f"{every}<button type='button' class='vg-button' data-action='dismiss' aria-label='Take none of them'>"
        f"{icon('delete')}</button></div>"
    )


def where(found: FoundObject) -> str:
    """Return how a button tells which object it takes: its number becomes another's as soon as one is taken."""
    return " ".join(map(str, found.box))
