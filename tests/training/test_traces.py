"""What the denoiser is shown of edits: objects in the outline of another, and traces of what was there before."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from fake_art import write_fake_art

from training.captions import Captioner, random_wording, tells_backdrop
from training.networks import make_vae
from training.noise import Noise, cumulative_alphas
from training.pool import EVERY_LEVEL, MOULDED_LEVELS, Encoder, Pool
from training.scene import Casting, Dice, Scene, is_moulded
from training.tokenizer import load as load_tokenizer
from training.traces import former_scene, trace_weight
from training.vocabulary import INDEX
from training.world import World

MOULDED = Casting(counts=(0, 1, 0, 0), dressed=0, moulded=1.0)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    """A world of discs, but for the dog, which is a bar across, and the cat, which is one upright."""
    folder = tmp_path_factory.mktemp("art")
    write_fake_art(folder)
    with np.load(folder / "sprites.npz") as art:
        arrays = dict(art)
    sprites = arrays["sprites"].copy()
    sprites[[INDEX["dog"], INDEX["cat"]]] = 0
    sprites[INDEX["dog"], 48:80, 8:120] = (200, 100, 50, 255)
    sprites[INDEX["cat"], 8:120, 48:80] = (50, 100, 200, 255)
    np.savez(folder / "sprites.npz", **arrays | {"sprites": sprites})
    return World("cpu", folder)


def one(world: World, thing: str, outline: str) -> Scene:
    scene = world.sample(Dice(3, "cpu"), 1, MOULDED, torch.tensor([[INDEX[thing]]]))
    middle = torch.zeros(1, 3)
    return replace(
        scene,
        outline=torch.full((1, 3), INDEX[outline]),
        x=middle, y=middle, size=middle + 0.6, angle=middle, flip=middle + 1, shadow=middle,
    )  # fmt: skip


def test_a_moulded_thing_fills_the_outline_of_the_other(world):
    dog, cat, dog_in_cat = (world.draw(one(world, *names)) for names in (("dog",) * 2, ("cat",) * 2, ("dog", "cat")))
    assert torch.equal(dog_in_cat.owner, cat.owner)
    assert not torch.equal(dog_in_cat.owner, dog.owner)
    inside = cat.owner == 1
    colour = ((dog_in_cat.image.movedim(1, -1)[inside] + 1) * 127.5).mean(0)
    assert torch.allclose(colour, torch.tensor([200.0, 100.0, 50.0]), atol=6)


def test_what_is_worn_keeps_its_wearer_s_own_outline(world):
    scene = world.sample(Dice(1, "cpu"), 64, Casting(heads=1, dressed=0.5, moulded=0.7))
    moulded = scene.outline != scene.thing
    assert moulded.any()
    assert not (moulded & (scene.wearable > 0)).any()


def test_scenes_without_moulding_are_drawn_as_ever(world):
    plain, moulded = (world.sample(Dice(2, "cpu"), 16, Casting(moulded=share)) for share in (0.0, 0.5))
    same = [f.name for f in fields(Scene) if torch.equal(getattr(plain, f.name), getattr(moulded, f.name))]
    assert {"thing", "colour", "wearable", "ground", "pan"} <= set(same)
    assert torch.equal(plain.outline, plain.thing)
    assert not is_moulded(plain).any()


def test_before_the_edit_each_outline_held_its_own_thing(world):
    dice = Dice(4, "cpu")
    scene = world.sample(dice, 200, Casting(moulded=0.5))
    former = former_scene(dice, scene, torch.ones(200, dtype=torch.bool))
    assert torch.equal(former.thing, scene.outline)
    assert torch.equal(former.outline, former.thing)
    assert all(
        torch.equal(getattr(former, name), getattr(scene, name)) for name in ("x", "y", "size", "angle", "order")
    )
    assert 0 < int((former.ground != scene.ground).sum()) < 60
    assert ((former.wearable == 0) | (former.wearable == scene.wearable)).all()


def test_a_backdrop_of_which_nothing_is_said_was_the_same_before(world):
    dice = Dice(5, "cpu")
    scene = world.sample(dice, 100)
    former = former_scene(dice, scene, torch.zeros(100, dtype=torch.bool))
    assert all(torch.equal(getattr(former, name), getattr(scene, name)) for name in ("ground", "sky", "place"))
    captioner, wording = Captioner(load_tokenizer(), "cpu"), random_wording(dice, scene)
    bare = captioner.text(captioner.caption(scene, replace(wording, told=torch.full((100,), 3))))
    assert not tells_backdrop(scene, replace(wording, told=torch.full((100,), 3))).any()
    assert len(set(bare)) > 50


def test_a_trace_is_whole_in_much_noise_and_gone_in_little():
    weights = trace_weight(torch.tensor([0, 400, 550, 700, 999]))
    assert weights.tolist() == [0, 0, 0.5, 1, 1]


def test_the_noise_with_a_trace_leads_back_to_what_is_there_now():
    now, before = torch.randn(40, 2, 8, 4, 4), torch.randn(40, 2, 8, 4, 4)
    noisy, timestep, noise = Noise(Dice(6, "cpu")).add(now, torch.full((40,), 1000), before)
    alpha = cumulative_alphas(torch.device("cpu"))[timestep][:, None, None, None]
    clean = (noisy - (1 - alpha).sqrt() * noise) / alpha.sqrt()
    assert torch.allclose(clean, now.flatten(0, 1), atol=2e-3)


def test_in_much_noise_only_what_was_there_before_can_be_made_out():
    before = torch.randn(400, 1, 8, 4, 4)
    noisy, timestep, _ = Noise(Dice(7, "cpu")).add(torch.zeros_like(before), torch.full((400,), 1000), before)
    alpha = cumulative_alphas(torch.device("cpu"))[timestep]
    slope = (noisy * before[:, 0]).mean((1, 2, 3)) / alpha.sqrt()
    assert slope[(timestep > 700) & (timestep < 850)].mean() == pytest.approx(1, abs=0.25)
    assert slope[timestep < 300].mean() == pytest.approx(0, abs=0.1)


def test_moulded_scenes_are_learnt_below_their_level_only(world):
    captioner, encoder = Captioner(load_tokenizer(), "cpu"), Encoder(make_vae().eval().requires_grad_(False))
    pool = Pool(world, Dice(8, "cpu"), captioner, encoder, 2, 2, casting=MOULDED, traces=True)
    place, _ = pool.refill()
    assert (pool.levels[place] == MOULDED_LEVELS).all()
    assert not torch.equal(pool.former, pool.latents)
    _, timestep, _ = Noise(Dice(9, "cpu")).add(torch.zeros(500, 1, 1, 1, 1), torch.full((500,), MOULDED_LEVELS))
    assert timestep.max() < MOULDED_LEVELS
    plain = Pool(world, Dice(8, "cpu"), captioner, encoder, 2, 2)
    assert (plain.levels[plain.refill()[0]] == EVERY_LEVEL).all()
    assert plain.former is plain.latents
