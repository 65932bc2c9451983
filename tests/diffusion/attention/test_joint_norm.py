import torch
from fakes import TEXT_WIDTH, tiny_controlnet, tiny_unet
from torch import nn

from videograin.diffusion.attention.joint_norm import joint_group_norm

FRAMES = 3


def over_all_frames(norm: nn.GroupNorm, hidden_states: torch.Tensor) -> torch.Tensor:
    """GroupNorm of (halves·F, C, h, w) as of five axes, one half at a time."""
    halves = hidden_states.unflatten(0, (-1, FRAMES)).transpose(1, 2)
    return norm(halves).transpose(1, 2).flatten(0, 1)


def test_statistics_span_the_frames_of_each_half():
    norm = nn.GroupNorm(2, 4)
    network = nn.Module()
    network.conv_norm_out = norm
    hidden_states = torch.randn(2 * FRAMES, 4, 5, 6)
    expected = over_all_frames(norm, hidden_states)
    with joint_group_norm(network, FRAMES):
        assert torch.allclose(norm(hidden_states), expected, atol=1e-6)
    assert not torch.allclose(norm(hidden_states), expected, atol=1e-3)


def test_residual_blocks_and_the_output_are_joined_and_transformers_are_not():
    joined = []
    unet = tiny_unet()
    for name, module in unet.named_modules():
        if isinstance(module, nn.GroupNorm):
            module.register_forward_hook(lambda _m, inputs, _out, name=name: joined.append((name, inputs[0].shape)))
    with torch.no_grad(), joint_group_norm(unet, FRAMES):
        unet(torch.randn(FRAMES, 4, 8, 8), 1, torch.randn(FRAMES, 77, TEXT_WIDTH))
    for name, shape in joined:
        assert shape[0] == (FRAMES if "attentions" in name else 1), name
    assert {"conv_norm_out", "mid_block.resnets.0.norm1"} <= {name for name, _ in joined}


def test_the_networks_are_as_before_when_it_ends():
    unet = tiny_unet()
    for network in (unet, tiny_controlnet(unet)):
        with joint_group_norm(network, FRAMES):
            pass
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_one_frame_is_what_it_was():
    unet = tiny_unet()
    inputs = torch.randn(2, 4, 8, 8), 500, torch.randn(2, 77, TEXT_WIDTH)
    with torch.no_grad():
        plain = unet(*inputs).sample
        with joint_group_norm(unet, frames=1):
            assert torch.allclose(unet(*inputs).sample, plain, atol=1e-6)
