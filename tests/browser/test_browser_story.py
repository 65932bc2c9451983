"""The page in a real browser: the whole story, and what may happen on the way."""

from pathlib import Path

import pytest
from playwright.sync_api import expect
from visitor import CAT, DOG, EDIT_TIMEOUT

from videograin.evaluation.judge import Judge
from videograin.media.video import ClipOptions, load_clip
from videograin.models.bundles import find_bundle
from videograin.project.project import load_project

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FRIENDS = Path(__file__).parents[2] / "assets/clips/friends/project.json"
HOSTILE = "<img src=x onerror=\"document.title='broken'\">"


def seen_in(video: Path, prompts: list[str]) -> list[list[str]]:
    """What the judge sees in an edited clip where each of the friends was, frame by frame."""
    project = load_project(FRIENDS)
    frames = load_clip(video, ClipOptions(short_side=None, multiple=2)).frames
    regions = load_project(FRIENDS).load_regions(load_clip(project.clip, project.clip_options))
    judge = Judge.load(Path(find_bundle("emoji-world").source))
    assert len(regions) == len(prompts)
    return [judge.name_objects(frames, region.masks[: len(frames)]) for region in regions]


def test_two_clicks_and_two_words_give_a_clip_that_shows_both_edits(visit, tmp_path):
    visitor = visit()
    page = visitor.page
    visitor.take_example("friends")
    visitor.mark(CAT, DOG)
    assert visitor.names() == ["dog", "cat"]
    visitor.track()
    visitor.say("a panda", "a robot", background="on grass under a clear sky")
    visitor.open_drawer("Sentence, caption")
    expect(page.locator("#caption textarea")).to_have_value("a cat and a dog")
    page.get_by_label("Draft").check()
    page.wait_for_function("document.querySelector('#quality input:checked').value == 'draft'")
    page.click("#edit")
    page.wait_for_selector(".vg-forming", timeout=EDIT_TIMEOUT)  # the clip is shown while it forms
    visitor.wait_for_result()
    player = page.locator(".vg-compare video").evaluate("video => [video.videoWidth, video.videoHeight, video.error]")
    assert player == [512, 256, None]
    assert page.locator(".vg-sentence").inner_text() == "a panda and a robot on grass under a clear sky"
    (tmp_path / "edit.mp4").write_bytes(visitor.edited_video().read())
    left, right = seen_in(tmp_path / "edit.mp4", ["a panda", "a robot"])
    assert left.count("panda") >= 3, left
    assert right.count("robot") >= 3, right

    for mode in ("side", "after", "slider"):
        page.click(f".vg-modes [data-mode={mode}]")
        assert page.locator(".vg-compare").get_attribute("data-mode") == mode
    page.locator("[data-action=attention]", has_text="a robot").click()
    page.wait_for_selector(".vg-attention img")
    page.fill("[data-word='1']", "a fox")
    page.click("[data-action=reload]")
    page.wait_for_function("document.querySelector('[data-word=\"1\"]').value == 'a panda'")

    project = visitor.download("#project-out")
    other = visit()
    other.upload("#project-in", project, "project.zip")
    other.wait_for_names("dog", "cat")
    other.go_to("3 Edit")
    expect(other.page.locator("[data-word='2']")).to_have_value("a robot")
    assert visitor.foreign_requests == []


def test_a_running_job_is_found_again_after_a_reload_and_every_result_on_request(visit):
    visitor = visit()
    page = visitor.page
    video = page.locator(".vg-compare video")
    visitor.take_ready("shades")
    visitor.open_drawer("Every setting")
    visitor.set_number("Steps", 3)
    page.click("#preview")
    page.wait_for_selector("#progress .vg-job")
    visitor.reload()
    page.wait_for_selector("#progress .vg-job")
    visitor.wait_for_result()
    visitor.reload()
    visitor.wait_for_result()
    first = video.get_attribute("src")
    expect(page.locator("[data-word]").first).to_have_value("sunglasses")

    visitor.open_drawer("Sentence, caption")
    page.get_by_label("The whole sentence").fill("")
    page.fill("[data-word='1']", "a crown")
    page.click("#preview")
    page.wait_for_function(
        "first => document.querySelector('.vg-compare video').src != first", arg=first, timeout=EDIT_TIMEOUT
    )
    page.locator("[data-action=show]").last.click()
    page.wait_for_function("first => document.querySelector('.vg-compare video').src == first", arg=first)


