"""A segmenter without weights: GrabCut (Rother et al., SIGGRAPH 2004) by OpenCV, asked like any other network.

It knows no objects, only the colours of what is marked and of what surrounds it. OpenCV's own start (all of the box may
be the object) loses a white dog on pale pavement altogether. So what is the object at first, and one of the three
channels that the colour models see, is the geodesic distance from the background (Wei et al., ECCV 2012): pavement is
reached from the edge of the box without a change of colour, the dog is not. With strokes it is also the share of that
distance in the distances to both kinds of strokes (Bai and Sapiro, ICCV 2007), and where the frames beside it are
known, what moves otherwise than the background counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from videograin.segment.geodesic import geodesic_distance
from videograin.segment.model import Features, Prompts

INPUT_SIZE = 512
"""Longer side in pixels, at most, at which a frame is cut out."""

ITERATIONS = 5
"""Of colour models and cuts in turns; more change next to nothing."""

ENLARGED_AREA = 512 * 288
"""Pixels up to which smaller frames are enlarged: seeds and filters are measured for frames of this size."""

SEED_RADIUS = 3
"""Pixels around a point that are certainly on its side."""

CLICK_RADII = (0.08, 0.16, 0.3)
"""Half sides, as shares of the frame's shorter side, of the boxes that a click alone may mean."""

CONTEXT = 0.4
"""Share of the searched area's size that is seen of the background on each side of it."""

MARGIN = 0.3
"""Share of the size of what is marked by strokes alone that is searched beyond it."""

BAND = 0.16
"""Width of the band around an expected mask's edge in which it is cut out again, as a share of its diameter."""

EDGE_GAP = 0.02
"""Share of the shorter side up to which a box counts as reaching the picture's edge, by which the object is cut off: a
strip of it left there would count as background."""

SMOOTHING = 5, 20.0, 3.0
"""Diameter in pixels, and sigmas of colour and place, of the bilateral filter that takes noise and hair away."""

CHROMA_GAIN = 2.0
"""Factor on CIELAB's a and b, whose range in photographs is half of what 8 bits hold."""

SURELY_FAR = 95
"""Percentile of the distances in a box at which a pixel is as far from the background as can be."""

UNTOLD_TRUST = 0.8
"""Weight of the distance from the background where strokes say where the object is: without it a stroke on one part of
the object, the tail, say, took all others away from it."""

MOTION_TRUST = 0.3
"""Weight of what moves otherwise than the background; flow is too coarse for more at outlines and thin legs."""

LOGITS_PER_PIXEL, LOGIT_RANGE = 2.0, 10.0
"""Log-odds for every pixel between a pixel and the edge, and the largest."""

CLICK_TRUST = 0.3
"""Factor on how well an answer to clicks alone is set off, for its size is a guess: the user is asked to check it."""

LEAST_SCORE = 0.65
"""Score of a mask that nothing sets off from what surrounds it; predicted IoUs of SAM begin there, too."""


@dataclass(frozen=True, eq=False)
class _Marks:
    """What is known of one object before it is cut out, in pixels of the picture.

    Attributes:
        area: (y0, x0, y1, x1); the object is nowhere else.
        inside: (h, w) bool, certainly the object.
        outside: (h, w) bool, certainly not the object.
        moving: (h, w) float32 in [0, 1], how surely a pixel moves otherwise than the background.
        is_partial: whether the object may have parts that `inside` says nothing of.
    """

    area: tuple[int, int, int, int]
    inside: np.ndarray
    outside: np.ndarray
    moving: np.ndarray
    is_partial: bool = True


