"""Typing while the studio is slow: an answer to what was said before never takes away what is being said now."""

import pytest
from playwright.sync_api import expect
from visitor import CAT, DOG

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_phrase_that_is_half_typed_survives_the_answer_to_the_one_before(visit):
    visitor = visit()
    page = visitor.page
    visitor.take_ready("friends")
    held = visitor.hold("prompt")
    visitor.type_into("[data-word='1']", "a fox")
    visitor.type_into("[data-word='2']", "a rob")
    held.let_go()
    page.wait_for_function("document.querySelector('.vg-sentence').innerText.includes('a fox')")
    assert visitor.typed_into() == ("2", "a rob")
    page.keyboard.type("ot dog")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.vg-sentence').innerText.includes('a fox and a robot dog')")
    assert visitor.prompts() == ["a fox", "a robot dog"]


def test_a_phrase_that_is_changed_again_survives_the_answer_to_its_first_form(visit):
    visitor = visit()
    page = visitor.page
    visitor.take_ready("friends")
    held = visitor.hold("prompt")
    visitor.type_into("[data-word='1']", "a fox")
    page.keyboard.press("Enter")
    visitor.type_into("[data-word='1']", "a fox in")
    page.keyboard.press("ArrowLeft")
    held.let_go()
    page.wait_for_function("document.querySelector('.vg-sentence').innerText.startsWith('a fox and')")
    page.evaluate(  # of a word that an input method proposes, which is taken by it
        "document.activeElement.dispatchEvent("
        "new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true }))"
    )
    assert visitor.typed_into() == ("1", "a fox in")
    page.keyboard.type("x")  # where the caret was
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.vg-sentence').innerText.startsWith('a fox ixn and')")


def test_a_name_that_is_being_typed_stays_with_its_object_when_another_appears_above(visit):
    visitor = visit()
    page = visitor.page
    visitor.take_example("friends", frames=2)
    visitor.mark(CAT)
    held = visitor.hold("pick")
    visitor.press(DOG)
    held.wait()
    visitor.type_into("[data-action=rename]", "To")
    held.let_go()
    visitor.wait_for_objects(2)
    assert visitor.typed_into() == ("1", "To")
    page.keyboard.type("m")
    page.keyboard.press("Enter")
    visitor.wait_for_names("dog", "Tom")
    page.wait_for_function("[...document.querySelectorAll('.vg-strip span')].map(s => s.innerText).join() == 'dog,Tom'")


def test_a_slider_that_is_moved_on_does_not_jump_back(visit):
    visitor = visit()
    page = visitor.page
    visitor.take_ready("friends")
    held = visitor.hold("strength")
    slider = page.locator("[data-action=strength]").first
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    held.let_go_first()
    page.wait_for_function("document.querySelector('.vg-pull b').innerText == '1.1×'")
    slider.press("ArrowRight")
    assert slider.input_value() == "1.3"


def test_a_slider_that_was_moved_away_and_back_goes_along_with_the_next_frame(visit):
    visitor = visit()
    page = visitor.page
    visitor.take_example("friends", frames=3)
    slider = page.locator("input[data-action=frame]")
    held = visitor.hold("frame")
    slider.evaluate(
        "node => ['1', '0'].forEach((frame) => {"
        " node.value = frame; node.dispatchEvent(new Event('input', { bubbles: true })); })"
    )
    held.let_go()  # the answer has nothing new
    page.click("[aria-label='Next frame']")
    page.wait_for_function("document.querySelector('#timeline output').innerText.startsWith('2')")
    expect(slider).to_have_value("1")


def test_use_again_puts_words_back_that_have_been_changed_since(visit):
    visitor = visit()
    page = visitor.page
    visitor.take_ready("friends")
    before = visitor.prompts()
    page.click("#preview")
    page.wait_for_selector("[data-action=reload]")
    for phrase in ("a fox", "a whale"):
        visitor.type_into("[data-word='1']", phrase)
        page.click("[data-action=reload]")
        page.wait_for_function("words => document.querySelector('[data-word]').value == words", arg=before[0])
    page.wait_for_timeout(1000)  # no answer that comes late changes them
    assert visitor.prompts() == before


def test_a_word_changed_just_before_the_button_is_in_the_sentence_of_an_example_too(visit):
    visitor = visit()
    page = visitor.page
    visitor.take_ready("cap")  # its sentence is more than its objects' words
    visitor.type_into("[data-word='1']", "wearing a straw hat")
    page.click("#preview")
    page.wait_for_function("document.querySelector('.vg-sentence').innerText.includes('a dog wearing a straw hat')")
    page.click("#progress [data-action=cancel]")  # it was not refused
    page.wait_for_selector(".vg-stopped")


def test_a_button_that_is_pressed_twice_asks_once(visit):
    visitor = visit()
    page = visitor.page
    visitor.take_ready("cap")
    page.dblclick("#preview")
    page.click("#progress [data-action=cancel]")
    page.wait_for_selector(".vg-stopped")
    expect(page.locator(".vg-history li")).to_have_count(1)


def test_a_control_that_is_ticked_shows_its_fields_and_they_are_kept_with_the_edit(visit):
    visitor = visit()
    page = visitor.page
    visitor.take_ready("cap")
    visitor.open_drawer("Every setting")
    assert page.locator("input[aria-label*='Outlines: how strictly']").count() == 0
    page.get_by_label("Outlines", exact=True).check()
    visitor.set_number("Outlines: how strictly", 0.6)
    page.click("#preview")
    page.click("#progress [data-action=cancel]")
    page.wait_for_selector(".vg-stopped")
    visitor.reload()
    visitor.open_drawer("Every setting")
    expect(page.locator("input[aria-label*='Outlines: how strictly']").first).to_have_value("0.6")
