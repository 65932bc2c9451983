from collections.abc import Callable

import pytest
import torch
from golden_pipeline import golden_trajectories
from interpreted_kernels import interpreted
from torch import Tensor

from videograin.diffusion.attention import trajectory
from videograin.diffusion.attention.trajectories import Trajectories
from videograin.diffusion.attention.trajectory import trajectory_attention, trajectory_attention_chunked

GRID = (3, 4, 5)
TOKENS = 3 * 4 * 5


def random_paths(seed: int = 0, grid: tuple[int, int, int] = GRID) -> Trajectories:
    """Any tokens as paths: attention does not care whether a flow could have made them."""
    generator = torch.Generator().manual_seed(seed)
    frames, height, width = grid
    shape = (frames * height * width, frames - 1)
    path = torch.randint(shape[0], shape, generator=generator, dtype=torch.int32)
    return Trajectories(grid, 3, path, torch.rand(shape, generator=generator) < 0.7)


def random_qkv(tokens: int = TOKENS, dim: int = 8, heads: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    query, key, value = torch.randn(3, 2, heads, tokens, dim, generator=generator)
    return query, key, value


def masked_full_attention(query: Tensor, key: Tensor, value: Tensor, keys: Tensor, valid: Tensor) -> Tensor:
    """The definition, with the N×N matrix: a token that is listed twice counts twice."""
    times = torch.zeros(len(keys), len(keys)).scatter_add(1, keys.long(), valid.float())
    weights = times * (query @ key.mT * 0.5).exp()
    return weights / weights.sum(-1, keepdim=True) @ value


def test_it_is_full_attention_restricted_to_the_entries():
    qkv, paths = random_qkv(), random_paths()
    expected = masked_full_attention(*qkv, *paths.entries)
    assert torch.allclose(trajectory_attention(*qkv, paths, scale=0.5), expected, atol=1e-5)


def test_a_token_without_a_path_keeps_its_value():
    query, key, value = random_qkv()
    path = torch.zeros(TOKENS, 2, dtype=torch.int32)
    alone = Trajectories(GRID, 3, path, torch.zeros_like(path, dtype=torch.bool))
    assert torch.allclose(trajectory_attention(query, key, value, alone, scale=0.5), value, atol=1e-6)


def test_chunks_do_not_change_the_result(monkeypatch):
    qkv, paths = random_qkv(), random_paths()
    whole = trajectory_attention(*qkv, paths, scale=0.5)
    monkeypatch.setattr(trajectory, "GATHER_BYTES", 7 * 2 * 2 * 2 * 3 * 8 * 4)  # 7 tokens at once
    assert torch.allclose(trajectory_attention(*qkv, paths, scale=0.5), whole, atol=1e-6)


def test_trajectories_move_to_a_device_as_one():
    keys, valid = random_paths().to("meta").entries
    assert keys.device.type == valid.device.type == "meta"


# Goldens: the release's outputs


def heads_of_clip(recorded: Tensor, out: Tensor, head_dim: int = 2) -> tuple[Tensor, Tensor]:
    """(B·F, h·w, heads·d) as (B, heads, F·h·w, d), for a batch of two guidance halves."""
    first, second = (x.reshape(2, -1, x.shape[-1] // head_dim, head_dim).transpose(1, 2) for x in (recorded, out))
    return first, second


@pytest.mark.parametrize("name", ["flow_a", "flow_b", "flow_c"])
def test_golden_attention_along_recorded_trajectories(load_golden: Callable[[str], dict[str, Tensor]], name):
    golden = load_golden("trajectories")
    query, key = heads_of_clip(golden["attn.q"], golden["attn.k"])
    value, expected = heads_of_clip(golden["attn.full_out"], golden[f"attn.{name}.old_qk1.out"])
    side = round(golden["attn.q"].shape[1] ** 0.5)
    paths = golden_trajectories(golden, name, side)
    out = trajectory_attention(query, key, value, paths, scale=query.shape[-1] ** -0.5)
    assert (out - expected).abs().max() <= 2e-5


# The Triton kernel


def as_projected(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Heads beside each other in memory, as a linear layer leaves them."""
    query, key, value = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in (query, key, value))
    return query, key, value


KERNEL_CASES = {
    "contiguous": random_qkv(dim=8),
    "rows padded to a power of two": random_qkv(dim=40),
    "as projected": as_projected(*random_qkv()),
}


@pytest.fixture(scope="module")
def interpreted_outputs(tmp_path_factory) -> dict[str, Tensor]:
    cases = {name: (*qkv, *random_paths().entries, 0.5) for name, qkv in KERNEL_CASES.items()}
    return interpreted(tmp_path_factory.mktemp("kernel"), "trajectory_kernel", "trajectory_attention_triton", cases)


@pytest.mark.parametrize("case", KERNEL_CASES)
def test_the_interpreted_kernel_equals_the_chunked_path(interpreted_outputs, case):
    qkv, out = KERNEL_CASES[case], interpreted_outputs[case]
    expected = trajectory_attention_chunked(*qkv, *random_paths().entries, 0.5)
    assert torch.allclose(out, expected, atol=1e-5)
    assert out.stride() == qkv[0].stride()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dim", [40, 64, 80])
def test_the_kernel_on_cuda_is_as_exact_as_half_precision_allows(dim):
    paths = random_paths(grid=(16, 16, 16)).to("cuda")
    query, key, value = (x.cuda().half() for x in random_qkv(tokens=16**3, dim=dim, heads=8))
    exact = trajectory_attention_chunked(query.float(), key.float(), value.float(), *paths.entries, dim**-0.5)
    kernel_error = (trajectory_attention(query, key, value, paths, dim**-0.5).float() - exact).abs()
    plain = trajectory_attention_chunked(query, key, value, *paths.entries, dim**-0.5).float()
    assert kernel_error.mean() <= 1.2 * (plain - exact).abs().mean()
    assert kernel_error.max() < 5e-3
