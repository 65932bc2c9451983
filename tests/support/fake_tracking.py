"""Clips whose truth is plain, an engine that follows by colour and counts, and a video model of random weights."""

# transformers annotates many arguments more narrowly than they are.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOptionalMemberAccess=false

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial

import numpy as np
import torch
from fake_segmenters import tiny_sam2
from transformers import (
    Sam2ImageProcessor,
    Sam2VideoConfig,
    Sam2VideoMaskDecoderConfig,
    Sam2VideoModel,
    Sam2VideoPromptEncoderConfig,
)

from videograin.tracking.propagator import Walk
from videograin.tracking.tracks import Estimate, Leg, Track, visited

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


class ColourEngine:
    """Finds whatever has the colour under an object's first mask, and keeps account of the frames it looked at."""

    def __init__(self, confidence: float = 1.0) -> None:
        self.confidence = confidence
        self.visits: list[tuple[int, tuple[str, ...]]] = []

    def walk(self, frames: np.ndarray, tracks: Mapping[str, Track]) -> Walk:
        return partial(self._follow, frames, tracks)

    def _follow(
        self, frames: np.ndarray, tracks: Mapping[str, Track], legs: Sequence[Leg]
    ) -> Iterator[tuple[int, dict[str, Estimate]]]:
        for t in visited(legs):
            active = [leg for leg in legs if t in leg.frames]
            self.visits.append((t, tuple(leg.name for leg in active)))
            yield t, {leg.name: self._estimate(frames, t, leg, tracks[leg.name]) for leg in active}

    def _estimate(self, frames: np.ndarray, t: int, leg: Leg, track: Track) -> Estimate:
        seen = track.masks[leg.start]
        colour = frames[leg.start][seen][0] if seen.any() else np.array([1, 2, 3])
        found = (frames[t] == colour).all(-1)
        return Estimate(np.where(found, 8.0, -8.0).astype(np.float32), self.confidence)


def squares(frames: int = 8, side: int = 32) -> np.ndarray:
    """Return frames (F, side, side, 3): a red square that goes right, above a green one that goes left."""
    clip = np.zeros((frames, side, side, 3), np.uint8)
    for t in range(frames):
        clip[t, 4:10, 2 + 2 * t : 8 + 2 * t] = RED
        clip[t, 18:24, 24 - 2 * t : 30 - 2 * t] = GREEN
    return clip


def of_colour(frames: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Return the pixels (..., H, W) bool of exactly that colour."""
    return (frames == colour).all(-1)


def tiny_sam2_video(seed: int = 0) -> tuple[Sam2VideoModel, Sam2ImageProcessor]:
    """SAM 2's own classes for video at 64 pixels, and their processor."""
    still, processor = tiny_sam2(seed)
    width = 128  # memory attention is built for memories of 64 channels that are narrower than this
    vision = deepcopy(still.config.vision_config)
    vision.fpn_hidden_size = width
    config = Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config=Sam2VideoPromptEncoderConfig(
            hidden_size=width, image_size=64, patch_size=16, mask_input_channels=4
        ),
        mask_decoder_config=Sam2VideoMaskDecoderConfig(
            hidden_size=width, mlp_dim=32, num_attention_heads=2, iou_head_hidden_dim=16
        ),
        image_size=64,
        memory_attention_hidden_size=width,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[4, 4],
        memory_encoder_hidden_size=width,
        mask_downsampler_embed_dim=width,
        memory_fuser_num_layers=1,
        memory_fuser_embed_dim=width,
        memory_fuser_intermediate_dim=32,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Sam2VideoModel(config).eval(), processor
