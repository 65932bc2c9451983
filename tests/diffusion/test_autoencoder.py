import numpy as np
import pytest
import torch
from fakes import tiny_frames, tiny_vae

from videograin.diffusion.autoencoder import decode_latents, encode_frames, to_uint8
from videograin.progress import Phase, Progress, ignore

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return tiny_vae().requires_grad_(False)


def test_latents_are_the_scaled_means_of_the_posteriors(vae):
    frames = tiny_frames(2)
    latents = encode_frames(vae, frames, 2, CPU, ignore)
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert torch.equal(latents, vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor)
    assert latents.shape == (2, 4, 8, 8)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_number_of_frames_at_once_does_not_change_the_result(vae, batch):
    frames = tiny_frames(3)
    whole = encode_frames(vae, frames, 3, CPU, ignore)
    latents = encode_frames(vae, frames, batch, CPU, ignore)
    assert torch.allclose(latents, whole, atol=1e-6)
    one, other = (torch.cat(list(decode_latents(vae, whole, size, ignore))) for size in (3, batch))
    assert torch.allclose(one, other, atol=1e-6)


def test_decoded_pixels_lie_in_zero_to_one():
    glaring = tiny_vae().requires_grad_(False)
    glaring.decoder.conv_out.weight *= 100
    pixels = torch.cat(list(decode_latents(glaring, torch.randn(2, 4, 8, 8), 1, ignore)))
    assert pixels.shape == (2, 3, 16, 16)
    assert pixels.min() == 0
    assert pixels.max() == 1


def test_no_gradients_are_kept_whoever_asks():
    trainable = tiny_vae()
    latents = encode_frames(trainable, tiny_frames(2), 1, CPU, ignore)
    (pixels,) = decode_latents(trainable, latents, 2, ignore)
    assert not latents.requires_grad
    assert not pixels.requires_grad
    assert torch.is_grad_enabled()


def test_pixels_are_rounded_to_the_nearest_byte():
    pixels = torch.tensor([0, 0.4 / 255, 0.6 / 255, 1]).view(1, 1, 1, 4).expand(1, 3, 1, 4)
    frames = to_uint8(pixels)
    assert frames.dtype == np.uint8
    assert frames[0, 0, :, 2].tolist() == [0, 0, 1, 255]


def test_every_batch_is_reported(vae):
    seen: list[Progress] = []
    encode_frames(vae, tiny_frames(3), 2, CPU, seen.append)
    list(decode_latents(vae, torch.zeros(3, 4, 8, 8), 2, seen.append))
    assert [(progress.phase, progress.done) for progress in seen] == [
        (phase, done) for phase in (Phase.ENCODE, Phase.DECODE) for done in range(3)
    ]


def test_a_vae_in_lower_precision_gives_latents_in_float32(vae):
    half = tiny_vae().requires_grad_(False).bfloat16()
    latents = encode_frames(half, tiny_frames(1), 1, CPU, ignore)
    assert latents.dtype == torch.float32
