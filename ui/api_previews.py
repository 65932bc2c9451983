"""What programs may see before they decide: the outline of an object before it is marked."""

from ui.api_models import ModelApi
from ui.rendering.pictures import outlines
from ui.work.pointing import Tool
from ui.work.session import Session
from videograin.errors import RegionError


class PreviewApi(ModelApi):
    """The functions that change nothing and show what a change would come to."""

    def outline(
        self, session: str, frame: int, x: float, y: float, to: int = 0, inside: bool = True
    ) -> list[list[list[int]]]:
        """Return the outlines, each a list of pixels [x, y], of what `click` with these arguments would mark.

        There are none where nothing is found, or where the segmenter has no weights and can only answer the click.
        """
        found = self._at(session, frame, to or None)
        tool = (Tool.ADD if inside else Tool.REMOVE) if to else Tool.PICK
        self._studio.marking.encode_frame(found)
        mask = self._studio.marking.would_mark(found, tool, x, y)
        return [] if mask is None else outlines(mask)

    def _at(self, session: str, frame: int | None = None, number: int | None = None) -> Session:
        """Return a session with a frame shown and an object selected, as far as they are given."""
        found = self._find(session)
        work, clip = found.opened_work, found.opened_clip
        if frame is not None and not 0 <= frame < len(clip.frames):
            raise RegionError(f"Frame {frame} is not in the clip; it has {len(clip.frames)}, counted from 0.")
        if number is not None and all(each.id != number for each in work.objects):
            raise RegionError(f"There is no object {number}. Known are: {[each.id for each in work.objects]}.")
        found.frame, found.selected = found.frame if frame is None else frame, number
        return found
