"""Objects drawn after pictures: as diffusers' own IP-Adapter draws them, each in its region alone."""

# diffusers and transformers annotate many arguments more narrowly than they are.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportReturnType=false

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.image_processor import IPAdapterMaskProcessor
from einops import repeat
from fakes import FRAMES, TEXT_WIDTH, box, tiny_frames, tiny_pipeline, tiny_unet
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from benchmarks.hub import LoopbackHub
from videograin.diffusion.attention.layout import build_layout, nearest_cells
from videograin.diffusion.attention.processors import install_layout_attention
from videograin.diffusion.attention.reference import PlacedReference
from videograin.diffusion.attention.step import AttentionStep
from videograin.diffusion.denoiser import Conditioning, Denoiser
from videograin.errors import ModelError
from videograin.files.hub import IMAGE_ENCODER, IMAGE_PROMPT
from videograin.models.catalog import IMAGE_PROMPT_ID, check_references, find_entry
from videograin.models.references import ImagePrompts, drawn_after
from videograin.reference import Reference
from videograin.region import AttentionMode, Region

EMBED = 8
PICTURE = np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8)


def adapter_weights(widths: list[int]) -> dict[str, Tensor]:
    """IP-Adapter's weights for a tiny UNet, under the names that its file has."""
    generator = torch.Generator().manual_seed(2)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    weights = {
        "image_proj.proj.weight": noise(4 * TEXT_WIDTH, EMBED),
        "image_proj.proj.bias": noise(4 * TEXT_WIDTH),
        "image_proj.norm.weight": noise(TEXT_WIDTH),
        "image_proj.norm.bias": noise(TEXT_WIDTH),
    }
    for number, width in enumerate(widths):
        for kind in "kv":
            weights[f"ip_adapter.{2 * number + 1}.to_{kind}_ip.weight"] = noise(width, TEXT_WIDTH)
    return weights


def layer_widths() -> list[int]:
    unet = tiny_unet()
    names = [name.removesuffix(".processor") for name in unet.attn_processors if name.endswith("attn2.processor")]
    return [unet.get_submodule(name).to_k.out_features for name in names]


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A folder as IP-Adapter's repository is laid out."""
    return write_adapter(tmp_path / "adapter")


def write_adapter(folder: Path) -> Path:
    torch.manual_seed(3)
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=224, patch_size=56,
        projection_dim=EMBED,
    )  # fmt: skip
    CLIPVisionModelWithProjection(config).save_pretrained(folder / IMAGE_ENCODER)
    save_file(adapter_weights(layer_widths()), folder / IMAGE_PROMPT)
    return folder


def as_diffusers_samples(placed: PlacedReference, mask: Tensor) -> PlacedReference:
    """Return a reference with the cells of diffusers, which samples masks bicubically, beyond 0 and 1 at edges."""
    cells = {
        tokens: IPAdapterMaskProcessor.downsample(mask[None], 1, tokens, 1)[..., 0].expand_as(ours)
        for tokens, ours in placed.cells.items()
    }
    return replace(placed, cells=cells)


