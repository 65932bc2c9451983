from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import pytest
import torch
from fakes import TEXT_WIDTH, tiny_controlnet, tiny_unet, tiny_vae
from torch import Tensor

from videograin.diffusion.attention.step import AttentionStep
from videograin.models import flops
from videograin.models.flops import ForwardKeys, controlnet_flops, matmul_speed, unet_flops, vae_flops
from videograin.region import AttentionMode

GRID = (8, 8)


def test_attention_over_all_frames_grows_with_their_square() -> None:
    few, many = (unet_flops(tiny_unet(), GRID, ForwardKeys(frames, AttentionMode.FULL)) for frames in (2, 4))
    assert [b / a for a, b in zip(few.levels, many.levels, strict=True)] == [4, 4]
    assert sum(many.levels) == many.whole.attention
    assert many.whole.layers == 2 * few.whole.layers


def test_attention_within_frames_grows_with_their_number() -> None:
    few, many = (unet_flops(tiny_unet(), GRID, ForwardKeys(frames, AttentionMode.PER_FRAME)) for frames in (2, 4))
    assert many.whole == few.whole.times(2)


def test_self_attention_is_counted_by_level() -> None:
    frames, tokens, width = 2, 64, 8
    layers = 3  # of the first level of the tiny UNet: one on the way down, two on the way up
    levels = unet_flops(tiny_unet(), GRID, ForwardKeys(frames, AttentionMode.FULL)).levels
    assert levels[0] == layers * 2 * 2 * (frames * tokens) ** 2 * width  # two matrix products, two operations each


def test_fewer_key_frames_and_a_cached_deep_part_are_less_arithmetic() -> None:
    frames, tokens, width, layers = 8, 64, 8, 3
    counted = unet_flops(tiny_unet(), GRID, ForwardKeys(frames, AttentionMode.FULL, key_frames=1))
    left_out = layers * 2 * 2 * frames * tokens * (frames - 2) * tokens * width
    assert counted.whole.attention - counted.plain.attention == left_out
    assert counted.plain.attention - counted.shallow.attention == counted.levels[1]
    assert counted.shallow.layers < counted.plain.layers


@pytest.mark.parametrize("mode", list(AttentionMode))
@pytest.mark.parametrize("anchors", [0, 2])
def test_what_follows_from_one_frame_is_what_a_forward_of_all_frames_counts(mode: AttentionMode, anchors: int) -> None:
    if anchors and not mode.is_joint:
        pytest.skip("only windows have anchors")
    frames, beside = 5, dict[str, Tensor]()
    unet = flops._meta_unet(tiny_unet().to_json_string())
    flops._forward(unet, GRID, AttentionStep(max(1, anchors), mode, keep_states=beside.__setitem__))
    step = AttentionStep(frames, mode, anchor_states=beside if anchors else None)
    counted = flops._count(unet, lambda: flops._forward(unet, GRID, step))
    assert unet_flops(tiny_unet(), GRID, ForwardKeys(frames, mode, anchors)).whole == counted.operations


def test_counting_leaves_the_network_alone() -> None:
    unet = tiny_unet()
    unet_flops(unet, GRID, ForwardKeys(1, AttentionMode.FULL))
    assert all(weight.device.type == "cpu" for weight in unet.parameters())


def test_many_may_count_at_once_and_while_a_network_runs() -> None:
    unet, modes = tiny_unet(), list(AttentionMode)
    alone = [unet_flops(unet, GRID, ForwardKeys(5, mode)) for mode in modes]
    flops._frame_flops.cache_clear()
    inputs = torch.ones(1, 4, 8, 8), torch.tensor(1), torch.ones(1, 77, TEXT_WIDTH)
    with torch.no_grad(), ThreadPoolExecutor(4) as pool:
        picture = unet(*inputs).sample
        counts = [pool.submit(unet_flops, unet, GRID, ForwardKeys(5, mode)) for mode in modes]
        pictures = [unet(*inputs).sample for _ in range(20)]
    assert [count.result() for count in counts] == alone
    assert all(torch.equal(other, picture) for other in pictures)


@pytest.mark.parametrize("side", [16, 32])
def test_vae_and_controlnet_grow_with_the_picture(side: int) -> None:
    assert vae_flops(tiny_vae(), side, 2 * side) > 2 * vae_flops(tiny_vae(), side, side)
    network = tiny_controlnet(tiny_unet())
    assert controlnet_flops(network, side, side, (side // 2, side // 2)) > 0


def test_a_device_is_timed_once() -> None:
    cpu = torch.device("cpu")
    assert matmul_speed(cpu, torch.float32) == matmul_speed(cpu, torch.float32) > 1e8


def test_what_other_threads_run_meanwhile_is_not_counted() -> None:
    unet = tiny_unet()
    expected = flops.unet_flops(unet, GRID, ForwardKeys(3, AttentionMode.FULL))
    stop = Event()
    busy = Thread(target=_attend_until, args=(stop,))
    busy.start()
    try:
        for _ in range(5):
            flops._frame_flops.cache_clear()
            assert flops.unet_flops(unet, GRID, ForwardKeys(3, AttentionMode.FULL)) == expected
    finally:
        stop.set()
        busy.join()


def _attend_until(stop: Event) -> None:
    unet = tiny_unet()
    with torch.no_grad():
        while not stop.is_set():
            unet(torch.zeros(1, 4, 8, 8), torch.tensor(1), torch.zeros(1, 77, TEXT_WIDTH))
