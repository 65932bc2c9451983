"""The Chromium of this machine."""

import shutil
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-gpu"]


def launch(playwright: Any) -> Any:
    """Start it without a window."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
