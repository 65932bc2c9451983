"""Marking, as masks: clicks and boxes are answered by the segmenter, strokes are taken as drawn.

A segmenter without weights reads strokes as well: they say where the object is, and it answers with all of the object.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ui.work.session import Session
from videograin.errors import RegionError
from videograin.masks.shapes import box_around
from videograin.project.objects import add_object, find_object, mask_at, set_mask, with_marks
from videograin.project.workspace import Box, Click, MarkedObject, Scribble, Workspace
from videograin.segment.motion import frames_beside
from videograin.segment.names import reads_strokes

if TYPE_CHECKING:
    from videograin.segment.segmenter import Segmentation, Segmenter

MAX_BRUSH = 256.0

FARTHEST = 2.0**14
"""Pixels beyond which a stroke's points are cut off: OpenCV draws in 16 bits and more."""

STROKE_SPACING = 2
"""Pixels between the points by which a segmenter is told of a stroke."""

STROKE_EDGE = 2
"""Pixels of a stroke's edge that it is not told of, for its points have a size of their own."""


class Tool(StrEnum):
    """A tool of the picture."""

    PICK = "pick"
    ADD = "add"
    REMOVE = "remove"
    BOX = "box"
    PART = "part"
    BRUSH = "brush"
    ERASER = "eraser"


@dataclass(frozen=True)
class Stroke:
    """A line drawn with a round brush.

    Attributes:
        points: (x, y) in pixels of the frame.
        radius: half the width of the brush, in pixels of the clip.
        is_eraser: whether it takes away.
    """

    points: Sequence[Sequence[float]]
    radius: float
    is_eraser: bool


@dataclass(frozen=True, eq=False)
class Answers:
    """Masks that one click may have meant.

    Attributes:
        number: id of the object that was clicked on.
        frame: the click's, counted from 0.
        masks: (H, W) bool each, the smallest first.
    """

    number: int
    frame: int
    masks: tuple[np.ndarray, ...]


def click(session: Session, segmenter: "Segmenter", tool: Tool, x: float, y: float) -> None:
    """Take a click on the frame that is shown: a new object, or more or less of the one that is selected.

    Raises:
        VideoGrainError: no object is found there, or no object is selected to take away from.
    """
    work, number = _clicked(session, tool, x, y)
    _answer(session, segmenter, work, number)


def would_mark(session: Session, segmenter: "Segmenter", tool: Tool, x: float, y: float) -> np.ndarray:
    """Return what a click on the frame that is shown would mark, (H, W) bool; nothing changes.

    Raises:
        VideoGrainError: as in `click`.
    """
    work, number = _clicked(session, tool, x, y)
    return _ask(session, segmenter, work, number).mask


def box(
    session: Session, segmenter: "Segmenter", corners: tuple[float, float, float, float], *, is_part: bool = False
) -> None:
    """Take a box (x0, y0, x1, y1) around a new object, or around a part of the one that is selected.

    Raises:
        VideoGrainError: nothing is found there, or no object is selected that it could be a part of.
    """
    work = session.opened_work
    if is_part and session.object is None:
        raise RegionError("There is no object yet that this could be a part of. Draw a box around one first.")
    x0, x1 = sorted(corners[::2])
    y0, y1 = sorted(corners[1::2])
    work, number = _target(session, work, is_new=not is_part)
    boxes = [Box(session.frame, x0, y0, x1, y1)]
    mask, marked = mask_at(work, number, session.frame), find_object(work, number)
    if mask is not None and all(each.frame != session.frame for each in marked.boxes):
        boxes.insert(0, Box(session.frame, *box_around(mask).tolist()))  # around what strokes or following found
    work = with_marks(work, number, boxes=boxes)
    if is_part and not reads_strokes(segmenter.model.name):
        _unite(session, segmenter, work, number, boxes[-1])
    else:
        _answer(session, segmenter, work, number)


def draw(session: Session, segmenter: "Segmenter", stroke: Stroke) -> None:
    """Paint over the selected object's mask; where none is selected, the brush begins one.

    A segmenter that reads strokes answers with the object that they mean instead.
    """
    work, clip = session.opened_work, session.opened_clip
    if not stroke.points or not 0 < stroke.radius <= MAX_BRUSH:
        raise RegionError(f"A stroke needs points and a radius up to {MAX_BRUSH:g} pixels.")
    if stroke.is_eraser and session.object is None:
        raise RegionError("There is nothing to erase yet. Pick an object first.")
    work, number = _target(session, work, is_new=session.object is None)
    if reads_strokes(segmenter.model.name):
        points = tuple((float(x), float(y)) for x, y in stroke.points)
        scribble = Scribble(session.frame, points, stroke.radius, not stroke.is_eraser)
        work = with_marks(work, number, scribbles=[scribble])
        _answer(session, segmenter, work, number)
        return
    frames, size = len(clip.frames), clip.frames.shape[1:3]
    mask = mask_at(work, number, session.frame)
    mask = np.zeros(size, bool) if mask is None else mask
    drawn = paint(size, stroke)
    mask = mask & ~drawn if stroke.is_eraser else mask | drawn
    _take(session, set_mask(work, number, session.frame, mask, frames), number)


def choose_answer(session: Session, steps: int) -> None:
    """Take the next smaller (-1) or larger (1) object that the latest click may have meant.

    Raises:
        RegionError: there is none.
    """
    mask, number = other_answer(session, steps), session.selected
    if mask is None or number is None:
        size = "smaller" if steps < 0 else "larger"
        raise RegionError(f"There is no {size} object under this click. Add or remove parts with more clicks.")
    frames = len(session.opened_clip.frames)
    session.change(set_mask(session.opened_work, number, session.frame, mask, frames))