@pytest.mark.parametrize("right", [8, 16])  # half of the picture, and all of it
def test_one_region_is_drawn_as_by_the_masked_ip_adapter_of_diffusers(adapter: Path, right: int) -> None:
    torch.manual_seed(0)
    unet = tiny_unet()
    theirs, ours = copy.deepcopy(unet), unet
    prompts = ImagePrompts.load(adapter)
    # Theirs
    states = {"image_proj": {}, "ip_adapter": {}}
    for name, weight in adapter_weights(layer_widths()).items():
        part, _, rest = name.partition(".")
        states[part][rest] = weight
    theirs._load_ip_adapter_weights([states], low_cpu_mem_usage=False)
    for processor in theirs.attn_processors.values():
        if hasattr(processor, "scale"):
            processor.scale = [0.6]
    generator = torch.Generator().manual_seed(4)
    latents = torch.randn(FRAMES, 4, 8, 8, generator=generator)
    text = torch.randn(2, 77, TEXT_WIDTH, generator=generator)
    masks = box(0, 0, right, 16)
    mask = torch.from_numpy(masks[0]).float()
    embeds = prompts.encoder(prompts.pixels(PICTURE)).image_embeds
    both = torch.cat([torch.zeros_like(embeds), embeds]).repeat_interleave(FRAMES, 0)[:, None]
    with torch.no_grad():
        expected = theirs(
            repeat(latents, "f c h w -> (b f) c h w", b=2), 500, text.repeat_interleave(FRAMES, 0),
            added_cond_kwargs={"image_embeds": [both]},
            cross_attention_kwargs={"ip_adapter_masks": [mask[None, None]]},
        ).sample  # fmt: skip
    # Ours
    install_layout_attention(ours)
    region = Region(masks, "a fox", reference=Reference(PICTURE, 0.6))
    layout = build_layout(torch.from_numpy(masks)[None], (8, 8), 2, [1.0], nearest_cells)
    (reference,) = prompts.references([region], ours)
    placed = reference.placed(layout)
    assert torch.equal(placed.cells[64][0].view(8, 8), mask[::2, ::2])
    theirs_placed = as_diffusers_samples(placed, mask)
    assert right == 8 or all(torch.allclose(theirs_placed.cells[n], placed.cells[n]) for n in placed.cells)
    step = AttentionStep(FRAMES, AttentionMode.PER_FRAME, references=[theirs_placed])
    drawn = Denoiser(ours).predict_noise(latents, 500, Conditioning(text, text), step)
    assert torch.allclose(drawn, expected.unflatten(0, (2, FRAMES)), atol=1e-5)
    plain = Denoiser(ours).predict_noise(
        latents, 500, Conditioning(text, text), AttentionStep(FRAMES, AttentionMode.PER_FRAME)
    )
    assert not torch.allclose(drawn, plain, atol=1e-2)


def test_an_edit_with_a_picture_differs_from_one_without_and_leaves_the_pipeline_as_it_was(hub: LoopbackHub) -> None:
    write_adapter(hub.root / IMAGE_PROMPT_ID)
    pipeline = tiny_pipeline()

    def edit(reference: Reference | None, other: Reference | None = None) -> np.ndarray:
        regions = [
            Region(box(2, 2, 8, 12), "a red panda", reference=reference),
            Region(box(10, 2, 16, 12), reference=other),  # is kept, so that its picture is not looked at
        ]
        with drawn_after(pipeline, regions):
            return pipeline(tiny_frames(), regions, "a man", num_inference_steps=2).frames

    without = edit(None, Reference(PICTURE))
    assert hub.bytes_sent == 0
    assert not find_entry("ip-adapter").is_installed
    assert not np.array_equal(edit(Reference(PICTURE)), without)
    assert find_entry("ip-adapter").is_installed
    assert np.array_equal(edit(Reference(PICTURE, weight=0)), without)
    assert np.array_equal(edit(None), without)


def test_a_picture_is_followed_in_every_window_of_a_long_clip(adapter: Path) -> None:
    pipeline, frames = tiny_pipeline(), 8
    regions = [Region(box(2, 2, 8, 12, frames), "a red panda", reference=Reference(PICTURE))]

    def edit() -> Tensor:
        return pipeline(
            tiny_frames(frames), regions, "a man", num_inference_steps=1, window_frames=6, anchor_frames=2,
            output_type="latent",
        ).latents  # fmt: skip

    without = edit()
    pipeline.references = ImagePrompts.load(adapter).references(regions, pipeline.unet)
    assert (edit() != without).flatten(1).any(1).all()


def test_a_model_of_another_family_is_refused(adapter: Path) -> None:
    region = Region(box(0, 0, 8, 8), "a fox", reference=Reference(PICTURE))
    with pytest.raises(ModelError, match=r"family of Stable Diffusion 1\.5"):
        ImagePrompts.load(adapter).references([region], tiny_unet((8, 16, 16)))
    for model in ("emoji-world", "sd2.1"):
        with pytest.raises(ModelError, match="draws by words alone"):
            check_references(model, has_references=True)
    check_references("sd15", has_references=True)
    check_references("emoji-world", has_references=False)


def test_an_adapter_that_lacks_something_is_named(adapter: Path) -> None:
    (adapter / IMAGE_PROMPT).unlink()
    with pytest.raises(ModelError, match="IP-Adapter cannot be loaded"):
        ImagePrompts.load(adapter)
