"""How long the page takes to answer a user, in a real browser on this machine: python -m benchmarks.page [--json FILE]

Each studio is a new one, started as `make app` starts it. Seconds count from the user's press, or from asking for the
page, until what was asked for is on the screen.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, sync_playwright

from benchmarks.studio import running_studio
from benchmarks.table import print_table
from tests.browser.chromium import launch
from tests.browser.visitor import CAT, DOG, Visitor

VISITS, PREVIEWS = 5, 2
POINTS = [CAT, DOG, (45, 190), (210, 130), (90, 150), (175, 190)]
AIMS = {
    "start to /health": 10.0,
    "start to a loaded model": 20.0,
    "first paint of the page": 1.2,
    "choose a clip to marking it": 1.5,
    "click to mask, frame encoded": 0.6,
    "hover to outline, frame encoded": 0.15,
    "preview of one frame": 4.0,
    "preview of four frames": 15.0,
}
"""Seconds at most, each median."""

WATCH_CLICKS = """() => {
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

WATCH_HOVERING = """() => {
    const canvas = document.querySelector(".vg-view canvas");
    window.waits = [];
    canvas.addEventListener("pointermove", () => { window.moved = performance.now(); });
    new MutationObserver(() => {
        if (!window.moved || canvas.dataset.outlines == 0) return;
        window.waits.push(performance.now() - window.moved);
        window.moved = 0;
    }).observe(canvas, { attributeFilter: ["data-outlines"] });
}"""
"""Measures in the browser from the pointer's last move, its rest included, to the outline."""


def main() -> None:
    """Measure all of it, print one table and, if asked, write the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    figures = measure()
    rows = [
        [what, f"{median(each):.2f}", f"{max(each):.2f}", str(len(each)), f"{AIMS[what]:g}"]
        for what, each in figures.items()
    ]
    print_table("The page, in seconds", ["", "median", "slowest", "times", "aim, at most"], rows)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        told = {what: {"median": median(each), "aim": AIMS[what]} for what, each in figures.items()}
        arguments.json.write_text(json.dumps(told, indent=1) + "\n")


def measure() -> dict[str, list[float]]:
    """Return seconds by what they were waited for, as `AIMS` names it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_studio(Path(folder)) as studio,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright)
        paints = [first_paint(browser.new_context().new_page(), studio.url) for _ in range(VISITS)]
        openings = [choose_to_marking(Visitor(browser.new_context().new_page(), studio.url)) for _ in range(VISITS)]
        visitor = Visitor(browser.new_context().new_page(), studio.url)
        open_encoded(visitor)
        hovering, clicks = hover_to_outline(visitor), click_to_mask(visitor)
        previews = [
            [press_to_preview(Visitor(browser.new_context().new_page(), studio.url), button) for _ in range(PREVIEWS)]
            for button in ("#preview-frame", "#preview")
        ]
        browser.close()
    waits = [studio.up_after], [studio.loaded_after], paints, openings, clicks, hovering, *previews
    return dict(zip(AIMS, waits, strict=True))


def first_paint(page: Page, address: str) -> float:
    """Return seconds from asking for the page until a user sees its examples, nothing cached."""
    started = time.perf_counter()
    page.goto(address)
    page.wait_for_selector(".vg-example img")
    seconds = time.perf_counter() - started
    page.context.close()
    return seconds


def choose_to_marking(visitor: Visitor) -> float:
    """Return seconds that a user waits between choosing a clip and its first frame, ready to be marked."""
    started = time.perf_counter()
    visitor.choose_clip("friends")
    visitor.page.click("#open-clip")
    visitor.page.wait_for_function("document.querySelector('.vg-view img')?.naturalWidth > 0")
    seconds = time.perf_counter() - started
    visitor.page.context.close()
    return seconds


def press_to_preview(visitor: Visitor, button: str) -> float:
    """Return seconds from the press of a button on the third step until the preview of two objects can be seen."""
    visitor.take_ready("friends")
    started = time.perf_counter()
    visitor.page.click(button)
    visitor.page.wait_for_function("document.querySelector('.vg-compare video')?.videoWidth > 0", timeout=120_000)
    seconds = time.perf_counter() - started
    visitor.page.context.close()
    return seconds


def open_encoded(visitor: Visitor) -> None:
    """Open a clip with nothing marked, whose first frame is encoded."""
    visitor.take_example("friends", frames=2)
    visitor.mark(CAT)
    visitor.act("undo")
    visitor.wait_for_objects(0)


def hover_to_outline(visitor: Visitor) -> list[float]:
    """Return seconds from each rest of the pointer on an object until that is outlined."""
    visitor.page.evaluate(WATCH_HOVERING)
    for number, point in enumerate((CAT, DOG) * 3, 1):
        visitor.page.mouse.move(0, 0)  # away from the picture: its outline goes
        visitor.page.wait_for_function("document.querySelector('.vg-view canvas').dataset.outlines == 0")
        visitor.hover(point)
        _wait_for_answer(visitor, number)
    return _answers(visitor)


def click_to_mask(visitor: Visitor) -> list[float]:
    """Return seconds from each click until its mask is on the screen."""
    visitor.page.evaluate(WATCH_CLICKS)
    for number, point in enumerate(POINTS, 1):
        visitor.press(point)
        _wait_for_answer(visitor, number)
    return _answers(visitor)


def _wait_for_answer(visitor: Visitor, number: int) -> None:
    visitor.page.wait_for_function(f"window.waits.length == {number}")


def _answers(visitor: Visitor) -> list[float]:
    return [wait / 1000 for wait in visitor.page.evaluate("window.waits")]


if __name__ == "__main__":
    main()
