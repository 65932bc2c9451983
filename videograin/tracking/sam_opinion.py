"""Ask SAM about masks that were carried to a frame: each is refined, and several answers are weighted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from videograin.masks.shapes import box_around
from videograin.segment.model import EmbeddingCache, Features, Prompts, SegmentModel

PROMPT_LOGIT = 8.0
"""Log-odds of a carried mask in the prompt; the embedded SAM learned with ± 3 to 10."""

ANSWER_LIMIT = 6.0
"""Log-odds of answers are kept within ± this before they are averaged, so that one answer cannot outvote the rest."""

TEMPERATURE = 0.05
"""Of the answers' weights: an answer whose score is lower by this counts 1/e."""

STABILITY_OFFSET = 2.0
"""Log-odds by which a mask's threshold is moved to see whether it stays the same (SAM's stability score)."""

CLUELESS, CERTAIN = 0.2, 0.6
"""Score times stability at which trust is 0 and 1; fitted on drawn clips and photographs."""

MIN_AREA = 25
"""Pixels of a mask that is large enough for a prompt."""


@dataclass(frozen=True, eq=False)
class Opinion:
    """SAM's answers about one object.

    Attributes:
        logits: (H, W) float32, their mean, weighted by their scores.
        score: of the best answer in [0, 1], its overlap with the expected mask times the IoU that SAM predicts.
        stability: in [0, 1], the share of the mask that stays when its threshold is moved by `STABILITY_OFFSET`.
    """

    logits: np.ndarray
    score: float
    stability: float

    @property
    def trust(self) -> float:
        """Trust in the answers, 0 to 1; close to 0 on images of a kind that SAM was not trained on."""
        return min(1.0, max(0.0, (self.score * self.stability - CLUELESS) / (CERTAIN - CLUELESS)))


class SamOpinions:
    """Ask one SAM about many masks of a frame, which is encoded once.

    Args:
        model: network and preprocessing, shared by all clips.
        cache: of embeddings; None makes one.
    """

    def __init__(self, model: SegmentModel, cache: EmbeddingCache | None = None) -> None:
        self.model = model
        self.cache = cache or EmbeddingCache()

    def about(
        self, frame: np.ndarray, expected: Mapping[str, np.ndarray], rivals: Mapping[str, Sequence[np.ndarray]]
    ) -> dict[str, Opinion]:
        """Return SAM's opinion of each expected mask of at least `MIN_AREA` pixels.

        Args:
            frame: (H, W, 3) uint8 RGB of any size.
            expected: (h, w) bool for each object, of one size in the frame's proportions.
            rivals: (h, w) bool for each object, masks of other objects that do not share its pixels.
        """
        asked = {name: mask for name, mask in expected.items() if np.count_nonzero(mask) >= MIN_AREA}
        if not asked:
            return {}
        size = next(iter(asked.values())).shape
        features = self.cache.features(self.model, frame)
        shares = self._shares(asked, size)
        opinions = {}
        for group in _of_equal_length({name: _points(mask, rivals[name]) for name, mask in asked.items()}):
            names = list(group)
            prompts = Prompts(
                torch.from_numpy(np.stack([points for points, _ in group.values()])),
                torch.from_numpy(np.stack([labels for _, labels in group.values()])),
                torch.from_numpy(np.stack([box_around(asked[name]) for name in names]))[:, None],
            )
            carried = torch.stack([shares[name] for name in names])
            for name, (logits, scores) in zip(names, self._answers(features, size, prompts, carried), strict=True):
                opinions[name] = self._weighed(logits, scores, shares[name][0], size)
        return opinions

    def _shares(self, masks: Mapping[str, np.ndarray], size: tuple[int, int]) -> dict[str, Tensor]:
        stacked = torch.from_numpy(np.stack(list(masks.values())))[:, None].float()
        return dict(zip(masks, self.model.network.downscale(stacked, size), strict=True))

    def _answers(
        self, features: Features, size: tuple[int, int], prompts: Prompts, carried: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """Return logits (K, h, w) and predicted IoU (K,) of all answers to each prompt, with and without its mask."""
        with_mask = replace(prompts, logits=2 * PROMPT_LOGIT * (carried - 0.5))
        refined, refined_scores = self.model.decode(features, size, with_mask, multimask=False)
        fresh, fresh_scores = self.model.decode(features, size, prompts, multimask=True)
        logits, scores = torch.cat([refined, fresh], 1), torch.cat([refined_scores, fresh_scores], 1)
        return list(zip(logits, scores, strict=True))

    def _weighed(self, logits: Tensor, scores: Tensor, share: Tensor, size: tuple[int, int]) -> Opinion:
        said, wanted = logits > 0, share > 0.5
        both, either = (said & wanted).sum((1, 2)), (said | wanted).sum((1, 2))
        merit = scores * both / either.clamp(min=1)
        weights = torch.softmax(merit / TEMPERATURE, 0)
        mean = torch.einsum("k,khw->hw", weights, logits.clamp(-ANSWER_LIMIT, ANSWER_LIMIT))
        upscaled = self.model.network.upscale(mean[None, None], size)[0, 0]
        surely, perhaps = (upscaled > STABILITY_OFFSET).sum(), (upscaled > -STABILITY_OFFSET).sum()
        return Opinion(upscaled.numpy(), float(merit.max()), float(surely / perhaps.clamp(min=1)))


def deepest(mask: np.ndarray) -> tuple[float, float]:
    """Return the pixel (x, y) of a mask (H, W) bool that is farthest from its edge."""
    distance = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, column = np.unravel_index(distance.argmax(), distance.shape)
    return float(column), float(row)


def _points(mask: np.ndarray, rivals: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return a click inside and, where rivals reach into the object's box, one on the rival that is most of it."""
    x0, y0, x1, y1 = box_around(mask).astype(int)
    inside = deepest(mask)
    nearest = max(rivals, key=lambda rival: np.count_nonzero(rival[y0:y1, x0:x1]), default=mask)
    if nearest is mask or not nearest[y0:y1, x0:x1].any():
        return np.array([inside], np.float32), np.array([1])
    return np.array([inside, deepest(nearest)], np.float32), np.array([1, 0])


def _of_equal_length(
    points: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> list[dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Group prompts by their number of points, for a decoder takes only equal ones together."""
    lengths = sorted({len(labels) for _, labels in points.values()})
    return [{name: p for name, p in points.items() if len(p[1]) == length} for length in lengths]
