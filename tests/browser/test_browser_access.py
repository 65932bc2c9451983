"""The page for all: axe-core finds nothing serious in any step, light or dark, and keys do what the list says."""

from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe
from visitor import CAT, DOG

from benchmarks import journey
from ui.work.settings_link import to_token
from videograin.models.bundles import DEFAULT_MODEL, find_bundle

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SERIOUS = ("serious", "critical")


def serious_findings(page) -> list[str]:
    """What axe-core finds on the page as it is, one line a finding."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['html'][:120]} {node['any'][0]['message'][:120] if node['any'] else ''}"
        for each in found
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_any_step(visit, theme):
    visitor = visit(f"?__theme={theme}", reduced_motion="reduce")
    page = visitor.page
    assert serious_findings(page) == []
    visitor.choose_clip("friends")
    assert serious_findings(page) == []
    visitor.open_chosen(2)
    visitor.mark(CAT, DOG)
    assert serious_findings(page) == []
    visitor.page.click("#to-edit")
    page.wait_for_selector(".vg-word", state="visible")
    visitor.open_drawer("Every setting")
    visitor.open_drawer("For researchers")
    assert serious_findings(page) == []
    page.keyboard.press("Escape")
    page.locator("[data-keys]").click()
    assert serious_findings(page) == []


def test_keys_play_step_undo_and_choose_tools(visit):
    visitor = visit()
    page = visitor.page
    visitor.take_example("friends")
    visitor.mark(CAT)
    page.keyboard.press("Control+z")
    visitor.wait_for_objects(0)
    page.keyboard.press("Control+Shift+z")
    visitor.wait_for_objects(1)
    for key, tool in (("b", "brush"), ("e", "eraser"), ("x", "box"), ("a", "add"), ("r", "remove"), ("Escape", "pick")):
        page.keyboard.press(key)
        assert page.locator(f"[data-tool={tool}]").get_attribute("aria-pressed") == "true"
    page.evaluate(
        "for (const [key, code] of [['и', 'KeyB'], ['у', 'KeyE']])"  # of a Cyrillic keyboard
        " document.body.dispatchEvent(new KeyboardEvent('keydown', { key, code, bubbles: true }))"
    )
    assert page.locator("[data-tool=eraser]").get_attribute("aria-pressed") == "true"
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.vg-scrub output').textContent.startsWith('2')")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("document.querySelector('.vg-scrub output').textContent.startsWith('1')")
    page.keyboard.press("Enter")
    visitor.wait_for_objects(2)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Space")
    page.wait_for_selector(".vg-masks img", state="visible")
    page.keyboard.press("Escape")
    page.wait_for_selector(".vg-masks", state="hidden")
    page.keyboard.press("?")
    page.wait_for_selector(".vg-keys[open]")
    page.keyboard.press("b")  # not while the list is shown
    assert page.locator("[data-tool=pick]").get_attribute("aria-pressed") == "true"
    page.keyboard.press("Escape")
    page.wait_for_selector(".vg-keys:not([open])", state="attached")
    page.fill("[data-action=rename]", "bexb")  # in a field they are letters
    assert page.locator("[data-tool=pick]").get_attribute("aria-pressed") == "true"


def test_a_newcomer_gets_from_a_clip_to_the_mp4_in_nine_clicks_without_scrolling(visit, tmp_path):
    settings = replace(find_bundle(DEFAULT_MODEL).settings, num_inference_steps=4)
    visitor = visit(f"?settings={to_token(DEFAULT_MODEL, settings)}", viewport={"width": 1280, "height": 800})
    found = journey.travel(visitor, journey.own_clip(tmp_path, 2))
    assert found.hidden == []
    assert len(found.clicks) <= journey.MOST_CLICKS  # how long each wait was is for the benchmark to say
    assert found.megabytes > 0
    journey.report(found, tmp_path / "journey.json")
    assert {file.name for file in tmp_path.glob("journey.*")} == {"journey.json", "journey.jpg"}
