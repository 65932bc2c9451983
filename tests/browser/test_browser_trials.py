"""What is tried before a clip is edited, in a real browser: one frame, and an object taken out."""

import pytest
from playwright.sync_api import expect
from visitor import EDIT_TIMEOUT

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_the_frame_that_was_looked_at_is_previewed_alone_and_its_settings_are_used(visit):
    visitor = visit()
    visitor.take_ready("friends")
    visitor.go_to("2 Mark")
    visitor.page.locator(".vg-scrub [data-action=frame]").last.click()
    visitor.page.wait_for_function("document.querySelector('.vg-scrub output').textContent.startsWith('2')")
    visitor.go_to("3 Edit")
    visitor.page.get_by_role("button", name="Preview frame 2").click()
    visitor.page.wait_for_function("document.querySelector('.vg-compare video').videoWidth > 0", timeout=EDIT_TIMEOUT)
    visitor.page.locator(".vg-history li", has_text="Preview of one frame").locator("img").wait_for()
    expect(visitor.page.locator("#result-note")).to_contain_text("one frame")


def test_an_object_is_taken_out_and_had_back(visit):
    visitor = visit()
    visitor.take_ready("friends")
    before = visitor.prompts()[0]
    visitor.page.locator("[data-action=remove]").first.click()
    visitor.page.wait_for_function("document.querySelector('[data-word]').value == 'nothing'")
    expect(visitor.page.locator("#sentence")).not_to_contain_text(before)
    expect(visitor.page.locator("#sentence")).not_to_contain_text("nothing")
    visitor.page.locator("[data-action=remove]").first.click()
    visitor.page.wait_for_function("document.querySelector('[data-word]').value == ''")


def test_one_of_four_variations_is_taken(visit):
    visitor = visit()
    page = visitor.page
    visitor.set_number("Frames at most", 2)
    visitor.take_ready("cap")
    visitor.open_drawer("Every setting")
    visitor.set_number("Steps", 2)
    page.click("#vary")
    page.wait_for_function("document.querySelectorAll('[data-action=take]').length == 4", timeout=EDIT_TIMEOUT)
    other = page.locator(".vg-variation[aria-pressed=false]").first
    seed = other.inner_text().removeprefix("Seed ")
    other.click()
    page.locator(".vg-variation[aria-pressed=true]", has_text=f"Seed {seed}").wait_for()
    expect(page.get_by_label("Seed")).to_have_value(seed)
