"""Take pictures of the page: PYTHONPATH=. python tests/browser/pictures.py FOLDER [LOOK] [address]

LOOK is light, dark, phone or phone-dark, which show every state, or readme, which makes the README's two pictures.
"""

import sys
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from chromium import launch
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from visitor import CAT, DOG, EDIT_TIMEOUT, Visitor

from benchmarks.studio import running_studio

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "device_scale_factor": 2}

DESK = {"width": 1280, "height": 800}

LOOKS = {
    "light": ({"viewport": DESK}, "light"),
    "dark": ({"viewport": DESK, "color_scheme": "dark"}, "dark"),
    "readme": ({"viewport": DESK}, "light"),
    "phone": (PHONE, "light"),
    "phone-dark": (PHONE | {"color_scheme": "dark"}, "dark"),
}

Take = Callable[[str], None]

STEPS = 10
"""Of the edits in the pictures: more draw better, and take longer; with fewer, words land on the wrong object."""

FEW_STEPS = 4
"""Of the variations, which are four edits."""

SETTLED = 600
"""Milliseconds after which all animations have ended."""


def tell_story(visitor: Visitor, other: Visitor, take: Take) -> None:
    """Go through every state of the page, from empty to a project that is opened again.

    Args:
        visitor: whose page it is.
        other: a visitor who has a job in the queue for a while.
        take: takes a picture under a name.
    """
    choose_and_mark(visitor, take)
    say_and_set(visitor, take)
    wait_and_cancel(visitor, other, take)
    edit_and_look(visitor, take)
    go_wrong_and_come_back(visitor, take)


def choose_and_mark(visitor: Visitor, take: Take) -> None:
    """Take a clip and mark two objects, with a correction."""
    page = visitor.page
    take("01-empty")
    visitor.go_to("2 Mark")
    take("02-mark-without-clip")
    visitor.go_to("3 Edit")
    take("03-edit-without-clip")
    visitor.go_to("1 Clip")
    visitor.choose_clip("friends")
    take("04-clip")
    page.get_by_label("To second").fill("0.7")
    page.keyboard.press("Tab")
    page.wait_for_function("!document.querySelector('#estimate').innerText.includes('\\n8 frames')")
    take("05-trimmed")
    page.get_by_label("To second").fill("1")
    visitor.open_chosen(8)
    take("06-nothing-marked")
    visitor.mark(CAT)
    take("07-one-click")
    visitor.mark(DOG)
    visitor.choose_tool("remove")
    visitor.press((DOG[0] + 20, DOG[1] + 20))
    page.wait_for_function("!document.querySelector('.vg-view').classList.contains('vg-busy')")
    take("08-two-objects")
    visitor.act("undo")
    visitor.track()
    take("09-followed")
    page.locator("[data-action=frame][data-value='2']").last.click()
    visitor.choose_tool("brush")
    visitor.press((128, 30))
    page.wait_for_function("document.querySelectorAll('.vg-anchor').length > 2")
    take("10-corrected")
    visitor.act("undo")
    page.get_by_role("button", name="Play with masks").click()
    page.wait_for_selector("#overlay img")
    visitor.open_drawer("Masks from and to files")
    page.wait_for_timeout(SETTLED)
    take("11-playing-and-files")


def say_and_set(visitor: Visitor, take: Take) -> None:
    """Say what the objects become, and open every drawer."""
    page = visitor.page
    page.click("#to-edit")
    page.wait_for_selector(".vg-word", state="visible")
    take("12-no-words")
    visitor.go_to("2 Mark")
    visitor.say("a panda", "a robot", background="on grass under a clear sky")
    page.wait_for_function("document.querySelectorAll('.vg-sentence mark').length == 2")
    take("13-words")
    for number, title in ((14, "Sentence, caption"), (15, "Every setting")):
        visitor.open_drawer(title)
        page.wait_for_timeout(SETTLED)
        take(f"{number}-{title.split(',')[0].lower().replace(' ', '-')}")
        if title == "Every setting":
            visitor.set_number("Steps", STEPS)
        visitor.open_drawer(title)
    page.click("#model input")
    take("16-models")
    page.get_by_role("option", name="Stable Diffusion 1.5").click()
    visitor.wait_for_toast("not in the hub's local cache")
    take("17-model-not-here")


