"""Whether a page can be served where it is asked for."""

import os
import socket

from videograin.errors import SettingsError, check_range

THIS_MACHINE = "127.0.0.1"
"""Where Gradio listens unless it is told otherwise."""

MAX_PORT = 65535


def check_address(host: str | None, port: int | None) -> None:
    """Raise SettingsError where no page can be served: Gradio tries a hundred ports for minutes, and ends in a trace.

    Args:
        host: address to listen on; None is GRADIO_SERVER_NAME, or this machine only.
        port: None is any that is free.
    """
    if port is not None:
        check_range("port", port, 1, MAX_PORT)
    name = host or os.environ.get("GRADIO_SERVER_NAME") or THIS_MACHINE
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(name.strip("[]"), port or 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as a server has it: just closed is free
            tried.bind(address)
    except (OSError, UnicodeError) as error:
        place = name if port is None else f"{name}, port {port}"
        raise SettingsError(
            f"The page cannot be served at {place} ({getattr(error, 'strerror', None) or error}). Choose a free port "
            "with --port, or an address of this machine with --host."
        ) from error
