"""A filmed clip in a real browser: it is noticed before any waiting, and can be marked without any download."""

import re
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import expect
from visitor import SECOND, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NOTICE = "This clip looks filmed, but Emoji World only knows drawings."

DRAWN = Path(__file__).parents[1] / "segment"
SIZE = (512, 288)
BODY = [(190, 160), (212, 166), (230, 175), (255, 175), (268, 178)]
BETWEEN_THE_LEGS = [(234, 205), (238, 196), (247, 193), (252, 203)]


def overlap_with_drawn(visitor: Visitor, frame: int) -> float:
    """Return the IoU of the exported mask of the dog on a frame with the one that was drawn by hand."""
    with zipfile.ZipFile(visitor.download("#masks-out")) as masks:
        (name,) = (each for each in masks.namelist() if each.endswith(f"{frame:05}.png"))
        found = cv2.imdecode(np.frombuffer(masks.read(name), np.uint8), cv2.IMREAD_GRAYSCALE)
    drawn = cv2.imread(str(DRAWN / f"dog_frame_{frame:02}.png"), cv2.IMREAD_GRAYSCALE)
    assert found is not None
    assert drawn is not None
    return np.count_nonzero((found > 127) & (drawn > 127)) / np.count_nonzero((found > 127) | (drawn > 127))


def test_a_box_and_two_strokes_cut_a_dog_out_which_is_followed(visit, real_clips):
    visitor = visit()
    page = visitor.page
    page.set_default_timeout(120 * SECOND)
    page.locator("#upload input[type=file]").set_input_files(real_clips / "dog.mp4")
    page.click("#notice [data-action=photographs]")
    page.wait_for_selector("#notice [data-action=photographs]", state="hidden")  # then the side is set as well
    visitor.set_number("Shorter side", SIZE[1])
    visitor.open_chosen(16)
    expect(page.locator("#segmenter input")).to_have_value(re.compile("^GrabCut"))
    shown = visitor.picture()
    visitor.choose_tool("box")
    for corner in ((177, 149), (283, 222)):
        visitor.drag([corner], SIZE)
    shown = visitor.wait_for_another(shown)
    for tool, line in (("eraser", BETWEEN_THE_LEGS), ("brush", BODY)):
        visitor.choose_tool(tool)
        page.locator("[data-brush]").fill("4")
        visitor.drag(line, SIZE)
        shown = visitor.wait_for_another(shown)
    visitor.open_drawer("Masks from and to files")
    assert overlap_with_drawn(visitor, 0) >= 0.8
    visitor.track()
    assert overlap_with_drawn(visitor, 15) >= 0.7


def test_a_filmed_clip_is_noticed_at_once_and_one_button_switches_to_what_can_mark_it(visit, real_clips):
    visitor = visit()
    page = visitor.page
    page.locator("#upload input[type=file]").set_input_files(real_clips / "dog.mp4")
    page.locator("#notice", has_text=NOTICE).wait_for()
    visitor.open_chosen(2)
    expect(page.locator("#mark-notice")).to_contain_text(NOTICE)
    expect(page.locator("#segmenter input")).to_have_value(re.compile("^Emoji World"))
    page.click("#mark-notice [data-action=photographs]")
    expect(page.locator("#segmenter input")).to_have_value(re.compile("^GrabCut"))
    expect(page.locator("#mark-notice")).not_to_contain_text(NOTICE)
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
    page = visitor.page
    visitor.take_example("friends", frames=2)
    field = page.locator("#segmenter input")
    chosen = field.input_value()
    field.focus()
    page.keyboard.press("ArrowDown")  # by keys as by the pointer
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    visitor.wait_for_toast("not on this machine yet")
    expect(field).to_have_value(chosen)
    visitor.mark((63, 164))  # by the segmenter that was chosen before


def test_a_menu_closes_when_tab_leaves_it(visit):
    page = visit().page
    page.locator("#model input").focus()
    page.locator("[role=listbox]").wait_for()
    page.keyboard.press("Tab")
    page.locator("[role=listbox]").wait_for(state="hidden")
    page.wait_for_timeout(300)  # for what would open it again
    assert not page.locator("[role=listbox]").is_visible()