def wait_and_cancel(visitor: Visitor, other: Visitor, take: Take) -> None:
    """Wait in the queue behind another visitor, and give up."""
    page = visitor.page
    other.page.click("#edit")
    other.page.wait_for_selector("#progress .vg-job")
    page.click("#preview")
    page.wait_for_function("document.querySelector('#progress').innerText.includes('1 job ahead')")
    take("18-queued")
    other.page.click("#progress [data-action=cancel]")
    page.click("#progress [data-action=cancel]")
    page.wait_for_selector(".vg-stopped", timeout=EDIT_TIMEOUT)
    take("19-cancelled")


def edit_and_look(visitor: Visitor, take: Take) -> None:
    """Edit, lose the page on the way, and look at the result in every way."""
    page = visitor.page
    page.click("#edit")
    page.wait_for_selector("#edit-job .vg-forming", timeout=EDIT_TIMEOUT)
    take("20-running")
    visitor.reload()
    page.wait_for_selector("#edit-job .vg-forming", timeout=EDIT_TIMEOUT)
    take("21-reloaded")
    visitor.wait_for_result()
    take("22-result")
    page.click(".vg-modes [data-mode=side]")
    page.locator("[data-action=attention]").first.click()
    page.wait_for_selector(".vg-attention")
    take("23-side-and-attention")
    page.click("[data-action=score]")
    page.wait_for_selector(".vg-scores img", timeout=EDIT_TIMEOUT)
    take("24-scores")
    visitor.type_into("[data-word='1']", "a fox")
    page.click("#preview")
    page.wait_for_function("document.querySelectorAll('[data-action=show]').length == 2", timeout=EDIT_TIMEOUT)
    take("25-history")
    visitor.open_drawer("Every setting")
    visitor.set_number("Steps", FEW_STEPS)
    visitor.open_drawer("Every setting")
    page.click("#vary")
    page.wait_for_function("document.querySelectorAll('[data-action=take]').length == 4", timeout=EDIT_TIMEOUT)
    take("26-variations")


def go_wrong_and_come_back(visitor: Visitor, take: Take) -> None:
    """Press where nothing can be done, and open a project."""
    page = visitor.page
    project = visitor.download("#project-out")
    visitor.go_to("2 Mark")
    visitor.choose_tool("remove")
    page.click(".vg-object.vg-selected .vg-thumb")
    page.wait_for_selector(".vg-object:not(.vg-selected)")
    page.wait_for_function("!document.querySelector('.vg-selected')")
    visitor.press((10, 10))
    visitor.wait_for_toast("nothing to remove")
    take("27-error")
    visitor.go_to("1 Clip")
    visitor.upload("#project-in", project, "project.zip")
    page.wait_for_selector(".vg-view img[src]", state="visible")
    page.wait_for_timeout(SETTLED)
    take("28-project-opened")


def picture_for_readme(visitor: Visitor, folder: str) -> None:
    """Mark and edit the friends, and take a picture of each of the two steps."""
    page = visitor.page
    visitor.take_example("friends", frames=8)
    visitor.mark(CAT, DOG)
    visitor.track()
    page.keyboard.press("Escape")  # the masks need not play
    page.wait_for_selector(".vg-masks", state="hidden")
    page.evaluate("document.activeElement.blur()")
    _save_small(page, f"{folder}/studio-mark.png")
    visitor.say("a panda", "a robot", background="on grass under a clear sky")
    page.click("#edit")
    visitor.wait_for_result()
    page.wait_for_selector("#progress [data-action=cancel]", state="hidden", timeout=EDIT_TIMEOUT)  # to its last frame
    page.click(".vg-modes [data-mode=side]")
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    _save_small(page, f"{folder}/studio-result.png")


def _save_small(page: Page, file: str) -> None:
    """Save what is on the screen when all animations have ended, packed as well as PNG can."""
    page.wait_for_timeout(SETTLED)
    Image.open(BytesIO(page.screenshot())).convert("RGB").save(file, optimize=True)


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
    query = f"?__theme={theme}"
    visitor, other = (Visitor(browser.new_context(**options).new_page(), address, query) for _ in range(2))
    if look == "readme":
        picture_for_readme(visitor, folder)
        return
    other.take_ready("reef")
    other.open_drawer("Every setting")
    other.set_number("Steps", STEPS)

    def take(name: str) -> None:
        page = visitor.page
        page.screenshot(path=f"{folder}/{look}-{name}.png", full_page=True)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width == options["viewport"]["width"], f"{name} is {width} pixels wide"

    tell_story(visitor, other, take)
    browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
