"""A headless Chromium to open the studio in."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chromium import CHROMIUM, launch
from visitor import Visitor


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start a browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as started:
        browser = launch(started)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Callable[..., Visitor]]:
    """Return a function that opens the page as a new visitor; no page may break its own Content-Security-Policy."""
    contexts, violations = [], []

    def note(message: Any) -> None:
        violations.extend([message.text] if "Content Security Policy" in message.text else [])

    def visit(query: str = "", **options: object) -> Visitor:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        context.on("console", note)
        contexts.append(context)
        return Visitor(context.new_page(), address, query)

    yield visit
    for context in contexts:
        context.unroute_all(behavior="ignoreErrors")  # do not wait for requests that a test held and did not let go
        context.close()
    assert not violations
