"""A newcomer's way from a clip of one's own to the MP4, in a real browser: python -m benchmarks.journey --json FILE

Counts the clicks, looks whether each control was in sight without scrolling, times each wait, and looks whether a wait
of more than a second had a progress to look at. A picture of each state goes into one contact sheet beside the file.
"""

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw
from playwright.sync_api import Locator, Page, sync_playwright

from benchmarks.studio import running_studio
from benchmarks.table import print_table
from tests.browser.chromium import launch
from tests.browser.visitor import CAT, DOG, EDIT_TIMEOUT, Visitor
from videograin.files.atomic import write_whole
from videograin.media.encode import save_video
from videograin.media.video import ClipOptions, load_clip
from videograin.project.examples import example_path

MOST_CLICKS = 9
VIEWPORT = (1280, 800)

PATIENCE = 1.0
"""Seconds after which a user must see that something is going on."""

SIGNS = "#progress [role=progressbar], .vg-busy, .progress-text, .eta-bar, .upload-progress, .wrap.generating, .loader"
"""What shows that something is going on: our bars, the picture's line, and Gradio's own."""

IS_SEEN = """selector => [...document.querySelectorAll(selector)].some((node) => {
    const { width, height, top, bottom } = node.getBoundingClientRect();
    return width && height && bottom > 0 && top < innerHeight && getComputedStyle(node).visibility !== "hidden";
})"""


@dataclass(frozen=True)
class Wait:
    """Something that a user waited for.

    Attributes:
        what: it was.
        seconds: it took.
        has_progress: whether something showed that it was going on, a second after it began; true where it was quicker.
    """

    what: str
    seconds: float
    has_progress: bool


@dataclass
class Journey:
    """What a journey came to.

    Attributes:
        clicks: what was pressed, in order.
        hidden: which of that was not in sight without scrolling.
        waits: in order.
        pictures: PNGs of the states by their names.
        megabytes: of the MP4 that was downloaded.
    """

    clicks: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)
    megabytes: float = 0.0

    @property
    def problems(self) -> list[str]:
        """What breaks a promise, in sentences."""
        found = [f"'{each}' was not in sight." for each in self.hidden]
        silent = [each for each in self.waits if not each.has_progress]
        found += [f"{each.what}: {each.seconds:.1f} s without a progress." for each in silent]
        if len(self.clicks) > MOST_CLICKS:
            found.append(f"It took {len(self.clicks)} clicks; {MOST_CLICKS} is the most.")
        return found