def test_two_browsers_see_only_their_own_work(visit):
    first, second = visit(), visit()
    first.take_example("friends")
    second.take_example("reef")
    first.mark(CAT)
    assert second.objects() == 0
    pictures = [each.picture() for each in (first, second)]
    assert pictures[0] != pictures[1]
    second.reload()
    expect(second.frame_image()).to_have_attribute("src", pictures[1])


def test_two_tabs_are_apart_and_a_closed_one_is_found_again(visit):
    first = visit()
    first.take_example("friends", frames=2)
    empty = first.picture()
    first.mark(CAT)
    marked = first.wait_for_another(empty)
    second = first.beside()
    assert second.page.locator(".vg-object").count() == 0
    second.take_example("reef", frames=2)
    first.reload()
    first.wait_for_objects(1)
    expect(first.frame_image()).to_have_attribute("src", marked)
    first.page.close()
    third = second.beside()
    third.wait_for_objects(1)
    expect(third.frame_image()).to_have_attribute("src", marked)
    assert second.objects() == 0


def test_a_cancelled_edit_stops_and_says_so(visit):
    visitor = visit()
    visitor.take_ready("cap")
    visitor.page.click("#edit")
    visitor.page.click("#progress [data-action=cancel]")
    visitor.page.wait_for_selector(".vg-stopped", timeout=EDIT_TIMEOUT)
    assert "Stopped, as you asked." in visitor.page.locator(".vg-stopped").inner_text()


def test_a_hostile_name_is_shown_as_text_everywhere(visit):
    visitor = visit()
    visitor.take_example("friends")
    visitor.mark(CAT)
    visitor.page.fill("[data-action=rename]", HOSTILE)
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_function("document.querySelector('.vg-strip span').textContent.includes('<img')")
    visitor.mark(DOG)  # its menu of combinations names the other
    expect(visitor.page.locator("select[data-action=combine]")).to_contain_text(HOSTILE)
    visitor.say(HOSTILE)
    visitor.page.click("#preview")  # no object was followed: the toast names the object
    visitor.wait_for_toast(HOSTILE)
    visitor.page.wait_for_function("document.querySelector('.vg-sentence mark')")
    assert visitor.page.locator(".vg-sentence").inner_text() == HOSTILE
    assert visitor.page.locator("img[src=x]").count() == 0
    assert visitor.page.title() == "VideoGrain Studio"


def test_a_model_that_is_not_here_is_said_and_the_other_stays(visit):
    visitor = visit()
    visitor.take_example("friends", frames=2)
    visitor.page.click("#model input")
    visitor.page.get_by_role("option", name="Stable Diffusion 1.5").click()
    visitor.wait_for_toast("not in the hub's local cache")
    expect(visitor.page.locator("#model input")).to_have_value("Emoji World")
    expect(visitor.page.locator("#status")).to_contain_text("on CPU · ready")


def test_what_is_no_video_is_refused_in_plain_words(visit, tmp_path):
    text = tmp_path / "story.mp4"
    text.write_text("Once upon a time there was no video in this file.")
    visitor = visit()
    visitor.page.locator("#upload input[type=file]").set_input_files(text)
    visitor.wait_for_toast("story.mp4")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_sticks_out_of_a_phone(visit, theme):
    visitor = visit(f"?__theme={theme}", viewport={"width": 390, "height": 844}, has_touch=True, device_scale_factor=2)
    page = visitor.page
    visitor.take_ready("friends")
    page.wait_for_function("scrollY == 0")  # a step begins at its top, wherever the button was
    visitor.go_to("2 Mark")
    page.fill("[data-action=rename][data-id='1']", "W" * 60)
    page.keyboard.press("Enter")
    visitor.go_to("3 Edit")
    page.wait_for_selector(".vg-word small:has-text('WWW')")
    assert page.evaluate(
        "[...document.querySelectorAll('.vg-word small')].every((n) => n.scrollWidth <= n.clientWidth)"
    )
    for step in ("1 Clip", "2 Mark", "3 Edit"):
        visitor.go_to(step)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        if step == "2 Mark":  # marks lie where the picture is, on a dense screen too
            boxes = [page.locator(f".vg-view {part}").bounding_box() for part in ("img", "canvas")]
            assert boxes[0] == pytest.approx(boxes[1], abs=1)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in background[4:-1].split(",")[:3])
    assert (brightness < 120) == (theme == "dark")
