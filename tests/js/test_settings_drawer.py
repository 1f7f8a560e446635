"""The drawer of settings: closed at first, told of what was finished, with what is wrong said at its field."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.js.driving import change, put, record_gestures, sent

SETTINGS = "js:fakeSettings()"


def drawer(page, settings=SETTINGS):
    record_gestures(page)
    put(page, "locate", state="js:fakeLocate()", settings=settings)
    page.get_by_test_id("factlens-settings-fold").locator("summary").click()


def box(page, name):
    return page.locator(f"[data-setting='{name}'] :is(input, select)")


def test_it_is_closed_at_first_and_opens_from_the_keyboard(page):
    put(page, "locate", state="js:fakeLocate()", settings=SETTINGS)
    summary = page.get_by_test_id("factlens-settings-fold").locator("summary")
    expect(summary).to_have_text("Settings")
    expect(box(page, "samples")).to_be_hidden()
    summary.focus()
    page.keyboard.press("Enter")
    expect(box(page, "samples")).to_be_visible()
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('[data-setting]').dataset.setting") == "kinds"


def test_without_settings_there_is_no_drawer(page):
    put(page, "locate", state="js:fakeLocate()")
    expect(page.get_by_test_id("factlens-settings")).to_be_hidden()


def test_python_is_told_of_what_was_finished_and_of_no_keystroke(page):
    drawer(page)
    box(page, "samples").fill("12")
    assert sent(page) == []
    box(page, "samples").press("Enter")
    box(page, "samples").blur()
    box(page, "metric").select_option("log_probability")
    page.get_by_label("Attention", exact=True).uncheck()
    box(page, "replace").check()
    assert sent(page) == [
        ("setting", {"setting": "samples", "value": "12"}),
        ("setting", {"setting": "metric", "value": "log_probability"}),
        ("setting", {"setting": "kinds", "value": ["state", "mlp"]}),
        ("setting", {"setting": "replace", "value": True}),
    ]


def test_a_press_of_trace_comes_after_what_was_written(page):
    drawer(page)
    box(page, "samples").fill("12")
    page.get_by_test_id("factlens-trace").click()
    assert [name for name, _ in sent(page)] == ["setting", "trace"]


def test_what_is_wrong_is_said_at_the_field(page):
    wrong = "samples must be a whole number or 'auto', not 'many'."
    drawer(page, f'js:fakeSettings({{samples: {{value: "many", error: "{wrong}"}}}})')
    samples = box(page, "samples")
    expect(samples).to_have_value("many")
    expect(samples).to_have_attribute("aria-invalid", "true")
    expect(samples).to_have_accessible_description(f"Corrupted runs. {wrong}")
    change(page, "a", settings=SETTINGS)
    expect(samples).to_have_value("10")
    expect(samples).not_to_have_attribute("aria-invalid", "true")
    expect(samples).to_have_accessible_description("Corrupted runs.")


def test_news_leave_what_is_being_written_and_the_focus(page):
    drawer(page)
    box(page, "samples").fill("107")
    change(page, "a", settings="js:fakeSettings({}, {changed: ['seed: 3'], stale: true})")
    expect(box(page, "samples")).to_have_value("107")
    expect(box(page, "samples")).to_be_focused()
    expect(page.get_by_test_id("factlens-settings-changed")).to_contain_text("seed: 3")
    expect(page.get_by_test_id("factlens-settings-stale")).to_contain_text("was made with other settings")


def test_fields_come_and_go_and_the_others_stay(page):
    drawer(page)
    box(page, "corruption").focus()
    page.evaluate("window.before = document.activeElement")
    subject = (
        "{name: 'subject', group: 'Corruption', title: 'other subject', help: 'Written in its place.', form: 'text', "
        "value: 'The Louvre', error: null, choices: [], empty: '', suggested: ['The Louvre', 'The Pantheon']}"
    )
    change(page, "a", settings=f"js:fakeSettings({{samples: null}}, {{}}, [{subject}])")
    expect(box(page, "samples")).to_have_count(0)
    expect(box(page, "subject")).to_have_value("The Louvre")
    assert page.evaluate("document.activeElement === before")
    page.get_by_role("button", name="The Pantheon").click()
    assert sent(page) == [("setting", {"setting": "subject", "value": "The Pantheon"})]


def test_defaults_and_code(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    drawer(page)
    reset, code = page.get_by_test_id("factlens-settings-reset"), page.get_by_test_id("factlens-settings-code")
    expect(reset).to_have_attribute("aria-disabled", "true")
    expect(code).to_have_attribute("aria-disabled", "true")
    change(page, "a", settings="js:fakeSettings({}, {changed: ['seed: 3'], code: 'trace = fl.trace(model, fact)'})")
    reset.click()
    assert sent(page) == [("reset_settings", {})]
    code.click()
    expect(page.get_by_test_id("factlens-settings-done")).to_contain_text("is on the clipboard")
    assert page.evaluate("navigator.clipboard.readText()") == "trace = fl.trace(model, fact)"


@pytest.mark.parametrize("evil", ['<img src=x onerror="window.hacked=1">'])
def test_names_are_never_html(page, evil):
    page.evaluate("(evil) => { window.evil = evil; }", evil)
    drawer(page, "js:fakeSettings({samples: {value: evil, error: evil, suggested: [evil]}}, {changed: [evil]})")
    assert page.locator("img").count() == 0
    assert evil in page.get_by_test_id("factlens-settings").inner_text()
