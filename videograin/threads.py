"""Work on a clip's frames side by side: NumPy and OpenCV let other threads go on while they compute."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def map_in_threads(function: Callable[..., T], *arguments: Iterable) -> list[T]:
    """Return what a function makes of each set of arguments, in their order, computed on all cores.

    Args:
        function: called as by `map`; it must not wait for another of its calls.
        arguments: as of `map`, of equal lengths.

    Raises:
        Exception: whatever the first call that fails raises; the others run to their end.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, *arguments))
