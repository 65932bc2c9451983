"""Regions suggested before the first click: SAM asked at every point of a grid, a rule about what moves."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from segment_anything.utils.amg import batched_mask_to_box, build_point_grid, calculate_stability_score
from torch import Tensor
from torchvision.ops import nms

from videograin.masks.shapes import box_around, is_backdrop
from videograin.media.appearance import is_flat
from videograin.progress import Phase, Report, ignore, track
from videograin.segment.model import EmbeddingCache, Prompts, SegmentModel
from videograin.segment.motion import own_motion
from videograin.segment.segmenter import Segmentation, Segmenter

MIN_SCORE, MIN_STABILITY, MIN_AREA = 0.6, 0.6, 0.002
"""Least predicted IoU, stability score (offset of one logit) and share of the frame of a suggestion."""

MAX_OVERLAP = 0.5
"""Share of a suggestion that earlier ones may cover; the pixels that they cover are taken from it."""

SURE_MOTION = 0.6
"""Surety from which a pixel counts as moving on its own."""

MOTION_GAP = 0.02
"""Share of the shorter side that parts of one moving object may be apart."""

MOTION_MARGIN = 0.06
"""Share of its diagonal by which the box around a moving part is larger: what stands still of the object lies there."""

_BOX_OVERLAP = 0.7  # IoU of boxes from which two answers are one, as in SamAutomaticMaskGenerator

_PROPOSAL_SCORE, _PROPOSAL_STABILITY = 0.55, 0.45
# Least of a proposal: one of two objects that touch often has no more, for what is around it looks like it.

_MASK_OVERLAP = 0.8
# IoU of masks from which two proposals are one. Boxes would not do: of two objects that touch, that of both is much
# like that of the larger one.

_POINTS_AT_ONCE = 64


def suggest_regions(
    frame: np.ndarray,
    model: SegmentModel,
    cache: EmbeddingCache | None = None,
    *,
    points_per_side: int = 16,
    limit: int = 12,
    report: Report = ignore,
) -> list[Segmentation]:
    """Suggest the objects in a frame: SAM is asked at every point of a grid, and the best answers are kept.

    It chooses as `SamAutomaticMaskGenerator` does, by predicted IoU, stability and distinct boxes, but asks in turn
    with others, may be stopped, takes a known embedding and works with SAM 2 as well. Then overlaps are removed.

    Args:
        frame: (H, W, 3) uint8 RGB.
        model: a SAM that takes points.
        cache: of embeddings, shared with the `Segmenter` that will refine the suggestions.
        points_per_side: of the grid; more find smaller objects.
        limit: how many suggestions at most.
        report: told after every few points; may raise `Cancelled`.

    Returns:
        Segmentations that share no pixel, the best first, backdrops last; none where nothing stands out.
    """
    size = (frame.shape[0], frame.shape[1])
    answers = _ask(frame, model, cache, points_per_side, (MIN_SCORE, MIN_STABILITY), report)
    return _without_overlaps(_segmentations(model, *_distinct(*answers), size))[:limit]


def propose(
    frame: np.ndarray,
    model: SegmentModel,
    cache: EmbeddingCache | None = None,
    *,
    points_per_side: int = 16,
    report: Report = ignore,
) -> list[Segmentation]:
    """Return all that may be an object in a frame, the best first: wholes, their parts, and several objects in one.

    Whoever asks knows better than the segmenter which of them are objects. Arguments are those of `suggest_regions`.
    """
    size = (frame.shape[0], frame.shape[1])
    answers = _ask(frame, model, cache, points_per_side, (_PROPOSAL_SCORE, _PROPOSAL_STABILITY), report)
    return _segmentations(model, *_unlike(*answers), size)


def suggest_moving(
    frame: np.ndarray,
    beside: Sequence[np.ndarray],
    model: SegmentModel,
    cache: EmbeddingCache | None = None,
    *,
    limit: int = 12,
    report: Report = ignore,
) -> list[Segmentation]:
    """Suggest what moves otherwise than the background, for a segmenter that is a rule and knows no objects.

    Args:
        frame: (H, W, 3) uint8 RGB.
        beside: frames of the same size shortly before and after it.
        model, cache, limit, report: as in `suggest_regions`.

    Returns:
        Segmentations that share no pixel, the largest movement first; none where nothing moves on its own.
    """
    motion = own_motion(frame, beside)
    if motion is None:
        return []
    segmenter = Segmenter(model, cache)
    segmenter.set_frame(frame, beside)
    found = [_moving_object(segmenter, part) for part in track(Phase.SUGGEST, _moving_parts(motion)[:limit], report)]
    return _without_overlaps([each for each in found if each.area])


def _moving_parts(motion: np.ndarray) -> list[np.ndarray]:
    """Return the connected parts (H, W) bool of a picture that move on their own, the largest first."""
    side = 2 * round(MOTION_GAP * min(motion.shape)) + 1
    moving = cv2.morphologyEx((motion > SURE_MOTION).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    count, labels = cv2.connectedComponents(moving)
    parts = [labels == number for number in range(1, count)]
    return sorted((part for part in parts if part.mean() > MIN_AREA), key=np.count_nonzero, reverse=True)


def _moving_object(segmenter: Segmenter, part: np.ndarray) -> Segmentation:
    """Return the object that a moving part (H, W) bool belongs to."""
    x0, y0, x1, y1 = box_around(part)
    more = MOTION_MARGIN * np.hypot(x1 - x0, y1 - y0)
    return segmenter.candidates([], [], (x0 - more, y0 - more, x1 + more, y1 + more))[0]


def _ask(
    frame: np.ndarray,
    model: SegmentModel,
    cache: EmbeddingCache | None,
    points_per_side: int,
    least: tuple[float, float],
    report: Report,
) -> tuple[Tensor, Tensor]:
    """Ask at every point of a grid, and return the reliable answers (N, h, w) and their scores (N,)."""
    if is_flat(frame):
        return torch.zeros(0, 1, 1), torch.zeros(0)
    size = (frame.shape[0], frame.shape[1])
    features = (cache or EmbeddingCache(0)).features(model, frame)
    points = torch.from_numpy(build_point_grid(points_per_side) * size[::-1]).float()
    logits, scores = [], []
    for batch in track(Phase.SUGGEST, points.split(_POINTS_AT_ONCE), report):
        prompts = Prompts(batch[:, None], torch.ones(len(batch), 1, dtype=torch.int64))
        kept = _reliable(*model.decode(features, size, prompts, multimask=True), *least)
        logits.append(kept[0])
        scores.append(kept[1])
    return torch.cat(logits), torch.cat(scores)


def _reliable(logits: Tensor, scores: Tensor, least_score: float, least_stability: float) -> tuple[Tensor, Tensor]:
    """Return those of the answers (B, K, h, w), (B, K) that are likely and stable, as (N, h, w), (N,)."""
    logits, scores = logits.flatten(0, 1), scores.flatten()
    stability = calculate_stability_score(logits, 0.0, 1.0).nan_to_num()
    kept = (scores > least_score) & (stability > least_stability)
    return logits[kept], (scores * stability)[kept]


def _distinct(logits: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the best of all answers of nearly the same box, the best first."""
    kept = nms(batched_mask_to_box(logits > 0).float(), scores, _BOX_OVERLAP)
    return logits[kept], scores[kept]


