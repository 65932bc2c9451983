"""The page in a real browser: the whole story, and what may happen on the way."""

import pytest
from visitor import CAT, DOG, EDIT_TIMEOUT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HOSTILE = "<img src=x onerror=\"document.title='broken'\">"


def test_two_clicks_and_two_words_give_a_clip_that_plays(visit):
    visitor = visit()
    visitor.take_example("friends")
    visitor.mark(CAT, DOG)
    visitor.track()
    visitor.say("a panda", "a robot", background="on grass under a clear sky")
    visitor.page.click("#preview")
    visitor.wait_for_result()
    player = visitor.page.locator(".vg-compare video").evaluate(
        "({videoWidth, videoHeight, error}) => [videoWidth, videoHeight, error]"
    )
    assert player == [512, 256, None]
    assert visitor.page.locator(".vg-sentence").inner_text() == "a panda and a robot on grass under a clear sky"
    assert visitor.foreign_requests == []


def test_the_latest_edit_is_shown_and_an_earlier_one_on_request(visit):
    visitor = visit()
    visitor.take_example("friends", frames=2)
    visitor.mark(CAT)
    visitor.track()
    visitor.page.click("#to-edit")
    video = visitor.page.locator(".vg-compare video")
    sources = []
    for prompt in ("a panda", "a fox"):
        visitor.page.fill("[data-word='1']", prompt)
        visitor.page.click("#preview")
        visitor.page.wait_for_selector("#edit-job .vg-job")
        visitor.page.wait_for_selector("#edit-job .vg-job", state="detached", timeout=EDIT_TIMEOUT)
        visitor.wait_for_result()
        sources.append(video.get_attribute("src"))
    assert sources[0] != sources[1]
    visitor.page.locator("[data-action=show]").last.click()
    visitor.page.wait_for_function(
        "wanted => document.querySelector('.vg-compare video').src == wanted", arg=sources[0]
    )


def test_a_running_job_and_its_result_are_found_again_after_a_reload(visit):
    visitor = visit()
    visitor.take_ready("shades")
    visitor.page.click("#preview")
    visitor.page.wait_for_selector("#edit-job .vg-job")
    visitor.reload()
    visitor.page.wait_for_selector("#edit-job .vg-job")
    visitor.wait_for_result()
    visitor.reload()
    visitor.wait_for_result()
    assert visitor.page.locator("[data-word]").first.input_value() == "sunglasses"


def test_two_browsers_see_only_their_own_work(visit):
    first, second = visit(), visit()
    first.take_example("friends")
    second.take_example("reef")
    first.mark(CAT)
    assert second.objects() == 0
    pictures = [each.page.locator(".vg-view img").get_attribute("src") for each in (first, second)]
    assert pictures[0] != pictures[1]
    second.reload()
    assert second.page.locator(".vg-view img").get_attribute("src") == pictures[1]


def test_a_cancelled_edit_stops_and_says_so(visit):
    visitor = visit()
    visitor.take_ready("cap")
    visitor.page.click("#edit")
    visitor.page.click("#edit-job [data-action=cancel]")
    visitor.page.wait_for_selector(".vg-stopped", timeout=EDIT_TIMEOUT)
    assert "Stopped, as you asked." in visitor.page.locator(".vg-stopped").inner_text()


def test_a_hostile_name_is_shown_as_text_everywhere(visit):
    visitor = visit()
    visitor.take_example("friends")
    visitor.mark(CAT)
    visitor.page.fill("[data-action=rename]", HOSTILE)
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_function("document.querySelector('.vg-strip span').textContent.includes('<img')")
    visitor.say(HOSTILE)
    visitor.page.click("#preview")  # nothing was followed: the toast names the object
    visitor.wait_for_toast(HOSTILE)
    visitor.page.wait_for_function("document.querySelector('.vg-sentence mark')")
    assert visitor.page.locator(".vg-sentence").inner_text() == HOSTILE
    assert visitor.page.locator("img[src=x]").count() == 0
    assert visitor.page.title() == "VideoGrain Studio"


def test_undo_redo_and_sizes_change_the_mask(visit):
    visitor = visit()
    visitor.take_example("friends")
    visitor.mark(CAT)
    picture = visitor.page.locator(".vg-view img")
    marked = picture.get_attribute("src")
    visitor.page.click("[data-action=undo]")
    visitor.page.wait_for_function("document.querySelectorAll('.vg-object').length == 0")
    visitor.page.click("[data-action=redo]")
    visitor.page.wait_for_function("document.querySelectorAll('.vg-object').length == 1")
    assert picture.get_attribute("src") == marked


def test_box_and_brush_mark_too(visit):
    visitor = visit()
    visitor.take_example("friends")
    visitor.page.click("[data-tool=box]")
    visitor.press((20, 100))
    visitor.mark((112, 215))
    before = visitor.page.locator(".vg-view img").get_attribute("src")
    visitor.page.click("[data-tool=brush]")
    visitor.press((200, 40))
    visitor.page.wait_for_function("before => document.querySelector('.vg-view img').src != before", arg=before)
    assert visitor.objects() == 1


def test_a_correction_stays_when_following_again(visit):
    visitor = visit()
    visitor.take_example("friends")
    visitor.mark(CAT)
    visitor.track()
    visitor.page.locator("[data-action=frame][data-value='2']").last.click()
    visitor.page.wait_for_function("document.querySelector('.vg-scrub output').textContent.startsWith('3')")
    visitor.page.click("[data-tool=brush]")
    visitor.press((128, 30))
    visitor.page.wait_for_function("document.querySelectorAll('.vg-anchor').length == 2")
    corrected = visitor.page.locator(".vg-view img").get_attribute("src")
    visitor.track()
    visitor.page.wait_for_timeout(2000)
    assert visitor.page.locator(".vg-view img").get_attribute("src") == corrected


def test_what_is_no_video_is_refused_in_plain_words(visit, tmp_path):
    text = tmp_path / "story.mp4"
    text.write_text("Once upon a time there was no video in this file.")
    visitor = visit()
    visitor.page.locator("#upload input[type=file]").set_input_files(text)
    visitor.wait_for_toast("story.mp4")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_sticks_out_of_a_phone(visit, theme):
    visitor = visit(viewport={"width": 390, "height": 844}, has_touch=True)
    visitor.reload(f"?__theme={theme}")
    visitor.take_ready("friends")
    for step in ("1 Clip", "2 Mark", "3 Edit"):
        visitor.page.get_by_role("tab", name=step).click()
        visitor.page.wait_for_timeout(300)
        assert visitor.page.evaluate("document.documentElement.scrollWidth") == 390
