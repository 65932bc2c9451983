"""What a mini CLIP sees in a region of a clip: the judge of edits in the small world of emoji."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPModel

INPUT_SIZE = 128
CROP_MARGIN = 1.25
"""Side of the crop, over the longer side of the region."""


@dataclass(frozen=True)
class Judge:
    """Names the main object of a crop, out of its vocabulary."""

    clip: CLIPModel
    head: nn.Linear
    names: list[str]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load the judge from a model folder's `clip/`."""
        clip = cast(CLIPModel, CLIPModel.from_pretrained(folder / "clip", dtype=torch.float32)).eval()
        state = {name: weight.float() for name, weight in load_file(folder / "clip/judge.safetensors").items()}
        head = nn.Linear(state["weight"].shape[1], state["weight"].shape[0])
        head.load_state_dict(state)
        return cls(clip, head, json.loads((folder / "clip/vocabulary.json").read_text()))

    @torch.no_grad()
    def name_objects(self, frames: np.ndarray, masks: np.ndarray) -> list[str]:
        """Name what is seen inside a region's bounding square, for each frame that the region is in.

        Args:
            frames: (F, H, W, 3) uint8 RGB.
            masks: (F, H, W) bool.
        """
        crops = np.stack([_crop(frame, mask) for frame, mask in zip(frames, masks, strict=True) if mask.any()])
        pixels = torch.from_numpy(crops).movedim(-1, 1) / 127.5 - 1
        logits = self.head(self.clip.vision_model(pixel_values=pixels).pooler_output)
        return [self.names[index] for index in logits.argmax(1).tolist()]


def _crop(frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(mask)
    half = CROP_MARGIN / 2 * max(np.ptp(rows), np.ptp(columns))
    y, x = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
    top, left = (int(max(0, center - half)) for center in (y, x))
    crop = frame[top : int(y + half) + 1, left : int(x + half) + 1]
    return cv2.resize(crop, (INPUT_SIZE, INPUT_SIZE), interpolation=cv2.INTER_AREA)
