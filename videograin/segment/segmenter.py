"""Clicks on one frame → the mask of the object under them, by SAM (arXiv 2304.02643) or SAM 2.1 (arXiv 2408.00714).

One `SegmentModel` holds the weights and no state of any session; every clip has a `Segmenter` of its
own. A frame is encoded once; each click then costs only the mask decoder.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from videograin.errors import NothingFoundError, SegmentError
from videograin.masks.shapes import box_around
from videograin.media.appearance import is_flat
from videograin.segment.model import EmbeddingCache, Features, Prompts, SegmentModel
from videograin.segment.motion import own_motion

Boxes = np.ndarray | Sequence[float] | Sequence[Sequence[float]]
"""(x0, y0, x1, y1) in pixels, or several of them."""

WORTHLESS, SURE = 0.65, 0.9
"""Predicted IoU at which confidence is 0 and 1; fitted on drawn clips and photographs."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """One answer of SAM.

    Attributes:
        mask: (H, W) bool at the frame's size.
        score: predicted IoU, 0 to 1.
        logits: (1, h, w) float32, low-resolution logits, to be fed back as `previous`.
        alternatives: the other answers to an ambiguous click, the smallest first.
    """

    mask: np.ndarray
    score: float
    logits: np.ndarray
    alternatives: tuple["Segmentation", ...] = ()

    @property
    def confidence(self) -> float:
        """Confidence in the mask, 0 to 1: SAM predicts an IoU of 0.65 even for useless masks."""
        return min(1.0, max(0.0, (self.score - WORTHLESS) / (SURE - WORTHLESS)))

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(self.mask.sum())


class Segmenter:
    """Turn clicks on a frame into masks. Each session has its own, for one thread at a time.

    Args:
        model: network and preprocessing, shared by all sessions.
        cache: of embeddings, which may be shared as well; None makes one.
    """

    def __init__(self, model: SegmentModel, cache: EmbeddingCache | None = None) -> None:
        self.model = model
        self.cache = cache or EmbeddingCache()
        self._frame: np.ndarray | None = None
        self._features: Features = ()
        self._motion: Tensor | None = None

    def set_frame(self, frame: np.ndarray, beside: Sequence[np.ndarray] = ()) -> None:
        """Choose the frame (H, W, 3) uint8 RGB that the next clicks are on.

        Args:
            frame: of the clip.
            beside: frames shortly before and after it, of the same size; they tell a rule, which answers in place of a
                network, what moves otherwise than the background.
        """
        if frame.ndim != 3 or frame.shape[-1] != 3 or frame.dtype != np.uint8 or not frame.size:
            raise SegmentError(
                f"A frame must be (height, width, 3) uint8 RGB, not {frame.shape} {frame.dtype}. Pass one frame of the "
                "clip as it was decoded."
            )
        if self._frame is None or not np.array_equal(frame, self._frame):
            motion = None if self.model.has_weights else own_motion(frame, beside)
            self._motion = None if motion is None else torch.from_numpy(motion)[None]
        self._features = self.cache.features(self.model, frame)
        self._frame = frame

    def click(
        self,
        points: np.ndarray | Sequence[Sequence[float]],
        labels: np.ndarray | Sequence[int],
        box: Boxes | None = None,
        previous: np.ndarray | None = None,
    ) -> Segmentation:
        """Find the object that was clicked on.

        A single click is ambiguous (the hat, or the cat with the hat?): it is answered with the best of three masks,
        refined twice, and the other two as alternatives. With more clicks, a box or an earlier answer there is one
        answer.

        Args:
            points: (P, 2) as (x, y) in pixels, all clicks for this object so far.
            labels: (P,), 1 for a click on the object, 0 for a click outside it.
            box: (x0, y0, x1, y1) in pixels around the object, or (K, 4) around its parts.
            previous: (1, h, w) float32, logits of the answer that is to be corrected.

        Raises:
            SegmentError: no frame is set, or clicks or box are off the picture or contradict themselves.
            NothingFoundError: no pixel was found.
        """
        if self._frame is not None and is_flat(self._frame):
            raise NothingFoundError(
                "This frame is one colour; nothing on it can be told apart. Click on another frame."
            )
        found = [answer for answer in self.candidates(points, labels, box, previous) if answer.area]
        if not found:
            raise NothingFoundError("Nothing was found there. Click on the object's middle, or draw a box around it.")
        best, *others = found
        if others and self.model.has_weights:
            best = self._refined(points, labels, best)
        return replace(best, alternatives=tuple(sorted(others, key=lambda answer: answer.area)))

    def candidates(
        self,
        points: np.ndarray | Sequence[Sequence[float]],
        labels: np.ndarray | Sequence[int],
        box: Boxes | None = None,
        previous: np.ndarray | None = None,
        multimask: bool | None = None,
    ) -> list[Segmentation]:
        """Return all answers to clicks, the one of the highest score first; masks may be empty.

        Args:
            points, labels, box, previous: as in `click`.
            multimask: whether to answer with three masks; None does so for a single click alone.
        """
        size = self.frame_size
        prompts = self._read_prompts(points, labels, box, previous)
        if self.model.has_weights and prompts.boxes is not None and prompts.boxes.shape[1] > 1:
            return [self._united(prompts)]
        if multimask is None:
            multimask = previous is None and box is None and prompts.points.shape[1] == 1
        logits, scores = self.model.decode(self._features, size, prompts, multimask)
        masks = self.model.network.upscale(logits, size)[0] > 0
        answers = zip(masks, scores[0], logits[0], strict=True)
        made = [Segmentation(mask.numpy(), score.item(), low[None].numpy()) for mask, score, low in answers]
        return sorted(made, key=lambda answer: -answer.score)

    def _united(self, prompts: Prompts) -> Segmentation:
        """Return all of an object whose parts have a box each: SAM is asked for each of them, and takes one box."""
        answers = [
            self.model.decode(self._features, self.frame_size, part, multimask=False) for part in _parts(prompts)
        ]
        logits, scores = (torch.cat(values) for values in zip(*answers, strict=True))
        whole = logits.amax(0, keepdim=True)
        mask = self.model.network.upscale(whole, self.frame_size)[0, 0] > 0
        return Segmentation(mask.numpy(), scores.min().item(), whole[0].numpy())

    def _refined(
        self, points: np.ndarray | Sequence[Sequence[float]], labels: np.ndarray | Sequence[int], first: Segmentation
    ) -> Segmentation:
        """Refine an answer twice without a new click, as SAM was trained to (arXiv 2304.02643, appendix A).

        The second time it is given the box around its answer, as in PerSAM (arXiv 2305.03048).
        """
        second = self.candidates(points, labels, previous=first.logits)[0]
        if not second.area:
            return first
        third = self.candidates(points, labels, box=box_around(second.mask), previous=second.logits)[0]
        return third if third.area else second

    @property
    def frame_size(self) -> tuple[int, int]:
        """(H, W) of the frame that is set."""
        if self._frame is None:
            raise SegmentError("No frame is set yet. Choose a frame of the clip, then click on it.")
        height, width = self._frame.shape[:2]
        return height, width

    def as_previous(self, mask: np.ndarray) -> np.ndarray:
        """Return logits (1, h, w) that say a mask (H, W) bool, such as a brushed one, as if SAM had answered it."""
        if mask.shape != self.frame_size:
            raise SegmentError(
                f"The mask is {mask.shape} (height, width) but the frame {self.frame_size}. Give one of the same size."
            )
        shares = self.model.network.downscale(torch.from_numpy(mask)[None, None].float(), self.frame_size)
        return (20 * shares[0] - 10).numpy()  # as SAM 2 does with mask prompts of users

    def _read_prompts(
        self,
        points: np.ndarray | Sequence[Sequence[float]],
        labels: np.ndarray | Sequence[int],
        box: Boxes | None,
        previous: np.ndarray | None,
    ) -> Prompts:
        size = self.frame_size
        places, kinds = _read_clicks(points, labels, size)
        is_correction = previous is not None and len(kinds) > 0  # which may be one click outside
        if box is None and not is_correction and not kinds.any():
            raise SegmentError("No click says where the object itself is. Click on it, or draw a box around it.")
        if previous is not None and previous.shape != (1, *self.model.network.logits_size):
            raise SegmentError(
                f"The earlier answer is {previous.shape}, but model '{self.model.name}' takes logits of "
                f"{(1, *self.model.network.logits_size)}. Start the object again with a click."
            )
        return Prompts(
            torch.from_numpy(places)[None],
            torch.from_numpy(kinds)[None],
            None if box is None else torch.from_numpy(_read_boxes(box, size))[None],
            None if previous is None else torch.from_numpy(np.asarray(previous, np.float32))[None],
            self._motion,
        )


def _parts(prompts: Prompts) -> list[Prompts]:
    """Return what marks each part of an object: a box with the clicks in it, and the clicks that lie in no box."""
    assert prompts.boxes is not None
    points, labels, boxes = prompts.points[0], prompts.labels[0], prompts.boxes[0]
    is_inside = ((points[None] >= boxes[:, None, :2]) & (points[None] <= boxes[:, None, 2:])).all(-1)  # (K, P)
    is_beside = labels == 0
    parts = [
        Prompts(points[None, here | is_beside], labels[None, here | is_beside], box[None, None])
        for box, here in zip(boxes, is_inside, strict=True)
    ]
    if (alone := ~is_inside.any(0) & ~is_beside).any():
        parts.append(Prompts(points[None, alone | is_beside], labels[None, alone | is_beside]))
    return parts


def _read_clicks(
    points: np.ndarray | Sequence[Sequence[float]], labels: np.ndarray | Sequence[int], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return points (P, 2) float32 and labels (P,) int64, checked."""
    places, kinds = np.asarray(points, np.float32).reshape(-1, 2), np.asarray(labels, np.float32).reshape(-1)
    if len(places) != len(kinds) or not np.isin(kinds, (0, 1)).all():
        raise SegmentError(
            f"{len(places)} clicks have the labels {kinds.tolist()}. Give each one: 1 on the object, 0 outside."
        )
    height, width = size
    for x, y in places:
        if not (0 <= x < width and 0 <= y < height):
            raise SegmentError(
                f"The click at ({x:g}, {y:g}) is outside the picture of {width}×{height} pixels. Click inside it."
            )
    return places, kinds.astype(np.int64)


def _read_boxes(box: Boxes, size: tuple[int, int]) -> np.ndarray:
    """Return boxes (K, 4) float32 as far as they lie in the picture."""
    height, width = size
    given = np.asarray(box, np.float32).reshape(-1, 4)
    inside = given.clip(0, [width, height, width, height])
    for (x0, y0, x1, y1), left in zip(given, inside, strict=True):
        if not (left[0] < left[2] and left[1] < left[3]):
            raise SegmentError(
                f"The box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) holds nothing of the picture of {width}×{height} pixels. "
                "Draw it from the upper left to the lower right corner of the object."
            )
    return inside
