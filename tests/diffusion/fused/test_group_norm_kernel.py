import pytest
import torch
import torch.nn.functional as F
from interpreted_kernels import interpreted
from torch import Tensor

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

Case = tuple[Tensor, Tensor | None, Tensor, Tensor, int, float, bool]
"""What is normalised, its shift, weight, bias, groups, epsilon, and whether SiLU follows."""

HALF = torch.zeros(0, dtype=torch.float16)

SHAPES = [(32, 320, 64), (32, 960, 64), (16, 640, 32), (32, 2560, 8), (2, 128, 512)]
"""Batch, channels and side, as in Stable Diffusion 1.5."""


def random_case(
    batch: int,
    channels: int,
    side: int,
    *,
    groups: int = 32,
    shifts: int | None = None,
    mean: float = 5,
    silu: bool = True,
    kind: Tensor = HALF,
) -> Case:
    """Channels whose means lie further apart than their values, in the dtype and on the device of another tensor."""
    generator = torch.Generator().manual_seed(batch * channels * side)
    hidden = torch.randn(batch, channels, side, side, generator=generator)
    hidden += mean * torch.randn(1, channels, 1, 1, generator=generator)
    weight, bias = torch.randn(channels, generator=generator), torch.randn(channels, generator=generator)
    shift = None if shifts is None else torch.randn(shifts, channels, generator=generator).to(kind)
    hidden = hidden.to(kind).contiguous(memory_format=torch.channels_last)
    return hidden, shift, weight.to(kind), bias.to(kind), groups, 1e-5, silu


def normalised(case: Case, precision: torch.dtype) -> Tensor:
    """Return what PyTorch's own operations make of a case."""
    hidden, shift, weight, bias, groups, eps, silu = case
    shifted = hidden.to(precision) if shift is None else hidden.to(precision) + shift.to(precision)[:, :, None, None]
    out = F.group_norm(shifted, groups, weight.to(precision), bias.to(precision), eps)
    return F.silu(out) if silu else out


def relative_error(out: Tensor, expected: Tensor) -> float:
    return ((out.double() - expected).norm() / expected.norm()).item()


CASES = {
    "several spans": random_case(1, 64, 30),
    "a shift of each picture": random_case(2, 64, 6, shifts=2),
    "one shift for all": random_case(2, 64, 6, shifts=1),
    "channels that fill no tile": random_case(1, 70, 7, groups=7),
    "without SiLU": random_case(1, 32, 8, silu=False),
    "means of a thousand": random_case(1, 32, 9, mean=1000),
}


@pytest.fixture(scope="module")
def interpreted_outputs(tmp_path_factory) -> dict[str, Tensor]:
    kernel = "videograin.diffusion.fused.group_norm_kernel"
    return interpreted(tmp_path_factory.mktemp("kernel"), kernel, "group_norm_channels_last", CASES)


@pytest.mark.parametrize("case", CASES)
def test_the_interpreted_kernel_is_more_exact_than_pytorch(interpreted_outputs, case):
    exact, out = normalised(CASES[case], torch.float64), interpreted_outputs[case]
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert relative_error(out, exact) < min(3e-4, 1.05 * relative_error(normalised(CASES[case], torch.float16), exact))


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_on_a_gpu_the_kernel_is_as_exact_as_pytorch_at_all_sizes(shape, dtype):
    from videograin.diffusion.fused.group_norm_kernel import group_norm_channels_last

    case = random_case(*shape, kind=torch.zeros(0, dtype=dtype, device="cuda"))
    exact, out = normalised(case, torch.float64), group_norm_channels_last(*case)
    assert relative_error(out, exact) < 1.05 * relative_error(normalised(case, dtype), exact)
