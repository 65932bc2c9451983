"""What self-attention is given in forwards over a shot's anchors, kept for windows to make keys and values of.

Anchors see one another alone, so the input of each layer is the same whichever window asks. Keys and values would take
twice the room of the input, and those of four frames cost a hundredth of a window's forward.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import torch
from torch import Tensor

from videograin.diffusion.attention.step import AttentionStep, Forward

GIB = 2**30


@dataclass(frozen=True)
class BankRoom:
    """How much a bank may hold.

    Attributes:
        device_bytes: on the device of the networks, which is filled first; 0 where that is the host.
        host_bytes: in the host's memory.
    """

    device_bytes: int = 0
    host_bytes: int = 4 * GIB

    def part(self, share: float) -> Self:
        """Return the room for a bank that holds a share of what there is."""
        return type(self)(int(share * self.device_bytes), int(share * self.host_bytes))


class AnchorBank:
    """Layers' inputs by forward, each forward whole or not at all.

    Args:
        room: for all of them together.
    """

    def __init__(self, room: BankRoom) -> None:
        self._device_bytes, self._host_bytes = room.device_bytes, room.host_bytes
        self._inputs: dict[Forward, dict[str, Tensor]] = {}
        self._too_large: set[Forward] = set()

    def keeping(self, forward: Forward, step: AttentionStep) -> AttentionStep:
        """Return the step with which a forward leaves its layers' inputs here; a `PrepareStep`."""
        return replace(step, keep_states=partial(self._put, forward))

    def add(self, forward: Forward, inputs: Mapping[str, Tensor]) -> None:
        """Keep a finished forward's inputs, if there is room."""
        for layer, states in inputs.items():
            self._put(forward, layer, states)

    def get(self, forward: Forward) -> Mapping[str, Tensor] | None:
        """Return a forward's inputs by layer, on the device or the host; None where they are not here."""
        return self._inputs.get(forward)

    def _put(self, forward: Forward, layer: str, states: Tensor) -> None:
        if forward in self._too_large:
            return
        kept = self._inputs.setdefault(forward, {})
        if states.nbytes <= self._device_bytes:
            self._device_bytes -= states.nbytes
            kept[layer] = states
        elif states.nbytes <= self._host_bytes:
            self._host_bytes -= states.nbytes
            kept[layer] = states.to(torch.device("cpu"))
        else:  # what it has taken is not given back: later forwards are as large and would not fit either
            self._too_large.add(forward)
            del self._inputs[forward]
