"""A visitor of the page, in words of the story."""

import time
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from urllib.parse import urljoin

from playwright.sync_api import Locator, Page, Route, expect

CAT, DOG = (63, 164), (193, 159)
"""Where they are on the first frame of the friends example, 256×256."""

ADVANCED = ("Frames at most", "Shorter side")
"""Fields of the first step that are folded away."""

SECOND = 1000
PATIENCE = 60 * SECOND
"""How long a visitor waits for what should be seen at once: other tests run beside it."""

expect.set_options(timeout=PATIENCE)

EDIT_TIMEOUT = 600 * SECOND
HELD_TIMEOUT = 60.0


class Held:
    """Actions of a page that are under way and do not arrive yet.

    Args:
        page: whose they are.
        words: that only they carry.
    """

    def __init__(self, page: Page, words: str) -> None:
        self._page, self._words = page, words
        self._routes: list[Route] = []
        self._has_held = False
        page.context.route("**/queue/join*", self._hold)

    def wait(self) -> None:
        """Wait until one of them was held; words that no action carries hold none, and the test fails."""
        deadline = time.monotonic() + HELD_TIMEOUT
        while not self._has_held:
            assert time.monotonic() < deadline, f"no action carries {self._words}"
            self._page.wait_for_timeout(10)  # lets the browser's requests come in

    def let_go(self) -> None:
        """Let all of them arrive, in their order."""
        self.wait()
        while self._routes:
            self.let_go_first()
        self._page.context.unroute("**/queue/join*")

    def let_go_first(self) -> None:
        """Let the first arrive, and wait until it has: what is done next is not to overtake it."""
        self._let_go(0)

    def let_go_last(self) -> None:
        """Let the last overtake the others, as above."""
        self._let_go(-1)

    def _let_go(self, place: int) -> None:
        route = self._routes.pop(place)
        route.continue_()
        route.request.response()  # of the queue: it has taken the action

    def __len__(self) -> int:
        """Return how many have not arrived yet."""
        return len(self._routes)

    def _hold(self, route: Route) -> None:
        if self._words in (route.request.post_data or ""):
            self._has_held = True
            self._routes.append(route)
        else:
            route.continue_()


