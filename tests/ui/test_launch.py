"""A studio ends when it is told to, whichever of its threads the system hands the signal."""

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from ui.launch import wait_for_signal

TOO_LONG = 20


@pytest.fixture
def told() -> Iterator[threading.Event]:
    """What a signal sets."""
    event = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: event.set())
    yield event
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("is_main", [True, False])
def test_a_signal_ends_the_wait(told: threading.Event, *, is_main: bool):
    target, has_waited_on = threading.get_ident(), threading.Event()

    def send() -> None:
        time.sleep(0.2)  # by now the main thread sleeps
        own = threading.get_ident()
        signal.pthread_kill(target if is_main else own, signal.SIGUSR1)
        if not told.wait(TOO_LONG):
            has_waited_on.set()
            told.set()

    sender = threading.Thread(target=send)
    sender.start()
    wait_for_signal(told)
    sender.join()
    assert not has_waited_on.is_set()
