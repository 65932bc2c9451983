"""The Triton kernels of attention on CUDA and which tensors they take, and what does the same on a CPU."""

from importlib.util import find_spec
from threading import Lock

import torch
from torch import Tensor

HOPPER = (9, 0)
"""Compute capability from which the tensor memory accelerator fetches tiles."""

tuning = Lock()
"""Held while a kernel is started that Triton tunes: its tuner keeps the arguments of a start on itself, and two devices
have a thread each."""


def is_half(tensor: Tensor) -> bool:
    """Return whether a tensor is of a precision of 16 bits."""
    return tensor.dtype in (torch.float16, torch.bfloat16)


def triton_applies(query: Tensor) -> bool:
    """Return whether the kernels take a tensor: half precision, on CUDA, where Triton is installed."""
    return query.is_cuda and is_half(query) and find_spec("triton") is not None


def is_hopper(device: torch.device) -> bool:
    """Return whether a device is of the Hopper generation or newer."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= HOPPER


def descriptor_memory(size: int, _alignment: int, _stream: int | None) -> Tensor:
    """Give Triton the scratch memory in which a kernel writes its descriptors."""
    return torch.empty(size, dtype=torch.int8, device="cuda")
