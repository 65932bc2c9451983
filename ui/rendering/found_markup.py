"""Objects that were found by what a user typed, as HTML: a button for each, and one for all."""

from html import escape

from ui.rendering.icons import icon
from videograin.jobs.suggest import FoundOnFrame


def found(on_frame: FoundOnFrame, shown: int) -> str:
    """Return the buttons that take what was found.

    Args:
        on_frame: the objects that wait to be taken.
        shown: the frame that the picture shows, counted from 0.
    """
    if not on_frame.objects:
        return "<p class='vg-note' role='status'>What you typed is in the list already.</p>"
    names = [each.name for each in on_frame.objects]
    each = "".join(
        f"<button type='button' class='vg-button' data-action='take' data-id='{place}' "
        f"aria-label='Take {number}, {escape(name)}'><b>{number}</b> {escape(name)}</button>"
        for place, (number, name) in enumerate(zip(range(1, len(names) + 1), names, strict=True))
    )
    every = "<button type='button' class='vg-button' data-action='take-all'>Take all</button>" if len(names) > 1 else ""
    place = "" if on_frame.frame == shown else f" on frame {on_frame.frame + 1}"
    count = f"{len(names)} object{'s' * (len(names) != 1)} found{place}. Click on those that you want."
    return (
        f"<div class='vg-buttons' role='group' aria-label='Objects found'><span class='vg-note'>{count}</span>{each}"
        f"{every}<button type='button' class='vg-button' data-action='dismiss' aria-label='Take none of them'>"
        f"{icon('delete')}</button></div>"
    )
