"""Work on a clip's frames side by side: NumPy and OpenCV let other threads go on while they compute."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
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


def map_beside(function: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
    """Yield what a function makes of each item in their order, computed in a thread while the next item is made.

    However it ends, the function was called with each item that was made, and has returned.

    Raises:
        Exception: whatever the items raise, or a call did, once the item after it is made.
    """
    with ThreadPoolExecutor(1, "beside") as thread:
        computing: Future[T] | None = None
        for item in items:
            before, computing = computing, thread.submit(function, item)
            if before is not None:
                yield before.result()
        if computing is not None:
            yield computing.result()
