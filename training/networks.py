"""The shapes of the embedded models: one function each, random weights."""

import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from segment_anything.modeling import Sam
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTextModel, CLIPTokenizer

from training.tokenizer import MAX_TOKENS
from training.vocabulary import NAMES
from videograin.diffusion.attention.step import AttentionStep
from videograin.segment.networks import SamShape, build_sam

LATENT_CHANNELS = 8
LATENT_SIZE = 32
TEXT_WIDTH = 192
CLIP_SIZE = 128
SAM_SHAPE = {"image_size": 256, "patch_size": 8, "width": 192, "depth": 6, "heads": 6, "window": 8, "embed": 128}
SAM_SHAPE |= {"decoder_depth": 2, "decoder_heads": 4, "decoder_mlp": 512, "mask_channels": 16, "iou_hidden": 128}
_WIDTHS = (64, 128, 192, 192)


def make_vae() -> AutoencoderKL:
    """Return the autoencoder: factor 8, 8 channels. Without attention it is local, so edits stay where they are."""
    vae = AutoencoderKL(
        block_out_channels=(32, 64, 128, 128),  # pyright: ignore[reportArgumentType] (diffusers says tuple[int])
        down_block_types=("DownEncoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
        up_block_types=("UpDecoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=256,
        scaling_factor=1.0,
        force_upcast=False,
    )
    assert vae.quant_conv is not None
    assert vae.quant_conv.bias is not None
    with torch.no_grad():  # start with little posterior noise
        vae.quant_conv.bias[LATENT_CHANNELS:].fill_(-5.0)
    return vae


def encode(vae: AutoencoderKL, image: Tensor) -> Tensor:
    """Return mean and log variance (B, 16, h, w) of the latents of images (B, 3, H, W) in [−1, 1]."""
    assert vae.quant_conv is not None
    return vae.quant_conv(vae.encoder(image))


def decode(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Return images (B, 3, H, W) of latents (B, 8, h, w)."""
    assert vae.post_quant_conv is not None
    return vae.decoder(vae.post_quant_conv(latents))


def make_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """Return the mini CLIP: a 4-layer text tower and a ViT on 128-pixel pictures."""
    text = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "max_position_embeddings": MAX_TOKENS,
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 768,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "projection_dim": 192,
    }
    vision = {
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "image_size": CLIP_SIZE,
        "patch_size": 8,
        "projection_dim": 192,
    }
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=192))


class Clip(nn.Module):
    """The mini CLIP with the judge, a linear head that says which objects it sees."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.clip = make_clip(tokenizer)
        self.judge = nn.Linear(256, len(NAMES))
        nn.init.constant_(self.judge.bias, -4.0)

    def see(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings (B, 192) and the judge's logits (B, T) of images (B, 3, 128, 128) in [−1, 1]."""
        pooled = self.clip.vision_model(pixel_values=image).pooler_output
        return self.clip.visual_projection(pooled), self.judge(pooled)

    def read(self, ids: Tensor) -> Tensor:
        """Return embeddings (B, 192) of token ids (B, 40)."""
        return self.clip.text_projection(self.clip.text_model(input_ids=ids).pooler_output)


def make_unet() -> UNet2DConditionModel:
    """Return the denoiser: Stable Diffusion 1.5's topology, narrow."""
    return UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        block_out_channels=_WIDTHS,
        layers_per_block=2,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
    )


class Denoiser(nn.Module):
    """Text tower and UNet in one pass, in the precision of their weights."""

    def __init__(self, text: CLIPTextModel) -> None:
        super().__init__()
        self.unet: UNet2DConditionModel = make_unet()
        self.text = text

    def forward(self, noisy: Tensor, timestep: Tensor, ids: Tensor, frames: int = 1) -> Tensor:
        """Predict the noise in noisy latents.

        Args:
            noisy: ((B F), 8, 32, 32).
            timestep: ((B F),).
            ids: (B, 40) token ids, a caption a clip.
            frames: F; more than one see each other in self-attention, which `install_layout_attention` provides.
        """
        words = self.text(input_ids=ids).last_hidden_state.repeat_interleave(frames, 0)
        told = {"step": AttentionStep(frames)} if frames > 1 else None
        noisy = noisy.to(self.unet.dtype)
        return self.unet(noisy, timestep, words, cross_attention_kwargs=told, return_dict=False)[0].float()


def make_controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    """Return a ControlNet that starts from the denoiser's convolutions. Edges need no words, so it has no attention."""
    controlnet = ControlNetModel(
        in_channels=LATENT_CHANNELS,
        down_block_types=("DownBlock2D",) * 4,
        mid_block_type="UNetMidBlock2D",
        block_out_channels=_WIDTHS,
        layers_per_block=2,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        conditioning_embedding_out_channels=(16, 32, 64, 96),
    )
    shapes = {name: tensor.shape for name, tensor in controlnet.state_dict().items()}
    shared = {name: t for name, t in unet.state_dict().items() if shapes.get(name) == t.shape}
    controlnet.load_state_dict(shared, strict=False)
    # Left at zero, the edges would reach the (zero) outputs only after these had learnt to listen.
    nn.init.xavier_normal_(controlnet.controlnet_cond_embedding.conv_out.weight)
    return controlnet


def make_scheduler() -> DDIMScheduler:
    """Return Stable Diffusion 1.5's noise schedule."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def make_sam(shape: dict[str, int] = SAM_SHAPE) -> Sam:
    """Build the segmenter; `shape` is what sam/config.json holds."""
    return build_sam(SamShape(**shape))
