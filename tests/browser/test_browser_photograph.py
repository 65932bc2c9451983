"""A filmed clip in a real browser: it is noticed before any waiting, and can be marked without any download."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NOTICE = "This looks like a photograph. Emoji World only knows drawings."


def test_a_filmed_clip_is_noticed_at_once_and_one_button_switches_to_what_can_mark_it(visit, real_clips):
    visitor = visit()
    page = visitor.page
    page.locator("#upload input[type=file]").set_input_files(real_clips / "dog.mp4")
    page.locator("#notice", has_text=NOTICE).wait_for()
    visitor.open_chosen(2)
    assert NOTICE in page.locator("#mark-notice").inner_text()
    assert page.locator("#segmenter input").input_value().startswith("Emoji World")
    page.click("#mark-notice [data-action=photographs]")
    page.wait_for_function("document.querySelector('#segmenter input').value.startsWith('GrabCut')")
    assert NOTICE not in page.locator("#mark-notice").inner_text()
    visitor.choose_tool("box")
    view = page.locator(".vg-view canvas").bounding_box()
    corners = ((0.36, 0.5), (0.6, 0.92))  # of the dog
    for x, y in corners:
        page.mouse.click(view["x"] + x * view["width"], view["y"] + y * view["height"])
    visitor.wait_for_objects(1)
    assert visitor.states() == ["marked in 1 frame"]


def test_a_drawn_clip_brings_no_notice(visit):
    visitor = visit()
    visitor.choose_clip("friends")
    visitor.page.wait_for_selector("#trim img")
    assert visitor.page.locator("#notice .vg-advice").count() == 0


def test_a_segmenter_that_cannot_be_had_is_said_and_the_other_stays(visit):
    visitor = visit()
    visitor.take_example("friends", frames=2)
    visitor.page.click("#segmenter input")
    visitor.page.get_by_role("option", name="SAM 2.1, tiny").click()
    visitor.wait_for_toast("not on this machine yet")
    visitor.page.wait_for_function("document.querySelector('#segmenter input').value.startsWith('Emoji World')")
