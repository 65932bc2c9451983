"""What a mini CLIP sees in a region of a clip: the judge of edits in the small world of emoji."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPModel

from videograin.metrics import crop_regions

INPUT_SIZE = 128


@dataclass(frozen=True)
class Judge:
    """Names the main object of a crop, out of its vocabulary."""

    clip: CLIPModel
    head: nn.Linear
    names: list[str]

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Self:
        """Load the judge from a model folder's `clip/`."""
        clip = cast(CLIPModel, CLIPModel.from_pretrained(folder / "clip", dtype=torch.float32)).eval()
        state = {name: weight.float() for name, weight in load_file(folder / "clip/judge.safetensors").items()}
        head = nn.Linear(state["weight"].shape[1], state["weight"].shape[0])
        head.load_state_dict(state)
        cast(nn.Module, clip).to(device)
        return cls(clip, head.to(device), json.loads((folder / "clip/vocabulary.json").read_text()))

    @torch.no_grad()
    def name_objects(self, frames: np.ndarray, masks: np.ndarray) -> list[str]:
        """Name what is seen inside a region's square, for each frame that the region is in.

        Args:
            frames: (F, H, W, 3) uint8 RGB.
            masks: (F, H, W) bool.
        """
        crops = torch.from_numpy(crop_regions(frames, masks, INPUT_SIZE)).to(self.head.weight.device)
        pixels = crops.movedim(-1, 1) / 127.5 - 1
        logits = self.head(self.clip.vision_model(pixel_values=pixels).pooler_output)
        return [self.names[index] for index in logits.argmax(1).tolist()]
