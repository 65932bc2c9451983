"""The networks behind `SegmentModel`: `segment_anything`'s Sam, and SAM 2.1 and EdgeTAM of transformers."""

from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor, nn
from transformers import EdgeTamModel, Sam2ImageProcessor, Sam2Model

from videograin.segment.model import Features, Prompts

LOGIT_RANGE = 32.0
"""SAM 2 was trained on earlier answers clamped to ± this."""


@dataclass(frozen=True)
class SamShape:
    """The sizes that `segment_anything`'s classes are built with, as sam/config.json of a bundle holds them.

    Attributes:
        image_size: side of the square picture in pixels.
        patch_size: pixels that one token covers.
        width: channels of the image encoder's tokens.
        depth: layers; every third of them sees the whole picture, the others windows.
        heads: of attention in each layer of the image encoder.
        window: side of a window in tokens.
        embed: channels of the embedding.
        decoder_depth: layers of the mask decoder.
        decoder_heads: of attention in each layer of the mask decoder.
        decoder_mlp: width of its feed-forward layers.
        mask_channels: in which a mask prompt is read.
        iou_hidden: width of the head that predicts IoU.
    """

    image_size: int
    patch_size: int
    width: int
    depth: int
    heads: int
    window: int
    embed: int
    decoder_depth: int
    decoder_heads: int
    decoder_mlp: int
    mask_channels: int
    iou_hidden: int


def build_sam(shape: SamShape) -> Sam:
    """Build a small Sam from `segment_anything`'s own classes, with random weights."""
    grid, third = shape.image_size // shape.patch_size, shape.depth // 3
    encoder = ImageEncoderViT(
        img_size=shape.image_size,
        patch_size=shape.patch_size,
        embed_dim=shape.width,
        depth=shape.depth,
        num_heads=shape.heads,
        out_chans=shape.embed,
        norm_layer=cast(type[nn.Module], partial(nn.LayerNorm, eps=1e-6)),
        use_rel_pos=False,
        window_size=shape.window,
        global_attn_indexes=tuple(range(third - 1, shape.depth, third)),
    )
    prompts = PromptEncoder(
        embed_dim=shape.embed,
        image_embedding_size=(grid, grid),
        input_image_size=(shape.image_size, shape.image_size),
        mask_in_chans=shape.mask_channels,
    )
    transformer = TwoWayTransformer(
        depth=shape.decoder_depth,
        embedding_dim=shape.embed,
        mlp_dim=shape.decoder_mlp,
        num_heads=shape.decoder_heads,
    )
    decoder = MaskDecoder(transformer_dim=shape.embed, transformer=transformer, iou_head_hidden_dim=shape.iou_hidden)
    return Sam(image_encoder=encoder, prompt_encoder=prompts, mask_decoder=decoder)


class SamNetwork:
    """A Sam of `segment_anything`: frames are scaled to the longer side and padded at the right and the bottom.

    It follows `SamPredictor` step by step, without that class's state.
    """

    def __init__(self, sam: Sam) -> None:
        self.module = sam
        self.input_size: int = sam.image_encoder.img_size
        self.logits_size = cast(tuple[int, int], tuple(sam.prompt_encoder.mask_input_size))
        self._resize = ResizeLongestSide(self.input_size)

    def encode(self, frame: np.ndarray) -> Features:
        """Encode a frame (H, W, 3) uint8 RGB into (1, C, h, w)."""
        pixels = torch.as_tensor(self._resize.apply_image(frame), device=self.module.device)
        return (self.module.image_encoder(self.module.preprocess(rearrange(pixels, "h w c -> 1 c h w"))),)

    def decode(
        self, features: Features, size: tuple[int, int], prompts: Prompts, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Return logits (B, K, h, w) and predicted IoU (B, K); arguments as in `Network.decode`."""
        has_points = prompts.points.shape[1] > 0
        boxes = None if prompts.boxes is None else self._resize.apply_boxes_torch(prompts.boxes[:, 0], size)
        sparse, dense = self.module.prompt_encoder(
            points=(self._resize.apply_coords_torch(prompts.points, size), prompts.labels) if has_points else None,
            boxes=boxes,
            masks=prompts.logits,
        )
        return self.module.mask_decoder(
            image_embeddings=features[0],
            image_pe=self.module.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
        )

    def upscale(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Return logits (B, K, H, W) of those of `decode`."""
        return self.module.postprocess_masks(logits, self._placed(size), size)

    def downscale(self, masks: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the shares (B, K, h, w) in [0, 1] that masks (B, K, H, W) in [0, 1] cover of each cell."""
        height, width = self._placed(size)
        placed = F.interpolate(masks, (height, width), mode="bilinear", align_corners=False, antialias=True)
        padded = F.pad(placed, (0, self.input_size - width, 0, self.input_size - height))
        return F.interpolate(padded, self.logits_size, mode="area")

    def _placed(self, size: tuple[int, int]) -> tuple[int, int]:
        return self._resize.get_preprocess_shape(*size, self.input_size)


class Sam2Network:
    """SAM 2.1 or EdgeTAM of transformers, for stills: frames are stretched to a square."""

    def __init__(self, model: Sam2Model | EdgeTamModel, processor: Sam2ImageProcessor) -> None:
        self.module = model
        self.input_size = cast(int, model.prompt_encoder.input_image_size)
        self.logits_size = cast(tuple[int, int], tuple(model.prompt_encoder.mask_input_size))
        self._processor = processor

    def encode(self, frame: np.ndarray) -> Features:
        """Encode a frame (H, W, 3) uint8 RGB into its feature pyramid, the finest level first."""
        pixels = self._processor(frame, return_tensors="pt")["pixel_values"]
        return tuple(self.module.get_image_embeddings(pixels.to(self.module.device, self.module.dtype)))

    def decode(
        self, features: Features, size: tuple[int, int], prompts: Prompts, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Return logits (B, K, h, w) and predicted IoU (B, K); arguments as in `Network.decode`."""
        # transformers' decoder takes one mask prompt at a time
        parts = [prompts] if prompts.logits is None else prompts.each()
        answers = [self._decode(features, size, part, multimask) for part in parts]
        logits, scores = (torch.cat(values) for values in zip(*answers, strict=True))
        return logits, scores

    def _decode(
        self, features: Features, size: tuple[int, int], prompts: Prompts, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        height, width = size
        scale = torch.tensor([self.input_size / width, self.input_size / height], device=self.module.device)
        has_points = prompts.points.shape[1] > 0
        answer = self.module(
            image_embeddings=list(features),
            input_points=(prompts.points * scale)[None] if has_points else None,
            input_labels=prompts.labels[None] if has_points else None,
            input_boxes=None if prompts.boxes is None else (prompts.boxes[:, 0] * scale.repeat(2))[None],
            input_masks=None if prompts.logits is None else prompts.logits.to(self.module.dtype),
            multimask_output=multimask,
        )
        return answer.pred_masks[0].clamp(-LOGIT_RANGE, LOGIT_RANGE), answer.iou_scores[0]

    def upscale(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Return logits (B, K, H, W) of those of `decode`."""
        return F.interpolate(logits, size, mode="bilinear", align_corners=False)

    def downscale(self, masks: Tensor, size: tuple[int, int]) -> Tensor:  # noqa: ARG002 (other networks need it)
        """Return the shares (B, K, h, w) in [0, 1] that masks (B, K, H, W) in [0, 1] cover of each cell."""
        return F.interpolate(masks, self.logits_size, mode="bilinear", align_corners=False, antialias=True)
