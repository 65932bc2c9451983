"""Choosing a clip and a part of it while the studio is slow: what is shown belongs to the last choice."""

from pathlib import Path

import pytest
from playwright.sync_api import expect
from synthetic_video import make
from visitor import Held

pytestmark = [pytest.mark.browser, pytest.mark.slow]
QUICK_USER = """() => {
    const held = [], draw = window.requestAnimationFrame;
    window.requestAnimationFrame = (show) => held.push(show);
    const waiting = setInterval(() => {
        const field = document.querySelector("input[aria-label*='Frames at most']");
        if (!field || !held.length) return;
        clearInterval(waiting);
        field.focus();
        field.value = "4";
        field.dispatchEvent(new Event("input", { bubbles: true }));
        window.requestAnimationFrame = draw;
        held.forEach((show) => show(performance.now()));
        window.isPutIn = true;
    }, 1);
}"""
"""Puts a number in as soon as its field is there, right before Gradio sets the drawer's fields once more."""


ALL_LABELS = "(buttons) => buttons.map((button) => button.ariaLabel ?? '')"


def test_what_an_edit_takes_is_said_of_the_last_choice_of_fields(visit):
    visitor = visit()
    visitor.choose_clip("friends")
    visitor.set_number("Frames at most", 4)
    visitor.wait_for_estimate("\n4 frames of 256×256")
    held = visitor.hold("crop")
    visitor.set_number("Frames at most", 3)
    visitor.set_number("Shorter side", 128)
    visitor.page.wait_for_timeout(500)
    while len(held):
        held.let_go_last()
        visitor.page.wait_for_timeout(1500)
    held.let_go()
    visitor.wait_for_estimate("\n3 frames of 128×128")
    visitor.page.wait_for_timeout(500)  # no older answer comes after it
    visitor.wait_for_estimate("\n3 frames of 128×128")


def test_a_number_that_is_put_in_while_its_drawer_is_loading_stays(visit):
    visitor = visit()
    visitor.page.evaluate(QUICK_USER)
    visitor.open_drawer("Advanced")
    visitor.page.wait_for_function("window.isPutIn")
    visitor.page.wait_for_timeout(500)  # for what sets it back, and what puts it in again
    assert visitor.page.locator("input[aria-label*='Frames at most']").first.input_value() == "4"


def test_the_part_is_that_of_the_last_clip(visit):
    visitor = visit()
    visitor.set_number("Frames at most", 4)
    held = visitor.hold("clip.mp4")
    visitor.page.click("[data-action=clip][data-value=friends]")
    held.wait()
    friends = visitor.page.locator("#upload video").evaluate("video => video.src")
    visitor.page.click("[data-action=clip][data-value=cap]")
    visitor.page.wait_for_function("friends => document.querySelector('#upload video').src != friends", arg=friends)
    held.let_go()
    visitor.wait_for_estimate("0.3 s at 12 fps, 256×256")
    expect(visitor.page.get_by_label("Frames/s")).to_have_value("12")


def test_a_part_is_chosen_on_a_strip_of_pictures(visit):
    visitor = visit()
    page = visitor.page
    held = visitor.hold_presses("show_video")
    visitor.choose_clip("friends")
    held.wait()
    page.get_by_label("From second").fill("0.2")  # before the strip is there
    held.let_go()
    page.wait_for_selector("#trim img")
    assert not any("Trim" in each for each in page.locator("#upload button:visible").evaluate_all(ALL_LABELS))
    page.wait_for_function("document.querySelector('#trim input[name=start]').value == '0.2'")
    start, end = (page.locator(f"#trim input[name={name}]") for name in ("start", "end"))
    longest = float(end.input_value())
    held = Held(page, "fn_index")  # the fields follow the handles, however slowly the studio answers
    end.press("ArrowLeft")
    page.wait_for_function(
        "seconds => document.querySelector('[aria-label=\"To second\"]').value == seconds", arg=f"{longest - 0.1:g}"
    )
    held.let_go()
    page.wait_for_selector("label.selected:has-text('A part of it')")
    page.get_by_label("From second").fill("0.5")
    page.wait_for_function("document.querySelector('#trim input[name=start]').value == '0.5'")
    start.fill(str(longest))  # handles never cross
    assert float(start.input_value()) < float(end.input_value())


def test_a_number_is_taken_when_it_is_whole_and_no_digit_before_is_refused(visit):
    visitor = visit()
    page = visitor.page
    visitor.choose_clip("friends")
    visitor.open_drawer("Advanced")
    field = page.locator("input[aria-label*='Shorter side']").first
    field.click(click_count=3)
    page.keyboard.press("Backspace")
    page.keyboard.type("128", delay=300)  # each digit had an answer of its own
    visitor.wait_for_estimate("frames of 128×128")
    page.get_by_label("From second").fill("")
    field.fill("")
    field.blur()
    visitor.wait_for_estimate("frames of 64×64")
    expect(field).to_have_value("64")
    assert page.locator(".toast-body").count() == 0


def test_after_a_file_that_is_no_video_another_one_can_be_chosen(visit, tmp_path: Path):
    (tmp_path / "letter.mp4").write_text("Dear Sir or Madam\n" * 99)
    clip = make(tmp_path / "clip.mp4", "testsrc2=s=96x64:r=8:d=0.5")
    visitor = visit()
    visitor.page.set_input_files("#upload input[type=file]", tmp_path / "letter.mp4")
    visitor.page.wait_for_selector(".toast-body")
    visitor.page.wait_for_timeout(1500)  # for a second toast, were there one
    (toast,) = visitor.page.locator(".toast-body").all_inner_texts()
    assert "'letter.mp4' is not a video that can be opened" in toast
    visitor.page.set_input_files("#upload input[type=file]", clip)
    visitor.wait_for_estimate("\n4 frames")


def test_a_press_too_early_brings_one_message_and_nothing_over_the_page(visit):
    page = visit().page
    page.click("#open-clip")
    page.wait_for_selector("[data-testid=status-tracker] .error", state="attached")  # Gradio's word over each part
    expect(page.locator("[data-testid=status-tracker] .error:visible")).to_have_count(0)
    expect(page.locator(".toast-body")).to_have_count(1)


def test_a_gif_is_a_clip_like_any_other(visit, tmp_path: Path):
    gif = make(tmp_path / "clip.gif", "testsrc2=s=97x64:r=10:d=0.8")
    visitor = visit()
    visitor.page.get_by_test_id("Upload a GIF, or pictures (.zip)-upload-button").set_input_files(gif)
    visitor.wait_for_estimate("\n8 frames")
    visitor.page.wait_for_function("document.querySelector('#upload video')?.videoWidth == 96")
