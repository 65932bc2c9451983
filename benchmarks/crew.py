"""Work in several processes, every result kept at once, so that a run can be stopped and resumed.

A small model cannot fill a GPU: its steps wait for kernels to be launched. Several processes on one GPU do.
"""

import json
import os
import queue
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
R = TypeVar("R")
T_contra = TypeVar("T_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Worker(Protocol[T_contra, R_co]):
    """What a process does, over and over."""

    def measure(self, task: T_contra, /) -> R_co:
        """Carry out one task."""
        ...


@dataclass(frozen=True)
class Done(Generic[T, R]):
    """A task and its result, or how it failed."""

    task: T
    result: R | None
    error: str = ""


def work_off(
    hire: Callable[[str], Worker[T, R]], devices: Sequence[str], tasks: Sequence[T], seconds: float
) -> Iterator[Done[T, R]]:
    """Have tasks done in their order, by one process a device; yield them as they are finished.

    Args:
        hire: makes a worker on a device; it and the tasks must pickle.
        devices: one for each process; several may share one.
        tasks: what to do.
        seconds: after which no new task is begun.
    """
    context = get_context("spawn")  # CUDA does not survive a fork
    waiting, finished = context.Queue(), context.Queue()
    for task in [*tasks, *[None] * len(devices)]:
        waiting.put(task)
    deadline = time.time() + seconds
    threads = max(1, len(os.sched_getaffinity(0)) // len(devices))
    processes = [
        context.Process(target=_work, args=(hire, device, threads, waiting, finished, deadline), daemon=True)
        for device in devices
    ]
    for process in processes:
        process.start()
    try:
        yield from _results(finished, processes)
    finally:
        waiting.cancel_join_thread()
        for process in processes:
            process.terminate()
            process.join()


def keep_results(
    finished: Iterable[Done[T, R]], count: int, file: Path, line_of: "Callable[[T, R], DataclassInstance]"
) -> None:
    """Append a line of JSON to a file for each result at once, and print how far the run has come.

    Args:
        finished: tasks as they end; one that failed leaves no line, and its error is printed.
        count: how many there are to be.
        file: made with its folder where it is missing.
        line_of: a task and its result as a line.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lines:
        for number, done in enumerate(finished, 1):
            name = f"{number}/{count} {done.task}"
            if done.result is None:
                print(f"{name} failed:\n{done.error}", flush=True)
                continue
            lines.write(json.dumps(asdict(line_of(done.task, done.result))) + "\n")
            lines.flush()
            print(f"{name}: {done.result}", flush=True)


def _work(hire: Callable, device: str, threads: int, waiting: object, finished: object, deadline: float) -> None:
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    worker = hire(device)
    for task in iter(waiting.get, None):  # pyright: ignore[reportAttributeAccessIssue]
        if time.time() > deadline:
            break
        try:
            done = Done(task, worker.measure(task))
        except Exception:  # one task that fails must not cost the others
            done = Done(task, None, traceback.format_exc())
        finished.put(done)  # pyright: ignore[reportAttributeAccessIssue]


def _results(finished: object, processes: Sequence) -> Iterator[Done]:
    """Yield results until all processes have ended and nothing is left in the queue."""
    while True:
        ended = not any(process.is_alive() for process in processes)
        try:
            yield finished.get(timeout=0.2)  # pyright: ignore[reportAttributeAccessIssue]
        except queue.Empty:
            if ended:
                break
    for process in processes:
        if process.exitcode:
            print(f"A worker ended with code {process.exitcode}; its task is left out.", file=sys.stderr)