class Traveller:
    """Walks through the page, and notes what that takes.

    Args:
        page: with the studio open.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self.journey = Journey()

    def click(self, name: str, target: Locator) -> None:
        """Press a control where it is, without scrolling to it."""
        self._note_click(name, target)
        target.click()

    def point(self, name: str, place: tuple[float, float], side: float = 256) -> None:
        """Press on the picture at a pixel of the frame."""
        canvas = self._page.locator(".vg-view canvas")
        self._note_click(name, canvas)
        area = canvas.bounding_box()
        assert area is not None
        self._page.mouse.click(
            area["x"] + place[0] / side * area["width"], area["y"] + place[1] / side * area["height"]
        )

    def choose_file(self, name: str, button: Locator, file: Path) -> None:
        """Press what asks for a file, and give it one."""
        self._note_click(name, button)
        with self._page.expect_file_chooser() as chooser:
            button.click()
        chooser.value.set_files(file)

    def wait(self, what: str, condition: str) -> None:
        """Wait until a condition holds in the page, looking for a progress meanwhile."""
        started, has_progress = time.monotonic(), False
        while not self._page.evaluate(condition):
            has_progress = has_progress or self._page.evaluate(IS_SEEN, SIGNS)
            assert time.monotonic() - started < EDIT_TIMEOUT / 1000, f"waited in vain: {what}"
            self._page.wait_for_timeout(100)
        seconds = time.monotonic() - started
        self.journey.waits.append(Wait(what, round(seconds, 2), has_progress or seconds <= PATIENCE))

    def take(self, name: str) -> None:
        """Keep a picture of what is on the screen."""
        self.journey.pictures[name] = self._page.screenshot()

    def _note_click(self, name: str, target: Locator) -> None:
        self.journey.clicks.append(name)
        area = target.bounding_box()
        height = VIEWPORT[1]
        if area is None or area["y"] < 0 or area["y"] + area["height"] > height or self._page.evaluate("scrollY"):
            self.journey.hidden.append(name)


def travel(visitor: Visitor, clip: Path) -> Journey:
    """Go from a clip of one's own, which shows the friends, to the MP4 in which both have changed."""
    page, go = visitor.page, Traveller(visitor.page)
    go.take("1 the page")
    go.choose_file("choose a file", page.locator("#upload button").first, clip)
    go.wait("the clip is read", "document.querySelector('.vg-estimate') !== null")
    go.take("2 a clip is chosen")
    go.click("Continue to marking", page.locator("#open-clip"))
    go.wait("the clip is opened", "Boolean(document.querySelector('.vg-view img[src]')?.offsetParent)")
    go.point("the cat", CAT)
    go.wait("the cat's mask", "document.querySelectorAll('.vg-object').length == 1")
    go.point("the dog", DOG)
    go.wait("the dog's mask", "document.querySelectorAll('.vg-object').length == 2")
    go.take("3 two objects are marked")
    go.click("Follow all", page.locator("#track-all"))
    go.wait(
        "the objects are followed",
        "[...document.querySelectorAll('.vg-name small')].every((state) => state.textContent == 'in every frame')",
    )
    go.take("4 the masks play")
    go.click("Continue to words", page.locator("#to-edit"))
    go.wait("the words' fields", "document.activeElement.matches('#words input')")
    page.keyboard.type("a panda")
    page.keyboard.press("Tab")
    while not page.evaluate("document.activeElement.matches('#words input[type=text]')"):
        page.keyboard.press("Tab")
    page.keyboard.type("a robot")
    go.wait("the sentence", "document.querySelectorAll('.vg-sentence mark').length == 2")
    go.take("5 the words are said")
    go.click("Edit the clip", page.locator("#edit"))
    go.wait("the clip begins to form", "Boolean(document.querySelector('#edit-job .vg-forming'))")
    go.take("6 the clip forms")
    go.wait("the edit", "document.querySelector('.vg-compare:not([hidden]) video')?.currentTime > 0.1")
    go.take("7 the result")
    link = page.locator(".vg-downloads a").first
    with page.expect_download() as download:
        go.click("Download MP4", link)
    go.journey.megabytes = round(download.value.path().stat().st_size / 1e6, 3)
    return go.journey


def own_clip(folder: Path, frames: int) -> Path:
    """Write a short clip of the friends as a user might have it."""
    clip = load_clip(example_path("friends") / "clip.mp4", ClipOptions(max_frames=frames))
    save_video(folder / "holiday.mp4", clip.frames, clip.fps)
    return folder / "holiday.mp4"


def contact_sheet(pictures: dict[str, bytes], columns: int = 3, width: int = 640) -> Image.Image:
    """Return all pictures in one, each under its name."""
    height, title = width * VIEWPORT[1] // VIEWPORT[0], 24
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * width, rows * (height + title)), "white")
    ink = ImageDraw.Draw(sheet)
    for place, (name, content) in enumerate(pictures.items()):
        x, y = place % columns * width, place // columns * (height + title)
        ink.text((x + 8, y + 6), name, fill="black")
        sheet.paste(Image.open(BytesIO(content)).resize((width, height)), (x, y + title))
    return sheet


def report(journey: Journey, file: Path) -> None:
    """Write the figures to a JSON file and the pictures beside it."""
    figures = {name: value for name, value in asdict(journey).items() if name != "pictures"}
    write_whole(file, json.dumps({**figures, "problems": journey.problems}, indent=2).encode())
    contact_sheet(journey.pictures).save(file.with_suffix(".jpg"), quality=85)


def main() -> None:
    """Travel once in a studio of its own, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="file to write; the contact sheet goes beside it")
    parser.add_argument("--frames", type=int, default=8, help="of the clip")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_studio(Path(folder)) as studio,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright)
        context = browser.new_context(viewport={"width": VIEWPORT[0], "height": VIEWPORT[1]})
        journey = travel(Visitor(context.new_page(), studio.url), own_clip(Path(folder), options.frames))
        browser.close()
    report(journey, options.json)
    rows = [[wait.what, f"{wait.seconds:.1f}", "yes" if wait.has_progress else "no"] for wait in journey.waits]
    print_table(f"{len(journey.clicks)} clicks", ["wait", "seconds", "has a progress, or is short"], rows)
    for problem in journey.problems:
        print(problem)
    raise SystemExit(bool(journey.problems))


if __name__ == "__main__":
    main()
