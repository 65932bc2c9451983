"""Stable Diffusion 1.5 with a ControlNet at its true architecture and random weights: the same work, no meaning."""

from typing import cast

import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from videograin.diffusion.pipeline import VideoGrainPipeline
from videograin.models.loading import on_device

VAE_CONFIG = {
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "sample_size": 512,
}


def random_sd15(device: torch.device, dtype: torch.dtype) -> VideoGrainPipeline:
    """Build the pipeline on a device, as `load_pipeline` does; its frames must never be shown as an edit."""
    return on_device(plain_sd15(device, dtype), device)


def plain_sd15(device: torch.device, dtype: torch.dtype) -> VideoGrainPipeline:
    """Build the pipeline on a device, of diffusers' own blocks everywhere."""
    torch.manual_seed(0)
    with device:
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
        controlnet = ControlNetModel.from_unet(unet)
        vae = cast(AutoencoderKL, AutoencoderKL.from_config(VAE_CONFIG))
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=49408,
                hidden_size=768,
                intermediate_size=3072,
                num_hidden_layers=12,
                num_attention_heads=12,
                projection_dim=768,
                bos_token_id=0,
                eos_token_id=1,
            )
        )
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    pipeline = VideoGrainPipeline(vae, text_encoder, letter_tokenizer(), unet, scheduler, controlnet)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device, dtype)


def letter_tokenizer() -> CLIPTokenizer:
    """Return a tokenizer of single letters; the real vocabulary cannot be had offline."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)
