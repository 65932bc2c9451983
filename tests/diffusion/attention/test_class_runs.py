import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from videograin.diffusion.attention.class_runs import class_runs


@st.composite
def classes(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor, int]:
    """Query classes, key classes, which of them share a region, and the rows of a block."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    batch, own, others = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 5))
    queries = torch.randint(0, own, (batch, draw(st.integers(1, 30))), generator=generator)
    keys = torch.randint(0, others, (batch, draw(st.integers(1, 30))), generator=generator)
    return queries, keys, torch.rand(own, others, generator=generator) < 0.5, draw(st.sampled_from([1, 4, 16]))


@settings(max_examples=100, deadline=None)
@given(classes())
def test_every_query_is_in_one_block_of_its_class(case):
    queries, keys, shares, rows = case
    sorted_tokens = class_runs(queries, keys, shares, rows)
    for own, order, blocks in zip(queries, sorted_tokens.query_order, sorted_tokens.blocks.tolist(), strict=True):
        seen = []
        for start, end, index in blocks:
            assert end - start <= rows
            assert all(own[order[start:end].long()] == index)
            seen += order[start:end].tolist()
        assert sorted(seen) == list(range(len(own)))


@settings(max_examples=100, deadline=None)
@given(classes())
def test_every_key_is_in_one_run_that_says_whether_it_shares_a_region(case):
    queries, keys, shares, rows = case
    sorted_tokens = class_runs(queries, keys, shares, rows)
    for own, order, runs in zip(keys, sorted_tokens.key_order, sorted_tokens.runs.tolist(), strict=True):
        for of_class, (sharing, others) in zip(shares, runs, strict=True):
            found = {
                kind: [k for start, end in kind_runs for k in order[start:end].tolist()]
                for kind, kind_runs in [(True, sharing), (False, others)]
            }
            assert all(of_class[own[found[True]]])
            assert not any(of_class[own[found[False]]])
            assert sorted(found[True] + found[False]) == list(range(len(own)))


def test_neighbours_of_one_kind_are_one_run():
    keys = torch.tensor([[0, 1, 2, 2, 1, 0]])
    runs = class_runs(keys[:, :1], keys, torch.tensor([[False, True, True]]), rows=4).runs
    assert runs.tolist() == [[[[[2, 6]], [[0, 2]]]]]
