"""The emoji world: scenes, captions and clips, whose masks and motion are known exactly."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fake_art import write_fake_art
from torch import Tensor

from training.captions import Captioner, hard_negative, random_wording
from training.clips import Clip, mask_of, random_clip, worn_mask
from training.scene import CANVAS, PLACE, Casting, Dice, Scene
from training.scripts import SCRIPTS
from training.staging import click_on, frames_of, masks_of, play
from training.tokenizer import MAX_TOKENS
from training.tokenizer import load as load_tokenizer
from training.vocabulary import NAMES
from training.world import World, visible_labels


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    folder = tmp_path_factory.mktemp("art")
    write_fake_art(folder)
    return World("cpu", folder)


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return Captioner(load_tokenizer(), "cpu")


def scenes(world: World, batch: int, seed: int = 0, casting: Casting | None = None) -> Scene:
    return world.sample(Dice(seed, "cpu"), batch, casting or Casting())


def clip_of(world: World, seed: int = 0, frames: int = 5) -> Clip:
    return random_clip(world, Dice(seed, "cpu"), frames, Casting(counts=(0, 0, 1, 0), crowded=1.0, dressed=1.0))


def warped(frames: Tensor, flow: Tensor) -> Tensor:
    """Look up, for each pixel, where the flow says that it goes in the next frame."""
    side = frames.shape[-1]
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    grid = torch.stack([columns + flow[:, 0], rows + flow[:, 1]], -1)
    return F.grid_sample(frames[1:], (grid + 0.5) / side * 2 - 1, align_corners=False, padding_mode="border")


def inner(mask: Tensor, pixels: int) -> Tensor:
    """Shrink masks (F, H, W)."""
    return -F.max_pool2d(-mask[:, None].float(), 2 * pixels + 1, 1, pixels)[:, 0] > 0.5


def test_equal_seeds_draw_equal_pictures(world):
    one, again, other = (world.draw(scenes(world, 3, seed)) for seed in (1, 1, 2))
    assert torch.equal(one.image, again.image)
    assert torch.equal(one.owner, again.owner)
    assert not torch.equal(one.image, other.image)


def test_the_mask_is_where_the_sprite_s_alpha_exceeds_a_half(world):
    scene = scenes(world, 8, casting=Casting(counts=(0, 1, 0, 0), dressed=0))
    scene = replace(
        scene, backdrop=torch.full_like(scene.backdrop, PLACE), horizon=torch.full_like(scene.horizon, CANVAS)
    )
    dark = replace(scene, brightness=torch.zeros(8), shadow=torch.zeros(8, 3))
    light = replace(dark, brightness=torch.ones(8))
    empty = replace(light, count=torch.zeros_like(scene.count))
    on_dark, on_light, behind = ((world.draw(s).image + 1) / 2 for s in (dark, light, empty))
    alpha = 1 - ((on_light - on_dark) / behind).mean(1)
    unclear = (alpha - 0.5).abs() < 1e-4
    assert torch.equal((world.draw(light).owner == 1) | unclear, (alpha > 0.5) | unclear)


def test_far_things_are_covered_by_near_ones(world):
    scene = scenes(world, 4, casting=Casting(counts=(0, 0, 1, 0), dressed=0))
    same_place = {name: getattr(scene, name)[:, :1].expand(-1, 3) for name in ("x", "y", "size", "angle", "flip")}
    owner = world.draw(replace(scene, **same_place)).owner
    near = scene.order[:, 1] + 1
    assert (owner == near[:, None, None]).any(2).any(1).all()
    assert not (owner == 3 - near[:, None, None]).any()


def test_a_thing_is_labelled_where_it_is_seen(world):
    scene = scenes(world, 16, casting=Casting(counts=(0, 0.5, 0.5, 0), crowded=0, dressed=0))
    labels, weights = visible_labels(scene, world.draw(scene).owner)
    assert labels.shape == weights.shape == (16, len(NAMES))
    assert labels.gather(1, scene.thing[:, :1]).all()


def test_captions_fit_into_the_tokenizer_s_length(world, captioner):
    scene = scenes(world, 4000, casting=Casting(counts=(0, 0, 0, 1), dressed=1, heads=1))
    slots = captioner.slots(scene, random_wording(Dice(3, "cpu"), scene))
    assert int((captioner.tokens[slots] >= 0).sum((1, 2)).max()) <= MAX_TOKENS - 2


def test_assembled_captions_are_what_the_tokenizer_makes_of_their_text(world, captioner):
    scene = scenes(world, 200)
    ids = captioner.caption(scene, random_wording(Dice(3, "cpu"), scene))
    assert torch.equal(captioner.encode(captioner.text(ids)), ids)


def test_every_word_of_a_name_is_one_token(captioner):
    for name in NAMES:
        assert len(captioner.tokenizer(name, add_special_tokens=False)["input_ids"]) == len(name.split())


def test_a_hard_negative_differs_in_one_fact(world):
    scene = scenes(world, 300, casting=Casting(counts=(0, 0, 1, 0)))
    other = hard_negative(Dice(5, "cpu"), scene)
    facts = [{"thing", "colour"}, {"wearable", "wearable_colour"}, {"x"}, {"ground", "sky", "place"}]
    for row in range(300):
        changed = {
            f.name for f in fields(Scene) if not torch.equal(getattr(scene, f.name)[row], getattr(other, f.name)[row])
        }
        assert any(changed <= fact for fact in facts), changed


@pytest.mark.parametrize("seed", range(4))
def test_the_flow_carries_each_thing_to_where_it_is_in_the_next_frame(world, seed):
    clip = clip_of(world, seed)
    error = (warped(clip.image, clip.flow) - clip.image[:-1]).abs().mean(1)
    for slot in range(2):
        seen = inner(mask_of(clip.owner, slot, with_worn=False)[:-1], 4) & inner(clip.visible, 4)
        if seen.any():
            assert error[seen].mean() < 0.01


def test_the_flow_of_the_backdrop_is_the_camera_s(world):
    clip = clip_of(world)
    backdrop = clip.owner[:-1] == 0
    pan = (clip.scene.pan[:-1] - clip.scene.pan[1:])[:, None, None].expand_as(backdrop)
    assert torch.equal(clip.flow[:, 0][backdrop], pan[backdrop])


def test_what_is_covered_in_the_next_frame_is_not_visible(world):
    clip = clip_of(world, 1)
    rows, columns = torch.meshgrid(torch.arange(CANVAS), torch.arange(CANVAS), indexing="ij")
    to_x, to_y = (columns + clip.flow[:, 0]).round().long(), (rows + clip.flow[:, 1]).round().long()
    outside = (to_x < 0) | (to_x >= CANVAS) | (to_y < 0) | (to_y >= CANVAS)
    assert not (outside & clip.visible).any()


def test_a_wearable_rides_on_its_wearer(world):
    script = next(s for s in SCRIPTS if s.name == "cap")
    clip = play(world, script)
    worn, wearer = worn_mask(clip.owner, 0), mask_of(clip.owner, 0, with_worn=False)
    ticks = torch.arange(CANVAS).float()
    offset = [(m.float().sum(1) @ ticks) / m.sum((1, 2)) for m in (worn, wearer)]
    assert (offset[0] - offset[1]).abs().max() < 24
    assert (offset[1].max() - offset[1].min()) > 15


def test_the_demo_clips_are_the_same_every_time(world):
    for script in SCRIPTS[:2]:
        short = replace(script, frames=3)
        assert np.array_equal(frames_of(play(world, short)), frames_of(play(world, short)))


def test_a_click_lies_deep_in_the_first_frame_that_shows_the_region(world):
    script = next(s for s in SCRIPTS if s.name == "visitors")
    masks = masks_of(world, script, play(world, script))
    click = click_on(masks["ufo"])
    assert click["frame"] == 1
    assert masks["ufo"][click["frame"], click["y"], click["x"]]
