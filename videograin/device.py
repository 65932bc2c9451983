"""Where tensors live and how precise they are, and how much memory is free for them on this machine.

torch is imported where it is used, so that the command line knows `DTYPES` without it.
"""

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from videograin.errors import SettingsError

if TYPE_CHECKING:
    import torch

DTYPES = ("float16", "bfloat16", "float32")
"""Names of the precisions that an edit can run in."""


GPU_SIGNS = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd", "/dev/dxg", "/proc/driver/nvidia")
"""Files of Linux where its kernel has a driver for GPUs of NVIDIA or AMD, or Windows lends one."""


def device_name(device: str | None = None) -> str:
    """Return what `choose_device` chooses as text; without torch where the CPU is all that there can be.

    Raises:
        SettingsError: this machine has no such device.
    """
    may_be_lent = "spaces" in sys.modules  # of a Space that lends GPUs, torch alone tells
    has_no_gpu = sys.platform == "linux" and not (may_be_lent or any(Path(sign).exists() for sign in GPU_SIGNS))
    if device == "cpu" or (device is None and has_no_gpu):
        return "cpu"
    return str(choose_device(device))


def choose_device(device: "torch.device | str | None" = None) -> "torch.device":
    """Return the device asked for, or the best there is: CUDA, then Apple's GPU, then the CPU.

    Raises:
        SettingsError: this machine has no such device.
    """
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device is None:
        return torch.device(next(name for name, is_available in available.items() if is_available))
    with suppress(RuntimeError):  # torch's word for a device that it never heard of
        chosen = torch.device(device)
        if available.get(chosen.type) and (chosen.index or 0) < max(1, torch.cuda.device_count()):
            return chosen
    names = ", ".join(name for name, is_available in available.items() if is_available)
    raise SettingsError(f"Device '{device}' is not on this machine. Choose one of: {names}.")


def choose_second_device(device: "torch.device | str", first: "torch.device") -> "torch.device":
    """Return the device that computes half of guidance beside the first.

    Raises:
        SettingsError: this machine has no such device, it is the first GPU itself, or it is of another kind.
    """
    import torch

    second = choose_device(device)
    if second.type == "cuda" and second.index is None:
        second = torch.device("cuda", 0)  # a thread can only be put on a GPU that is named by its number
    is_same_gpu = second.type != "cpu" and (second.index or 0) == (first.index or 0)
    if second.type != first.type or is_same_gpu:
        raise SettingsError(
            f"The second device is '{device}' and the first '{first}'. Name two GPUs of this machine, such as cuda:0 "
            "and cuda:1, or leave the second one out."
        )
    return second


def choose_dtype(device: "torch.device", dtype: "torch.dtype | str | None" = None) -> "torch.dtype":
    """Return the precision asked for, or the device's own: float32 on a CPU, float16 on a GPU.

    Args:
        device: where the edit runs.
        dtype: one of `DTYPES` or torch's own object.

    Raises:
        SettingsError: float16 on a CPU.
    """
    import torch

    if dtype is None:
        return torch.float32 if device.type == "cpu" else torch.float16
    chosen: torch.dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    if device.type == "cpu" and chosen == torch.float16:
        raise SettingsError("float16 is several times slower on a CPU. Choose float32 or bfloat16.")
    return chosen


def free_host_bytes() -> int:
    """Return how much of the machine's memory is free, or of the container's."""
    return min([psutil.virtual_memory().available, *_container_limit()])


def _container_limit() -> list[int]:
    """Return what a container's own limit (cgroup v2) leaves, if it has one; the machine's memory is not its own."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return []
    return [] if limit == "max" else [int(limit) - int(used)]
