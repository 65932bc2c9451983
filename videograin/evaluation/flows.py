"""Which optical flow the warp error follows, by name: DIS without weights, or RAFT, which the paper measures with."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from videograin.errors import ModelError
from videograin.media.flow import OpticalFlow, optical_flow

RAFT_MULTIPLE, RAFT_MIN_SIDE = 8, 128
"""Sides that RAFT's pyramid of correlations wants, in pixels."""


class FlowKind(StrEnum):
    """How motion is estimated."""

    DIS = "dis"
    RAFT = "raft"


@dataclass(frozen=True)
class NamedFlow:
    """An estimator of optical flow and what it is called in reports; frames (F, H, W, 3) uint8 RGB → flow."""

    name: str
    estimate: Callable[[np.ndarray], OpticalFlow]


DIS = NamedFlow("DIS (OpenCV), of the source, both ways; occluded pixels are left out", optical_flow)


def load_flow(kind: FlowKind, device: torch.device | str = "cpu") -> NamedFlow:
    """Return an estimator; RAFT's weights (21 MB) are downloaded to torch's cache when they are first asked for.

    Raises:
        ModelError: they are not to be had.
    """
    if kind == FlowKind.DIS:
        return DIS
    network = _load_raft().to(device)
    name = "RAFT large (torchvision, C_T_SKHT_V2), of the source, both ways; occluded pixels are left out"
    return NamedFlow(name, lambda frames: raft_flow(network, frames))


def _load_raft() -> nn.Module:
    from torchvision.models.optical_flow import Raft_Large_Weights, raft_large

    url = Raft_Large_Weights.C_T_SKHT_V2.url
    try:
        weights = torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise ModelError(
            f"RAFT's weights cannot be had ({error}). Check the connection, or measure with --flow dis."
        ) from error
    network = raft_large()
    network.load_state_dict(weights)
    return network.eval()


@torch.no_grad()
def raft_flow(network: nn.Module, frames: np.ndarray) -> OpticalFlow:
    """Estimate the motion between consecutive frames in both directions with RAFT (arXiv 2003.12039).

    Args:
        network: torchvision's; takes (B, 3, H, W) in [-1, 1] twice and returns its flow after each iteration.
        frames: (F, H, W, 3) uint8 RGB.
    """
    height, width = frames.shape[1:3]
    device = next(network.parameters()).device
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).movedim(-1, 1).to(device) / 127.5 - 1
    short = [max(RAFT_MIN_SIDE, -(-side // RAFT_MULTIPLE) * RAFT_MULTIPLE) - side for side in (height, width)]
    pixels = F.pad(pixels, (0, short[1], 0, short[0]), mode="replicate")

    def estimate(first: torch.Tensor, second: torch.Tensor) -> np.ndarray:
        pairs = zip(first.split(1), second.split(1), strict=True)  # one at a time: its correlations take much memory
        flows = [network(one, other)[-1][..., :height, :width] for one, other in pairs]
        return torch.cat(flows).float().cpu().numpy()

    return OpticalFlow.from_pair(estimate(pixels[:-1], pixels[1:]), estimate(pixels[1:], pixels[:-1]))
