import pytest
import torch
from interpreted_kernels import interpreted
from torch import Tensor

from videograin.diffusion.attention.kernels import one_pass_cpu
from videograin.diffusion.attention.modulation import SharedRegions, chunked_attention, modulated_attention
from videograin.diffusion.attention.plain import attention

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

Case = tuple[Tensor, Tensor, Tensor, Tensor, SharedRegions, float]
"""Query, key, value, strength, regions and scale."""


def random_case(dim: int, tokens: int, classes: int = 3, batch: int = 1, regions: int = 1, device: str = "cpu") -> Case:
    """Classes of which some share regions and some share none, not even with themselves, in fp16."""
    generator = torch.Generator().manual_seed(dim * tokens)
    query, key, value = (torch.randn(batch, tokens, 2, dim, generator=generator).transpose(1, 2) for _ in range(3))
    own = torch.randint(0, classes, (regions, tokens), generator=generator)
    shares = torch.rand(classes, classes, generator=generator) < 0.4
    strength = torch.rand(regions, tokens, generator=generator)
    strength[:, :5] = 1
    shared = SharedRegions(own.to(device), own.to(device), (shares | shares.T).to(device))
    query, key, value = (x.half().to(device) for x in (query, key, value))
    return query, key, value, strength.to(device), shared, dim**-0.5


def exact(case: Case) -> Tensor:
    query, key, value, strength, regions, scale = case
    return chunked_attention(query.double(), key.double(), value.double(), strength, regions, scale)


def relative_error(out: Tensor, expected: Tensor) -> float:
    return ((out.double() - expected).norm() / expected.norm()).item()


CASES = {
    "two tiles of columns": random_case(dim=40, tokens=150),
    "one tile": random_case(dim=16, tokens=131, classes=5),
    "rows padded to a power of two": random_case(dim=24, tokens=70),
    "frames that each have classes of their own": random_case(dim=16, tokens=70, batch=2, regions=2),
    "one class": random_case(dim=16, tokens=40, classes=1),
}


@pytest.fixture(scope="module")
def interpreted_outputs(tmp_path_factory) -> dict[str, Tensor]:
    cases = {name: (*case[:4], case[4].runs, case[5]) for name, case in CASES.items()}
    return interpreted(tmp_path_factory.mktemp("kernel"), "one_pass_kernel", "one_pass_attention", cases)


@pytest.mark.parametrize("case", CASES)
def test_the_interpreted_kernel_equals_the_formula(interpreted_outputs, case):
    assert relative_error(interpreted_outputs[case], exact(CASES[case])) < 5e-4  # half of fp16's last digit


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("dim", [40, 64, 72, 80, 96, 128, 160])
def test_on_cuda_it_is_as_exact_as_plain_attention(dim, dtype):
    query, key, value, strength, shared, scale = random_case(dim, tokens=4500, classes=5, device="cuda")
    query, key, value = (x.to(dtype) for x in (query, key, value))
    out = modulated_attention(query, key, value, 0.3 * strength, shared, scale)
    error = relative_error(out, exact((query, key, value, 0.3 * strength, shared, scale)))
    plain_exact = exact((query, key, value, 0 * strength, shared, scale))
    assert error <= 1.05 * relative_error(attention(query, key, value, scale), plain_exact)


@pytest.mark.gpu
@needs_cuda
def test_on_cuda_frames_may_have_classes_of_their_own():
    case = random_case(dim=40, tokens=1500, classes=4, batch=3, regions=3, device="cuda")
    assert relative_error(modulated_attention(*case), exact(case)) < 5e-4


@pytest.mark.gpu
@needs_cuda
def test_on_cuda_scores_beyond_half_precision_overflow_nowhere():
    query, key, value, strength, shared, scale = random_case(dim=64, tokens=2000, device="cuda")
    case = 300 * query, 300 * key, value, strength, shared, scale
    assert (case[0].float() @ case[1].float().mT).abs().max() > 65504
    out = modulated_attention(*case)
    assert out.isfinite().all()
    assert relative_error(out, exact(case)) < 2e-3


@pytest.mark.parametrize("case", CASES)
def test_blocks_on_a_cpu_equal_the_formula(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value, strength, regions, scale = CASES[case]
    monkeypatch.setattr(one_pass_cpu, "BLOCK_BYTES", 16 * 4 * key.shape[2])  # so that a class takes several
    floats = (query.double(), key.double(), value.double())
    out = one_pass_cpu.one_pass_cpu(*floats, strength, regions.runs, scale)
    assert torch.allclose(out, exact(CASES[case]), atol=1e-12)


def test_scores_that_lie_far_apart_overflow_nothing_on_a_cpu() -> None:
    query, key, value, strength, regions, scale = random_case(dim=16, tokens=1100)
    wide = (100 * query.float(), 100 * key.float(), value.float(), strength, regions, scale)
    out = modulated_attention(*wide)
    assert torch.allclose(out.double(), exact(wide), atol=2e-2)
    assert torch.equal(out, one_pass_cpu.one_pass_cpu(*wide[:4], regions.runs, scale))
