"""A segmenter's weights, shared by all sessions, and a cache of its image embeddings."""

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from videograin.files.tensor_cache import fingerprint

CACHE_BYTES = 512 * 2**20
"""Default size of an `EmbeddingCache`."""

Features = tuple[Tensor, ...]
"""Image embedding of a frame: one tensor (1, C, h, w), or one for each resolution."""


@dataclass(frozen=True, eq=False)
class Prompts:
    """Prompts for B masks on one frame, in its pixels.

    Attributes:
        points: (B, P, 2) float32 as (x, y); P may be 0.
        labels: (B, P) int64, 1 inside, 0 outside.
        boxes: (B, K, 4) float32 as (x0, y0, x1, y1), or None. SAM sees the first alone; rules may see all of them.
        logits: (B, 1, h, w) float32 of earlier answers, or None.
        motion: (B, H, W) float32 in [0, 1], how surely pixels move otherwise than the background, or None where that is
            not known; for rules alone.
    """

    points: Tensor
    labels: Tensor
    boxes: Tensor | None = None
    logits: Tensor | None = None
    motion: Tensor | None = None

    def to(self, device: torch.device) -> "Prompts":
        """Return the same prompts on a device."""
        optional = (None if x is None else x.to(device) for x in (self.boxes, self.logits, self.motion))
        return Prompts(self.points.to(device), self.labels.to(device), *optional)

    def each(self) -> list["Prompts"]:
        """Return the prompts of each mask alone."""
        optional = (self.boxes, self.logits, self.motion)
        parts = [[None] * len(self.points) if x is None else x.split(1) for x in optional]
        return [Prompts(*each) for each in zip(self.points.split(1), self.labels.split(1), *parts, strict=True)]


class Network(Protocol):
    """The interface of a segmentation network, whichever library it comes from.

    Attributes:
        input_size: longer side in pixels at which it sees a frame.
        logits_size: (h, w) of the masks it decodes and accepts.
    """

    input_size: int
    logits_size: tuple[int, int]

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


class SegmentModel:
    """A segmenter's weights, shared by all sessions; threads take turns at the network.

    Args:
        name: by which the page and projects refer to it.
        network: frozen, on its device.
    """

    def __init__(self, name: str, network: Network) -> None:
        self.name = name
        self.network = network
        self.network.module.eval().requires_grad_(False)
        self.fingerprint = fingerprint(network.module) if self.has_weights else name
        self._lock = threading.Lock()

    @property
    def input_size(self) -> int:
        """Longer side in pixels at which the network sees a frame."""
        return self.network.input_size

    @property
    def device(self) -> torch.device:
        """Where the weights are; the CPU where there are none."""
        return next(self.network.module.parameters()).device if self.has_weights else torch.device("cpu")

    @property
    def has_weights(self) -> bool:
        """Whether the network was trained, rather than being a rule."""
        return next(self.network.module.parameters(), None) is not None

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
        max_bytes: size cap; 0 keeps nothing.
    """

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self.max_bytes = max_bytes
        self._kept: OrderedDict[str, Features] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def features(self, model: SegmentModel, frame: np.ndarray) -> Features:
        """Return a model's features of a frame (H, W, 3) uint8 RGB, encoding it only where they are not kept."""
        key = _content_key(model, frame)
        features = self._recall(key) or model.encode(frame)
        self._keep(key, features)
        return features

    def holds(self, model: SegmentModel, frame: np.ndarray) -> bool:
        """Whether a model's features of a frame (H, W, 3) uint8 RGB are kept."""
        return self._recall(_content_key(model, frame)) is not None

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


def _content_key(model: SegmentModel, frame: np.ndarray) -> str:
    digest = hashlib.sha256(f"{model.fingerprint} {frame.shape}".encode())
    digest.update(frame.tobytes())
    return digest.hexdigest()


def _bytes(features: Features) -> int:
    return sum(feature.nbytes for feature in features)
