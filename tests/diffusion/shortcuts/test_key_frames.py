import pytest
import torch
from einops import rearrange

from videograin.diffusion.attention.plain import attention
from videograin.diffusion.shortcuts.key_frames import key_frame_attention, key_frame_table

CPU = torch.device("cpu")


@pytest.mark.parametrize(("own", "anchors", "count"), [(8, 0, 1), (8, 0, 3), (12, 4, 2), (12, 4, 6), (5, 1, 4)])
def test_each_frame_sees_itself_and_as_many_others_none_of_them_twice(own: int, anchors: int, count: int) -> None:
    table = key_frame_table(own, anchors, count, CPU)
    assert table is not None
    assert table.shape == (own, 1 + count)
    assert torch.equal(table[:, 0], torch.arange(own))
    assert all(len(set(row)) == 1 + count for row in table.tolist())
    assert table.max() < own + anchors


def test_anchors_are_seen_first() -> None:
    table = key_frame_table(12, 4, 3, CPU)
    assert table is not None
    assert (table[:, 1:] >= 12).all()


@pytest.mark.parametrize("count", [0, 7, 8])
def test_where_all_are_seen_there_is_no_table(count: int) -> None:
    assert key_frame_table(8, 0, count, CPU) is None


def test_attention_is_that_of_each_frame_to_its_own_key_frames() -> None:
    query, key, value = torch.randn(3, 2, 4, 5, 2, 8, generator=torch.Generator().manual_seed(0))
    table = torch.tensor([[0, 3], [1, 0], [2, 0], [3, 0]])
    out = key_frame_attention(query, key, value, table, 0.3)
    for frame, seen in enumerate(table):
        keys, values = (rearrange(x[:, seen], "b k n h d -> b h (k n) d") for x in (key, value))
        expected = attention(query[:, frame].transpose(1, 2), keys, values, 0.3)
        assert torch.allclose(out.unflatten(1, (4, 5))[:, frame], expected.transpose(1, 2), atol=1e-6)
