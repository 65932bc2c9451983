"""Marking in a real browser: every tool and every button of the object list."""

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import expect
from visitor import CAT, DOG, EDIT_TIMEOUT, Visitor

from videograin.media.video import ClipOptions, load_clip

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EXAMPLE = Path(__file__).parents[2] / "assets/clips/friends/clip.mp4"


def test_every_tool_changes_the_mask(visit):
    visitor = visit()
    visitor.take_example("friends", frames=2)
    shown = visitor.picture()
    visitor.page.mouse.move(5, 5)
    visitor.page.mouse.down()  # what begins outside of the picture is meant for something else
    visitor.hover(DOG)
    visitor.page.mouse.up()
    assert visitor.page.locator(".vg-view.vg-busy").count() == 0
    for tool in ("box", "part", "brush", "eraser"):
        visitor.choose_tool(tool)  # a finger draws with it, where it would move the page else
        assert visitor.page.locator(".vg-view canvas").evaluate("node => getComputedStyle(node).touchAction") == "none"
    for tool in ("box", "brush"):  # a stroke that is given up marks nothing where it ends
        visitor.choose_tool(tool)
        visitor.hover((20, 100))
        visitor.page.mouse.down()
        visitor.hover(DOG)
        visitor.page.keyboard.press("Escape")
        visitor.page.mouse.up()
    assert visitor.page.locator(".vg-view.vg-busy").count() == 0
    visitor.choose_tool("box")
    visitor.press((20, 100))
    visitor.mark((112, 215))
    shown = visitor.wait_for_another(shown)
    visitor.choose_tool("part")
    visitor.drag([(150, 120), (240, 215)], (256, 256))
    shown = visitor.wait_for_another(shown)
    for tool, point in (("brush", (200, 40)), ("eraser", (200, 40)), ("add", DOG), ("remove", DOG)):
        visitor.choose_tool(tool)
        visitor.press(point)
        shown = visitor.wait_for_another(shown)
    assert visitor.objects() == 1
    visitor.choose_tool("pick")
    visitor.mark(DOG)
    assert visitor.objects() == 2


def test_undo_redo_and_sizes_change_the_mask(visit):
    visitor = visit()
    visitor.take_example("friends", frames=2)
    empty = visitor.picture()
    visitor.mark(CAT)
    marked = visitor.wait_for_another(empty)
    sizes = visitor.page.locator("[data-action=smaller]:enabled, [data-action=bigger]:enabled")
    assert sizes.count() > 0
    sizes.first.click()
    other = visitor.wait_for_another(marked)
    visitor.act("undo")
    assert visitor.wait_for_another(other) == marked
    visitor.act("undo")
    visitor.wait_for_objects(0)
    visitor.act("redo")
    visitor.wait_for_objects(1)
    expect(visitor.frame_image()).to_have_attribute("src", marked)


def test_objects_are_renamed_moved_hidden_combined_and_deleted(visit):
    visitor = visit()
    visitor.take_example("friends", frames=2)
    visitor.mark(CAT, DOG)
    visitor.page.fill("[data-action=rename][data-id='1']", "Tom")
    visitor.page.keyboard.press("Enter")
    visitor.wait_for_names("dog", "Tom")
    visitor.act("raise", 1)
    visitor.wait_for_names("Tom", "dog")
    shown = visitor.picture()
    visitor.act("hide", 1)
    shown = visitor.wait_for_another(shown)
    visitor.act("hide", 1)
    shown = visitor.wait_for_another(shown)
    visitor.act("clean", 2)
    visitor.page.select_option("select[data-action=combine]", label="Join with Tom")
    shown = visitor.wait_for_another(shown)
    visitor.page.click("#rest")
    visitor.wait_for_names("Tom", "dog", "everything else")
    assert "all that no other object covers" in visitor.page.locator(".vg-object").last.inner_text()
    visitor.act("delete", 1)
    visitor.wait_for_names("dog", "everything else")
    visitor.page.click("#to-edit")
    slider = visitor.page.locator("[data-action=strength]").first
    slider.fill("2")
    visitor.page.wait_for_function("document.querySelector('.vg-pull b').textContent == '2×'")


def test_masks_go_out_and_come_in(visit):
    visitor = visit()
    visitor.take_example("friends", frames=2)
    visitor.mark(CAT)
    visitor.track()
    visitor.open_drawer("Masks from and to files")
    masks = visitor.download("#masks-out")
    visitor.act("delete", 1)
    visitor.wait_for_objects(0)
    visitor.upload("#masks-in", masks, "masks.zip")
    visitor.wait_for_names("cat")
    assert "in every frame" in visitor.page.locator(".vg-object").inner_text()


def test_a_correction_stays_when_following_again(visit):
    visitor = visit()
    visitor.take_example("friends")
    visitor.mark(CAT)
    visitor.track()
    shown = visitor.picture()
    visitor.page.locator("[data-action=frame][data-value='2']").last.click()
    visitor.page.wait_for_function("document.querySelector('.vg-scrub output').textContent.startsWith('3')")
    shown = visitor.wait_for_another(shown)
    visitor.choose_tool("brush")
    visitor.press((128, 30))
    visitor.page.wait_for_function("document.querySelectorAll('.vg-anchor').length == 2")
    corrected = visitor.wait_for_another(shown)
    visitor.track()
    visitor.page.wait_for_timeout(1500)
    assert visitor.picture() == corrected


def test_suggestions_become_objects(visit):
    visitor = visit()
    visitor.take_example("friends", frames=2)
    visitor.page.get_by_role("button", name="Suggest on this frame").click()
    visitor.page.wait_for_selector(".vg-object")
    assert {"cat", "dog"} & set(visitor.names())


