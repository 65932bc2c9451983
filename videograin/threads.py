"""Work on a clip's frames side by side: NumPy and OpenCV let other threads go on while they compute."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
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


def map_beside(function: Callable[[S], T], items: Iterable[S], waiting: int) -> Generator[T, None, None]:
    """Yield what a function makes of each item in their order, computed in a thread while the next ones are made.

    However it ends, by `close` too, the function was called with each item that was made, unless the one before failed,
    and has returned.

    Args:
        function: called with one item after the other.
        items: made in the caller's thread, which waits for the function only where too many of them do.
        waiting: items, at most, for which the function has not returned when the next one is made.

    Raises:
        Exception: whatever the items raise, or a call did.
    """

    def call(before: Future[T] | None, item: S) -> T:
        if before is not None:
            before.result()
        return function(item)

    with ThreadPoolExecutor(1, "beside") as thread:
        calls: deque[Future[T]] = deque()
        for item in items:
            calls.append(thread.submit(call, calls[-1] if calls else None, item))
            while calls and (calls[0].done() or len(calls) > waiting):
                yield calls.popleft().result()
        while calls:
            yield calls.popleft().result()