def other_answer(session: Session, steps: int) -> np.ndarray | None:
    """Return the next smaller (-1) or larger (1) mask (H, W) bool that the latest click may have meant.

    None where there is none, where another object or frame is looked at, and where the object's mask has become none of
    that click's answers.
    """
    given = session.answers
    if given is None or (given.number, given.frame) != (session.selected, session.frame):
        return None
    mask = mask_at(session.opened_work, given.number, given.frame)
    if mask is None:
        return None
    wanted = next((place + steps for place, each in enumerate(given.masks) if np.array_equal(each, mask)), -1)
    return given.masks[wanted] if 0 <= wanted < len(given.masks) else None


def paint(size: tuple[int, int], stroke: Stroke) -> np.ndarray:
    """Return the pixels (H, W) bool that a stroke covers."""
    canvas = np.zeros(size, np.uint8)
    near = np.clip(np.asarray(stroke.points, np.float64), -FARTHEST, FARTHEST)
    points = np.rint(near).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(canvas, [points], isClosed=False, color=1, thickness=max(1, round(2 * stroke.radius)))
    for x, y in points[[0, -1], 0]:
        cv2.circle(canvas, (int(x), int(y)), max(1, round(stroke.radius)), 1, cv2.FILLED)
    return canvas.astype(bool)


def _target(session: Session, work: Workspace, *, is_new: bool) -> tuple[Workspace, int]:
    """Return the object that is meant, adding it if need be."""
    selected = session.object
    if selected is not None and (not is_new or selected.id not in work.masks):
        return work, selected.id
    work = add_object(work)
    return work, work.objects[-1].id


def _clicked(session: Session, tool: Tool, x: float, y: float) -> tuple[Workspace, int]:
    """Return the work with a click added to the object that it is for, and which that is."""
    work = session.opened_work
    if tool is Tool.REMOVE and session.object is None:
        raise RegionError("There is nothing to remove from yet. Pick an object first.")
    work, number = _target(session, work, is_new=tool is Tool.PICK)
    return with_marks(work, number, clicks=[Click(session.frame, x, y, tool is not Tool.REMOVE)]), number


def _answer(session: Session, segmenter: "Segmenter", work: Workspace, number: int) -> None:
    """Ask the segmenter with all that was said about an object on this frame, and take its answer."""
    found = _ask(session, segmenter, work, number)
    answers = sorted((found, *found.alternatives), key=lambda answer: answer.area)
    work = set_mask(work, number, session.frame, found.mask, len(session.opened_clip.frames), found.confidence)
    _take(session, work, number)
    session.answers = Answers(number, session.frame, _distinct(answers))


def _ask(session: Session, segmenter: "Segmenter", work: Workspace, number: int) -> "Segmentation":
    """Return the segmenter's answer to all that was said about an object on the frame that is shown."""
    marked = find_object(work, number)
    clicks = [each for each in marked.clicks if each.frame == session.frame]
    boxes = [(each.x0, each.y0, each.x1, each.y1) for each in marked.boxes if each.frame == session.frame]
    _set_frame(session, segmenter)
    mask = mask_at(work, number, session.frame)
    points, labels = [(each.x, each.y) for each in clicks], [each.is_inside for each in clicks]
    if reads_strokes(segmenter.model.name):
        drawn = _scribbled(marked, session.frame, segmenter.frame_size)
        points, labels = points + [point for point, _ in drawn], labels + [is_inside for _, is_inside in drawn]
        mask = None if boxes else mask  # all that was marked is known, so that its order does not count
    elif len(boxes) > 1:
        boxes = []  # the mask has what each of them led to
    previous = None if mask is None else segmenter.as_previous(mask)
    return segmenter.click(points, labels, boxes or None, previous)


def _unite(session: Session, segmenter: "Segmenter", work: Workspace, number: int, part: Box) -> None:
    """Add what a box around a part of an object leads to, to the mask that the object has."""
    _set_frame(session, segmenter)
    found = segmenter.click([], [], (part.x0, part.y0, part.x1, part.y1))
    before = mask_at(work, number, session.frame)
    mask = found.mask if before is None else before | found.mask
    work = set_mask(work, number, session.frame, mask, len(session.opened_clip.frames), found.confidence)
    _take(session, work, number)


def _set_frame(session: Session, segmenter: "Segmenter") -> None:
    frames = session.opened_clip.frames
    segmenter.set_frame(frames[session.frame], frames_beside(frames, session.frame))


def _scribbled(marked: MarkedObject, frame: int, size: tuple[int, int]) -> list[tuple[tuple[float, float], bool]]:
    """Return points (x, y) all over an object's scribbles on a frame, each with whether it lies on the object.

    Where scribbles cross, the latest counts.
    """
    sides = np.zeros(size, np.int8)
    for each in marked.scribbles:
        if each.frame == frame:
            drawn = paint(size, Stroke(each.points, each.radius, not each.is_inside))
            core = cv2.erode(drawn.astype(np.uint8), np.ones((2 * STROKE_EDGE + 1,) * 2, np.uint8)).astype(bool)
            sides[drawn] = 0
            sides[core if core.any() else drawn] = 1 if each.is_inside else -1
    spaced = np.zeros(size, bool)
    spaced[::STROKE_SPACING, ::STROKE_SPACING] = True
    return [((float(x), float(y)), bool(sides[y, x] > 0)) for y, x in np.argwhere((sides != 0) & spaced)]


def _distinct(answers: Sequence["Segmentation"]) -> tuple[np.ndarray, ...]:
    masks: list[np.ndarray] = []
    for answer in answers:
        if not any(np.array_equal(answer.mask, other) for other in masks):
            masks.append(answer.mask)
    return tuple(masks)


def _take(session: Session, work: Workspace, number: int) -> None:
    session.change(work)
    session.selected = number
