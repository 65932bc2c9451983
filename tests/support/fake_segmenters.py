"""Segmenters of random weights with all the parts of real ones, and one that finds what has the colour clicked on."""

# transformers annotates many arguments more narrowly than they are.
# pyright: reportArgumentType=false

import numpy as np
import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from torch import Tensor, nn
from transformers import (
    Sam2Config,
    Sam2HieraDetConfig,
    Sam2ImageProcessor,
    Sam2MaskDecoderConfig,
    Sam2Model,
    Sam2PromptEncoderConfig,
    Sam2VisionConfig,
)

from videograin.segment.model import Features, Prompts
from videograin.segment.networks import SamShape, build_sam

TINY_SHAPE = SamShape(
    image_size=32,
    patch_size=4,
    width=12,
    depth=3,
    heads=2,
    window=4,
    embed=16,
    decoder_depth=1,
    decoder_heads=2,
    decoder_mlp=16,
    mask_channels=4,
    iou_hidden=8,
)


def tiny_sam(seed: int = 0) -> Sam:
    """SAM's own classes at 32 pixels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_sam(TINY_SHAPE).eval()


def tiny_sam2(seed: int = 0) -> tuple[Sam2Model, Sam2ImageProcessor]:
    """SAM 2's own classes at 64 pixels, and their processor."""
    backbone = Sam2HieraDetConfig(
        hidden_size=8,
        num_attention_heads=1,
        image_size=[64, 64],
        blocks_per_stage=[1, 1, 1, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[4, 2, 2, 2],
        global_attention_blocks=[],
        window_positional_embedding_background_size=[2, 2],
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        fpn_hidden_size=32,
    )
    prompts = Sam2PromptEncoderConfig(hidden_size=32, image_size=64, patch_size=16, mask_input_channels=4)
    decoder = Sam2MaskDecoderConfig(hidden_size=32, mlp_dim=32, num_attention_heads=2, iou_head_hidden_dim=16)
    config = Sam2Config(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Sam2Model(config).eval()
    return model, Sam2ImageProcessor(size={"height": 64, "width": 64})


class ColourNetwork:
    """Answers a click with the pixels of exactly that colour, on frames of at most 64×64, and counts its work.

    Of three masks the first is the clicked pixel's row within that colour, the second, which scores best, all of the
    colour, the third everything that is not black. A click on black finds nothing.
    """

    input_size: int = 64
    logits_size: tuple[int, int] = (64, 64)
    levels: int = 1

    def __init__(self) -> None:
        self.module = nn.Linear(1, 1)
        self.encoded = self.decoded = 0

    def encode(self, frame: np.ndarray) -> Features:
        self.encoded += 1
        return (torch.from_numpy(frame.copy()),)

    def decode(
        self, features: Features, size: tuple[int, int], prompts: Prompts, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        self.decoded += 1
        masks = torch.stack([self._answer(features[0], points[0]) for points in prompts.points])
        scores = torch.tensor([[0.5, 0.9, 0.7]]).expand(len(masks), 3)
        logits = F.pad(20.0 * masks - 10, (0, 64 - size[1], 0, 64 - size[0]), value=-10)
        chosen = slice(None) if multimask else slice(1, 2)
        return logits[:, chosen], scores[:, chosen]

    def upscale(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        return logits[..., : size[0], : size[1]]

    def downscale(self, masks: Tensor, size: tuple[int, int]) -> Tensor:
        return F.pad(masks, (0, 64 - size[1], 0, 64 - size[0]))

    def _answer(self, frame: Tensor, point: Tensor) -> Tensor:
        x, y = (int(value) for value in point)
        something = (frame > 0).any(-1)
        whole = (frame == frame[y, x]).all(-1) & something
        row = torch.zeros_like(whole)
        row[y] = whole[y]
        return torch.stack([row, whole, something & something[y, x]])
