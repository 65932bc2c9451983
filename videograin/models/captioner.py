"""BLIP, which says in a sentence what a photograph shows; loaded when it is first asked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from transformers import BlipForConditionalGeneration, BlipProcessor

from videograin.errors import ModelError
from videograin.files.hub import WEIGHTS_LOCK, Layout, fetch, first_line
from videograin.models.catalog import CAPTIONER_ID

MAX_WORDS = 30
"""Tokens of a caption at most; a source prompt is shorter than the 77 that the text encoder takes."""


@dataclass(frozen=True)
class Captioner:
    """Describes pictures.

    Attributes:
        model: BLIP.
        processor: makes its inputs and reads its outputs.
    """

    model: BlipForConditionalGeneration
    processor: Any

    @classmethod
    def load(cls, source: str = CAPTIONER_ID, *, offline: bool = False) -> Self:
        """Load BLIP onto the CPU, where a caption takes a few seconds and no edit loses memory to it.

        Args:
            source: folder or hub id.
            offline: whether to leave the hub alone.

        Raises:
            ModelError: it cannot be had or loaded.
        """
        folder: Path = fetch(source, Layout.NETWORK, offline)
        try:
            with WEIGHTS_LOCK:
                model = BlipForConditionalGeneration.from_pretrained(folder, local_files_only=True)
                processor = BlipProcessor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, RuntimeError, LookupError) as error:
            raise ModelError(
                f"The captioner cannot be loaded from '{folder}' ({first_line(error)}). Delete it there and download "
                "it again."
            ) from error
        return cls(model.eval(), processor)

    @torch.inference_mode()
    def describe(self, frame: np.ndarray) -> str:
        """Return a caption of a frame (H, W, 3) uint8 RGB, "a dog running on a beach"."""
        inputs = self.processor(images=Image.fromarray(frame), return_tensors="pt")
        tokens = self.model.generate(pixel_values=inputs["pixel_values"], max_new_tokens=MAX_WORDS)
        return str(self.processor.decode(tokens[0], skip_special_tokens=True)).strip()
