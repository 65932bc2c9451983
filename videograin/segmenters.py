"""Named segmenters and how they are loaded: the embedded one, SAM's own checkpoints, SAM 2.1 and EdgeTAM."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from videograin.models import choose_device, find_bundle
from videograin.sam_networks import SamNetwork, SamShape, build_sam
from videograin.segment import SegmentModel


def load_segmenter(name: str = "emoji-world", *, device: torch.device | str | None = None) -> SegmentModel:
    """Load a segmenter's weights, to be shared by everybody in this process."""
    folder = Path(find_bundle(name).source) / "sam"
    sam = build_sam(SamShape(**json.loads((folder / "config.json").read_text())))
    sam.load_state_dict(load_file(folder / "model.safetensors"))
    return SegmentModel(name, SamNetwork(sam.to(choose_device(device))))
