import re

import pytest
import torch
from golden_pipeline import close, golden_layout, golden_modulation, half_precision_strength
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from videograin.diffusion.attention import row_range
from videograin.diffusion.attention.layout import build_layout, span_regions
from videograin.diffusion.attention.modulation import (
    MAX_HEAD_DIM,
    SharedRegions,
    augmented_attention,
    chunked_attention,
    modulate,
    modulated_attention,
    timestep_weight,
)
from videograin.diffusion.attention.plain import attention
from videograin.region import AttentionMode

FORMS = [chunked_attention, augmented_attention]
Case = tuple[Tensor, Tensor, Tensor, Tensor, SharedRegions, float]
"""Query, key, value, strength, regions and scale."""

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def shared_regions(masks: Tensor) -> SharedRegions:
    """Of full-frame self-attention under masks (R, F, h, w)."""
    grid = (masks.shape[-2], masks.shape[-1])
    layout = build_layout(masks, grid, 1, [1.0] * len(masks))
    return layout.levels[grid[0] * grid[1]].self_regions(AttentionMode.FULL)


def written_out(query: Tensor, key: Tensor, value: Tensor, strength: Tensor, same: Tensor, scale: float) -> Tensor:
    """ST-Layout attention as the paper writes it (eq. 4-7), with the N×N matrix."""
    scores = query @ key.mT * scale
    a = strength[:, None, :, None]
    raised = scores + a * (scores.amax(-1, keepdim=True) - scores)
    lowered = scores - a * (scores - scores.amin(-1, keepdim=True))
    return torch.where(same[:, None], raised, lowered).softmax(-1) @ value


