from dataclasses import replace

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from fakes import TEXT_WIDTH, tiny_unet
from torch import Tensor

from videograin.diffusion.attention import processors
from videograin.diffusion.attention.layout import build_layout, span_regions
from videograin.diffusion.attention.modulation import chunked_attention
from videograin.diffusion.attention.plain import attention
from videograin.diffusion.attention.processors import (
    CrossAttentionProcessor,
    SelfAttentionProcessor,
    install_layout_attention,
)
from videograin.diffusion.attention.recorder import INJECTED_ATTENTIONS, Features
from videograin.diffusion.attention.step import AttentionStep, LayoutModulation, modulate_layout
from videograin.diffusion.attention.trajectories import Trajectories
from videograin.diffusion.attention.trajectory import trajectory_attention
from videograin.region import AttentionMode, Convention, EditSettings

FRAMES, SIDE, WIDTH, HEADS = 3, 4, 8, 2
TOKENS = SIDE * SIDE
CPU = torch.device("cpu")


@pytest.fixture
def layer() -> Attention:
    torch.manual_seed(0)
    return Attention(WIDTH, heads=HEADS, dim_head=WIDTH // HEADS).requires_grad_(False).eval()


@pytest.fixture
def hidden() -> Tensor:
    """Two halves of a clip, (2·F, n, C)."""
    return torch.randn(2 * FRAMES, TOKENS, WIDTH, generator=torch.Generator().manual_seed(1))


def modulation(settings: EditSettings | None = None) -> LayoutModulation:
    masks = torch.rand(3, FRAMES, 2 * SIDE, 2 * SIDE, generator=torch.Generator().manual_seed(2)) < 0.4
    layout = build_layout(masks, (2 * SIDE, 2 * SIDE), 2, [1.0, 0.5, 2.0])
    spans = [(1, 3), (2, 6), None]
    return modulate_layout(layout, span_regions(spans, CPU), settings or EditSettings(), halves=2)


def heads_first(tokens: Tensor) -> Tensor:
    return tokens.unflatten(-1, (HEADS, -1)).transpose(1, 2)


def projected(layer: Attention, queries_from: Tensor, keys_from: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    assert layer.to_k is not None
    assert layer.to_v is not None
    return heads_first(layer.to_q(queries_from)), heads_first(layer.to_k(keys_from)), heads_first(layer.to_v(keys_from))


def finished(layer: Attention, out: Tensor) -> Tensor:
    """(B, heads, n, d) through the output projection, as frames."""
    assert layer.to_out is not None
    return layer.to_out[0](out.transpose(1, 2).flatten(2).reshape(-1, TOKENS, WIDTH))


def clips(hidden: Tensor) -> Tensor:
    return hidden.reshape(2, FRAMES * TOKENS, WIDTH)


# Which frames are seen


def test_full_attention_is_the_stock_one_over_all_frames_at_once(layer, hidden):
    layer.set_processor(AttnProcessor2_0())
    expected = layer(clips(hidden)).reshape(hidden.shape)
    out = SelfAttentionProcessor("")(layer, hidden, step=AttentionStep(FRAMES))
    assert torch.allclose(out, expected, atol=1e-6)


@pytest.mark.parametrize("step", [None, AttentionStep(FRAMES, AttentionMode.PER_FRAME)])
def test_per_frame_and_without_a_step_it_is_the_stock_attention_bit_for_bit(layer, hidden, step):
    layer.set_processor(AttnProcessor2_0())
    assert torch.equal(SelfAttentionProcessor("")(layer, hidden, step=step), layer(hidden))


def test_sparse_causal_attention_sees_the_first_and_the_previous_frame(layer, hidden):
    layer.set_processor(AttnProcessor2_0())
    first = hidden.view(2, FRAMES, TOKENS, WIDTH)[:, [0, 0, 0]]
    previous = hidden.view(2, FRAMES, TOKENS, WIDTH)[:, [0, 0, 1]]
    keys = torch.cat([first, previous], 2).flatten(0, 1)
    out = SelfAttentionProcessor("")(layer, hidden, step=AttentionStep(FRAMES, AttentionMode.SPARSE_CAUSAL))
    assert torch.allclose(out, layer(hidden, keys), atol=1e-6)


def test_cross_attention_without_modulation_is_the_stock_one_bit_for_bit(layer, hidden):
    text = torch.randn(2 * FRAMES, 77, WIDTH)
    layer.set_processor(AttnProcessor2_0())
    for step in (None, AttentionStep(FRAMES)):
        assert torch.equal(CrossAttentionProcessor()(layer, hidden, text, step=step), layer(hidden, text))


# Modulation


@pytest.mark.parametrize("halves", [(True, True), (True, False), (False, True)])
def test_self_attention_is_modulated_in_the_halves_that_are_named(layer, hidden, halves):
    level = modulation().at(900)[TOKENS]
    step = AttentionStep(FRAMES, modulations={TOKENS: level}, modulated_self=halves)
    query, key, value = projected(layer, clips(hidden), clips(hidden))
    plain = attention(query, key, value, layer.scale)
    modulated = chunked_attention(query, key, value, level.self_strength, level.self_regions, layer.scale)
    expected = torch.where(torch.tensor(halves).view(2, 1, 1, 1), modulated, plain)
    out = SelfAttentionProcessor("")(layer, hidden, step=step)
    assert torch.allclose(out, finished(layer, expected), atol=1e-6)


@pytest.mark.parametrize("mode", list(AttentionMode))
def test_modulation_changes_the_result_in_every_mode(layer, hidden, mode):
    level = modulation(EditSettings(attention_mode=mode)).at(900)[TOKENS]
    plain = AttentionStep(FRAMES, mode)
    step = replace(plain, modulations={TOKENS: level}, modulated_self=(True, False))
    processor = SelfAttentionProcessor("")
    difference = (processor(layer, hidden, step=step) - processor(layer, hidden, step=plain)).abs().amax((1, 2))
    assert (difference[:FRAMES] > 1e-3).all()
    assert (difference[FRAMES:] == 0).all()


def test_cross_attention_is_modulated_in_the_halves_that_are_named(layer, hidden):
    text = torch.randn(2 * FRAMES, 77, WIDTH)
    level = modulation().at(900)[TOKENS]
    step = AttentionStep(FRAMES, modulations={TOKENS: level}, modulated_cross=(False, True))
    query, key, value = projected(layer, hidden, text)
    expected = attention(query, key, value, layer.scale)
    second = slice(FRAMES, None)
    expected[second] = chunked_attention(
        query[second], key[second], value[second], level.cross_strength, level.cross_regions, layer.scale
    )
    out = CrossAttentionProcessor()(layer, hidden, text, step=step)
    assert torch.allclose(out, finished(layer, expected), atol=1e-6)


def test_a_resolution_that_is_not_named_stays_plain(layer, hidden):
    other = {TOKENS + 1: modulation().at(900)[TOKENS]}
    step = AttentionStep(FRAMES, modulations=other, modulated_self=(True, True))
    processor = SelfAttentionProcessor("")
    assert torch.equal(processor(layer, hidden, step=step), processor(layer, hidden, step=AttentionStep(FRAMES)))


def test_strength_zero_leaves_attention_plain_bit_for_bit(layer, hidden):
    off = modulation(EditSettings(self_strength=0, cross_strength=0))
    step = AttentionStep(
        FRAMES, modulations=off.at(900), modulated_self=off.modulated_self, modulated_cross=off.modulated_cross
    )
    text, plain = torch.randn(2 * FRAMES, 77, WIDTH), AttentionStep(FRAMES)
    of_self, of_cross = SelfAttentionProcessor(""), CrossAttentionProcessor()
    assert torch.equal(of_self(layer, hidden, step=step), of_self(layer, hidden, step=plain))
    assert torch.equal(of_cross(layer, hidden, text, step=step), of_cross(layer, hidden, text, step=plain))


def test_conventions_differ_in_halves_and_resolutions():
    paper, release = (modulation(EditSettings(convention=convention)) for convention in Convention)
    assert (paper.modulated_self, paper.modulated_cross) == ((True, True), (False, True))
    assert (release.modulated_self, release.modulated_cross) == ((True, False), (False, True))
    assert list(paper.full_strength) == [4 * TOKENS, TOKENS]
    assert list(release.full_strength) == [TOKENS]


def test_without_guidance_the_one_half_is_modulated():
    masks = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    layout = build_layout(masks, (4, 4), 2, [1.0])
    for convention in Convention:
        one = modulate_layout(layout, span_regions([(1, 2)], CPU), EditSettings(convention=convention), halves=1)
        assert (one.modulated_self, one.modulated_cross) == ((True,), (True,))


def test_strength_is_the_paper_s_times_the_strongest_region_of_a_pixel():
    masks = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    masks[0, :, :, :2], masks[1, :, :, 1:3] = True, True  # columns: 0 in the first, 1 in both, 2 in the second, 3 none
    layout = build_layout(masks, (4, 4), 1, [0.5, 2.0])
    level = modulate_layout(layout, span_regions([None, None], CPU), EditSettings(), halves=2).at(501)[16]
    first_row = level.self_strength[0, :4]
    sizes = torch.tensor([2 / 4, 3 / 4, 2 / 4, 0])
    assert torch.allclose(first_row, 0.3 * 0.5**5 * (1 - sizes) * torch.tensor([0.5, 2, 2, 1]))
    assert torch.allclose(level.cross_strength[0, :4], first_row / 0.3)


# Trajectories and injection


def test_trajectory_attention_follows_on_the_output_of_full_attention(layer, hidden):
    path = torch.randint(FRAMES * TOKENS, (FRAMES * TOKENS, 2), dtype=torch.int32)
    paths = Trajectories((FRAMES, SIDE, SIDE), 3, path, torch.ones_like(path, dtype=torch.bool))
    step = AttentionStep(FRAMES, trajectories={TOKENS: paths})
    query, key, value = projected(layer, clips(hidden), clips(hidden))
    full = attention(query, key, value, layer.scale)
    expected = trajectory_attention(query, key, full, paths, layer.scale)
    assert torch.allclose(SelfAttentionProcessor("")(layer, hidden, step=step), finished(layer, expected), atol=1e-6)


def test_recorded_queries_and_keys_replace_those_of_another_forward(layer, hidden):
    processor, features = SelfAttentionProcessor(INJECTED_ATTENTIONS[0]), Features()
    processor(layer, hidden, step=AttentionStep(FRAMES, record=features))
    other = hidden.flip(1) + 1
    query, key, _ = projected(layer, clips(hidden), clips(hidden))
    _, _, value = projected(layer, clips(other), clips(other))
    out = processor(layer, other, step=AttentionStep(FRAMES, inject=features))
    assert torch.allclose(out, finished(layer, attention(query, key, value, layer.scale)), atol=1e-6)


def test_layers_that_pnp_does_not_name_record_nothing(layer, hidden):
    features = Features()
    SelfAttentionProcessor("down_blocks.0")(layer, hidden, step=AttentionStep(FRAMES, record=features))
    assert features == Features()


# Precision


@pytest.mark.parametrize("wanted", [True, False])
def test_scores_are_in_float32_where_the_model_wants_them_so(layer, hidden, monkeypatch, wanted):
    seen: list[torch.dtype] = []

    def note(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        seen.append(query.dtype)
        return attention(query, key, value, scale)

    monkeypatch.setattr(processors, "attention", note)
    layer, hidden = layer.bfloat16(), hidden.bfloat16()
    layer.upcast_attention = wanted
    outputs = [SelfAttentionProcessor("")(layer, hidden), CrossAttentionProcessor()(layer, hidden, hidden)]
    assert seen == [torch.float32 if wanted else torch.bfloat16] * 2
    assert all(out.dtype == torch.bfloat16 for out in outputs)


# Installed in a UNet


def test_every_layer_gets_its_processor_by_its_place():
    unet = tiny_unet()
    install_layout_attention(unet)
    for name, processor in unet.attn_processors.items():
        kind = SelfAttentionProcessor if "attn1" in name else CrossAttentionProcessor
        assert isinstance(processor, kind)
        if isinstance(processor, SelfAttentionProcessor):
            assert unet.get_submodule(processor.name).processor is processor


def test_the_unet_still_serves_other_pipelines_bit_for_bit():
    unet = tiny_unet()
    inputs = torch.randn(2, 4, 8, 8), 500, torch.randn(2, 77, TEXT_WIDTH)
    with torch.no_grad():
        stock = unet(*inputs).sample
        install_layout_attention(unet)
        assert torch.equal(unet(*inputs).sample, stock)
