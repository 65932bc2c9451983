"""Work on a thread that ends with it.

Each thread on which a CPU computes keeps helpers of OpenMP's for as long as it lives. Where there are more of them in a
process than cores, OpenMP has all of them sleep between any two operations instead of waiting awake, and an edit takes
a third longer. A thread that ends takes its helpers along.
"""

from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def on_own_thread(work: Callable[[], T]) -> Future[T]:
    """Start work on a thread of its own; what it returns, or raises, is in the future.

    No thread of a pool would be there any more after a fork.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    Thread(target=copy_context().run, args=(run,), daemon=True).start()
    return future
