"""A studio ends when it is told to, whichever of its threads the system hands the signal."""

import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ui.launch import set_on_signals, wait_for_signal
from videograin.cli.main import USAGE, main
from videograin.media.encode import save_video

TOO_LONG = 20


def test_a_data_folder_that_cannot_be_written_is_told_with_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VIDEOGRAIN_DATA_FOLDER", str(tmp_path / "file" / "data"))
    assert main(["app"]) == USAGE
    assert "error: VIDEOGRAIN_DATA_FOLDER is" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["app"], ["vote", "study"]])
def test_an_address_that_is_taken_or_of_another_machine_is_told_at_once(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIDEOGRAIN_DATA_FOLDER", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study").mkdir()
    for name in ("a", "b"):
        save_video(tmp_path / f"study/{name}.mp4", np.zeros((1, 16, 16, 3), np.uint8), 8)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert main([*command, "--port", port]) == USAGE
    assert f"cannot be served at 127.0.0.1, port {port} (Address already in use)" in capsys.readouterr().err
    assert main([*command, "--host", "203.0.113.1"]) == USAGE  # an address of documentation (RFC 5737)
    assert "cannot be served at 203.0.113.1 (Cannot assign requested address)" in capsys.readouterr().err
    assert main([*command, "--port", "70000"]) == USAGE
    assert "port is 70000; choose a value from 1 to 65535" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


@pytest.fixture
def told() -> Iterator[threading.Event]:
    """What a signal sets."""
    event = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: event.set())
    yield event
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("is_to_outlive", [True, False], ids=["nohup", "terminal"])
def test_a_studio_ends_with_its_terminal_and_what_is_ignored_stays_so(*, is_to_outlive: bool) -> None:
    told = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGHUP, signal.SIG_IGN if is_to_outlive else signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a background job of a shell: Ctrl-C is meant for another
    try:
        set_on_signals(told)
        signal.raise_signal(signal.SIGINT)
        assert not told.is_set()
        signal.raise_signal(signal.SIGHUP)
        assert told.is_set() is not is_to_outlive
        signal.raise_signal(signal.SIGTERM)
        assert told.is_set()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