def _unlike(logits: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the best of all answers of nearly the same mask, the best first; none of them is empty."""
    order = scores.argsort(descending=True)
    masks = (logits[order] > 0).flatten(1).float()
    areas, shared = masks.sum(1), masks @ masks.T
    are_alike = shared > _MASK_OVERLAP * (areas[:, None] + areas - shared)
    kept: list[int] = []
    for place in range(len(order)):
        if areas[place] and not are_alike[place, kept].any():
            kept.append(place)
    return logits[order[kept]], scores[order[kept]]


def _segmentations(model: SegmentModel, logits: Tensor, scores: Tensor, size: tuple[int, int]) -> list[Segmentation]:
    return [_segmentation(model, answer, score, size) for answer, score in zip(logits, scores, strict=True)]


def _segmentation(model: SegmentModel, logits: Tensor, score: Tensor, size: tuple[int, int]) -> Segmentation:
    mask = model.network.upscale(logits[None, None], size)[0, 0] > 0
    return Segmentation(mask.numpy(), score.item(), logits[None].numpy())


def _without_overlaps(found: Sequence[Segmentation]) -> list[Segmentation]:
    """Give each pixel to the first segmentation that covers it, objects before backdrops; drop those that lose most."""
    left: list[Segmentation] = []
    for one in sorted(found, key=lambda one: is_backdrop(one.mask)):
        taken = np.any([other.mask for other in left], axis=0) if left else np.zeros_like(one.mask)
        rest = one.mask & ~taken
        if rest.mean() > MIN_AREA and rest.sum() > (1 - MAX_OVERLAP) * one.area:
            left.append(Segmentation(rest, one.score, one.logits))
    return left
