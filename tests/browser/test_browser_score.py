"""A result on a phone in the dark: it fits, a finger finds every button, and its scores are told."""

import pytest
from visitor import EDIT_TIMEOUT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDTH, HEIGHT = 390, 844

SMALL = """[...document.querySelectorAll('#steps button, #steps a, #steps select, #steps input[type=text]')]
    .filter((node) => node.offsetParent && !node.closest('.vg-strip') && node.offsetHeight < 44)
    .map((node) => node.outerHTML.slice(0, 100))"""
"""Targets that a finger misses."""


def test_a_result_on_a_phone_is_scored_by_a_press_with_its_worst_frames(visit):
    visitor = visit("?__theme=dark", viewport={"width": WIDTH, "height": HEIGHT}, has_touch=True)
    page = visitor.page
    visitor.take_ready("friends")
    visitor.open_drawer("Every setting")
    visitor.set_number("Steps", 2)
    page.click("#edit")
    visitor.wait_for_result()
    held = visitor.hold_presses("explain")
    page.locator("[data-action=score]").tap()
    held.wait()
    page.locator("#phrases.vg-busy").wait_for()
    held.let_go()
    page.locator(".vg-scores th", has_text="Fit to the words").wait_for(timeout=EDIT_TIMEOUT)
    assert page.locator(".vg-scores th").all_inner_texts()[-2:] == ["left animal", "right animal"]
    page.wait_for_function("document.querySelector('.vg-scores img').naturalWidth > 0")
    page.wait_for_function(f"document.querySelector('.vg-scores').getBoundingClientRect().top < {HEIGHT}")
    assert page.evaluate("document.documentElement.scrollWidth") == WIDTH
    assert page.evaluate(SMALL) == []
