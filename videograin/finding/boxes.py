"""Objects of photographs by name: a detector that knows words finds boxes, and a segmenter cuts out what is in them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from PIL import Image
from torchvision.ops import nms
from transformers import (
    GroundingDinoForObjectDetection,
    GroundingDinoProcessor,
    MMGroundingDinoForObjectDetection,
    Owlv2ForObjectDetection,
    Owlv2Processor,
)

from videograin.errors import ModelError, NothingFoundError
from videograin.files.hub import WEIGHTS_LOCK, first_line
from videograin.finding.finder import FoundObject, Hits
from videograin.progress import Phase, Report, ignore, track
from videograin.segment.model import EmbeddingCache, SegmentModel
from videograin.segment.segmenter import Segmenter
from videograin.segment.zoo import load_pretrained

BOX_OVERLAP = 0.7
"""Overlap (IoU) of two boxes of one noun from which they are one object."""

MAX_BOXES = 20
"""Of one noun; a user does not choose among more."""


@dataclass(frozen=True)
class _Kind:
    """How one kind of detector is asked.

    Attributes:
        network, processor: its classes of transformers.
        prompt: the sentence in which it was trained to find nouns.
        threshold: score from which a box counts, as its authors use it.
    """

    network: Any
    processor: Any
    prompt: str
    threshold: float


_KINDS = {
    "grounding-dino": _Kind(GroundingDinoForObjectDetection, GroundingDinoProcessor, "{}.", 0.35),
    "mm-grounding-dino": _Kind(MMGroundingDinoForObjectDetection, GroundingDinoProcessor, "{}.", 0.35),
    "owlv2": _Kind(Owlv2ForObjectDetection, Owlv2Processor, "a photo of a {}", 0.2),
}
"""By `model_type` of a configuration."""


class BoxDetector(Protocol):
    """Finds boxes of a noun."""

    def detect(self, frame: np.ndarray, noun: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return boxes (N, 4) as (x0, y0, x1, y1) in pixels, and their scores (N,), of a frame (H, W, 3) uint8 RGB."""
        ...


@dataclass(frozen=True, eq=False)
class Detector:
    """Grounding DINO (arXiv 2303.05499), MM Grounding DINO (arXiv 2401.02361) or OWLv2 (arXiv 2306.09683).

    Attributes:
        network: any of the three.
        processor: makes its inputs and reads its outputs.
        kind: how it is asked.
    """

    network: Any
    processor: Any
    kind: _Kind

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Self:
        """Load a detector from a folder in transformers' layout.

        Raises:
            ModelError: it is of another kind, or cannot be loaded.
        """
        try:
            name = json.loads((folder / "config.json").read_text())["model_type"]
            kind = _KINDS[name]
            with WEIGHTS_LOCK:
                network = load_pretrained(kind.network, folder)
                processor = kind.processor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, RuntimeError, LookupError, TypeError) as error:
            raise ModelError(
                f"The detector in '{folder}' cannot be loaded ({first_line(error)}). It must be one of "
                f"{', '.join(_KINDS)}; delete it there and download it again."
            ) from error
        return cls(network.eval().to(device), processor, kind)

    @torch.inference_mode()
    def detect(self, frame: np.ndarray, noun: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return boxes and scores; as `BoxDetector.detect`."""
        inputs = self.processor(
            images=Image.fromarray(frame), text=[self.kind.prompt.format(noun)], return_tensors="pt"
        ).to(self.network.device)
        outputs = self.network(**inputs)
        (found,) = self.processor.post_process_grounded_object_detection(
            outputs, threshold=self.kind.threshold, target_sizes=[frame.shape[:2]]
        )
        return found["boxes"].cpu(), found["scores"].cpu()


@dataclass(frozen=True, eq=False)
class BoxFinder:
    """Finds objects by the boxes of a detector.

    Attributes:
        detector: finds boxes.
        segmenter: cuts out what is in them.
        embeddings: what the segmenter has seen.
    """

    detector: BoxDetector
    segmenter: SegmentModel
    embeddings: EmbeddingCache

    def find(self, frame: np.ndarray, nouns: Sequence[str], report: Report = ignore) -> Hits:
        """Return the objects of each noun; as `Finder.find`."""
        hits: dict[str, list[FoundObject]] = {}
        for noun in track(Phase.SUGGEST, nouns, report):
            boxes, scores = self.detector.detect(frame, noun)
            kept = nms(boxes, scores, BOX_OVERLAP)[:MAX_BOXES]
            cut_out = [
                self._cut_out(frame, noun, box, score) for box, score in zip(boxes[kept], scores[kept], strict=True)
            ]
            hits[noun] = [each for each in cut_out if each is not None]
        return hits

    def _cut_out(self, frame: np.ndarray, noun: str, box: torch.Tensor, score: torch.Tensor) -> FoundObject | None:
        segmenter = Segmenter(self.segmenter, self.embeddings)
        segmenter.set_frame(frame)
        try:
            answer = segmenter.click([], [], box.tolist())
        except NothingFoundError:
            return None
        return FoundObject(noun, answer.mask, score.item())
