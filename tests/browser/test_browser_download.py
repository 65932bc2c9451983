"""A model that is not on this machine, in the page: what it takes is said, then it comes, stops and goes on.

What it can do besides is offered with it: objects are drawn after pictures.
"""

from pathlib import Path
from typing import Any

import pytest
from fakes import tiny_pipeline
from PIL import Image
from playwright.sync_api import expect
from visitor import Visitor

from benchmarks.hub import loopback_hub
from benchmarks.studio import running_studio
from videograin.models.bundles import find_bundle

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OFFER, CANCEL = "#download button[data-action=download]", "#download button[data-action=cancel]"


def give_picture(visitor: Visitor, file: Path) -> None:
    """Give an object a picture that it is drawn after."""
    Image.new("RGB", (40, 30), "orange").save(file)
    visitor.open_drawer("Reference pictures")
    expect(visitor.page.locator("#picture-object input")).to_have_value("cap")  # the only object
    visitor.upload("#picture-in", file, "fox.png")
    visitor.page.wait_for_selector("#picture-list [data-action=weigh]")


def test_a_download_is_asked_for_shows_its_bytes_stops_and_goes_on(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with loopback_hub(tmp_path / "hub") as hub:
        tiny_pipeline(widths=(64, 128)).save_pretrained(hub.root / find_bundle("sd15").source)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
        with running_studio(tmp_path / "studio", offline=0) as studio:
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            visitor = Visitor(page, studio.url)
            visitor.take_ready("cap")
            assert not page.locator("#pictures").is_visible()  # Emoji World draws after words alone
            page.click("#model input")
            page.get_by_role("option", name="Stable Diffusion 1.5").click()
            page.wait_for_selector(OFFER)
            give_picture(visitor, tmp_path / "fox.png")
            expect(page.locator("#download")).to_contain_text("It is downloaded once: 4.3 GB.")
            assert hub.bytes_sent == 0
            hub.bytes_per_second = 2**19
            page.click(OFFER)
            page.locator("#download", has_text="MB/s").wait_for()
            page.click(CANCEL)
            page.wait_for_selector(OFFER)
            hub.bytes_per_second = None
            page.click(OFFER)
            page.locator("#download", has_text="IP-Adapter").wait_for()  # which draws after pictures
            page.click("#picture-list [data-action=remove]")
            page.wait_for_function("!document.querySelector('#download').innerText.trim()")
            assert any(offset > 0 for offset in hub.offsets)
            page.context.close()
