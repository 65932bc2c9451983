import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from peft import LoraConfig
from torch import Tensor, nn

from videograin.diffusion.attention.joint_norm import joint_group_norm
from videograin.diffusion.fused import blocks
from videograin.diffusion.fused.blocks import FusedResnetBlock2D, FusedTransformer2DModel, fuse

INPUTS = {
    "sample": torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0)).double(),
    "timestep": torch.tensor(300),
    "encoder_hidden_states": torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1)).double(),
}


@pytest.fixture
def without_kernels(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let PyTorch compute on the CPU what the kernels do, in their arguments and layout; returns the names of calls."""
    called: list[str] = []

    def group_norm(hidden: Tensor, norm: nn.GroupNorm, shift: Tensor | None = None, silu: bool = False) -> Tensor:
        called.append("group_norm")
        shifted = hidden if shift is None else hidden + shift[:, :, None, None]
        out = F.group_norm(shifted, norm.num_groups, norm.weight, norm.bias, norm.eps)
        return (F.silu(out) if silu else out).contiguous(memory_format=torch.channels_last)

    def add(hidden: Tensor, residual: Tensor, bias: Tensor) -> Tensor:
        called.append("add")
        return hidden + residual + bias[:, None, None]

    monkeypatch.setattr(blocks, "group_norm", group_norm)
    monkeypatch.setattr(blocks, "add", add)
    monkeypatch.setattr(blocks, "_takes", lambda hidden: hidden.ndim == 4)
    return called


def tiny_unet(use_linear_projection: bool = False) -> UNet2DConditionModel:
    """A UNet in which each layer counts: none has zeros or ones alone for its weights."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32),
        cross_attention_dim=16,
        attention_head_dim=4,
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        use_linear_projection=use_linear_projection,
    )
    for parameter in unet.parameters():
        nn.init.normal_(parameter, std=0.3)
    return unet.double().eval()


@torch.no_grad()
def predict(unet: UNet2DConditionModel) -> Tensor:
    return unet(**INPUTS, return_dict=False)[0]


@pytest.mark.parametrize("use_linear_projection", [False, True])
def test_a_fused_network_predicts_what_it_did(without_kernels, use_linear_projection):
    unet = tiny_unet(use_linear_projection)
    before, names = predict(unet), list(unet.state_dict())
    fuse(unet)
    torch.testing.assert_close(predict(unet), before)
    assert without_kernels.count("add") == sum(isinstance(each, FusedResnetBlock2D) for each in unet.modules()) > 0
    assert any(isinstance(each, FusedTransformer2DModel) for each in unet.modules())
    assert list(unet.state_dict()) == names


def test_a_controlnet_and_a_vae_are_fused_as_well(without_kernels):
    network = ControlNetModel.from_unet(tiny_unet(), conditioning_embedding_out_channels=(4, 8)).double().eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    vae = AutoencoderKL(
        block_out_channels=(8, 16),  # pyright: ignore[reportArgumentType]
        down_block_types=("DownEncoderBlock2D",) * 2,  # pyright: ignore[reportArgumentType]
        up_block_types=("UpDecoderBlock2D",) * 2,  # pyright: ignore[reportArgumentType]
        norm_num_groups=4,
    )
    vae.double().eval()
    images = torch.rand(2, 3, 32, 32).double()

    @torch.no_grad()
    def outputs() -> list[Tensor]:
        down, mid = network(**INPUTS, controlnet_cond=images, return_dict=False)
        return [*down, mid, vae(images, return_dict=False)[0]]

    before = outputs()
    fuse(network)
    fuse(vae)
    torch.testing.assert_close(outputs(), before)
    assert "add" in without_kernels


def test_layers_that_are_watched_or_wrapped_are_called_as_diffusers_does(without_kernels):
    unet, seen = tiny_unet(), []
    fuse(unet)
    block = unet.get_submodule("up_blocks.1.resnets.0")
    hook = block.get_submodule("conv2").register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    expected = predict(unet)
    assert len(seen) == 1
    hook.remove()
    unet.add_adapter(LoraConfig(target_modules=["conv1", "proj_in", "proj_out"], init_lora_weights=True))
    torch.testing.assert_close(predict(unet), expected)  # a LoRA as it begins adds nothing
    with joint_group_norm(unet, frames=2):
        assert not torch.allclose(predict(unet), expected)


def test_on_a_cpu_a_fused_network_is_the_same_bit_for_bit():
    unet = tiny_unet().float()
    inputs = {name: value.float() for name, value in INPUTS.items()}
    with torch.no_grad():
        unet.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        before = unet(**inputs, return_dict=False)[0]
        fuse(unet)
        assert torch.equal(unet(**inputs, return_dict=False)[0], before)
