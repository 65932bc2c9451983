"""The studio served: page, health and signals."""

import os
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from threading import Event
from typing import NoReturn

from starlette.middleware import Middleware
from starlette.routing import Route

from ui.guard import Guard
from ui.operations.address import check_address
from ui.operations.health import health_route
from ui.operations.metrics import StudioMetrics, metrics_route
from ui.page import build_page
from ui.rendering.theme import CSS, studio_theme
from ui.work.service import StudioService
from ui.work.web_files import keep_web_files_in
from videograin.errors import SettingsError
from videograin.files.disk import keep_temporary_files_in
from videograin.jobs.settings import OperatorSettings, make_data_folder, read_operator_settings, variable_of
from videograin.json_log import log_as_json, log_what_is_printed
from videograin.progress import stop_signals

OPEN_TABS = 250
"""Whose components Gradio remembers, a third of a megabyte each; open tabs ask now and then, so closed ones go first.
Its own default, 10,000, lets a studio grow by gigabytes."""

SIGNAL_SECONDS = 0.5
"""After which a signal that another thread was handed is found."""


def run_studio(host: str | None = None, port: int | None = None, *, open_browser: bool = False) -> int:
    """Serve the page until told to stop (`set_on_signals`), and return the process's exit code.

    Args:
        host: address to listen on; None is this machine only.
        port: None is 7860 or the next free one.
        open_browser: whether to open the page in a browser.

    Raises:
        VideoGrainError: the operator's settings are wrong, the address is taken, or the model is not to be had.
    """
    settings = read_operator_settings()
    check_address(host, port)
    make_data_folder(settings)
    log_as_json(log_words=settings.log_prompts)
    check_mcp(settings)
    keep_web_files_in(settings.data_folder / "web")
    metrics = StudioMetrics()
    served = Event()
    studio = StudioService(settings, metrics.note, served)
    keep_temporary_files_in(settings.data_folder / "temporary")  # no other studio's: this one has the folder now
    metrics.watch(studio)
    log_what_is_printed()  # from here on; what the operator must mend was told above, in plain words
    stopped = Event()
    set_on_signals(stopped)
    routes = [health_route(studio), *([metrics_route(metrics)] if settings.metrics else [])]
    url = serve(studio, settings, routes, host, port, open_browser=open_browser)
    served.set()
    sys.stdout.write(f"VideoGrain Studio is at {url}\n")
    sys.stdout.flush()
    wait_for_signal(stopped)
    return 0 if studio.worker.stop() else 1


def set_on_signals(told: Event) -> None:
    """Set an event on the signals that are to end a program."""
    for number in stop_signals():
        signal.signal(number, lambda *_: told.set())


def wait_for_signal(told: Event) -> None:
    """Wait in the main thread until a signal's handler, which Python runs there only, has set an event.

    The system may hand a signal to another thread, and that does not wake this one: it must look by itself.
    """
    while not told.wait(SIGNAL_SECONDS):
        pass


def check_mcp(settings: OperatorSettings) -> None:
    """Raise SettingsError where the operator wants agents served and that cannot be done."""
    if settings.mcp and find_spec("mcp") is None:
        raise SettingsError(
            f"{variable_of('mcp')} is on, but the package for it is not installed. Run: pip install 'mcp>=1.21,<2', or "
            "switch it off."
        )
    if settings.mcp and settings.auth:  # Gradio's tools call the studio without a login, and are refused
        raise SettingsError(
            f"{variable_of('mcp')} does not work together with {variable_of('auth')}. Switch one of them off; to ask "
            "agents who they are, put a proxy that does in front."
        )


def serve(
    studio: StudioService,
    settings: OperatorSettings,
    routes: Sequence[Route],
    host: str | None,
    port: int | None,
    *,
    open_browser: bool,
) -> str:
    """Start to serve a studio's page, and some routes beside it, in the background and return its address."""
    blocks = build_page(studio)
    guard = Middleware(Guard, settings=settings, room=studio.room)
    os.environ["FORWARDED_ALLOW_IPS"] = ""  # uvicorn's own would believe every process of this machine; see guard.py
    # Without the queue no limit on long work would hold.
    _, url, _ = blocks.queue(default_concurrency_limit=None, api_open=False).launch(
        server_name=host,
        server_port=port,
        inbrowser=open_browser,
        prevent_thread_lock=True,
        auth=[(login.user, login.password) for login in settings.auth] or None,
        max_file_size=settings.max_upload_mb * 10**6,
        allowed_paths=[],
        mcp_server=settings.mcp,
        enable_monitoring=False,
        run_history=False,
        ssr_mode=False,
        state_session_capacity=OPEN_TABS,
        show_error=False,
        footer_links=["api"],
        theme=studio_theme(),
        css=CSS,
        quiet=True,
        app_kwargs={"routes": list(routes), "middleware": [guard]},
    )
    return url


def end_process(code: int) -> NoReturn:
    """End the process at once: a denoising step that goes on would hold an orderly end up, then crash it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
