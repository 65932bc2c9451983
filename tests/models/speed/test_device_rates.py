import json
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import tiny_unet

from videograin.diffusion.attention.processors import install_layout_attention
from videograin.diffusion.fused.blocks import fuse
from videograin.models.flops import Operations
from videograin.models.speed import device_rates as measuring
from videograin.models.speed.device_rates import DeviceRates, device_rates

CPU = torch.device("cpu")


def test_arithmetic_takes_as_long_as_its_rates_say() -> None:
    rates = DeviceRates(layers=0.5, attention=0.25, modulation=2.0)
    assert rates.seconds(Operations(layers=1e9, attention=1e9), modulated=0.5e9, speed=1e9) == 2 + 4 + 4


def test_a_device_is_timed_at_first_use_and_known_to_later_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unet, kept = tiny_unet(), tmp_path / "new" / "rates.json"
    install_layout_attention(unet)
    rates = device_rates(unet, CPU, kept)
    assert min(rates.layers, rates.attention) > 0
    assert rates.modulation >= 0
    monkeypatch.setattr(measuring, "measure_rates", lambda *_: pytest.fail("timed again"))
    assert device_rates(unet, CPU, kept) == rates
    assert [*json.loads(kept.read_text()).values()] == [vars(rates)]


def test_a_cpu_is_timed_on_one_core_for_helpers_that_wait_awake_count_as_work(monkeypatch: pytest.MonkeyPatch) -> None:
    unet, cores, forward = tiny_unet(), [], measuring._forward
    install_layout_attention(unet)

    def watched(*given: Any) -> object:
        cores.append(torch.get_num_threads())
        return forward(*given)

    monkeypatch.setattr(measuring, "_forward", watched)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        measuring.measure_rates(unet, CPU)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(cores) == {1}


def test_a_model_with_other_blocks_is_timed_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diffusers_own, fused, kept = tiny_unet(), tiny_unet(), tmp_path / "rates.json"
    fuse(fused)
    rates = iter([DeviceRates(0.5, 0.5, 1.0), DeviceRates(0.6, 0.5, 1.0)])
    monkeypatch.setattr(measuring, "measure_rates", lambda *_: next(rates))
    assert device_rates(diffusers_own, CPU, kept) != device_rates(fused, CPU, kept)


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": {"layers": 1}}'])
def test_a_damaged_file_is_measured_again_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    kept, rates = tmp_path / "rates.json", DeviceRates(0.5, 0.5, 1.0)
    kept.write_text(content)
    monkeypatch.setattr(measuring, "measure_rates", lambda *_: rates)
    assert device_rates(tiny_unet(), CPU, kept) == rates
    monkeypatch.setattr(measuring, "measure_rates", lambda *_: pytest.fail("timed again"))
    assert device_rates(tiny_unet(), CPU, kept) == rates