def test_what_is_typed_is_found_and_taken_by_a_click_and_by_a_button(visit):
    visitor = visit()
    visitor.take_example("friends", frames=2)
    visitor.page.fill("#find textarea, #find input", "the cat and the dog")
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_selector("#found [data-action=take-all]")
    buttons = visitor.page.locator("#found [data-action=take]").all_inner_texts()
    assert [text.split() for text in buttons] == [["1", "cat"], ["2", "dog"]]
    visitor.mark(CAT)
    visitor.wait_for_names("cat")
    visitor.page.click("#found [data-action=take]")
    visitor.wait_for_names("dog", "cat")
    visitor.page.wait_for_selector("#found [data-action]", state="detached")


def test_suggestions_for_the_whole_clip_need_not_be_followed(visit):
    visitor = visit()
    visitor.take_example("friends", frames=2)
    visitor.page.get_by_role("button", name="Suggest in all frames").click()
    visitor.page.wait_for_selector(".vg-object", timeout=EDIT_TIMEOUT)
    assert len(visitor.states()) >= 2
    assert set(visitor.states()) == {"in every frame"}


def exported_masks(visitor: Visitor, frame: int) -> list[np.ndarray]:
    """Return the masks (H, W) bool of all objects on a frame, the smallest first."""
    with zipfile.ZipFile(visitor.download("#masks-out")) as file:
        pictures = [file.read(name) for name in file.namelist() if name.endswith(f"{frame:05}.png")]
    masks = [cv2.imdecode(np.frombuffer(each, np.uint8), cv2.IMREAD_GRAYSCALE) for each in pictures]
    return sorted((mask > 127 for mask in masks if mask is not None), key=np.count_nonzero)


def test_a_part_that_stays_as_it_is_is_the_source_s_inside_an_edited_object(visit, tmp_path):
    visitor = visit()
    visitor.take_example("friends", frames=2)
    visitor.mark(CAT)
    visitor.page.get_by_role("button", name="New object").click()
    visitor.wait_for_objects(2)
    visitor.choose_tool("brush")
    visitor.page.locator("[data-brush]").fill("20")
    shown = visitor.picture()
    visitor.drag([(CAT[0] - 10, CAT[1]), (CAT[0] + 10, CAT[1])], (256, 256))
    visitor.wait_for_another(shown)
    visitor.track()
    visitor.open_drawer("Masks from and to files")
    kept, cat = exported_masks(visitor, 1)
    visitor.say("a panda")  # the part without words stays as it is
    visitor.open_drawer("Every setting")
    visitor.set_number("Steps", 2)
    visitor.page.click("#edit")
    visitor.wait_for_result()
    (tmp_path / "edit.mp4").write_bytes(visitor.edited_video().read())
    before, after = (
        load_clip(path, ClipOptions(short_side=None, multiple=2, max_frames=2)).frames[1].astype(float)
        for path in (EXAMPLE, tmp_path / "edit.mp4")
    )
    change = np.square(after - before).mean(-1)
    inner = cv2.erode(kept.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0  # the codec's blocks reach over its edge
    assert inner.sum() > 100
    assert psnr(change[inner]) > 35
    assert psnr(change[cat & ~kept]) < 25


def psnr(squares: np.ndarray) -> float:
    return 10 * float(np.log10(255**2 / squares.mean()))


def test_the_object_under_the_pointer_is_outlined_before_the_click(visit):
    visitor = visit()
    visitor.take_example("friends", frames=2)
    visitor.hover(CAT)
    visitor.page.wait_for_function("document.querySelector('#stage canvas').dataset.outlines > 0")
    assert visitor.objects() == 0
    visitor.hover((2, 2))
    visitor.page.mouse.move(0, 0)
    visitor.page.wait_for_function("document.querySelector('#stage canvas').dataset.outlines == 0")


def test_a_zoomed_picture_is_marked_where_the_pointer_is(visit):
    visitor = visit()
    visitor.take_example("friends", frames=2)
    visitor.hover(CAT)
    visitor.page.mouse.wheel(0, -300)
    whole = visitor.page.locator("[data-whole]")
    whole.wait_for()
    empty = visitor.picture()
    visitor.page.mouse.down()
    visitor.page.mouse.up()
    visitor.wait_for_objects(1)
    visitor.wait_for_names("cat")
    visitor.wait_for_another(empty)
    whole.press("Enter")  # which presses the button, and nothing below it
    assert visitor.page.locator(".vg-view.vg-busy").count() == 0
    whole.wait_for(state="hidden")
    assert visitor.page.locator(".vg-view img").evaluate("image => image.style.transform") == ""


def test_keys_draw_a_box_and_paint(visit):
    visitor = visit()
    page = visitor.page
    visitor.take_example("friends", frames=2)
    shown = visitor.picture()
    page.locator(".vg-view").focus()
    for key in ("x", *["ArrowLeft"] * 14, "Enter", *["ArrowRight"] * 13, *["ArrowDown"] * 11, "Enter"):
        page.keyboard.press(key)
    visitor.wait_for_names("cat")
    shown = visitor.wait_for_another(shown)
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    visitor.wait_for_another(shown)


def test_brackets_change_the_brush(visit):
    visitor = visit()
    visitor.take_example("friends", frames=2)
    visitor.choose_tool("brush")
    size = visitor.page.locator("[data-brush]")
    visitor.page.keyboard.press("]")
    assert size.input_value() == "35"
    visitor.page.keyboard.press("[")
    visitor.page.keyboard.press("[")
    assert size.input_value() == "25"
