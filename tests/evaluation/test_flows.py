"""Optical flow of the warp error by name; RAFT by random weights at its true architecture."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from videograin.errors import ModelError
from videograin.evaluation import flows
from videograin.evaluation.flows import DIS, FlowKind, load_flow, raft_flow
from videograin.media.flow import optical_flow


class Shift(nn.Module):
    """In RAFT's place: says that everything moves as far to the right as a picture's first pixel is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, first: Tensor, second: Tensor) -> list[Tensor]:
        assert first.shape == second.shape == (1, 3, 128, 136)
        motion = torch.zeros(1, 2, 128, 136)
        motion[:, 0] = (second - first)[:, 0, 0, 0] * 127.5
        return [torch.zeros_like(motion), motion]


def test_rafts_last_answer_is_taken_pair_by_pair_in_both_directions_without_its_margins() -> None:
    frames = np.stack([np.full((20, 130, 3), value, np.uint8) for value in (0, 2, 3)])
    flow = raft_flow(Shift(), frames)
    assert flow.forward.shape == (2, 2, 20, 130)
    assert flow.forward[:, 0, 5, 5].round(3).tolist() == [2, 1]
    assert flow.backward[:, 0, 5, 5].round(3).tolist() == [-2, -1]
    assert not flow.forward[:, 1].any()
    assert flow.forward_occluded[0, :, -1].all()  # they leave the picture
    assert not flow.forward_occluded[:, :, 5].any()


@pytest.mark.slow
def test_torchvisions_network_estimates_clips_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models.optical_flow import raft_large

    torch.manual_seed(0)
    states = raft_large().state_dict()
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_args, **_options: states)
    named = load_flow(FlowKind.RAFT)
    flow = named.estimate(np.random.default_rng(0).integers(0, 256, (2, 50, 60, 3), np.uint8))
    assert flow.forward.shape == flow.backward.shape == (1, 2, 50, 60)
    assert "RAFT large" in named.name


def test_without_rafts_weights_the_other_flow_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError("no connection")

    monkeypatch.setattr(flows.torch.hub, "load_state_dict_from_url", refuse)
    with pytest.raises(ModelError, match=r"no connection.*--flow dis"):
        load_flow(FlowKind.RAFT)
    assert load_flow(FlowKind.DIS) is DIS
    assert DIS.estimate is optical_flow
