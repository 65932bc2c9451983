"""How an object moves from one frame to the next: a similarity transform from flow, refinement or search."""

from collections.abc import Iterator

import cv2
import numpy as np

from videograin.tracking.object_memory import Memory, Picture, Transform, View, compose

MIN_POINTS = 8
"""Points to which a step is fitted: four times the two that determine a similarity."""

FLOW_INLIERS, CORNER_INLIERS = 0.4, 0.5
"""Share of the points that must agree: flow also carries parts that move by themselves, such as limbs."""

FLOW_TOLERANCE, CORNER_TOLERANCE, FEATURE_TOLERANCE = 1.5, 1.0, 2.5
"""Pixels by which a point may miss a fit; features of a distant frame deform most."""

MAX_SCALE, MAX_SEARCH_SCALE = 1.6, 2.0
"""Largest change of size, or its inverse, in one step and between distant frames."""

MIN_MATCHES = 4
"""Features, and inliers among them, by which a view is registered: twice what determines a similarity."""

DISTINCT_MATCH = 0.8
"""Largest ratio of the distances to the best and the second-best match (Lowe, IJCV 2004, section 7.1)."""

MAX_RETURN_ERROR = 0.7
"""Pixels by which a corner may miss its origin when it is tracked forth and back."""

MAX_CORNER_ERROR = 15
"""Mean difference in levels of 255 around a tracked corner."""

MAX_CORNERS, CORNER_QUALITY, CORNER_DISTANCE = 50, 0.01, 3
"""Shi and Tomasi's corners: their number, quality relative to the best, and distance in pixels."""

CORNER_WINDOW = (11, 11)
"""Pixels around a corner that Lucas and Kanade compare: drawn objects are small."""

MISFIT = 60.0
"""Levels of 255, over all channels, by which a pixel may differ and still count for a place."""

OUTSIDE_COST = 0.5
"""Cost of a pixel of the view where the object is known not to be, relative to the gain of one where it is."""

MIN_TEMPLATE = 6
"""Shorter side in pixels of a view that is slid over a frame; smaller ones fit everywhere."""

PEAK_RADIUS = 4
"""Half-resolution pixels around a place within which no other is proposed."""

MAX_FLOW_POINTS = 200
"""Pixels of a mask whose flow is fitted; more change nothing."""


def shift(x: float, y: float) -> Transform:
    """Return the transform that moves by (x, y) pixels."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y]])


def step_by_flow(mask: np.ndarray, forward: np.ndarray, occluded: np.ndarray) -> Transform | None:
    """Fit a similarity to the flow inside a mask, or None where too little of it can be followed.

    Args:
        mask: (H, W) bool in the frame before.
        forward: (2, H, W) float32, from there to this frame, in pixels.
        occluded: (H, W) bool, where the way back leads elsewhere.
    """
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    rows, columns = np.nonzero(inner & ~occluded)
    if len(rows) < 2 * MIN_POINTS:
        return None
    pick = np.linspace(0, len(rows) - 1, min(len(rows), MAX_FLOW_POINTS)).astype(int)
    rows, columns = rows[pick], columns[pick]
    points = np.stack([columns, rows], 1).astype(np.float32)
    return _fit(
        points, points + forward[:, rows, columns].T, tolerance=FLOW_TOLERANCE, min_inliers=FLOW_INLIERS * len(points)
    )


def refine(memory: Memory, picture: Picture, hidden: np.ndarray) -> Transform | None:
    """Return the small step that is still missing, by corners of the oldest and the newest view; None if unclear."""
    placed = memory.placed
    if not placed:
        return None
    pairs = [_tracked_corners(view, picture, hidden) for view in dict.fromkeys((placed[0], placed[-1]))]
    points, arrived = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return _fit(points, arrived, tolerance=CORNER_TOLERANCE, min_inliers=CORNER_INLIERS * len(points))


def search(memory: Memory, picture: Picture, hidden: np.ndarray) -> Iterator[tuple[View, Transform]]:
    """Yield places of views in this frame: first by their features, then by sliding the newest view over it.

    Args:
        memory: views of the object in earlier frames, the newest last.
        picture: frame in which the place is looked for.
        hidden: (H, W) bool, pixels that belong to other objects.
    """
    for view in reversed(memory.views):
        found = register(view, picture, ~hidden)
        if found is not None:
            yield view, found
    seen = [view for view in memory.views if view.visible.any()]
    if seen:
        for place in _slide(seen[-1], picture):
            yield seen[-1], place


def register(view: View, picture: Picture, where: np.ndarray) -> Transform | None:
    """Return the transform from a view to a frame by matching SIFT features (Lowe, IJCV 2004), or None.

    Args:
        view: earlier frame in which the object's pixels are known.
        picture: frame in which the place is looked for.
        where: (H, W) bool, pixels that may belong to the object.
    """
    points, descriptors = view.picture.features_in(view.visible)
    targets, candidates = picture.features_in(where)
    if len(points) < MIN_MATCHES or len(targets) < MIN_MATCHES:
        return None
    pairs = cv2.BFMatcher.create(cv2.NORM_L2).knnMatch(descriptors, candidates, k=2)
    matches = [best for best, second in pairs if best.distance < DISTINCT_MATCH * second.distance]
    origin = points[[match.queryIdx for match in matches]]
    arrived = targets[[match.trainIdx for match in matches]]
    return _fit(
        origin,
        arrived,
        tolerance=FEATURE_TOLERANCE,
        min_inliers=MIN_MATCHES,
        min_points=MIN_MATCHES,
        max_scale=MAX_SEARCH_SCALE,
    )


def _fit(
    points: np.ndarray,
    arrived: np.ndarray,
    *,
    tolerance: float,
    min_inliers: float,
    min_points: int = MIN_POINTS,
    max_scale: float = MAX_SCALE,
) -> Transform | None:
    """Fit a similarity to moved points (P, 2) by RANSAC, or None where they do not agree on one."""
    if len(points) < min_points:
        return None
    fitted, inliers = cv2.estimateAffinePartial2D(
        points, arrived, method=cv2.RANSAC, ransacReprojThreshold=tolerance, maxIters=200
    )
    if fitted is None or np.count_nonzero(inliers) < min_inliers:
        return None
    return fitted if 1 / max_scale < np.hypot(fitted[0, 0], fitted[1, 0]) < max_scale else None


def _tracked_corners(view: View, picture: Picture, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return corners (P, 2) of a view as carried to the frame, and where Lucas and Kanade find them there."""
    carried = view.carried(view.picture.grey)
    sure = (view.carried(view.visible.astype(np.uint8)) > 0) & ~hidden
    inner = cv2.erode(sure.astype(np.uint8), np.ones((5, 5), np.uint8))
    corners = cv2.goodFeaturesToTrack(carried, MAX_CORNERS, CORNER_QUALITY, CORNER_DISTANCE, mask=inner)
    if corners is None:
        return np.empty((0, 2), np.float32), np.empty((0, 2), np.float32)
    window = {"winSize": CORNER_WINDOW, "maxLevel": 1}
    there, found, error = cv2.calcOpticalFlowPyrLK(carried, picture.grey, corners, corners.copy(), **window)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(picture.grey, carried, there, there.copy(), **window)
    returned = np.abs(back - corners).max(axis=(1, 2)) < MAX_RETURN_ERROR
    sound = (found[:, 0] > 0) & (found_back[:, 0] > 0) & returned & (error[:, 0] < MAX_CORNER_ERROR)
    return corners[sound, 0], there[sound, 0]


