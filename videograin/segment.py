"""Clicks on one frame → the mask of the thing under them, by SAM (arXiv 2304.02643) or SAM 2.1 (arXiv 2408.00714).

One `SegmentModel` holds the weights of a process and nothing about anyone's work; every clip has a `Segmenter` of its
own. A frame is encoded once; each click then costs only the mask decoder.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from videograin.errors import NothingFoundError, SegmentError
from videograin.inversion import InversionCache, fingerprint

CACHE_BYTES = 512 * 2**20
"""What `EmbeddingCache` keeps in memory unless told otherwise."""

FLAT = 4
"""A frame whose channels all vary by at most so many levels of 255 shows nothing; compression alone adds a few."""

Features = tuple[Tensor, ...]
"""What an image encoder makes of a frame: one tensor (1, C, h, w), or several resolutions of it."""


@dataclass(frozen=True, eq=False)
class Prompts:
    """What is said about B masks on one frame, in its pixels.

    Attributes:
        points: (B, P, 2) float32 as (x, y); P may be 0.
        labels: (B, P) int64, 1 inside, 0 outside.
        boxes: (B, 4) float32 as (x0, y0, x1, y1), or None.
        logits: (B, 1, h, w) float32 of earlier answers, or None.
    """

    points: Tensor
    labels: Tensor
    boxes: Tensor | None = None
    logits: Tensor | None = None

    def to(self, device: torch.device) -> "Prompts":
        """Return the same prompts on a device."""
        boxes, logits = (None if x is None else x.to(device) for x in (self.boxes, self.logits))
        return Prompts(self.points.to(device), self.labels.to(device), boxes, logits)


class Network(Protocol):
    """What a `SegmentModel` needs of a network, whichever library it comes from.

    Attributes:
        input_size: longer side in pixels at which it sees a frame.
        logits_size: (h, w) of the masks it decodes and accepts.
        levels: number of tensors in its features.
    """

    input_size: int
    logits_size: tuple[int, int]
    levels: int

    @property
    def module(self) -> nn.Module:
        """The weights."""
        ...

    def encode(self, frame: np.ndarray) -> Features:
        """Encode a frame (H, W, 3) uint8 RGB."""
        ...

    def decode(
        self, features: Features, size: tuple[int, int], prompts: Prompts, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Return logits (B, K, h, w) and predicted IoU (B, K), K = 3 with `multimask`, else 1.

        Args:
            features: of `encode`.
            size: (H, W) of the frame.
            prompts: in the frame's pixels.
            multimask: whether to answer with part, whole and more.
        """
        ...

    def upscale(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Return logits (B, K, H, W) of those of `decode`."""
        ...

    def downscale(self, masks: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the shares (B, K, h, w) in [0, 1] that masks (B, K, H, W) in [0, 1] cover of each cell."""
        ...


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
    def area(self) -> int:
        """Pixels of the mask."""
        return int(self.mask.sum())


class SegmentModel:
    """A segmenter's weights, shared by everybody; threads take turns at the network.

    Args:
        name: what the page and a project call it.
        network: frozen, on its device.
    """

    def __init__(self, name: str, network: Network) -> None:
        self.name = name
        self.network = network
        self.network.module.eval().requires_grad_(False)
        self.fingerprint = fingerprint(network.module)
        self._lock = threading.Lock()

    @property
    def input_size(self) -> int:
        """Longer side in pixels at which the network sees a frame."""
        return self.network.input_size

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.module.parameters()).device

    def encode(self, frame: np.ndarray) -> Features:
        """Return the features of a frame (H, W, 3) uint8 RGB, on the CPU."""
        with self._lock, torch.inference_mode():
            return tuple(feature.cpu() for feature in self.network.encode(frame))

    def decode(
        self, features: Features, size: tuple[int, int], prompts: Prompts, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Return logits (B, K, h, w) and predicted IoU (B, K) in [0, 1], float32 on the CPU; as `Network.decode`."""
        features = tuple(feature.to(self.device) for feature in features)
        with self._lock, torch.inference_mode():
            logits, scores = self.network.decode(features, size, prompts.to(self.device), multimask)
        return logits.float().cpu(), scores.float().clamp(0, 1).cpu()


class EmbeddingCache:
    """Features of frames by content and model; the least recently used go first. Threads may share one.

    Args:
        max_bytes: size cap in memory; 0 keeps nothing there.
        disk: where features are kept between sessions; None is nowhere.
    """

    def __init__(self, max_bytes: int = CACHE_BYTES, disk: InversionCache | None = None) -> None:
        self.max_bytes = max_bytes
        self.disk = disk
        self._kept: OrderedDict[str, Features] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def features(self, model: SegmentModel, frame: np.ndarray) -> Features:
        """Return a model's features of a frame (H, W, 3) uint8 RGB, encoding it only where they are not kept."""
        key = _content_key(model, frame)
        features = self._recall(key) or self._load(key, model.network.levels)
        if features is None:
            features = model.encode(frame)
            self._store(key, features)
        self._keep(key, features)
        return features

    def _recall(self, key: str) -> Features | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _keep(self, key: str, features: Features) -> None:
        with self._lock:
            if key not in self._kept:
                self._kept[key] = features
                self._bytes += _bytes(features)
            while self._bytes > self.max_bytes:
                self._bytes -= _bytes(self._kept.popitem(last=False)[1])

    def _load(self, key: str, levels: int) -> Features | None:
        if self.disk is None:
            return None
        loaded = [self.disk.load(f"{key}-{level}") for level in range(levels)]
        features = tuple(feature for feature in loaded if feature is not None)
        return features if len(features) == levels else None

    def _store(self, key: str, features: Features) -> None:
        if self.disk is not None:
            for level, feature in enumerate(features):
                self.disk.store(f"{key}-{level}", feature)


class Segmenter:
    """Turns clicks on a frame into masks. Each clip that a person works on has its own, for one thread at a time.

    Args:
        model: the shared weights.
        cache: of embeddings, which may be shared as well; None makes one.
    """

    def __init__(self, model: SegmentModel, cache: EmbeddingCache | None = None) -> None:
        self.model = model
        self.cache = cache or EmbeddingCache()
        self._frame: np.ndarray | None = None
        self._features: Features = ()

    def set_frame(self, frame: np.ndarray) -> None:
        """Choose the frame (H, W, 3) uint8 RGB that the next clicks are on."""
        if frame.ndim != 3 or frame.shape[-1] != 3 or frame.dtype != np.uint8 or not frame.size:
            raise SegmentError(
                f"A frame must be (height, width, 3) uint8 RGB, not {frame.shape} {frame.dtype}. Pass one frame of the "
                "clip as it was decoded."
            )
        self._features = self.cache.features(self.model, frame)
        self._frame = frame

    def click(
        self,
        points: np.ndarray | Sequence[Sequence[float]],
        labels: np.ndarray | Sequence[int],
        box: np.ndarray | Sequence[float] | None = None,
        previous: np.ndarray | None = None,
    ) -> Segmentation:
        """Find the thing that was clicked on.

        A single click is ambiguous (the hat, or the cat with the hat?): it is answered with the best of three masks
        and the other two as alternatives. With more clicks, a box or an earlier answer there is one answer.

        Args:
            points: (P, 2) as (x, y) in pixels, all clicks on this thing so far.
            labels: (P,), 1 for a click on the thing, 0 for one on what does not belong to it.
            box: (x0, y0, x1, y1) in pixels around the thing.
            previous: (1, h, w) float32, logits of the answer that is to be corrected.

        Raises:
            SegmentError: no frame is set, or clicks or box are off the picture or contradict themselves.
            NothingFoundError: no pixel was found.
        """
        if self._frame is not None and np.ptp(self._frame, (0, 1)).max() <= FLAT:
            raise NothingFoundError(
                "This frame is one colour; nothing on it can be told apart. Click on another frame."
            )
        found = [answer for answer in self.candidates(points, labels, box, previous) if answer.area]
        if not found:
            raise NothingFoundError("Nothing was found there. Click on the thing's middle, or draw a box around it.")
        best, *others = found
        return replace(best, alternatives=tuple(sorted(others, key=lambda answer: answer.area)))

    def candidates(
        self,
        points: np.ndarray | Sequence[Sequence[float]],
        labels: np.ndarray | Sequence[int],
        box: np.ndarray | Sequence[float] | None = None,
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
        if multimask is None:
            multimask = previous is None and box is None and prompts.points.shape[1] == 1
        logits, scores = self.model.decode(self._features, size, prompts, multimask)
        masks = self.model.network.upscale(logits, size)[0] > 0
        answers = zip(masks, scores[0], logits[0], strict=True)
        made = [Segmentation(mask.numpy(), score.item(), low[None].numpy()) for mask, score, low in answers]
        return sorted(made, key=lambda answer: -answer.score)

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
        return (20 * shares[0] - 10).numpy()  # as SAM 2 does with masks that people give

    def _read_prompts(
        self,
        points: np.ndarray | Sequence[Sequence[float]],
        labels: np.ndarray | Sequence[int],
        box: np.ndarray | Sequence[float] | None,
        previous: np.ndarray | None,
    ) -> Prompts:
        size = self.frame_size
        places, kinds = _read_clicks(points, labels, size)
        told = kinds if previous is None else kinds + 1  # an earlier answer can be corrected by clicks outside alone
        if box is None and not told.any():
            raise SegmentError("No click says where the thing itself is. Click on it, or draw a box around it.")
        if previous is not None and previous.shape != (1, *self.model.network.logits_size):
            raise SegmentError(
                f"The earlier answer is {previous.shape}, but model '{self.model.name}' takes logits of "
                f"{(1, *self.model.network.logits_size)}. Start the thing anew with a click."
            )
        return Prompts(
            torch.from_numpy(places)[None],
            torch.from_numpy(kinds)[None],
            None if box is None else torch.from_numpy(_read_box(box, size))[None],
            None if previous is None else torch.from_numpy(np.asarray(previous, np.float32))[None],
        )


def _read_clicks(
    points: np.ndarray | Sequence[Sequence[float]], labels: np.ndarray | Sequence[int], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return points (P, 2) float32 and labels (P,) int64, checked."""
    places, kinds = np.asarray(points, np.float32).reshape(-1, 2), np.asarray(labels, np.float32).reshape(-1)
    if len(places) != len(kinds) or not np.isin(kinds, (0, 1)).all():
        raise SegmentError(
            f"{len(places)} clicks have the labels {kinds.tolist()}. Give each one label: 1 on the thing, 0 outside it."
        )
    height, width = size
    for x, y in places:
        if not (0 <= x < width and 0 <= y < height):
            raise SegmentError(
                f"The click at ({x:g}, {y:g}) is outside the picture of {width}×{height} pixels. Click inside it."
            )
    return places, kinds.astype(np.int64)


def _read_box(box: np.ndarray | Sequence[float], size: tuple[int, int]) -> np.ndarray:
    """Return a box (4,) float32 as far as it lies in the picture."""
    height, width = size
    x0, y0, x1, y1 = (float(value) for value in box)
    inside = max(x0, 0.0), max(y0, 0.0), min(x1, width), min(y1, height)
    if not (inside[0] < inside[2] and inside[1] < inside[3]):
        raise SegmentError(
            f"The box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) holds nothing of the picture of {width}×{height} pixels. "
            "Draw it from the upper left to the lower right corner of the thing."
        )
    return np.array(inside, np.float32)


def _content_key(model: SegmentModel, frame: np.ndarray) -> str:
    digest = hashlib.sha256(f"{model.fingerprint} {frame.shape}".encode())
    digest.update(frame.tobytes())
    return digest.hexdigest()


def _bytes(features: Features) -> int:
    return sum(feature.nbytes for feature in features)
