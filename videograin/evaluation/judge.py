"""A mini CLIP that names the objects of the small world of emoji, and so judges edits there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPModel

from videograin.evaluation.metrics import crop_regions
from videograin.evaluation.vocabulary import known_names
from videograin.files.hub import WEIGHTS_LOCK

INPUT_SIZE = 128

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
        with WEIGHTS_LOCK:
            clip = cast(CLIPModel, CLIPModel.from_pretrained(folder / "clip", dtype=torch.float32)).eval()
        state = {name: weight.float() for name, weight in load_file(folder / "clip/judge.safetensors").items()}
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

    def probabilities(self, frame: np.ndarray, masks: Sequence[np.ndarray]) -> np.ndarray:
        """Return how likely each mask shows each of `names`, (masks, names) float.

        Args:
            frame: (H, W, 3) uint8 RGB.
            masks: (H, W) bool each, none of them empty.
        """
        frames = np.broadcast_to(frame, (len(masks), *frame.shape))
        return self._logits(frames, np.stack(masks)).softmax(1).cpu().numpy()

    @torch.no_grad()
    def _logits(self, frames: np.ndarray, masks: np.ndarray) -> Tensor:
        crops = torch.from_numpy(crop_regions(frames, masks, INPUT_SIZE)).to(self.head.weight.device)
        return self.head(self.clip.vision_model(pixel_values=crops.movedim(-1, 1) / 127.5 - 1).pooler_output)
