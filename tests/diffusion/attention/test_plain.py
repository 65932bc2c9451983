from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import torch
from torch import Tensor

from videograin.diffusion.attention import plain

SECONDS = 0.2


def test_threads_leave_one_another_their_choice_of_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    first_is_inside, second_is_inside, first_is_done = Event(), Event(), Event()
    seen = []

    def compute(query: Tensor, *_: Tensor, scale: float) -> Tensor:
        if not first_is_inside.is_set():
            first_is_inside.set()
            second_is_inside.wait(SECONDS)
        else:
            second_is_inside.set()
            first_is_done.wait(SECONDS)
            seen.append(torch._C._get_sdp_priority_order()[: len(plain.SDPA_PRIORITY)])  # pyright: ignore
        return query * scale

    monkeypatch.setattr(plain.F, "scaled_dot_product_attention", compute)
    tokens = torch.zeros(1, 1, 2, 2)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(plain.attention, tokens, tokens, tokens, 1.0)
        first.add_done_callback(lambda _: first_is_done.set())
        assert first_is_inside.wait(10)
        threads.submit(plain.attention, tokens, tokens, tokens, 1.0).result()
    assert seen == [[int(backend) for backend in plain.SDPA_PRIORITY]]  # pyright: ignore
