"""Repositories of a model hub in their true layout, with random weights: at the true architecture or a tiny one."""

# diffusers and transformers annotate many arguments more narrowly than they are.
# pyright: reportArgumentType=false

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    DPTImageProcessor,
    EdgeTamVideoConfig,
    EdgeTamVideoModel,
    EdgeTamVisionConfig,
    PreTrainedModel,
    Sam2ImageProcessor,
    Sam2VideoConfig,
    Sam2VideoModel,
)

from benchmarks.hub import sha256
from videograin.controls import DEPTH_MODEL
from videograin.files.assets import EMBEDDED_MODEL
from videograin.files.download import RemoteFile
from videograin.models.bundles import Prediction, find_bundle
from videograin.region import ControlKind
from videograin.segment.names import HUB_IDS

VIT_B = "checkpoints/sam/vit_b.pth"
"""Where the hub has SAM's checkpoint, which really lies at an address of its own."""

LORA_RANK = 4

MASK_BIAS = 2.0
"""Added to what random decoders say of a pixel, so that their masks are not empty."""

_MASK_MAKERS = ("output_hypernetworks", "upscale_conv", "output_upscaling")


@dataclass(frozen=True)
class Family:
    """What tells the models of Stable Diffusion apart.

    Attributes:
        text_width: of the embedding that the UNet attends to.
        heads: of its attention layers by resolution, or the width of a head (diffusers' `attention_head_dim`).
        prediction: what it predicts.
        sample: latents' side that it was trained on.
    """

    text_width: int
    heads: int | tuple[int, ...]
    prediction: Prediction
    sample: int


FAMILIES = {
    "sd15": Family(text_width=768, heads=8, prediction=Prediction.NOISE, sample=64),
    "sd2.1-base": Family(text_width=1024, heads=(5, 10, 20, 20), prediction=Prediction.NOISE, sample=64),
    "sd2.1": Family(text_width=1024, heads=(5, 10, 20, 20), prediction=Prediction.VELOCITY, sample=96),
}


def write_stable_diffusion(root: Path, name: str, *, is_tiny: bool) -> None:
    """Write a model of `FAMILIES` where its bundle looks for it.

    Args:
        root: of the hub.
        name: of the bundle.
        is_tiny: whether the networks have a thousandth of the true ones' weights, in as many layers; text is as wide.
    """
    family, folder = FAMILIES[name], root / find_bundle(name).source
    torch.manual_seed(0)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 16, 16) if is_tiny else (128, 256, 512, 512),
        layers_per_block=1 if is_tiny else 2,
        norm_num_groups=8 if is_tiny else 32,
    )
    pipeline = StableDiffusionPipeline(
        vae=vae, text_encoder=_text_encoder(family.text_width, is_tiny=is_tiny), tokenizer=_tokenizer(),
        unet=_unet(family, is_tiny=is_tiny),
        scheduler=DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
            set_alpha_to_one=False, steps_offset=1, prediction_type=family.prediction,
        ),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.to(torch.float16).save_pretrained(folder, variant="fp16")


def write_control(root: Path, name: str, kind: ControlKind, *, is_tiny: bool) -> None:
    """Write a ControlNet of a model of `FAMILIES`; for depth also what estimates it, at its true size."""
    torch.manual_seed(0)
    network = ControlNetModel.from_unet(_unet(FAMILIES[name], is_tiny=is_tiny), load_weights_from_unet=False)
    network.to(torch.float16).save_pretrained(root / find_bundle(name).controls[kind])
    if kind is ControlKind.DEPTH:
        DepthAnythingForDepthEstimation(DepthAnythingConfig()).save_pretrained(root / DEPTH_MODEL)
        processor = DPTImageProcessor(size={"height": 518, "width": 518}, keep_aspect_ratio=True, ensure_multiple_of=14)
        processor.save_pretrained(root / DEPTH_MODEL)


def write_lora(root: Path, name: str, *, is_tiny: bool) -> str:
    """Write a LoRA for all cross-attention of a model of `FAMILIES` and return its hub id."""
    torch.manual_seed(0)
    weights = {}
    for layer, module in _unet(FAMILIES[name], is_tiny=is_tiny).named_modules():
        if isinstance(module, nn.Linear) and "attn2" in layer:
            weights[f"unet.{layer}.lora_A.weight"] = (
                torch.randn(LORA_RANK, module.in_features) / module.in_features**0.5
            )
            weights[f"unet.{layer}.lora_B.weight"] = torch.randn(module.out_features, LORA_RANK)
    hub_id = f"loras/{name}"
    (root / hub_id).mkdir(parents=True, exist_ok=True)
    save_file(weights, root / hub_id / "style.safetensors")
    return hub_id


def write_sam2_tiny(root: Path) -> None:
    """Write SAM 2.1 tiny at its true size; it is the default of its configuration."""
    torch.manual_seed(0)
    model = Sam2VideoModel(Sam2VideoConfig())
    _say_something(model)
    _save(model, root / HUB_IDS["sam2.1-tiny"])


def write_edgetam(root: Path) -> None:
    """Write EdgeTAM at its true size."""
    torch.manual_seed(0)
    backbone = {
        "model_type": "timm_wrapper", "architecture": "repvit_m1", "num_classes": 2,
        "model_args": {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
    }  # fmt: skip
    model = EdgeTamVideoModel(EdgeTamVideoConfig(vision_config=EdgeTamVisionConfig(backbone_config=backbone)))
    _say_something(model)
    _save(model, root / HUB_IDS["edgetam"])


def write_vit_b(root: Path, host: str) -> RemoteFile:
    """Write SAM's base checkpoint at its true size and return where it is.

    Args:
        root: of the hub.
        host: that serves large files.
    """
    from segment_anything import sam_model_registry  # the other models can be written without it

    torch.manual_seed(0)
    sam = sam_model_registry["vit_b"]()
    _say_something(sam)
    file = root / VIT_B
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(sam.state_dict(), file)
    return RemoteFile(f"{host}/large/{VIT_B}", sha256(file), file.stat().st_size)


def _say_something(model: nn.Module) -> None:
    """Give what makes masks out of features a bias, so that no mask is empty."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias") and any(part in name for part in _MASK_MAKERS):
            parameter.data += MASK_BIAS


def _save(model: PreTrainedModel, folder: Path) -> None:
    model.save_pretrained(folder)
    Sam2ImageProcessor().save_pretrained(folder)


def _unet(family: Family, *, is_tiny: bool) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=family.sample,
        block_out_channels=(32, 64, 64, 64) if is_tiny else (320, 640, 1280, 1280),
        attention_head_dim=(1, 2, 2, 2) if is_tiny else family.heads,
        cross_attention_dim=family.text_width,
        use_linear_projection=family.text_width == 1024,
        norm_num_groups=8 if is_tiny else 32,
    )


def _text_encoder(width: int, *, is_tiny: bool) -> CLIPTextModel:
    tokenizer = _tokenizer()
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer) if is_tiny else 49408,
            hidden_size=width,
            intermediate_size=64 if is_tiny else 4 * width,
            num_hidden_layers=1 if is_tiny else (12 if width == 768 else 23),
            num_attention_heads=12 if width == 768 else 16,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _tokenizer() -> CLIPTokenizer:
    """Return the embedded model's, which is of CLIP's own class; the words do not matter here."""
    return CLIPTokenizer.from_pretrained(EMBEDDED_MODEL / "tokenizer")
