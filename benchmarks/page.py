"""How long the page takes to answer a user, in a real browser on this machine: python -m benchmarks.page"""

import tempfile
import time
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, sync_playwright

from benchmarks.studio import running_studio
from benchmarks.table import print_table
from tests.browser.chromium import launch
from tests.browser.visitor import CAT, DOG, Visitor

VISITS = 5
POINTS = [CAT, DOG, (45, 190), (210, 130), (90, 150), (175, 190)]
FIRST_CLICK_AIM, PAINT_AIM = 0.6, 3.0

WATCH = """() => {
    const picture = document.querySelector(".vg-view img");
    const canvas = document.querySelector(".vg-view canvas");
    window.waits = [];
    canvas.addEventListener("pointerup", () => { window.pressed = performance.now(); });
    picture.addEventListener("load", () => requestAnimationFrame(() => {
        if (window.pressed) window.waits.push(performance.now() - window.pressed);
        window.pressed = 0;
    }));
}"""
"""Measures in the browser from the release of the button to the frame after the new picture has been decoded."""


def main() -> None:
    """Measure both and print one table."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_studio(Path(folder)) as studio,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright)
        paints = [first_paint(browser.new_context().new_page(), studio.url) for _ in range(VISITS)]
        clicks = click_to_mask(Visitor(browser.new_context().new_page(), studio.url))
        browser.close()
    rows = [
        ["first paint of the page", *_figures(paints), f"{PAINT_AIM:g}"],
        ["click to mask shown, frame encoded", *_figures(clicks), f"{FIRST_CLICK_AIM:g}"],
    ]
    print_table("The page, in seconds", ["", "median", "slowest", "times", "aim, at most"], rows)


def first_paint(page: Page, address: str) -> float:
    """Return seconds from asking for the page until a user sees its examples, nothing cached."""
    started = time.perf_counter()
    page.goto(address)
    page.wait_for_selector(".vg-example img")
    seconds = time.perf_counter() - started
    page.context.close()
    return seconds


def click_to_mask(visitor: Visitor) -> list[float]:
    """Return seconds from each click until its mask is on the screen."""
    visitor.take_example("friends", frames=2)
    visitor.mark(CAT)  # by now the frame is encoded
    visitor.act("undo")
    visitor.wait_for_objects(0)
    visitor.page.evaluate(WATCH)
    for number, point in enumerate(POINTS, 1):
        visitor.press(point)
        visitor.page.wait_for_function(f"window.waits.length == {number}")
    return [wait / 1000 for wait in visitor.page.evaluate("window.waits")]


def _figures(seconds: list[float]) -> list[str]:
    return [f"{median(seconds):.2f}", f"{max(seconds):.2f}", str(len(seconds))]


if __name__ == "__main__":
    main()
