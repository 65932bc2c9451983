from dataclasses import replace

import pytest
import torch
from fakes import TEXT_WIDTH, tiny_controlnet, tiny_unet
from torch import Tensor, nn

from videograin.diffusion.attention.processors import install_layout_attention
from videograin.diffusion.attention.step import AttentionStep
from videograin.diffusion.denoiser import Conditioning, Control, Denoiser
from videograin.diffusion.shortcuts.deep_cache import DeepFeatures

FRAMES = 2
STEP = AttentionStep(FRAMES)
LATENTS = torch.randn(FRAMES, 4, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    torch.manual_seed(0)
    unet = tiny_unet((8, 8, 8))
    install_layout_attention(unet)
    return Denoiser(unet, tiny_controlnet(unet))


@pytest.fixture(scope="module")
def given() -> Conditioning:
    generator = torch.Generator().manual_seed(1)
    embeds = torch.randn(2, 2, 77, TEXT_WIDTH, generator=generator)
    return Conditioning(embeds[0], embeds[1], [Control(torch.rand(FRAMES, 3, 16, 16, generator=generator))])


@pytest.mark.parametrize("halves", [2, 1])
def test_a_shallow_forward_with_features_of_its_own_timestep_is_the_whole_one(
    denoiser: Denoiser, given: Conditioning, halves: int
) -> None:
    deep = DeepFeatures()
    whole = denoiser.predict_noise(LATENTS, 500, given, replace(STEP, deep=deep))
    shallow = denoiser.predict_noise(LATENTS, 500, given.last_halves(halves), replace(STEP, deep=deep, is_shallow=True))
    assert torch.allclose(shallow, whole[-halves:], atol=1e-5)
    assert torch.equal(denoiser.predict_noise(LATENTS, 500, given, STEP), whole)


def test_a_shallow_forward_computes_the_largest_resolution_alone(denoiser: Denoiser, given: Conditioning) -> None:
    deep, seen = DeepFeatures(), list[int]()

    def note(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0].shape[-1])

    step = replace(STEP, deep=deep)
    denoiser.predict_noise(LATENTS, 500, given, step)
    assert denoiser.controlnet is not None
    networks = (denoiser.unet, denoiser.controlnet)
    layers = [module for network in networks for module in network.modules() if isinstance(module, nn.Conv2d)]
    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    denoiser.predict_noise(LATENTS, 400, given, replace(step, is_shallow=True))
    for hook in hooks:
        hook.remove()
    assert set(seen) == {8}
