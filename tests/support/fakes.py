"""A Stable Diffusion of a few thousand random weights, with all the parts of a real one, and a clip to edit with it.

The VAE halves both sides, so that a clip of 16×16 pixels has latents of 8×8.
"""

# diffusers and transformers annotate many arguments more narrowly than they are.
# pyright: reportArgumentType=false

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.region import Region

WORDS = [
    "a",
    "an",
    "and",
    "the",
    "of",
    "in",
    "on",
    "red",
    "blue",
    "panda",
    "fox",
    "fire",
    "engine",
    "coat",
    "grass",
    "road",
    "man",
    "men",
    "dog",
    ",",
    ".",
]
"""Words that are one token; all others fall into letters and beginnings of these."""

TEXT_WIDTH = 16
FRAMES, SIZE = 3, 16


def tiny_tokenizer() -> CLIPTokenizer:
    """CLIP's own tokenizer class with the merges that make `WORDS`."""
    letters = list(bytes_to_unicode().values())
    merges: list[tuple[str, str]] = []
    for word in sorted(WORDS, key=len, reverse=True):  # so that "and" does not break "panda"
        pieces = [*word[:-1], word[-1] + "</w>"]
        merges += [("".join(pieces[:i]), pieces[i]) for i in range(1, len(pieces))]
    merges = list(dict.fromkeys(merges))
    tokens = [*letters, *(letter + "</w>" for letter in letters), *(first + second for first, second in merges)]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    vocab = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=77)


def tiny_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config).eval()


def tiny_unet(widths: Sequence[int] = (8, 16)) -> UNet2DConditionModel:
    """Cross-attention at all resolutions but the last, as in SD 1.5; four widths have all the layers PnP names."""
    levels = len(widths)
    return UNet2DConditionModel(
        block_out_channels=tuple(widths),
        down_block_types=("CrossAttnDownBlock2D",) * (levels - 1) + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (levels - 1),
        layers_per_block=1 if levels < 4 else 2,
        norm_num_groups=4,
        attention_head_dim=2,
        cross_attention_dim=TEXT_WIDTH,
        sample_size=SIZE // 2,
    ).eval()


def tiny_controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    """One that follows its images and whose outputs are not zero, as those of an untrained one would be."""
    controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 8))
    heads = *controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block
    for module in (*heads, controlnet.controlnet_cond_embedding.conv_out):
        assert isinstance(module, nn.Conv2d)
        nn.init.normal_(module.weight, std=0.3)
    return controlnet.eval()


def tiny_vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(4, 4),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=2,
        latent_channels=4,
        sample_size=SIZE,
    ).eval()


def tiny_scheduler(prediction_type: str = "epsilon") -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )


def tiny_pipeline(
    controlnets: int = 0, prediction_type: str = "epsilon", widths: Sequence[int] = (8, 16), seed: int = 0
) -> VideoGrainPipeline:
    """A whole pipeline; the same seed gives the same weights, with ControlNets or without."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet, tokenizer = tiny_unet(widths), tiny_tokenizer()
        vae, text_encoder = tiny_vae(), tiny_text_encoder(tokenizer)
        controls = [tiny_controlnet(unet) for _ in range(controlnets)]
        pipe = VideoGrainPipeline(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=tiny_scheduler(prediction_type),
            controlnet=controls[0] if controlnets == 1 else controls or None,
        )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tiny_frames(frames: int = FRAMES, size: int = SIZE) -> np.ndarray:
    """A still picture of noise that moves right by a pixel a frame: (F, size, size, 3) uint8."""
    still = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    return np.stack([np.roll(still, t, axis=1) for t in range(frames)])


def box(left: int, top: int, right: int, bottom: int, frames: int = FRAMES, size: int = SIZE) -> np.ndarray:
    """A mask (F, size, size) of one rectangle that stands still."""
    masks = np.zeros((frames, size, size), bool)
    masks[:, top:bottom, left:right] = True
    return masks


def tiny_regions(frames: int = FRAMES) -> list[Region]:
    """Two objects that overlap, with pixels around them that belong to neither."""
    return [
        Region(box(2, 2, 8, 12, frames), "a red panda", "left"),
        Region(box(6, 4, 12, 14, frames), "a blue fire engine", "right"),
    ]
