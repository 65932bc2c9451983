"""Where tensors live and how precise they are: the device and dtype that were asked for, or the best there is."""

from contextlib import suppress

import torch

from videograin.errors import SettingsError

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


def choose_device(device: torch.device | str | None = None) -> torch.device:
    """Return the device asked for, or the best there is: CUDA, then Apple's GPU, then the CPU."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device is None:
        return torch.device(next(name for name, is_there in there.items() if is_there))
    with suppress(RuntimeError):  # torch's word for a device that it never heard of
        chosen = torch.device(device)
        if there.get(chosen.type) and (chosen.index or 0) < max(1, torch.cuda.device_count()):
            return chosen
    names = ", ".join(name for name, is_there in there.items() if is_there)
    raise SettingsError(f"Device '{device}' is not on this machine. Choose one of: {names}.")


def choose_dtype(device: torch.device, dtype: torch.dtype | None = None) -> torch.dtype:
    """Return the precision asked for, or the device's own: float32 on a CPU, float16 on a GPU."""
    if dtype is None:
        return torch.float32 if device.type == "cpu" else torch.float16
    if device.type == "cpu" and dtype == torch.float16:
        raise SettingsError("float16 is several times slower on a CPU. Choose float32 or bfloat16.")
    return dtype
