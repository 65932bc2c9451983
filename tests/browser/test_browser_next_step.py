"""The next step is always in sight, and what is seen is what was asked for."""

import pytest
from playwright.sync_api import expect
from visitor import CAT, DOG, EDIT_TIMEOUT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

GREEN = "getComputedStyle(document.querySelector('{}')).backgroundColor == 'rgb(15, 118, 110)'"
IN_SIGHT = """(({top, bottom}) => top >= 0 && bottom <= innerHeight)(
    document.querySelector('%s').getBoundingClientRect())"""

IS_FREE = """[...document.querySelectorAll('.vg-go')].every((node) => !node.offsetParent ||
    node.getBoundingClientRect().bottom <= document.querySelector('#progress').getBoundingClientRect().top)"""
"""Whether no job's bar lies over the buttons that lead on."""


def test_after_following_the_masks_play_once_and_the_green_button_moves_on(visit):
    visitor = visit("?__theme=light", viewport={"width": 1280, "height": 800})
    page = visitor.page
    visitor.take_example("friends")
    visitor.mark(CAT)
    page.wait_for_function(GREEN.format("#track-all"))
    visitor.track()
    page.wait_for_selector(".vg-masks img", state="visible")
    page.wait_for_function(GREEN.format("#to-edit"))
    page.wait_for_function(f"!({GREEN.format('#track-all')})")
    for control in ("#to-edit", ".vg-strips", ".vg-scrub"):
        assert page.evaluate(IN_SIGHT % control), control
    page.wait_for_selector(".vg-masks", state="hidden")


def test_masks_that_come_late_do_not_play_over_the_picture_that_a_user_goes_on_marking(visit):
    visitor = visit()
    visitor.take_example("friends", frames=2)
    visitor.mark(CAT)
    held = visitor.hold_presses("overlay_video")
    visitor.page.click("#play-masks")
    held.wait()
    visitor.mark(DOG)
    held.let_go()
    masks = visitor.page.locator(".vg-masks")
    masks.wait_for(state="attached")
    assert not masks.is_visible()
    visitor.page.click("#play-masks")
    masks.wait_for()


def test_on_a_phone_the_masks_play_where_the_user_sees_them(visit):
    visitor = visit(viewport={"width": 390, "height": 844}, has_touch=True)
    visitor.take_ready("friends")
    visitor.go_to("2 Mark")
    visitor.page.locator("#play-masks").scroll_into_view_if_needed()
    assert not visitor.page.evaluate(IN_SIGHT % "#stage img")
    visitor.page.tap("#play-masks")
    visitor.page.wait_for_selector(".vg-masks img", state="visible")
    visitor.page.wait_for_function(IN_SIGHT % ".vg-masks img")


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_a_jobs_progress_is_in_sight_wherever_one_is_and_in_the_tabs_title(visit, size):
    visitor = visit(viewport={"width": size[0], "height": size[1]})
    page = visitor.page
    visitor.take_ready("cap")
    page.click("#edit")
    page.wait_for_selector("#progress [role=progressbar]")
    page.wait_for_function("document.title.includes('%')")
    for step in ("1 Clip", "2 Mark", "3 Edit"):
        visitor.go_to(step)
        for place in ("0", "document.body.scrollHeight"):
            page.evaluate(f"scrollTo(0, {place})")
            assert page.evaluate(IN_SIGHT % "#progress [data-action=cancel]")
            assert step == "2 Mark" or page.evaluate(IS_FREE), step  # there the buttons come below the picture
    page.click("#progress [data-action=cancel]")
    page.wait_for_selector(".vg-stopped", timeout=EDIT_TIMEOUT)
    page.wait_for_function("document.title == 'VideoGrain Studio'")


def test_a_result_is_marked_while_another_is_made_and_a_preview_is_no_video_to_keep(visit):
    visitor = visit()
    page = visitor.page
    visitor.take_ready("cap")
    visitor.open_drawer("Every setting")
    visitor.set_number("Steps", 2)
    page.click("#preview")
    page.wait_for_selector(".vg-compare:not([hidden])", timeout=EDIT_TIMEOUT)
    page.wait_for_function("document.querySelector('#result-note').innerText.includes('A preview')")
    assert page.locator(".vg-downloads a, #result-out").count() == 0
    visitor.set_number("Steps", 20)
    page.click("#edit")
    page.wait_for_selector("#result-note .vg-earlier")
    page.click("#progress [data-action=cancel]")
    page.wait_for_selector(".vg-stopped", timeout=EDIT_TIMEOUT)
    expect(page.locator("#result-note")).to_contain_text("The latest was stopped")


