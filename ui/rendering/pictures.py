"""Frames as a browser shows them: objects laid over in their colours, thumbnails, and all of it as data URLs.

Data URLs keep pictures of a user's clip out of every folder that a server could be asked for.
"""

import base64
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from videograin.masks.shapes import feather
from videograin.production.source_masks import Box
from videograin.project.workspace import MarkedObject, Workspace

OUTLINE_TOLERANCE = 0.7
"""Pixels by which an outline may cut corners: half of its points are saved, and no eye sees it."""

OPACITY = 0.5
THUMBNAIL = 72
"""Pixels of a thumbnail's side."""

SMALL_SIDE = 240
"""Pixels of the longer side of a picture that stands beside words."""

DIMMED = 0.45
"""Brightness of what is not meant in such a picture."""

_QUALITY = 88
_MARGIN = 0.12  # around an object in its thumbnail, as a share of its size


def overlay(work: Workspace, frame: np.ndarray, index: int, selected: int | None = None) -> np.ndarray:
    """Lay the visible objects over a frame, the selected one with a bright outline.

    Args:
        work: the objects, from the bottom to the top.
        frame: (H, W, 3) uint8 RGB.
        index: the frame, counted from 0.
        selected: id of an object.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    picture = frame.astype(np.float32)
    for each in work.objects:
        if each.is_hidden or each.id not in work.masks:
            continue
        mask = work.masks[each.id].masks[index]
        opacity = OPACITY * feather(mask[None], each.feather)[0][..., None]
        colour = np.array(rgb_of(each.colour), np.float32)
        picture += opacity * (colour - picture)
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        if each.id == selected:
            cv2.drawContours(picture, contours, -1, (255, 255, 255), 3, cv2.LINE_AA)
        cv2.drawContours(picture, contours, -1, rgb_of(each.colour), 1, cv2.LINE_AA)
    return picture.round().astype(np.uint8)


def outline(picture: np.ndarray, masks: Sequence[np.ndarray]) -> np.ndarray:
    """Return a copy of a picture (H, W, 3) uint8 RGB with a light and a dark line around each mask (H, W) bool."""
    drawn = picture.copy()
    for mask in masks:
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, contours, -1, (255, 255, 255), 3, cv2.LINE_AA)
        cv2.drawContours(drawn, contours, -1, (24, 24, 27), 1, cv2.LINE_AA)
    return drawn


def outlines(mask: np.ndarray) -> list[list[list[int]]]:
    """Return the outlines of a mask (H, W) bool, those of its holes too: each a list of pixels [x, y] on its edge."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return [cv2.approxPolyDP(each, OUTLINE_TOLERANCE, closed=True)[:, 0].tolist() for each in contours]


def overlay_frames(work: Workspace, frames: np.ndarray, step: int = 1) -> Iterator[np.ndarray]:
    """Yield every `step`th of the frames (H, W, 3) uint8 RGB with the objects laid over."""
    return (overlay(work, frames[index], index) for index in range(0, len(frames), step))


def thumbnail(work: Workspace, each: MarkedObject, frames: np.ndarray) -> np.ndarray | None:
    """Return an object cut out where it is largest, (72, 72, 3) uint8 RGB; None where it has no mask."""
    if each.is_rest:
        return cv2.resize(frames[0], (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    known = work.masks.get(each.id)
    if known is None or not known.masks.any():
        return None
    index = int(np.argmax([np.count_nonzero(mask) for mask in known.masks]))  # a tenth of the time of one sum
    rows, columns = np.nonzero(known.masks[index])
    centre_y, centre_x = (rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2
    side = int(max(np.ptp(rows), np.ptp(columns)) * (1 + 2 * _MARGIN)) + 2
    half = side // 2
    padded = np.pad(frames[index], ((half, half), (half, half), (0, 0)), mode="edge")
    cut = padded[centre_y : centre_y + side, centre_x : centre_x + side]
    return cv2.resize(cut, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)


def shrink(frame: np.ndarray) -> np.ndarray:
    """Return a frame (H, W, 3) uint8 RGB at no more than `SMALL_SIDE` pixels a side."""
    scale = min(1.0, SMALL_SIDE / max(frame.shape[:2]))
    size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def framed(frame: np.ndarray, boxes: Sequence[Box]) -> np.ndarray:
    """Return a small copy of a frame in which some parts stand out: outlined, and all around them dark.

    Args:
        frame: (H, W, 3) uint8 RGB.
        boxes: left, top, right and bottom of each part in pixels, cut to the frame; none leaves the frame as it is.

    Returns:
        (h, w, 3) uint8 RGB, at most `SMALL_SIDE` pixels a side.
    """
    small = shrink(frame)
    scale, size = small.shape[1] / frame.shape[1], (small.shape[1], small.shape[0])
    result = (small * DIMMED).astype(np.uint8) if boxes else small
    for box in boxes:
        left, top = (max(0, round(value * scale)) for value in box[:2])
        right, bottom = (min(limit, round(value * scale)) for value, limit in zip(box[2:], size, strict=True))
        result[top:bottom, left:right] = small[top:bottom, left:right]
        cv2.rectangle(result, (left, top), (right - 1, bottom - 1), (255, 255, 255), 1)
    return result


def data_url(picture: np.ndarray) -> str:
    """Return a picture (H, W, 3) uint8 RGB as a data URL."""
    _, content = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return as_url(content.tobytes(), "image/jpeg")


def as_url(content: bytes, kind: str) -> str:
    """Return a file's content as a data URL."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def rgb_of(colour: str) -> tuple[int, int, int]:
    """Return "#rrggbb" as numbers."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
