"""Threads in which PyTorch computes on one core each, for work that is many small operations.

PyTorch shares every operation among helpers of OpenMP's. They wait awake for the next one only while a process has no
more of them than cores; once a second thread has computed, all sleep between operations, and to wake them takes longer
than a small operation does. Threads that need no helpers take the same time whatever else the process does.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def share_out(work: Callable[[Sequence[T]], None], tasks: Sequence[T]) -> None:
    """Have tasks done on as many cores as PyTorch uses.

    Args:
        work: does some of them, one after the other, without gradients; called once on each core at the same time.
        tasks: of about the same length.

    Raises:
        Exception: what `work` raises; what it does on other cores is done to its end.
    """
    cores, work = torch.get_num_threads(), torch.inference_mode()(work)
    if cores == 1:  # of the machine, or of such a thread
        work(tasks)
    else:
        list(_threads(cores, os.getpid()).map(work, [tasks[first::cores] for first in range(cores)]))


def on_one_core(work: Callable[[], R]) -> R:
    """Have work done in one of these threads, and return what it returns; what it shares out stays there."""
    cores = torch.get_num_threads()
    return work() if cores == 1 else _threads(cores, os.getpid()).submit(work).result()


@cache
def _threads(count: int, _process: int) -> ThreadPoolExecutor:
    """Return threads that end with their process; a fork of it has none of them and gets its own."""
    are_set = Barrier(count + 1)

    def set_up() -> None:
        torch.get_num_threads()  # takes the number that is set for new threads, which is not to come later
        torch.set_num_threads(1)
        are_set.wait()

    threads = ThreadPoolExecutor(count, "one-core", initializer=set_up)
    for _ in range(count):
        threads.submit(are_set.wait)  # each waits until all are there, so that each gets one
    are_set.wait()
    torch.set_num_threads(count)  # theirs was taken for that of threads that are to come as well
    are_set.wait()
    return threads