def _slide(view: View, picture: Picture, peaks: int = 3) -> Iterator[Transform]:
    """Yield the shifts of a view that leave the least difference, at half the resolution."""
    rows, columns = np.nonzero(view.visible)
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    if min(bottom - top, right - left) < MIN_TEMPLATE:
        return
    template = _halved(view.picture.image[top:bottom, left:right])
    mask = _halved(view.visible[top:bottom, left:right].astype(np.uint8) * 255) > 127
    above, before = template.shape[0] // 2, template.shape[1] // 2
    padded = cv2.copyMakeBorder(_halved(picture.image), above, above, before, before, cv2.BORDER_REPLICATE)
    weights = np.repeat(mask[..., None].astype(np.float32), 3, axis=2)
    misfit = cv2.matchTemplate(padded.astype(np.float32), template.astype(np.float32), cv2.TM_SQDIFF, mask=weights)
    for _ in range(peaks):
        row, column = np.unravel_index(misfit.argmin(), misfit.shape)
        yield shift(2 * (column - before) - left, 2 * (row - above) - top)
        first_row, first_column = max(0, row - PEAK_RADIUS), max(0, column - PEAK_RADIUS)
        misfit[first_row : row + PEAK_RADIUS + 1, first_column : column + PEAK_RADIUS + 1] = np.inf


def lay_over(view: View, seen: View, taken: np.ndarray) -> Transform:
    """Return the place, shifted from its own, at which a view best covers the visible object and little else.

    Args:
        view: of the object, with a rough place.
        seen: the object in the frame, where only a sliver of it may be visible.
        taken: (H, W) bool, pixels behind which it may continue.
    """
    shape = _halved(view.carried(view.visible.astype(np.uint8)).astype(np.float32))[..., None]
    colours = _halved(view.carried(view.picture.image)) / np.float32(MISFIT)
    wanted = _halved(seen.visible.astype(np.float32))[..., None]
    other = _halved((~seen.visible & ~taken).astype(np.float32))[..., None]
    image = _halved(seen.picture.image) / np.float32(MISFIT)
    difference = (
        _correlation(wanted * (image**2).sum(2, keepdims=True), shape)
        - 2 * _correlation(wanted * image, shape * colours)
        + _correlation(wanted, shape * (colours**2).sum(2, keepdims=True))
    )
    gain = _correlation(wanted, shape) - difference - OUTSIDE_COST * _correlation(other, shape)
    row, column = np.unravel_index(gain.argmax(), gain.shape)
    down, right = (x - n if x > n // 2 else x for x, n in zip((int(row), int(column)), gain.shape, strict=True))
    return compose(shift(2 * right, 2 * down), view.transform)


def _correlation(still: np.ndarray, shifted: np.ndarray) -> np.ndarray:
    """Return the sums (2 H, 2 W) of products of two fields (H, W, C) for all shifts of the second, by FFT."""
    size = 2 * still.shape[0], 2 * still.shape[1]
    one, other = (np.fft.rfft2(field, size, axes=(0, 1)) for field in (still, shifted))
    return np.fft.irfft2((one * other.conj()).sum(2), size)


def _halved(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    return cv2.resize(image, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
