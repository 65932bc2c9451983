"""Where tensors live and how precise they are: the device and dtype asked for, or the best ones there are.

torch is imported where it is used, so that the command line knows `DTYPES` without it.
"""

from contextlib import suppress
from typing import TYPE_CHECKING

from videograin.errors import SettingsError

if TYPE_CHECKING:
    import torch

DTYPES = ("float16", "bfloat16", "float32")
"""Names of the precisions that an edit can run in."""


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
