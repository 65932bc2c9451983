"""Open the studio in a browser; also the entry of a Hugging Face Space."""

import argparse
import os
import signal
import sys
from contextlib import suppress
from importlib.util import find_spec
from threading import Event
from typing import NoReturn

with suppress(ImportError):
    # Only Spaces have it; on ZeroGPU it must come before any library that looks for a GPU.
    import spaces  # noqa: F401  # pyright: ignore[reportMissingImports]

from fastapi.routing import APIRoute

from ui.page import build_page
from ui.rendering.theme import CSS, studio_theme
from ui.work.service import StudioService
from ui.work.web_files import keep_web_files_in
from videograin.errors import SettingsError, VideoGrainError
from videograin.jobs.json_log import log_as_json
from videograin.jobs.settings import OperatorSettings, read_operator_settings, variable_of

DEFAULT_PORT = 7860


def main(arguments: list[str] | None = None) -> int:
    """Serve the page until told to stop, and return the process's exit code."""
    options = parse_options(arguments)
    try:
        settings = read_operator_settings()
        log_as_json()
        check_mcp(settings)
        keep_web_files_in(settings.data_folder / "web")
        studio = StudioService(settings)
    except VideoGrainError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    stopped = Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopped.set())
    serve(studio, settings, options)
    stopped.wait()
    return 0 if studio.worker.stop() else 1


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line; everything else is an environment variable (docs/deploy.md)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default=None, help="address to listen on; 0.0.0.0 for all (default: this machine)")
    parser.add_argument("--port", type=int, default=None, help=f"default: {DEFAULT_PORT} or the next free one")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    return parser.parse_args(arguments)


def check_mcp(settings: OperatorSettings) -> None:
    """Raise SettingsError where agents are to be served but cannot be."""
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


def serve(studio: StudioService, settings: OperatorSettings, options: argparse.Namespace) -> str:
    """Start to serve a studio's page in the background and return its address."""
    blocks = build_page(studio)
    app, url, _ = blocks.queue(default_concurrency_limit=None).launch(
        server_name=options.host,
        server_port=options.port,
        inbrowser=options.open,
        prevent_thread_lock=True,
        auth=[(login.user, login.password) for login in settings.auth] or None,
        max_file_size=settings.max_upload_mb * 10**6,
        allowed_paths=[],
        mcp_server=settings.mcp,
        enable_monitoring=False,
        run_history=False,
        ssr_mode=False,
        show_error=False,
        footer_links=["api"],
        theme=studio_theme(),
        css=CSS,
        quiet=True,
    )

    async def health() -> dict[str, object]:
        """Answer at once: a coroutine waits for none of the threads that handlers keep busy."""
        return {"status": "ok", "jobs": studio.busy_with()}

    app.router.routes.insert(0, APIRoute("/health", health))
    sys.stdout.write(f"VideoGrain Studio is at {url}\n")
    sys.stdout.flush()
    return url


def leave(code: int) -> NoReturn:
    """End the process at once: a step of torch's that goes on would hold an orderly end up, then crash it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main())
