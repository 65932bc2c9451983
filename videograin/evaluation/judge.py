"""A mini CLIP that names the objects of the small world of emoji, and so judges edits there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPModel

from videograin.evaluation.metrics import crop_regions
from videograin.evaluation.vocabulary import known_names
from videograin.files.hub import WEIGHTS_LOCK

INPUT_SIZE = 128

_PAINT_RADIUS = 3  # pixels of a crop from which each that is painted out is filled

SURE = 0.9
"""Least probability at which a name is suggested to the user."""


@dataclass(frozen=True)
class Judge:
    """Names the main object of a crop, out of its vocabulary."""

    clip: CLIPModel
    head: nn.Linear
    names: list[str]

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Self:
        """Load the judge from a model folder's `clip/`."""
        state = {name: weight.float() for name, weight in load_file(folder / "clip/judge.safetensors").items()}
        with WEIGHTS_LOCK:  # for the layer too: while others load, new ones have no memory for their weights
            clip = cast(CLIPModel, CLIPModel.from_pretrained(folder / "clip", dtype=torch.float32)).eval()
            head = nn.Linear(state["weight"].shape[1], state["weight"].shape[0])
        head.load_state_dict(state)
        cast(nn.Module, clip).to(device)
        return cls(clip, head.to(device), known_names(folder))

    def name_objects(self, frames: np.ndarray, masks: np.ndarray) -> list[str]:
        """Name the object inside a region's square, for each frame that the region is in.

        Args:
            frames: (F, H, W, 3) uint8 RGB.
            masks: (F, H, W) bool.
        """
        return [self.names[index] for index in self._logits(frames, masks).argmax(1).tolist()]

    def name_surely(self, frame: np.ndarray, mask: np.ndarray) -> str:
        """Name the object in a mask (H, W) bool of a frame (H, W, 3) uint8 RGB; empty below a probability of `SURE`."""
        if not mask.any():
            return ""
        probability, index = self._logits(frame[None], mask[None]).softmax(1)[0].max(0)
        return self.names[int(index)] if probability >= SURE else ""

    def probabilities(self, frame: np.ndarray, masks: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Return how likely each mask shows each of `names`, (masks, names) float.

        Args:
            frame: (H, W, 3) uint8 RGB.
            masks: (N, H, W) bool, none of them empty.
            hidden: (N, H, W) bool, what is painted out of the square around each mask.
        """
        crops = crop_regions(np.broadcast_to(frame, (len(masks), *frame.shape)), masks, INPUT_SIZE)
        planes = np.repeat(hidden[..., None].astype(np.uint8), 3, axis=-1) * 255
        covers = crop_regions(planes, masks, INPUT_SIZE)[..., 0] > 0
        pairs = zip(crops, covers, strict=True)
        painted = [cv2.inpaint(crop, cover.astype(np.uint8), _PAINT_RADIUS, cv2.INPAINT_TELEA) for crop, cover in pairs]
        return self._judge(np.stack(painted)).softmax(1).cpu().numpy()

    def _logits(self, frames: np.ndarray, masks: np.ndarray) -> Tensor:
        return self._judge(crop_regions(frames, masks, INPUT_SIZE))

    @torch.no_grad()
    def _judge(self, crops: np.ndarray) -> Tensor:
        pixels = torch.from_numpy(crops).to(self.head.weight.device).movedim(-1, 1) / 127.5 - 1
        return self.head(self.clip.vision_model(pixel_values=pixels).pooler_output)