def test_the_sentence_forms_while_one_types_and_chips_fill_the_field(visit):
    visitor = visit()
    page = visitor.page
    visitor.take_ready("friends")
    visitor.type_into("[data-word='1']", "a fo")
    page.wait_for_function("document.querySelector('.vg-sentence').innerText.startsWith('a fo and')")
    page.keyboard.type("x")
    page.wait_for_function("document.querySelector('.vg-sentence').innerText.startsWith('a fox and')")
    assert visitor.typed_into() == ("1", "a fox")
    page.click("[data-chip='a tiger']")
    page.wait_for_function("document.querySelector('.vg-sentence').innerText.startsWith('a tiger and')")
    page.click("[data-action=idea]")
    page.wait_for_function("document.querySelector('[data-word=\"1\"]').value != 'a tiger'")
    assert all(prompt for prompt in visitor.prompts())


def test_what_is_wrong_is_said_once_and_stays_until_it_is_closed_or_a_user_who_has_read_it_goes_on(visit):
    visitor = visit()
    page = visitor.page
    visitor.take_example("friends", frames=2)
    visitor.mark(CAT)
    page.click("#to-edit")
    for count in (1, 2):
        page.click("#preview")
        page.wait_for_function(f"document.querySelectorAll('[data-testid=toast-text]').length == {count}")
    texts = page.locator("[data-testid=toast-text]:visible").all_inner_texts()
    assert texts == ["Nothing changes yet. Say in step 3 what at least one object becomes."]
    assert page.locator(".toast-title").inner_text() == "That did not work"
    page.click("[data-testid=toast-close]")
    page.wait_for_selector("[data-testid=toast-body]", state="detached")
    page.click("#preview")
    page.wait_for_selector("[data-testid=toast-body]")
    page.click("#sentence")  # too early for anyone to have read it
    assert page.locator("[data-testid=toast-body]").count() == 1
    page.wait_for_function("performance.now() - document.querySelector('[data-came]').dataset.came > 2000")
    page.click("#sentence")
    page.wait_for_selector("[data-testid=toast-body]", state="detached")


def test_choosing_a_tool_does_not_move_the_picture(visit):
    visitor = visit(viewport={"width": 1280, "height": 800})
    visitor.take_example("friends", frames=2)
    before = visitor.page.locator(".vg-view").bounding_box()
    visitor.choose_tool("brush")
    assert visitor.page.locator(".vg-view").bounding_box() == before


def test_on_a_phone_every_target_is_large_enough_for_a_finger(visit):
    visitor = visit(viewport={"width": 390, "height": 844}, has_touch=True)
    visitor.take_ready("friends")
    for step in ("1 Clip", "2 Mark", "3 Edit"):
        visitor.go_to(step)
        small = visitor.page.evaluate(
            "[...document.querySelectorAll('#steps button, #steps select, #steps input[type=text]')]"
            ".filter((node) => node.offsetParent && !node.closest('.vg-strip') && node.offsetHeight < 44)"
            ".map((node) => node.outerHTML.slice(0, 100))"
        )
        assert small == [], step


COPIED_LINK = """async () => {
    for (;;) {
        const link = (await navigator.clipboard.readText()).match(/[?].*settings=.*/);
        if (link) return link[0];
        await new Promise((resume) => setTimeout(resume, 50));
    }
}"""
"""Waits for a link in the clipboard, and returns what follows its path."""


def test_settings_go_to_another_browser_by_a_link_without_the_clip(visit):
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    visitor.take_ready("cap")
    visitor.open_drawer("Every setting")
    visitor.set_number("Steps", 33)
    visitor.page.click("#share")
    other = visit(visitor.page.evaluate(COPIED_LINK))
    other.page.wait_for_function("!location.search.includes('settings')")
    other.take_example("friends", frames=2)
    other.go_to("3 Edit")
    other.open_drawer("Every setting")
    other.page.wait_for_function("document.querySelector('input[aria-label*=Steps]')?.value == 33")


def test_a_setting_is_there_after_a_reload_although_no_edit_was_made_with_it(visit):
    visitor = visit()
    visitor.take_ready("friends")
    visitor.open_drawer("Every setting")
    quality = visitor.page.locator("#quality input:checked")
    visitor.set_number("input for Steps", 9)
    expect(quality).to_have_count(0)  # the studio has it: it is no quality's
    visitor.page.locator("#settings [aria-label='Reset to default value']").first.click()
    expect(quality).to_have_value("exact")
    visitor.set_number("input for Steps", 12)
    expect(quality).to_have_count(0)
    visitor.reload()
    visitor.go_to("3 Edit")
    visitor.open_drawer("Every setting")
    expect(visitor.page.locator("input[aria-label*='input for Steps']")).to_have_value("12")
    expect(visitor.page.locator("#preset input:checked")).to_have_value("Balanced")
