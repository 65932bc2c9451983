"""What work costs: seconds, and the most memory that device and process held meanwhile."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil
import torch

T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """What some work took.

    Attributes:
        seconds: by the clock.
        device_bytes: most that PyTorch held on a CUDA device; 0 on others.
        host_bytes: most that this process held, what it held before included.
    """

    seconds: float
    device_bytes: int
    host_bytes: int


def measure_cost(work: Callable[[], T], device: torch.device) -> tuple[T, Cost]:
    """Do some work on a device; returns its result and its cost."""
    _forget_host_peak()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    started = time.monotonic()
    result = work()
    seconds = time.monotonic() - started
    held = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return result, Cost(seconds, held, _host_peak())


def _forget_host_peak() -> None:
    """Let the kernel count this process's peak memory from now on, where it can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _host_peak() -> int:
    """Return the most bytes that this process held since then; what it holds now where the kernel does not say."""
    with suppress(OSError):
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return 1024 * int(lines["VmHWM"].split()[0])
    return psutil.Process(os.getpid()).memory_info().rss