class GrabCutNetwork:
    """Cut out by colour what boxes, strokes and earlier masks mark; fulfils `Network`."""

    input_size: int = INPUT_SIZE
    logits_size: tuple[int, int] = (INPUT_SIZE, INPUT_SIZE)

    def __init__(self) -> None:
        self.module: nn.Module = nn.Identity()

    def encode(self, frame: np.ndarray) -> Features:
        """Return a frame (H, W, 3) uint8 RGB as (h, w, 3), its longer side at most `INPUT_SIZE`."""
        height, width = _placed((frame.shape[0], frame.shape[1]))
        if (height, width) != frame.shape[:2]:
            how = cv2.INTER_AREA if height < frame.shape[0] else cv2.INTER_LINEAR
            frame = cv2.resize(frame, (width, height), interpolation=how)
        return (torch.from_numpy(frame.copy()),)

    def decode(
        self, features: Features, size: tuple[int, int], prompts: Prompts, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Return logits (B, K, h, w) and scores (B, K); arguments as in `Network.decode`.

        The three answers of `multimask` differ for clicks alone; a box or an earlier mask leaves one, three times.
        """
        picture = features[0].numpy()
        answers = [self._answers(picture, one, picture.shape[0] / size[0], multimask) for one in prompts.each()]
        count = 3 if multimask else 1
        logits = torch.stack([each_logits.expand(count, -1, -1) for each_logits, _ in answers])
        return logits, torch.stack([scores.expand(count) for _, scores in answers])

    def upscale(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Return logits (B, K, H, W) of those of `decode`."""
        height, width = _placed(size)
        return F.interpolate(logits[..., :height, :width], size, mode="bilinear", align_corners=False)

    def downscale(self, masks: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the shares (B, K, h, w) in [0, 1] that masks (B, K, H, W) in [0, 1] cover of each cell."""
        height, width = _placed(size)
        placed = F.interpolate(masks, (height, width), mode="bilinear", align_corners=False, antialias=True)
        return F.pad(placed, (0, INPUT_SIZE - width, 0, INPUT_SIZE - height))

    def _answers(self, picture: np.ndarray, prompts: Prompts, scale: float, multimask: bool) -> tuple[Tensor, Tensor]:
        """Return logits (K, h, w) and scores (K,), K = 3 for clicks alone with `multimask`, else 1."""
        meanings = _read_marks(picture.shape[:2], prompts, scale, multimask)
        trust = 1.0 if len(meanings) == 1 else CLICK_TRUST
        cut = [_cut(picture, marks) for marks in meanings]
        scores = [LEAST_SCORE + (1 - LEAST_SCORE) * trust * contrast for _, contrast in cut]
        return torch.stack([_as_logits(mask) for mask, _ in cut]), torch.tensor(scores)


def _placed(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size (h, w) at which a frame of `size` is cut out."""
    height, width = size
    scale = min(INPUT_SIZE / max(size), max(1.0, np.sqrt(ENLARGED_AREA / (height * width))))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _read_marks(size: tuple[int, int], prompts: Prompts, scale: float, multimask: bool) -> list[_Marks]:
    """Return what the prompts for one mask may mean: three sizes for clicks alone with `multimask`, else one."""
    points, labels = np.rint(prompts.points[0].numpy() * scale).astype(int), prompts.labels[0].numpy()
    inside, outside = (_discs(size, points[labels == label]) for label in (1, 0))
    inside &= ~outside
    moving = _moving(size, prompts.motion)
    expected = None if prompts.logits is None else prompts.logits[0, 0, : size[0], : size[1]].numpy() > 0
    if expected is not None and not expected.any():
        expected = None
    if expected is not None and not (inside & ~expected).any() and not (outside & expected).any():
        return [_around_edge(expected, inside, outside)]
    if prompts.boxes is not None:
        areas = [_area(_to_edge(box, size), size) for box in prompts.boxes[0].numpy() * scale]
        return [_in_boxes(areas, inside, outside, moving)]
    if expected is None and multimask:
        areas = [_grown(inside, radius * min(size)) for radius in CLICK_RADII]
        return [_Marks(area, inside, outside, moving) for area in areas]
    marked = inside if expected is None else inside | expected
    height, width = np.ptp(np.argwhere(marked), 0) if marked.any() else size
    reach = max(MARGIN * max(height, width), CLICK_RADII[0] * min(size))
    kept = inside if expected is None else inside | (_eroded(expected, reach / 2) & ~outside)
    return [_Marks(_grown(marked, reach), kept, outside, moving)]


def _to_edge(box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Let a box (x0, y0, x1, y1) that nearly reaches the picture's edge reach it."""
    height, width = size
    near = EDGE_GAP * min(size)
    edges = np.array([0, 0, width, height], box.dtype)
    return np.where(np.abs(box - edges) <= near, edges, box)


def _moving(size: tuple[int, int], motion: Tensor | None) -> np.ndarray:
    if motion is None:
        return np.zeros(size, np.float32)
    return cv2.resize(motion[0].numpy(), size[::-1], interpolation=cv2.INTER_LINEAR)


def _in_boxes(
    areas: Sequence[tuple[int, int, int, int]], inside: np.ndarray, outside: np.ndarray, moving: np.ndarray
) -> _Marks:
    """Look for the object in the boxes of its parts, (y0, x0, y1, x1) each, and nowhere between them."""
    size = (inside.shape[0], inside.shape[1])
    (y0, x0, _, _), (_, _, y1, x1) = np.min(areas, 0), np.max(areas, 0)
    elsewhere = ~np.logical_or.reduce([_filled(area, size) for area in areas])
    return _Marks((int(y0), int(x0), int(y1), int(x1)), inside, outside | (elsewhere & ~inside), moving)


def _around_edge(expected: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> _Marks:
    """Leave only a band around the edge of an expected mask (h, w) bool open."""
    width = max(SEED_RADIUS, BAND * np.sqrt(np.count_nonzero(expected)))
    kept = inside | (_eroded(expected, width) & ~outside)
    closed = (outside | ~_dilated(expected, width)) & ~inside
    return _Marks(
        area=_grown(expected | inside, width), inside=kept, outside=closed,
        moving=np.zeros(expected.shape, np.float32), is_partial=False,
    )  # fmt: skip


def _cut(picture: np.ndarray, marks: _Marks) -> tuple[np.ndarray, float]:
    """Return the mask (h, w) bool that the marks lead to, and how well it is set off from the rest, 0 to 1."""
    seen = _with_context(marks.area, picture.shape[:2])
    inside = marks.inside[seen]
    outside = (marks.outside[seen] | ~_filled(marks.area, picture.shape[:2])[seen]) & ~inside
    if not outside.any():  # the box is the whole picture: take its frame, which seldom shows the object
        outside = ~inside
        outside[1:-1, 1:-1] = False
    colours = cv2.cvtColor(cv2.bilateralFilter(picture[seen], *SMOOTHING), cv2.COLOR_RGB2LAB).astype(np.float32)
    shares = _foreground_shares(colours, inside, outside, UNTOLD_TRUST if marks.is_partial else 0.0)
    shares = _with_motion(shares, marks.moving[seen], outside)
    labels = _initial_labels(shares, inside, outside)
    if len(np.unique(_is_foreground(labels))) < 2:
        return marks.inside, 0.0  # there is nothing to learn one of the sides from
    chroma = 128 + CHROMA_GAIN * (colours[..., 1:] - 128)
    channels = np.dstack([chroma, 255 * shares]).clip(0, 255).astype(np.uint8)
    cv2.setRNGSeed(0)  # its colour models start from k-means
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(channels, labels, (0, 0, 0, 0), *models, ITERATIONS, cv2.GC_INIT_WITH_MASK)
    cut = _is_foreground(labels)
    mask = np.zeros(picture.shape[:2], bool)
    mask[seen] = cut
    found, left = cut & ~inside, ~cut & ~outside  # what was decided here
    contrast = float(shares[found].mean() - shares[left].mean()) if found.any() and left.any() else 0.0
    return mask, max(0.0, contrast)


def _foreground_shares(colours: np.ndarray, inside: np.ndarray, outside: np.ndarray, untold_trust: float) -> np.ndarray:
    """Return (h, w) float32 in [0, 1]: 0 on what is certainly outside, 1 on what is farthest from it."""
    away = geodesic_distance(colours, outside)
    far = np.percentile(away[~outside], SURELY_FAR) if not outside.all() else 1.0
    shares = np.clip(away / max(far, 1.0), 0, 1)
    if not inside.any():
        return shares
    told = away / (away + geodesic_distance(colours, inside) + np.finfo(np.float32).tiny)
    return told + (1 - told) * untold_trust * shares


def _with_motion(shares: np.ndarray, moving: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Return shares (h, w) that also go by what moves on its own, the less the more of the background does so."""
    if not moving.any() or not outside.any():
        return shares
    trust = MOTION_TRUST * (1 - float(moving[outside].mean()))
    return (1 - trust) * shares + trust * moving


def _initial_labels(shares: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Return GrabCut's labels (h, w) uint8 to start from."""
    threshold = 0.5
    if not inside.any():
        levels = (255 * shares[~outside]).astype(np.uint8)[:, None]
        threshold = cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)[0] / 255
    labels = np.where(shares > threshold, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[outside], labels[inside] = cv2.GC_BGD, cv2.GC_FGD
    if not (labels == cv2.GC_PR_FGD).any() and not inside.any():
        labels[~outside] = cv2.GC_PR_FGD
    return labels


def _is_foreground(labels: np.ndarray) -> np.ndarray:
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _as_logits(mask: np.ndarray) -> Tensor:
    """Return log-odds (`INPUT_SIZE`, `INPUT_SIZE`) float32 that grow with the distance from the mask's edge."""
    within, without = (
        np.minimum(cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 5), LOGIT_RANGE) for part in (mask, ~mask)
    )
    logits = torch.from_numpy(LOGITS_PER_PIXEL * (within - without)).clamp(-LOGIT_RANGE, LOGIT_RANGE)
    height, width = mask.shape
    return F.pad(logits, (0, INPUT_SIZE - width, 0, INPUT_SIZE - height), value=-LOGIT_RANGE)


def _discs(size: tuple[int, int], points: np.ndarray) -> np.ndarray:
    """Return the pixels (h, w) bool within `SEED_RADIUS` of points (P, 2) int."""
    canvas = np.zeros(size, np.uint8)
    for x, y in points:
        cv2.circle(canvas, (int(x), int(y)), SEED_RADIUS, 1, cv2.FILLED)
    return canvas.astype(bool)


def _area(box: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = box
    height, width = size
    return (
        min(max(0, int(y0)), height - 1),
        min(max(0, int(x0)), width - 1),
        min(height, int(np.ceil(y1))),
        min(width, int(np.ceil(x1))),
    )


def _grown(marked: np.ndarray, reach: float) -> tuple[int, int, int, int]:
    """Return the area around marked pixels (h, w) bool, `reach` pixels larger on each side; all where none is."""
    size = (marked.shape[0], marked.shape[1])
    if not marked.any():
        return 0, 0, *size
    (y0, x0), (y1, x1) = np.argwhere(marked).min(0), np.argwhere(marked).max(0) + 1
    return _area(np.array([x0 - reach, y0 - reach, x1 + reach, y1 + reach]), size)


def _with_context(area: tuple[int, int, int, int], size: tuple[int, int]) -> tuple[slice, slice]:
    y0, x0, y1, x1 = area
    more = round(CONTEXT * (y1 - y0)), round(CONTEXT * (x1 - x0))
    return slice(max(0, y0 - more[0]), min(size[0], y1 + more[0])), slice(
        max(0, x0 - more[1]), min(size[1], x1 + more[1])
    )


def _filled(area: tuple[int, int, int, int], size: tuple[int, int]) -> np.ndarray:
    y0, x0, y1, x1 = area
    filled = np.zeros(size, bool)
    filled[y0:y1, x0:x1] = True
    return filled


def _eroded(mask: np.ndarray, radius: float) -> np.ndarray:
    return cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5) > radius


def _dilated(mask: np.ndarray, radius: float) -> np.ndarray:
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) <= radius
