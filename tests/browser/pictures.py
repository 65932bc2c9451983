"""Take pictures of the page: PYTHONPATH=. python tests/browser/pictures.py FOLDER [light|dark|phone|readme] [address]

The first three looks show every state; "readme" makes the two pictures of the README.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from chromium import launch
from playwright.sync_api import sync_playwright
from visitor import CAT, DOG, EDIT_TIMEOUT, Visitor

from benchmarks.studio import running_studio

LOOKS = {
    "light": ({"viewport": {"width": 1280, "height": 860}}, "light"),
    "dark": ({"viewport": {"width": 1280, "height": 860}, "color_scheme": "dark"}, "dark"),
    "readme": ({"viewport": {"width": 1280, "height": 950}}, "light"),
    "phone": ({"viewport": {"width": 390, "height": 844}, "has_touch": True, "device_scale_factor": 2}, "light"),
}

Take = Callable[[str], None]


def tell_story(visitor: Visitor, take: Take, button: str = "#edit") -> None:
    """Go through the page once, from empty to a result."""
    page = visitor.page
    take("1-empty")
    visitor.choose_clip("friends")
    take("2-clip")
    visitor.open_chosen(8)
    visitor.mark(CAT, DOG)
    take("3-marked")
    visitor.track()
    take("4-tracked")
    visitor.say("a panda", "a robot", background="on grass under a clear sky")
    page.wait_for_timeout(500)
    take("5-words")
    page.get_by_role("button", name="Every setting").click()
    page.wait_for_timeout(500)
    take("6-settings")
    page.get_by_role("button", name="Every setting").click()
    page.click(button)
    page.wait_for_selector(".vg-forming", timeout=EDIT_TIMEOUT)
    take("7-running")
    visitor.wait_for_result()
    take("8-result")
    page.locator("[data-action=heat]").first.click()
    page.wait_for_selector(".vg-heat")
    take("8-heat")
    page.get_by_role("tab", name="2 Mark").click()
    page.click("[data-tool=remove]")
    page.click(".vg-object.vg-selected .vg-thumb")
    page.wait_for_timeout(500)
    visitor.press((10, 10))
    visitor.wait_for_toast("nothing to remove")
    take("9-error")


def picture_for_readme(visitor: Visitor, folder: str) -> None:
    """Mark and edit the friends, and take a picture of each of the two steps."""
    page = visitor.page
    visitor.take_example("friends", frames=8)
    visitor.mark(CAT, DOG)
    visitor.track()
    page.screenshot(path=f"{folder}/studio-mark.png")
    visitor.say("a panda", "a robot", background="on grass under a clear sky")
    page.click("#edit")
    visitor.wait_for_result()
    page.click(".vg-modes [data-mode=side]")
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(500)
    page.screenshot(path=f"{folder}/studio-result.png")


def main(folder: str, look: str = "light", address: str = "") -> None:
    """Take all pictures of one look."""
    options, theme = LOOKS[look]
    Path(folder).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        if address:
            _take_all(launch(playwright), options, theme, address, folder, look)
            return
        with running_studio(Path(scratch)) as studio:
            _take_all(launch(playwright), options, theme, studio.url, folder, look)


def _take_all(browser, options: dict, theme: str, address: str, folder: str, look: str) -> None:
    page = browser.new_context(**options).new_page()
    visitor = Visitor(page, address)
    visitor.reload(f"?__theme={theme}")
    if look == "readme":
        picture_for_readme(visitor, folder)
    else:
        tell_story(visitor, lambda name: page.screenshot(path=f"{folder}/{look}-{name}.png", full_page=True))
    browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
