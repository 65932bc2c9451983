"""What one object looked like in a few earlier frames, and how it lies in the present one.

Each view is one frame with the object's mask in it and the similarity transform that carries it to the present frame.
A pixel of a view speaks for itself where the present frame shows the same colour in its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

LIMIT = 4.0
"""Log-odds are kept within ± this: no single frame may be surer."""

AGREEMENT_SCALE = 22.0
"""Levels of 255 by which a colour may differ and still be the same (standard deviation)."""

MAX_VIEWS = 5

Transform = np.ndarray
"""(2, 3) float64: x' = A x + b in pixels."""

UNMOVED: Transform = np.eye(2, 3)


class Picture:
    """A frame as the tracker looks at it: lightly smoothed, and its features once somebody asks.

    Attributes:
        index: which frame of the clip it is.
        frame: (H, W, 3) uint8 RGB as it is.
        image: (H, W, 3) uint8 RGB, smoothed.
        grey: (H, W) uint8.
    """

    def __init__(self, index: int, frame: np.ndarray) -> None:
        self.index = index
        self.frame = frame
        self.image = cv2.GaussianBlur(frame, (0, 0), 0.8)
        self.grey = cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.grey.shape
        return height, width

    @cached_property
    def features(self) -> tuple[np.ndarray, np.ndarray]:
        """SIFT points (P, 2) float32 as (x, y) and descriptors (P, 128) float32."""
        sift = cv2.SIFT.create(nfeatures=600, contrastThreshold=0.015, edgeThreshold=20)
        found, descriptors = sift.detectAndCompute(self.grey, None)  # pyright: ignore[reportCallIssue, reportArgumentType]
        if descriptors is None:
            return np.empty((0, 2), np.float32), np.empty((0, 128), np.float32)
        return np.array([point.pt for point in found], np.float32), descriptors

    def features_in(self, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the features that lie in a mask (H, W) bool."""
        points, descriptors = self.features
        column, row = np.rint(points).astype(int).T
        inside = mask[row.clip(0, mask.shape[0] - 1), column.clip(0, mask.shape[1] - 1)]
        return points[inside], descriptors[inside]


@dataclass(frozen=True, eq=False)
class View:
    """The object in one frame.

    Attributes:
        picture: the frame.
        logits: (H, W) float32 log-odds within ± `LIMIT` that a pixel is the object's.
        known: (H, W) bool; False where something else hides what is there.
        is_anchor: whether a person made the mask.
        to_present: carries its pixels to the present frame; None while nobody knows where the object is.
    """

    picture: Picture
    logits: np.ndarray
    known: np.ndarray
    is_anchor: bool
    to_present: Transform | None = None

    @classmethod
    def of_mask(cls, picture: Picture, mask: np.ndarray, *, is_anchor: bool) -> "View":
        """Return the view of a mask (H, W) bool that is known, not placed yet."""
        logits = cv2.blur(np.where(mask, LIMIT, -LIMIT).astype(np.float32), (3, 3))
        return cls(picture, logits, np.ones_like(mask), is_anchor)

    @cached_property
    def visible(self) -> np.ndarray:
        """(H, W) bool, the pixels of the object that can be seen."""
        return (self.logits > 0) & self.known

    @cached_property
    def middle(self) -> np.ndarray:
        """(2,) as (x, y), the mean of the visible pixels; the frame's middle where there is none."""
        if not self.visible.any():
            return np.array(self.visible.shape[::-1]) / 2
        rows, columns = np.nonzero(self.visible)
        return np.array([columns.mean(), rows.mean()])

    @property
    def is_placed(self) -> bool:
        """Whether it is known where the view lies."""
        return self.to_present is not None

    @property
    def transform(self) -> Transform:
        """Where the view lies, which must be known."""
        assert self.to_present is not None
        return self.to_present

    def at(self, to_present: Transform | None) -> "View":
        """Return the same view in another place."""
        return replace(self, to_present=to_present)

    def carried(self, array: np.ndarray, outside: float = 0) -> np.ndarray:
        """Carry an array (H, W) or (H, W, C) of this view to the present frame."""
        height, width = self.picture.size
        return cv2.warpAffine(array, self.transform, (width, height), borderValue=[outside] * 4)


@dataclass(frozen=True, eq=False)
class Appearance:
    """The whole object as its views say it looks in the present frame if nothing hides it.

    image (H, W, 3) uint8; shape (H, W) bool.
    """

    image: np.ndarray
    shape: np.ndarray

    def fit(self, picture: Picture) -> np.ndarray:
        """Return how far each pixel of a frame looks like the object, float32 (H, W) in [0, 1]; 0 outside its shape."""
        return np.where(self.shape, same_colour(cv2.absdiff(self.image, picture.image).max(2)), 0)

    def agreement(self, picture: Picture, hidden: np.ndarray) -> "Agreement":
        """Compare with a frame, leaving out pixels (H, W) bool that something else hides."""
        expected = self.shape & ~hidden
        count, whole = int(expected.sum()), int(self.shape.sum())
        if not count:
            return Agreement(0.0, 0, whole)
        difference = cv2.absdiff(self.image, picture.image).max(2)[expected]
        return Agreement(float(same_colour(difference).mean()), count, whole)


@dataclass(frozen=True)
class Agreement:
    """How well the object's looks fit a place: share in [0, 1] over so many expected pixels, of `whole` in all."""

    share: float
    expected: int
    whole: int


def same_colour(difference: np.ndarray) -> np.ndarray:
    """Return how far colours that differ by so many levels are the same, float32 in (0, 1]."""
    return np.exp(-0.5 * np.square(difference.astype(np.float32) / AGREEMENT_SCALE))


def compose(second: Transform, first: Transform) -> Transform:
    """Return the transform that does `first`, then `second`."""
    linear = second[:, :2] @ first
    linear[:, 2] += second[:, 2]
    return linear


def inverse(transform: Transform) -> Transform:
    """Return the transform that undoes this one."""
    return cv2.invertAffineTransform(transform)


def moved(transform: Transform, point: np.ndarray) -> np.ndarray:
    """Return where a point (2,) as (x, y) goes."""
    return transform[:, :2] @ point + transform[:, 2]


class Memory:
    """The few views of one object that are worth keeping, oldest first; anchors are always among them."""

    def __init__(self, views: Sequence[View]) -> None:
        self.views = list(views)

    @property
    def placed(self) -> list[View]:
        """The views whose place in the present frame is known."""
        return [view for view in self.views if view.is_placed]

    def move(self, step: Transform) -> None:
        """Move all placed views by a step of the object."""
        self.views = [
            view if view.to_present is None else view.at(compose(step, view.to_present)) for view in self.views
        ]

    def place(self, view: View, to_present: Transform) -> None:
        """Say where a view lies; the views that were placed move along with it."""
        if view.is_placed:
            self.move(compose(to_present, inverse(view.transform)))
        else:
            self.views = [other.at(to_present if other is view else None) for other in self.views]

    def join(self, view: View, to_present: Transform) -> None:
        """Say where a view lies; the others stay where they are."""
        self.views = [other.at(to_present) if other is view else other for other in self.views]

    def correct(self, correction: Transform) -> None:
        """Move what a person marked, and forget the views that were taken while the place was wrong."""
        self.views = [view for view in self.views if view.is_anchor]
        self.move(correction)

    def add(self, view: View) -> None:
        """Keep a view of the present frame; of too many, the one goes whose neighbours in time are nearest."""
        self.views.append(view)
        inner = [i for i in range(1, len(self.views) - 1) if not self.views[i].is_anchor]
        if len(self.views) > MAX_VIEWS and inner:
            self.views.pop(min(inner, key=self._spread))

    @property
    def origin(self) -> np.ndarray:
        """(2,) as (x, y), a point of the object in the present frame, whether it is hidden or not."""
        newest = self.placed[-1] if self.placed else None
        return np.zeros(2) if newest is None else moved(newest.transform, newest.middle)

    def appearance(self, step: Transform = UNMOVED) -> Appearance:
        """Return the whole object, later views over earlier ones, after a step; nothing where no view is placed."""
        image = np.zeros_like(self.views[0].picture.image)
        shape = np.zeros(image.shape[:2], bool)
        for view in self.placed:
            carried = view.at(compose(step, view.transform))
            here = carried.carried(view.visible.astype(np.uint8)) > 0
            image[here] = carried.carried(view.picture.image)[here]
            shape |= here
        return Appearance(image, shape)

    def evidence(self, picture: Picture) -> tuple[np.ndarray, np.ndarray]:
        """Say which pixels of the present frame the object's views recognise.

        Returns:
            (H, W) float32 log-odds by views whose colour agrees, and (H, W) float32 log-odds by shape alone.
        """
        votes = np.zeros(picture.size, np.float32)
        weights = np.zeros(picture.size, np.float32)
        shape = np.full(picture.size, -LIMIT, np.float32)
        for view in self.placed:
            difference = cv2.absdiff(view.carried(view.picture.image), picture.image).max(2)
            known = view.carried(view.known.astype(np.uint8))
            weight = same_colour(cv2.blur(difference, (3, 3))) * known
            logits = view.carried(view.logits, -LIMIT)
            votes += logits * weight
            weights += weight
            shape = np.where(known > 0, np.maximum(shape, logits), shape)
        return votes / np.maximum(weights, 0.3), shape

    def _spread(self, index: int) -> float:
        """Return how much time around a view it alone covers; newer ones count more."""
        around = self.views[index + 1].picture.index - self.views[index - 1].picture.index
        return abs(around) * (1 + 0.15 * (len(self.views) - index))