@st.composite
def cases(draw: st.DrawFn, cross: bool = False) -> Case:
    """Queries, keys, values, strengths and regions that overlap, leave gaps and are absent from frames."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    regions, frames, side = draw(st.integers(1, 5)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    masks = torch.rand(regions, frames, side, side, generator=generator) < draw(st.sampled_from([0.1, 0.4, 0.8, 1.0]))
    masks &= torch.rand(regions, frames, 1, 1, generator=generator) < draw(st.sampled_from([0.5, 1.0]))
    batch, dim = draw(st.integers(1, 2)), draw(st.sampled_from([1, 4, 7]))
    if cross:
        starts = torch.randint(0, 70, (regions,), generator=generator).tolist()
        token_regions = span_regions([(start, start + 5) for start in starts], torch.device("cpu"))
        level = build_layout(masks, (side, side), 1, [1.0] * regions).levels[side * side]
        shared, batch = level.cross_regions(token_regions), frames
    else:
        shared = shared_regions(masks)
    rows, keys = shared.query_classes.shape[1], shared.key_classes.shape[1]
    query = 2 * torch.randn(batch, 2, rows, dim, generator=generator, dtype=torch.float64)
    key, value = torch.randn(2, batch, 2, keys, dim, generator=generator, dtype=torch.float64)
    strengths = draw(st.sampled_from([1, batch])) if not cross else batch
    strength = torch.rand(strengths, rows, generator=generator, dtype=torch.float64) * draw(
        st.sampled_from([0.0, 0.3, 1.0])
    )
    return query, key, value, strength, shared, draw(st.sampled_from([0.1, 1.0]))


@settings(max_examples=60, deadline=None)
@given(st.one_of(cases(), cases(cross=True)))
def test_both_forms_equal_the_paper_s_formula(case):
    query, key, value, strength, shared, scale = case
    expected = written_out(query, key, value, strength, shared.same(), scale)
    for form in FORMS:
        assert torch.allclose(form(*case), expected, rtol=1e-12, atol=1e-12), form.__name__


def random_case(regions: int = 3, dim: int = 8, frames: int = 2, side: int = 4) -> Case:
    generator = torch.Generator().manual_seed(regions)
    shared = shared_regions(torch.rand(regions, frames, side, side, generator=generator) < 0.3)
    query, key, value = torch.randn(3, 1, 2, frames * side * side, dim, generator=generator, dtype=torch.float64)
    strength = torch.rand(1, query.shape[2], generator=generator, dtype=torch.float64)
    return query, key, value, strength, shared, dim**-0.5


@pytest.mark.parametrize("form", FORMS)
def test_strength_zero_is_plain_attention(form):
    query, key, value, strength, shared, scale = random_case()
    plain = attention(query, key, value, scale)
    assert torch.allclose(form(query, key, value, 0 * strength, shared, scale), plain, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("everywhere", [True, False])
def test_full_strength_over_all_keys_or_none_weighs_all_keys_alike(form, everywhere):
    query, key, value, strength, _, scale = random_case()
    classes = torch.zeros(1, query.shape[2], dtype=torch.long)
    shared = SharedRegions(classes, classes, torch.tensor([[everywhere]]))
    out = form(query, key, value, torch.ones_like(strength), shared, scale)
    assert torch.allclose(out, value.mean(2, keepdim=True).expand_as(out), atol=1e-12)


def test_modulation_pulls_towards_the_extremes_of_the_row():
    scores = torch.tensor([[1.0, 2.0, 5.0]])
    same = torch.tensor([[True, False, False]])
    assert modulate(scores, torch.tensor([[0.5]]), same).tolist() == [[3.0, 1.5, 3.0]]


@pytest.mark.parametrize("chunk_rows", [1, 5])
def test_chunks_do_not_change_the_result(monkeypatch, chunk_rows):
    case = random_case()
    whole = chunked_attention(*case)
    monkeypatch.setattr(row_range, "CHUNK_BYTES", chunk_rows * 2 * case[1].shape[2] * 4)
    assert torch.allclose(chunked_attention(*case), whole, atol=1e-14)
    assert torch.allclose(augmented_attention(*case), whole, atol=1e-12)


@pytest.mark.parametrize("regions", [32, 62])
def test_many_regions_agree_in_both_forms(regions):
    case = random_case(regions)
    assert torch.allclose(augmented_attention(*case), chunked_attention(*case), atol=1e-12)


def test_strengths_below_zero_as_the_release_has_them_where_regions_overlap_agree_in_both_forms():
    query, key, value, strength, shared, scale = random_case()
    case = query, key, value, -strength, shared, scale
    assert torch.allclose(augmented_attention(*case), chunked_attention(*case), atol=1e-12)


def test_it_is_augmented_as_long_as_the_classes_fit_into_a_head_vector():
    few, many = random_case(regions=2), random_case(regions=32, dim=MAX_HEAD_DIM - 20)
    assert torch.equal(modulated_attention(*few), augmented_attention(*few))
    assert torch.equal(modulated_attention(*many), chunked_attention(*many))


def test_half_precision_comes_back_in_half_precision():
    query, key, value, strength, shared, scale = random_case()
    exact = chunked_attention(query, key, value, strength, shared, scale)
    for form in FORMS:
        out = form(query.half(), key.half(), value.half(), strength, shared, scale)
        assert out.dtype == torch.float16
        assert torch.allclose(out.double(), exact, atol=5e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("product", [1e5, 1e7])
def test_scores_beyond_the_range_of_half_precision_overflow_nowhere(dtype, product):
    query, key, value, strength, shared, scale = random_case()
    query, key, value = ((x * product**0.5).to(dtype) for x in (query, key, value / product**0.5))
    row_extremes = (query.float() @ key.float().mT).aminmax(dim=-1)
    assert (row_extremes.max - row_extremes.min).max() > 1e5
    exact = chunked_attention(query.float(), key.float(), value.float(), strength, shared, scale)
    out = augmented_attention(query, key, value, strength, shared, scale)
    assert torch.allclose(out.float(), exact, atol=0.02)


def test_the_weight_fades_with_the_fifth_power_of_the_timestep():
    assert timestep_weight(1) == 0
    assert timestep_weight(501) == 0.5**5
    assert timestep_weight(1001) == 1


# Goldens: outputs of the release's attention modules


def recorded_runs(golden: dict[str, Tensor], kind: str) -> list[tuple[str, int, str, int]]:
    """(name, side, set, timestep) of every recorded output of one kind of attention."""
    pattern = re.compile(rf"res(\d+)\.(\w+)\.t(\d+)\.{kind}\.out")
    matches = [match for name in golden if (match := pattern.fullmatch(name))]
    assert matches, f"nothing recorded of {kind}-attention"
    return [(match.string, int(match[1]), match[2], int(match[3])) for match in matches]


def is_modulated(golden: dict[str, Tensor], side: int, name: str, timestep: int) -> bool:
    """The recording has an output with a coefficient in fp32 for each modulated step, and only for these."""
    return f"res{side}.{name}.t{timestep}.self.out_f32coef" in golden


@pytest.mark.parametrize("form", FORMS)
def test_golden_self_attention(load_golden, form):
    golden, layouts = load_golden("st_layout_attention"), load_golden("layouts")
    for recorded, side, name, timestep in recorded_runs(golden, "self"):
        query, key, value = (golden[f"res{side}.self.{part}"] for part in "qkv")
        scale, out = query.shape[-1] ** -0.5, golden[recorded]
        plain = attention(query, key, value, scale)
        if not is_modulated(golden, side, name, timestep):
            assert close(plain, out), recorded
            continue
        level = golden_layout(layouts, name).levels[side * side]
        regions = level.self_regions(AttentionMode.FULL)
        # The release keeps sizes in fp16; in `out`, unlike in `out_f32coef`, it also rounds the product to fp16.
        sizes = layouts[f"{name}.reg_sizes.{side * side}"][..., 0]
        rounded = half_precision_strength(1 - sizes, timestep)
        exact = sizes.float() * 0.3 * timestep_weight(timestep)
        first = query[:1], key[:1], value[:1]
        assert close(form(*first, rounded, regions, scale), out[:1]), recorded
        assert (form(*first, exact, regions, scale) - golden[f"{recorded}_f32coef"]).abs().max() <= 5e-6, recorded
        assert close(plain[1:], out[1:]), recorded


@pytest.mark.parametrize("form", FORMS)
def test_golden_cross_attention(load_golden, form):
    golden, layouts = load_golden("st_layout_attention"), load_golden("layouts")
    for recorded, side, name, timestep in recorded_runs(golden, "cross"):
        query = golden[f"res{side}.cross.q"]
        frames, scale = len(query) // 2, query.shape[-1] ** -0.5
        key, value = (golden[f"{name}.cross.{part}"].repeat_interleave(frames, 0) for part in "kv")
        out, plain = golden[recorded], attention(query, key, value, scale)
        assert close(plain[:frames], out[:frames]), recorded
        if not is_modulated(golden, side, name, timestep):
            assert close(plain, out), recorded
            continue
        level = golden_modulation(layouts, name).at(timestep)[side * side]
        second = query[frames:], key[frames:], value[frames:]
        result = form(*second, level.cross_strength, level.cross_regions, scale)
        assert close(result, out[frames:]), recorded


def test_golden_scores_before_and_after_modulation(load_golden):
    golden, layouts = load_golden("st_layout_attention"), load_golden("layouts")
    pattern = re.compile(r"res(\d+)\.(\w+)\.t(\d+)\.self\.logits_in")
    for match in filter(None, map(pattern.fullmatch, golden)):
        side, name, timestep = int(match[1]), match[2], int(match[3])
        run, tokens = f"res{side}.{name}.t{timestep}", side * side
        level = golden_modulation(layouts, name).at(timestep)[tokens]
        # Self-attention: first head of the unconditional half.
        query, key = (golden[f"res{side}.self.{part}"][0, :1] for part in "qk")
        scores = query @ key.mT * query.shape[-1] ** -0.5
        same = level.self_regions.same()
        rounded = half_precision_strength(1 - layouts[f"{name}.reg_sizes.{tokens}"][..., 0], timestep)
        exact = layouts[f"{name}.reg_sizes.{tokens}"][..., 0].float() * 0.3 * timestep_weight(timestep)
        assert close(scores, golden[f"{run}.self.logits_in"])
        assert close(modulate(scores, rounded[..., None], same), golden[f"{run}.self.logits_out"])
        assert close(modulate(scores, exact[..., None], same), golden[f"{run}.self.logits_out_f32coef"], 5e-6)
        # Cross-attention: first frame of the conditional half.
        query = golden[f"res{side}.cross.q"]
        scores = query[len(query) // 2] @ golden[f"{name}.cross.k"][1].mT * query.shape[-1] ** -0.5
        modulated = modulate(scores, level.cross_strength[0, :, None], level.cross_regions.same()[0])
        assert close(scores[None], golden[f"{run}.cross.logits_in"])
        assert close(modulated[None], golden[f"{run}.cross.logits_out"])


# CUDA


def cuda_case(dim: int, frames: int, side: int, dtype: torch.dtype = torch.float16, heads: int = 8) -> Case:
    """Queries, keys and values as a linear layer leaves them, and four regions that overlap and leave gaps."""
    generator = torch.Generator("cuda").manual_seed(dim)
    tokens = frames * side * side
    projected = torch.randn(3, 1, tokens, heads, dim, generator=generator, device="cuda", dtype=dtype)
    query, key, value = projected.transpose(2, 3)
    masks = torch.zeros(4, frames, side, side, dtype=torch.bool, device="cuda")
    for region, corner in enumerate([0, side // 4, side // 2, side // 8]):
        masks[region, :, corner : corner + side // 3, corner : corner + side // 2] = True
    strength = torch.rand(1, tokens, generator=generator, device="cuda") * 0.3
    return query, key, value, strength, shared_regions(masks), dim**-0.5


def relative_error(result: Tensor, exact: Tensor) -> float:
    return ((result.float() - exact).norm() / exact.norm()).item()


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("dim", [40, 64, 80, 96, 128, 160])
def test_the_augmented_form_on_cuda_is_as_exact_as_flash_attention(dim, dtype):
    query, key, value, strength, shared, scale = cuda_case(dim, frames=7, side=30, dtype=dtype)
    in_full = query.float(), key.float(), value.float()
    exact = chunked_attention(*in_full, strength, shared, scale)
    plain_exact = chunked_attention(*in_full, torch.zeros_like(strength), shared, scale)
    error = relative_error(augmented_attention(query, key, value, strength, shared, scale), exact)
    assert error <= 1.2 * relative_error(attention(query, key, value, scale), plain_exact)


@pytest.mark.gpu
@needs_cuda
def test_the_augmented_form_on_cuda_makes_no_matrix_of_scores():
    case = cuda_case(dim=40, frames=4, side=64)
    assert case[0].shape[2] == 16384
    inputs = sum(x.nbytes for x in case[:3])
    augmented_attention(*case)  # the first call tunes the kernel
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    augmented_attention(*case)
    assert torch.cuda.max_memory_allocated() - before <= 6 * inputs
