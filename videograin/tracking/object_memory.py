"""Memory of one object: its appearance in a few earlier frames, and their place in the present one.

Each view is one frame with the object's mask in it and the similarity transform that carries it to the present frame.
A pixel of a view votes where the present frame shows the same colour in its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

LIMIT = 4.0
"""Log-odds are kept within ± this (98 %), so that no single frame outvotes the others for long."""

AGREEMENT_SCALE = 22.0
"""Levels of 255 by which a colour may differ and still be the same (standard deviation)."""

MAX_VIEWS = 5
"""Views kept of one object, marked frames included: each costs a warp of the whole frame."""

SMOOTHING = 0.8
"""Sigma in pixels of the blur before frames are compared, which takes off compression noise."""

MAX_FEATURES, FEATURE_CONTRAST, FEATURE_EDGE = 600, 0.015, 20
"""SIFT's settings: more and fainter points than its defaults (0.04, 10), since drawn objects have few."""

MIN_VOTE = 0.3
"""Sum of likeness below which votes count less: pixels that no view recognises stay undecided."""

RECENCY = 0.15
"""Weight that every later view adds to a view's share of time: recent views are worth more."""

Transform = np.ndarray
"""(2, 3) float64: x' = A x + b in pixels."""

UNMOVED: Transform = np.eye(2, 3)


class Picture:
    """A frame as the tracker compares it: lightly smoothed, with SIFT features that are computed on first use.

    Attributes:
        index: which frame of the clip it is.
        frame: (H, W, 3) uint8 RGB as it is.
        image: (H, W, 3) uint8 RGB, smoothed.
        grey: (H, W) uint8.
    """

    def __init__(self, index: int, frame: np.ndarray) -> None:
        self.index = index
        self.frame = frame
        self.image = cv2.GaussianBlur(frame, (0, 0), SMOOTHING)
        self.grey = cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.grey.shape
        return height, width

    @cached_property
    def features(self) -> tuple[np.ndarray, np.ndarray]:
        """SIFT points (P, 2) float32 as (x, y) and descriptors (P, 128) float32."""
        sift = cv2.SIFT.create(nfeatures=MAX_FEATURES, contrastThreshold=FEATURE_CONTRAST, edgeThreshold=FEATURE_EDGE)
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
        picture: its frame, with features computed on demand.
        logits: (H, W) float32 log-odds within ± `LIMIT` that a pixel is the object's.
        known: (H, W) bool; False where another object hides this one.
        is_anchor: whether the user marked this frame.
        to_present: carries its pixels to the present frame; None while its place there is unknown.
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
    """The whole object as it should appear in the present frame if nothing hides it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        shape: (H, W) bool.
    """

    image: np.ndarray
    shape: np.ndarray

    def fit(self, picture: Picture) -> np.ndarray:
        """Return the likeness of each pixel of a frame, (H, W) float32 in [0, 1]; 0 outside the shape."""
        return np.where(self.shape, same_colour(cv2.absdiff(self.image, picture.image).max(2)), 0)

    def agreement(self, picture: Picture, hidden: np.ndarray) -> "Agreement":
        """Compare with a frame, leaving out pixels (H, W) bool that other objects hide."""
        expected = self.shape & ~hidden
        count, whole = int(expected.sum()), int(self.shape.sum())
        if not count:
            return Agreement(0.0, 0, whole)
        difference = cv2.absdiff(self.image, picture.image).max(2)[expected]
        return Agreement(float(same_colour(difference).mean()), count, whole)


@dataclass(frozen=True)
class Agreement:
    """How well an object's appearance fits a place in a frame.

    Attributes:
        share: in [0, 1], mean likeness of colour over the pixels where the object should be seen.
        expected: number of those pixels.
        whole: number of the object's pixels, hidden ones included.
    """

    share: float
    expected: int
    whole: int


def same_colour(difference: np.ndarray) -> np.ndarray:
    """Return the likeness, float32 in (0, 1], of colours that differ by `difference` levels (a Gaussian)."""
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
    """A few views of one object, oldest first; those of marked frames are always kept."""

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
        """Set the place of a view; the views that were placed move along with it."""
        if view.is_placed:
            self.move(compose(to_present, inverse(view.transform)))
        else:
            self.views = [other.at(to_present if other is view else None) for other in self.views]

    def join(self, view: View, to_present: Transform) -> None:
        """Set the place of a view; the others stay where they are."""
        self.views = [other.at(to_present) if other is view else other for other in self.views]

    def correct(self, correction: Transform) -> None:
        """Move the views of marked frames, and forget those that were taken while the place was wrong."""
        self.views = [view for view in self.views if view.is_anchor]
        self.move(correction)

    def add(self, view: View) -> None:
        """Add a view of the present frame; beyond `MAX_VIEWS` the one goes whose neighbours in time are nearest."""
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

    def votes(self, picture: Picture) -> tuple[np.ndarray, np.ndarray]:
        """Vote on which pixels of the present frame are the object's.

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
        return votes / np.maximum(weights, MIN_VOTE), shape

    def _spread(self, index: int) -> float:
        """Return the frames between a view's neighbours, weighted by its place in the order."""
        around = self.views[index + 1].picture.index - self.views[index - 1].picture.index
        return abs(around) * (1 + RECENCY * (len(self.views) - index))
