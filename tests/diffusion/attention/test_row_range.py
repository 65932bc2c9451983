import pytest
import torch
from interpreted_kernels import interpreted
from torch import Tensor

from videograin.diffusion.attention import row_range as module
from videograin.diffusion.attention.row_range import query_chunk, row_range, smaller_chunks

HEAD_DIMS = (40, 64, 80, 96, 128, 160)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def random_query_key(rows: int, keys: int, dim: int, batch: int = 2, heads: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rows * keys * dim)
    query = torch.randn(batch, heads, rows, dim, generator=generator)
    return query, torch.randn(batch, heads, keys, dim, generator=generator)


def full_range(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """The definition, with the N×N matrix."""
    scores = query @ key.mT
    return scores.amax(-1), scores.amin(-1)


def as_projected(tensor: Tensor) -> Tensor:
    """Heads beside each other in memory, (B, N, H, d), as a linear layer leaves them."""
    return tensor.transpose(1, 2).contiguous().transpose(1, 2)


def equal(result: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor], tolerance: float = 1e-5) -> bool:
    return all(torch.allclose(x, y, rtol=tolerance, atol=tolerance) for x, y in zip(result, expected, strict=True))


@pytest.mark.parametrize(("rows", "keys"), [(1, 1), (7, 77), (33, 5)])
def test_it_finds_the_extremes_of_every_row(rows, keys):
    query, key = random_query_key(rows, keys, 8)
    assert equal(row_range(query, key), full_range(query, key))


def test_chunks_do_not_change_the_result(monkeypatch):
    query, key = random_query_key(33, 21, 8)
    monkeypatch.setattr(module, "CHUNK_BYTES", 5 * 3 * 21 * 4)  # 5 rows at once
    assert query_chunk(heads=3, keys=21) == 5
    assert equal(row_range(query, key), full_range(query, key))


def test_chunks_are_smaller_for_a_while_and_give_the_same_result():
    query, key = random_query_key(33, 21, 8)
    usual = query_chunk(heads=3, keys=21)
    with smaller_chunks(8):
        assert query_chunk(heads=3, keys=21) == usual // 8
        assert equal(row_range(query, key), full_range(query, key))
    assert query_chunk(heads=3, keys=21) == usual


def test_chunks_are_as_large_as_ever_after_an_error():
    usual = query_chunk(heads=3, keys=21)
    with pytest.raises(ZeroDivisionError), smaller_chunks(8):
        raise ZeroDivisionError
    assert query_chunk(heads=3, keys=21) == usual


def test_a_chunk_has_at_least_one_row():
    assert query_chunk(heads=8, keys=10**9) == 1


def test_half_precision_is_multiplied_out_in_float32():
    query, key = (x.half() for x in random_query_key(9, 12, 16))
    assert equal(row_range(query, key), full_range(query.float(), key.float()))
    assert row_range(query, key)[0].dtype == torch.float32


def test_double_precision_is_kept():
    query, key = (x.double() for x in random_query_key(9, 12, 16))
    assert equal(row_range(query, key), full_range(query, key), tolerance=1e-14)


# The Triton kernel

KERNEL_CASES: dict[str, tuple[Tensor, ...]] = {
    **{f"head dim {dim}": random_query_key(5, 70, dim, batch=1, heads=1) for dim in HEAD_DIMS},
    "rows and keys past a block": random_query_key(131, 67, 16, heads=1),
    "one key": random_query_key(3, 1, 16),
    "as projected": tuple(as_projected(x) for x in random_query_key(35, 67, 40)),
}


@pytest.fixture(scope="module")
def interpreted_outputs(tmp_path_factory) -> dict[str, tuple[Tensor, Tensor]]:
    return interpreted(tmp_path_factory.mktemp("kernel"), "row_range_kernel", "row_range_triton", KERNEL_CASES)


@pytest.mark.parametrize("case", KERNEL_CASES)
def test_the_interpreted_kernel_finds_the_extremes(interpreted_outputs, case):
    assert equal(interpreted_outputs[case], full_range(*KERNEL_CASES[case]))


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("dim", HEAD_DIMS)
@pytest.mark.parametrize("keys", [77, 4096])
def test_the_kernel_on_cuda_is_exact(dtype, dim, keys):
    query, key = (as_projected(x.cuda().to(dtype)) for x in random_query_key(1001, keys, dim))
    high, low = row_range(query, key)
    # Products of half-precision numbers are exact in float32; only the order of their sum differs.
    assert equal((high.double(), low.double()), full_range(query.double(), key.double()))


@pytest.mark.gpu
@needs_cuda
def test_the_kernel_on_cuda_takes_contiguous_heads_too():
    query, key = (x.cuda().half() for x in random_query_key(130, 257, 40))
    high, low = row_range(query, key)
    assert equal((high.double(), low.double()), full_range(query.double(), key.double()))
