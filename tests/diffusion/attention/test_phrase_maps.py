"""Attention maps of phrases: they add up the attention that the layers really apply."""

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention
from fakes import TEXT_WIDTH, tiny_frames, tiny_pipeline, tiny_regions
from torch import Tensor

from videograin.diffusion.attention.layout import Layout, build_layout, span_regions
from videograin.diffusion.attention.modulation import modulate
from videograin.diffusion.attention.phrase_maps import PhraseMaps
from videograin.diffusion.attention.processors import CrossAttentionProcessor
from videograin.diffusion.attention.step import AttentionStep, modulate_layout
from videograin.region import EditRequest, EditSettings

FRAMES, SIDE, WIDTH, HEADS = 3, 4, 8, 2
SPANS = [(1, 3), (2, 6), None]


@pytest.fixture
def layout() -> Layout:
    masks = torch.rand(3, FRAMES, 2 * SIDE, 2 * SIDE, generator=torch.Generator().manual_seed(2)) < 0.4
    return build_layout(masks, (2 * SIDE, 2 * SIDE), 2, [1.0, 0.5, 2.0])


@pytest.fixture
def layer() -> Attention:
    torch.manual_seed(0)
    layer = Attention(WIDTH, cross_attention_dim=TEXT_WIDTH, heads=HEADS, dim_head=WIDTH // HEADS)
    return layer.requires_grad_(False).eval()


@pytest.fixture
def tokens() -> Tensor:
    return span_regions(SPANS, torch.device("cpu"))


def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(2 * FRAMES, SIDE * SIDE, WIDTH, generator=generator),
        torch.randn(2 * FRAMES, 77, TEXT_WIDTH, generator=generator),
    )


def weights(layer: Attention, hidden: Tensor, text: Tensor) -> Tensor:
    """Scores of the conditional half, (F, heads, n, 77)."""
    query = layer.to_q(hidden[-FRAMES:]).unflatten(-1, (HEADS, -1)).transpose(1, 2)
    assert layer.to_k is not None
    key = layer.to_k(text[-FRAMES:]).unflatten(-1, (HEADS, -1)).transpose(1, 2)
    return query @ key.transpose(-1, -2) * layer.scale


def test_plain_attention_is_added_up_over_the_tokens_of_a_phrase(layout, layer, tokens):
    hidden, text = inputs()
    maps = PhraseMaps(layout, tokens)
    CrossAttentionProcessor()(layer, hidden, text, step=AttentionStep(FRAMES, phrase_maps=maps))
    probabilities = weights(layer, hidden, text).softmax(-1).mean(1)
    expected = torch.stack([probabilities[..., 1:3].sum(-1), probabilities[..., 2:6].sum(-1)])
    assert torch.allclose(maps.mean()[:2].flatten(2), expected, atol=1e-6)
    assert not maps.mean()[2].any()


def test_modulated_attention_is_what_is_added_up_where_a_step_is_modulated(layout, layer, tokens):
    hidden, text = inputs()
    modulation = modulate_layout(layout, tokens, EditSettings(), halves=2)
    maps = PhraseMaps(layout, tokens)
    step = AttentionStep(
        FRAMES, modulations=modulation.at(900), modulated_self=modulation.modulated_self,
        modulated_cross=modulation.modulated_cross, phrase_maps=maps,
    )  # fmt: skip
    CrossAttentionProcessor()(layer, hidden, text, step=step)
    level = step.modulations[SIDE * SIDE]
    scores = modulate(
        weights(layer, hidden, text), level.cross_strength[:, None, :, None], level.cross_regions.same()[:, None]
    )
    expected = scores.softmax(-1).mean(1)[..., 1:3].sum(-1)
    assert torch.allclose(maps.mean()[0].flatten(1), expected, atol=1e-6)


def test_other_resolutions_are_passed_over(layout, layer, tokens):
    hidden, text = torch.randn(2 * FRAMES, 9, WIDTH), torch.randn(2 * FRAMES, 77, TEXT_WIDTH)
    maps = PhraseMaps(layout, tokens)
    CrossAttentionProcessor()(layer, hidden, text, step=AttentionStep(FRAMES, phrase_maps=maps))
    assert not maps.mean().any()


def test_small_chunks_add_up_to_the_same(layout, layer, tokens, monkeypatch):
    hidden, text = inputs()
    sums = []
    for size in (2**26, 1):
        monkeypatch.setattr("videograin.diffusion.attention.phrase_maps.CHUNK_BYTES", size)
        maps = PhraseMaps(layout, tokens)
        CrossAttentionProcessor()(layer, hidden, text, step=AttentionStep(FRAMES, phrase_maps=maps))
        sums.append(maps.mean())
    assert torch.allclose(*sums, atol=1e-7)


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_an_edit_says_where_its_phrases_were_heeded_and_is_the_same_edit(guidance):
    pipeline = tiny_pipeline()
    settings = EditSettings(num_inference_steps=3, guidance_scale=guidance, trajectory_attention=False)
    request = EditRequest(tiny_frames(), tiny_regions(), "a dog", settings=settings)
    plain, recorded = (pipeline.edit(request, record_attention=wanted) for wanted in (False, True))
    assert plain.attention is None
    assert np.array_equal(plain.frames, recorded.frames)
    assert recorded.attention is not None
    assert recorded.attention.shape == (len(request.regions), len(request.frames), 4, 4)
    assert 0 < recorded.attention.max() <= 1
