"""What a stage says while it runs."""

import time

STARTED = time.time()
"""When the process began to import its parts, in seconds since the epoch."""


def log(*parts: object) -> None:
    """Print with the seconds since the process started."""
    print(f"[{time.time() - STARTED:6.1f}]", *parts, flush=True)
