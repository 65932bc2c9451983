"""Workers for the tests of `benchmarks.crew`, apart so that its processes import little."""

import os


class Squarer:
    """Squares numbers, fails at 13 and dies at 99."""

    def __init__(self, device: str) -> None:
        self.device = device

    def measure(self, task: int) -> int:
        if task == 13:
            raise ValueError("thirteen")
        if task == 99:
            os._exit(3)
        return task * task
