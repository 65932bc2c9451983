"""How the denoiser learns: scenes and clips from a pool, whom words speak of, and attention compared with masks."""

import math
from pathlib import Path

import pytest
import torch
from fake_art import write_fake_art
from torch import Tensor

from training.captions import Captioner, random_wording
from training.grounding import Grounding
from training.networks import LATENT_CHANNELS, Denoiser, make_clip, make_vae
from training.noise import Noise
from training.pool import CASTING, Encoder, Pool
from training.scene import SLOTS, Dice
from training.tokenizer import load as load_tokenizer
from training.vocabulary import NAMES, WEARABLES
from training.world import GROUND_OWNER, NO_OWNER, World
from videograin.diffusion.attention.processors import install_layout_attention


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder: Path = tmp_path_factory.mktemp("art")
    write_fake_art(folder)
    return World("cpu", folder)


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return Captioner(load_tokenizer(), "cpu")


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    torch.manual_seed(0)
    denoiser = Denoiser(make_clip(load_tokenizer()).text_model).eval().requires_grad_(False)
    install_layout_attention(denoiser.unet)
    return denoiser


def grounding_of(denoiser: Denoiser, owners: Tensor, told: Tensor) -> Grounding:
    grounding = Grounding(denoiser.unet)
    grounding.expect(owners, told)
    return grounding


def attention_to(tokens: Tensor) -> Tensor:
    """Attention (1, 2 heads, 64, 40) that lies wholly on the named token of each of 64 cells."""
    probabilities = torch.zeros(1, 2, 64, 40)
    probabilities[:, :, torch.arange(64), tokens] = 1
    return probabilities


def test_the_words_of_a_caption_say_whom_they_speak_of(world, captioner):
    scene = world.sample(Dice(0, "cpu"), 300, CASTING)
    ids, told = captioner.caption_and_told(scene, random_wording(Dice(1, "cpu"), scene))
    assert torch.equal(captioner.encode(captioner.text(ids)), ids)
    assert (told[:, 0] == NO_OWNER).all()
    assert (told[ids == captioner.end] == NO_OWNER).all()
    for row in range(300):
        for slot in range(int(scene.count[row])):
            words = captioner.tokenizer.decode(ids[row][told[row] == 1 + slot])
            assert NAMES[int(scene.thing[row, slot])] in words
            worn = captioner.tokenizer.decode(ids[row][told[row] == 1 + SLOTS + slot])
            wearable = int(scene.wearable[row, slot])
            assert WEARABLES[wearable - 1] in worn if wearable else not worn


def test_attention_to_the_right_words_costs_nothing_and_to_wrong_ones_much(denoiser):
    told = torch.full((1, 40), NO_OWNER)
    told[0, 1:3], told[0, 4] = 1, 2
    owners = torch.full((1, 8, 8), 1)
    owners[0, :, 4:] = 2
    right = torch.where(owners.flatten() == 1, 2, 4)
    grounding = grounding_of(denoiser, owners, told)
    grounding.measure(attention_to(right))
    assert grounding.loss() == pytest.approx(0, abs=1e-3)
    grounding = grounding_of(denoiser, owners, told)
    grounding.measure(attention_to(torch.full((64,), 2)))
    assert grounding.loss() == pytest.approx(-0.5 * math.log(1e-4), rel=1e-3)


def test_what_no_word_speaks_of_is_left_to_the_other_tokens(denoiser):
    told = torch.full((1, 40), NO_OWNER)
    told[0, 1] = 1
    grounding = grounding_of(denoiser, torch.full((1, 8, 8), GROUND_OWNER), told)
    grounding.measure(attention_to(torch.full((64,), 30)))
    assert grounding.loss() == pytest.approx(0, abs=1e-3)


def test_measuring_changes_nothing_that_the_denoiser_says(denoiser, captioner):
    noisy, ids = torch.randn(2, LATENT_CHANNELS, 32, 32), captioner.encode(["a cat", "a dog on grass"])
    install_layout_attention(denoiser.unet)
    plain = denoiser(noisy, torch.tensor([500, 500]), ids)
    grounding = grounding_of(denoiser, torch.zeros(2, 32, 32, dtype=torch.int64), torch.zeros_like(ids))
    measured = denoiser(noisy, torch.tensor([500, 500]), ids)
    assert torch.allclose(plain, measured, atol=1e-5)
    assert grounding.loss() == pytest.approx(0, abs=1e-3)


def test_a_pool_of_clips_keeps_every_frame_with_its_owners(world, captioner):
    encoder = Encoder(make_vae().eval().requires_grad_(False))
    pool = Pool(world, Dice(4, "cpu"), captioner, encoder, chunk=2, size=4, frames=3)
    place, picture = pool.refill()
    assert (place, pool.filled) == (slice(0, 2), 2)
    assert torch.equal(pool.owners[:2].flatten(0, 1), picture.owner[:, 4::8, 4::8])
    expected = encoder(picture.image[3:4])[0]
    assert torch.allclose(pool.latents[1, 0].float(), expected, atol=1e-2)
    assert torch.equal(pool.ids[:2].long(), captioner.encode(captioner.text(pool.ids[:2])))
    pool.fill(4)
    assert pool.refill()[0] == slice(0, 2)


def test_the_frames_of_a_clip_share_a_timestep_and_half_of_the_clips_a_part_of_the_noise():
    noise = Noise(Dice(5, "cpu"))
    noisy, timestep, added = noise.add(torch.zeros(200, 4, 8, 16, 16), torch.full((200,), 1000))
    assert noisy.shape == added.shape == (800, 8, 16, 16)
    assert torch.equal(timestep.view(200, 4), timestep.view(200, 4)[:, :1].expand(-1, 4))
    assert added.std() == pytest.approx(1, abs=0.02)
    first, second = added.view(200, 4, -1)[:, :2].unbind(1)
    agreement = (first * second).mean(1)
    assert 60 < int((agreement < 0.05).sum()) < 130
    assert agreement.max() > 0.8