class Visitor:
    """Opens the page and uses it.

    Args:
        page: of the browser.
        address: of the studio.
        query: that the page is opened with.
    """

    def __init__(self, page: Page, address: str, query: str = "") -> None:
        self.page = page
        self.address, self.query = address, query
        self.foreign_requests: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("request", self._note_request)
        self.reload()

    def beside(self) -> "Visitor":
        """Open the page in another tab of the same browser."""
        return Visitor(self.page.context.new_page(), self.address)

    def reload(self) -> None:
        """Load the page."""
        self.page.goto(urljoin(self.address, self.query))
        self.page.wait_for_selector(".vg-example", state="attached")
        self.page.wait_for_function("document.querySelector('#status p')")

    def take_example(self, name: str, frames: int = 4) -> None:
        """Take an example's clip and go on to marking."""
        self.choose_clip(name)
        self.open_chosen(frames)

    def choose_clip(self, name: str) -> None:
        """Choose an example's clip."""
        self.page.click(f"[data-action=clip][data-value={name}]")
        self.page.wait_for_selector(".vg-estimate")

    def open_chosen(self, frames: int) -> None:
        """Go on to marking with at most `frames` frames."""
        self.set_number("Frames at most", frames)
        self.wait_for_estimate(f"\n{frames} frames")
        self.page.click("#open-clip")
        self.page.wait_for_selector(".vg-view img[src]")

    def wait_for_estimate(self, words: str) -> None:
        """Wait until what is said about the choice of a clip has these words."""
        self.page.wait_for_function(
            "words => document.querySelector('.vg-estimate')?.innerText.includes(words)", arg=words
        )

    def set_number(self, label: str, value: float) -> None:
        """Write a number into the field of a slider, also where it is folded away with others of the first step."""
        field = self.page.locator(f"input[aria-label*='{label}']").first
        if label in ADVANCED and not field.is_visible():
            self.open_drawer("Advanced")
        field.fill(str(value))
        field.press("Enter")

    def take_ready(self, name: str) -> None:
        """Take an example with its marks and words."""
        self.page.click(f"[data-action=ready][data-value={name}]")
        self.page.wait_for_selector(".vg-word")

    def open_drawer(self, title: str) -> None:
        """Open a part of the page that is folded."""
        self.page.get_by_role("button", name=title).click()

    def go_to(self, step: str) -> None:
        """Open a step by its tab."""
        self.page.get_by_role("tab", name=step).click()

    def press(self, point: tuple[float, float], side: float = 256) -> None:
        """Click on the frame at a pixel of it."""
        self.page.mouse.click(*self._place(point, side))

    def hover(self, point: tuple[float, float], side: float = 256) -> None:
        """Rest the pointer on the frame at a pixel of it."""
        self.page.mouse.move(*self._place(point, side))

    def _place(self, point: tuple[float, float], side: float) -> tuple[float, float]:
        canvas = self.page.locator(".vg-view canvas")
        canvas.scroll_into_view_if_needed()
        area = canvas.bounding_box()
        assert area is not None
        x, y = (value / side for value in point)
        return area["x"] + x * area["width"], area["y"] + y * area["height"]

    def drag(self, line: Sequence[tuple[float, float]], size: tuple[float, float]) -> None:
        """Draw along a line of pixels of a frame of `size` (width, height), with the tool that is chosen."""
        canvas = self.page.locator(".vg-view canvas")
        canvas.scroll_into_view_if_needed()
        area = canvas.bounding_box()
        assert area is not None
        places = [(area["x"] + x / size[0] * area["width"], area["y"] + y / size[1] * area["height"]) for x, y in line]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=4)
        self.page.mouse.up()

    def choose_tool(self, name: str) -> None:
        """Take a tool: pick, add, remove, box, brush or eraser."""
        self.page.click(f"[data-tool={name}]")

    def mark(self, *points: tuple[float, float]) -> None:
        """Click on parts of the picture that become objects."""
        for point in points:
            count = self.objects()
            self.press(point)
            self.wait_for_objects(count + 1)

    def objects(self) -> int:
        """Return how many objects there are."""
        return self.page.locator(".vg-object").count()

    def wait_for_objects(self, count: int) -> None:
        """Wait until there are `count` objects."""
        self.page.wait_for_function(f"document.querySelectorAll('.vg-object').length == {count}")

    def names(self) -> list[str]:
        """Return the objects' names, the topmost first."""
        return [field.input_value() for field in self.page.locator("[data-action=rename]").all()]

    def wait_for_names(self, *names: str) -> None:
        """Wait until the objects have these names, the topmost first."""
        self.page.wait_for_function(
            "names => [...document.querySelectorAll('[data-action=rename]')].map(f => f.value).join() == names",
            arg=",".join(names),
        )

    def states(self) -> list[str]:
        """Return what the list says of where each object is marked, the topmost first."""
        return self.page.locator(".vg-name small").all_text_contents()

    def frame_image(self) -> Locator:
        """Return the image that shows the frame, with what lies over it."""
        return self.page.locator(".vg-view img")

    def picture(self) -> str:
        """Return what that image shows now."""
        return self.frame_image().get_attribute("src") or ""

    def wait_for_another(self, picture: str) -> str:
        """Wait until another picture is shown, and return it."""
        self.page.wait_for_function("shown => document.querySelector('.vg-view img').src != shown", arg=picture)
        return self.picture()

    def act(self, action: str, number: int | None = None) -> None:
        """Press a button of the object list or below the picture."""
        self.page.click(f"[data-action={action}]" + ("" if number is None else f"[data-id='{number}']"))

    def track(self) -> None:
        """Follow all objects."""
        self.page.click("#track-all")
        self.page.wait_for_function(
            "[...document.querySelectorAll('.vg-name small')].every(state => state.textContent == 'in every frame')"
        )

    def say(self, *prompts: str, background: str = "") -> None:
        """Go to the words and write what each object becomes."""
        self.page.click("#to-edit")
        for number, prompt in enumerate(prompts, 1):
            self.page.fill(f"[data-word='{number}']", prompt)
        self.page.get_by_label("Everything around them").fill(background)

    def type_into(self, selector: str, text: str) -> None:
        """Write into a field key by key, in place of what it holds, and stay there."""
        self.page.click(selector, click_count=3)
        self.page.keyboard.type(text)

    def typed_into(self) -> tuple[str, str]:
        """Return the number of the object whose field has the focus, and what the field holds."""
        number, text = self.page.evaluate("[document.activeElement.dataset.id, document.activeElement.value]")
        return number, text

    def prompts(self) -> list[str]:
        """Return what each object is to become."""
        return [field.input_value() for field in self.page.locator("[data-word]").all()]

    def hold(self, value: str) -> Held:
        """Keep actions that carry a value, such as the name of their field, from arriving until they are let go."""
        return Held(self.page, f'"{value}"')

    def hold_presses(self, handler: str) -> Held:
        """Keep what one handler answers from arriving until it is let go."""
        find = "name => window.gradio_config.dependencies.find((each) => each.api_name === name).id"
        return Held(self.page, f'"fn_index":{self.page.evaluate(find, f"page_{handler}")},')

    def wait_for_result(self) -> None:
        """Wait until an edit is there and plays."""
        self.page.wait_for_selector(".vg-compare:not([hidden])", timeout=EDIT_TIMEOUT)
        self.page.wait_for_function("document.querySelector('.vg-compare video').currentTime > 0.1")

    def edited_video(self) -> BytesIO:
        """Fetch the MP4 that the page offers."""
        link = self.page.locator(".vg-downloads a").first.get_attribute("href")
        assert link is not None
        return BytesIO(self.page.request.get(urljoin(self.address, link)).body())

    def download(self, selector: str) -> Path:
        """Press a button that makes a file, and return where the file is."""
        with self.page.expect_download() as download:
            self.page.click(selector)
        return download.value.path()

    def upload(self, selector: str, file: Path, name: str) -> None:
        """Press a button that asks for a file, and give it one."""
        with self.page.expect_file_chooser() as chooser:
            self.page.click(selector)
        kind = "application/zip"
        chooser.value.set_files({"name": name, "mimeType": kind, "buffer": file.read_bytes()})

    def wait_for_toast(self, words: str) -> None:
        """Wait until a toast has these words."""
        self.page.locator("[data-testid='toast-body']", has_text=words).first.wait_for()

    def _note_request(self, request) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.foreign_requests.append(request.url)
