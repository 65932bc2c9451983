"""A clip of ten seconds in a real browser: whole unless another choice is made, and seen before it is finished."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect
from synthetic_video import ffmpeg
from visitor import CAT, EDIT_TIMEOUT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CLIP = Path(__file__).parents[2] / "assets/clips/friends/clip.mp4"
FPS, SECONDS, SIDE = 2, 10, 128
WINDOW, ANCHORS, OVERLAP = 6, 2, 1

PLAYS_IN_SECOND_WINDOW = """() => {
  const video = document.querySelector('.vg-compare video');
  const words = document.querySelector('#edit-job .vg-job-line, #progress .vg-job-line')?.innerText ?? '';
  return video.currentTime > 0.1 && words.includes('part 3 of') ? video.duration : 0;
}"""
"""The anchors are the first part and the first window is the second."""


def test_ten_seconds_are_edited_whole_the_first_window_plays_before_the_second_ends_and_stays(visit, tmp_path):
    clip = tmp_path / "long.mp4"
    ffmpeg("-stream_loop", "-1", "-i", CLIP, "-t", str(SECONDS), "-vf", f"fps={FPS},scale={SIDE}:{SIDE}", clip)
    visitor = visit()
    page = visitor.page
    page.locator("#upload input[type=file]").set_input_files(clip)
    visitor.wait_for_estimate("\n20 frames")
    expect(page.get_by_label("The whole clip")).to_be_checked()
    visitor.set_number("Shorter side", SIDE)
    visitor.wait_for_estimate("\n20 frames of 128×128")
    page.click("#open-clip")
    page.wait_for_selector(".vg-view img[src]")
    visitor.press((CAT[0] / 2, CAT[1] / 2), SIDE)
    visitor.wait_for_objects(1)
    visitor.track()
    visitor.say("a panda")
    visitor.open_drawer("Every setting")
    visitor.open_drawer("For researchers")
    for label, value in {
        "Steps": 20, "Frames of a window": WINDOW, "Anchor frames": ANCHORS, "Overlap of windows": OVERLAP
    }.items():  # fmt: skip
        visitor.set_number(label, value)
    page.click("#edit")
    first = page.wait_for_function(PLAYS_IN_SECOND_WINDOW, timeout=EDIT_TIMEOUT).json_value()
    assert 0 < first <= (WINDOW - ANCHORS) / FPS + 0.1

    page.locator("[data-action=cancel]").first.click()
    page.locator("#edit-job", has_text="You stopped this early").wait_for(timeout=EDIT_TIMEOUT)
    kept = re.search(r"the first (\d+) of 20 frames", page.locator("#edit-job").inner_text())
    assert kept is not None
    page.wait_for_function(
        "seconds => Math.abs(document.querySelector('.vg-compare video').duration - seconds) < 0.1",
        arg=int(kept[1]) / FPS,
    )
