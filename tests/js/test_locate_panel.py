"""The panel with the prompt: what it asks for, what it says, and how it follows a trace."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.js.driving import change, put, record_gestures

MISSPELT = """{title: 'This fact cannot be traced', text: 'The subject is not in the prompt.', notice: {
    field: 'subject', text: 'Did you mean “Space Needle”?',
    offers: [{label: 'Use “Space Needle”', gesture: 'trace', changes: {subject: 'Space Needle'}}],
    about: {prompt: 'The Space Needle is in downtown', subject: 'the space nedle'}}}"""


def test_trace_from_button_and_from_enter_in_either_box(page):
    record_gestures(page)
    put(page, "locate", state="js:fakeLocate()")
    prompt, subject = page.get_by_label("Prompt"), page.get_by_label("Subject")
    prompt.fill("Paris is in")
    prompt.press("Enter")
    subject.fill("Paris")
    subject.press("Enter")
    page.get_by_role("button", name="Trace", exact=True).click()
    wanted = {"lens": "lens-1", "name": "trace", "prompt": "Paris is in", "subject": "Paris", "chat": False}
    assert page.evaluate("gestures") == [{**wanted, "subject": "The Space Needle"}, wanted, wanted]


def test_a_prompt_of_several_lines_is_sent_as_it_was_written(page):
    record_gestures(page)
    put(page, "locate", state="js:fakeLocate({prompt: 'Q: where?\\r\\nA: ', subject: 'where'})")
    prompt = page.get_by_label("Prompt")
    prompt.press("Enter")
    assert page.evaluate("gestures[0].prompt") == "Q: where?\r\nA: ", "what was not touched is what it was"
    assert prompt.evaluate("(box) => box.rows") == 2
    prompt.press("End")
    prompt.press("Shift+Enter")
    prompt.press_sequentially("x")
    assert page.evaluate("gestures.length") == 1
    assert prompt.evaluate("(box) => box.rows") == 3
    prompt.press("Enter")
    assert page.evaluate("gestures[1].prompt") == "Q: where?\nA: \nx"


def test_the_chat_switch_is_there_for_models_that_chat(page):
    record_gestures(page)
    put(page, "locate", state="js:fakeLocate()")
    chat = page.get_by_label("Chat")
    expect(chat).to_be_hidden()
    change(page, "a", state="js:fakeLocate({chats: true})")
    expect(chat).to_be_visible()
    chat.check()
    expect(page.get_by_test_id("factlens-tokens")).to_contain_text("Press Trace to see the tokens of this prompt.")
    page.get_by_test_id("factlens-trace").click()
    assert page.evaluate("gestures[0].chat") is True
    pieces = "[{text: '<|user|>', template: true}, {text: 'Rome', subject: true}, {text: '?'}]"
    change(page, "a", state=f"js:fakeLocate({{chats: true, chat: true, pieces: {pieces}}})")
    expect(chat).to_be_checked()
    expect(page.locator(".fl-piece.fl-template")).to_have_text(["<|user|>"])
    change(page, "a", state="js:fakeLocate({chats: true})")
    expect(chat).not_to_be_checked()


def test_what_may_not_be_meant_is_said_with_a_way_out(page):
    record_gestures(page)
    offer = "{label: 'Remove the space', gesture: 'trace', changes: {prompt: 'It is in', subject: 'It'}}"
    notes = (
        f"[{{field: 'prompt', text: 'The prompt ends in white space.', offers: [{offer}]}}, "
        "{field: 'subject', text: 'Mind this.', offers: []}]"
    )
    put(page, "locate", state=f"js:fakeLocate({{prompt: 'It is in ', subject: 'It', notes: {notes}}})")
    prompt, box = page.get_by_label("Prompt"), page.get_by_test_id("factlens-locate-notices")
    expect(box).to_have_attribute("role", "status")
    expect(prompt).to_have_accessible_description("Prompt The prompt ends in white space.")
    expect(page.get_by_label("Subject")).to_have_accessible_description("Subject Mind this.")
    expect(prompt).not_to_have_attribute("aria-invalid", "true")
    # While another prompt is written, nothing is said of this one, and its tokens are not shown as the new one's.
    prompt.press("End")
    prompt.press("x")
    expect(box).to_be_hidden()
    expect(page.get_by_test_id("factlens-tokens")).to_have_text(
        "Press Trace to see the tokens of this prompt.", use_inner_text=True
    )
    prompt.press("Backspace")
    expect(page.get_by_test_id("factlens-tokens")).to_contain_text("Tokens", use_inner_text=True)
    # By keyboard; the focus stays in the panel, where the notebook does not take the next key for a command.
    box.get_by_role("button", name="Remove the space").focus()
    page.keyboard.press("Enter")
    expect(prompt).to_be_focused()
    expect(prompt).to_have_value("It is in")
    assert page.evaluate("gestures") == [
        {"lens": "lens-1", "name": "trace", "prompt": "It is in", "subject": "It", "chat": False}
    ]
    # A trace that runs has the buttons wait.
    change(page, "a", state=f"js:fakeLocate({{prompt: 'It is in', subject: 'It', notes: {notes}, status: 'tracing'}})")
    expect(box.get_by_role("button")).to_have_attribute("aria-disabled", "true")
    box.get_by_role("button").click(force=True)
    assert page.evaluate("gestures.length") == 1
    change(page, "a", state="js:fakeLocate()")
    expect(box).to_be_hidden()


def test_a_mistake_is_said_at_its_field_with_a_way_out(page):
    record_gestures(page)
    put(page, "locate", state="js:fakeLocate()")
    subject, box = page.get_by_label("Subject"), page.get_by_test_id("factlens-notice-subject")
    subject.fill("the space nedle")
    subject.press("Enter")
    change(page, "a", state=f"js:fakeLocate({{error: {MISSPELT}}})")
    expect(box).to_contain_text("Did you mean “Space Needle”?")
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(subject).to_have_attribute("aria-invalid", "true")
    expect(subject).to_have_accessible_description("Subject Did you mean “Space Needle”?")
    expect(subject).to_have_value("the space nedle")
    expect(page.get_by_test_id("factlens-trace")).to_have_attribute("aria-disabled", "false")
    # Nothing is said while it is put right by hand; the same mistake once more is said once more.
    subject.press("x")
    expect(box).to_be_hidden()
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(subject).not_to_have_attribute("aria-invalid", "true")
    subject.press("Backspace")
    expect(box).to_be_visible()
    # From the box with the Tab key, past the buttons of the form.
    button = box.get_by_role("button", name="Use “Space Needle”")
    subject.focus()
    for _ in range(12):
        page.keyboard.press("Tab")
        if button.evaluate("(button) => button === document.activeElement"):
            break
    expect(button).to_be_focused()
    page.keyboard.press("Space")
    expect(subject).to_be_focused()
    expect(subject).to_have_value("Space Needle")
    wanted = {"lens": "lens-1", "name": "trace", "prompt": "The Space Needle is in downtown", "chat": False}
    assert page.evaluate("gestures.at(-1)") == {**wanted, "subject": "Space Needle"}
    expect(box).to_be_hidden()


def test_a_mistake_of_texts_that_are_not_in_the_boxes_stands_in_the_banner(page):
    put(page, "locate", state=f"js:fakeLocate({{error: {MISSPELT}}})")
    expect(page.get_by_role("alert")).to_contain_text("This fact cannot be traced")
    expect(page.get_by_test_id("factlens-locate-notices")).to_be_hidden()


def test_each_reading_of_a_prompt_has_a_button(page):
    record_gestures(page)
    offers = (
        "[{label: 'Read it as ⟦Rome⟧ and Rome', gesture: 'trace', changes: {prompt: '{} and Rome', slot: '{}'}}, "
        "{label: 'Read it as {} and ⟦Rome⟧', gesture: 'trace', changes: {prompt: '{{}} and {}', slot: null}}]"
    )
    about = "{prompt: '{} and Rome', subject: 'Rome'}"
    notice = f"{{field: 'prompt', text: 'It can be read in two ways.', offers: {offers}, about: {about}}}"
    error = f"{{title: 'Two ways', text: 'It can be read in two ways.', notice: {notice}}}"
    put(page, "locate", state=f"js:fakeLocate({{prompt: '{{}} and Rome', subject: 'Rome', error: {error}}})")
    ways = page.get_by_test_id("factlens-notice-prompt").get_by_role("button")
    expect(ways).to_have_text(["Read it as ⟦Rome⟧ and Rome", "Read it as {} and ⟦Rome⟧"])
    ways.nth(0).click()
    change(page, "a", state=f"js:fakeLocate({{prompt: '{{}} and Rome', subject: 'Rome', error: {error}}})")
    ways.nth(1).click()
    sent = page.evaluate("gestures.map(({prompt, subject, slot}) => [prompt, subject, slot])")
    assert sent == [["{} and Rome", "Rome", "{}"], ["{{}} and {}", "Rome", None]]
    change(page, "a", state="js:fakeLocate()")
    expect(page.get_by_test_id("factlens-locate-notices")).to_be_hidden()


@pytest.mark.parametrize("status", ["queued", "tracing", "editing", "stopping"])
def test_trace_waits_for_what_is_running(page, status):
    record_gestures(page)
    put(page, "locate", state=f"js:fakeLocate({{status: '{status}'}})")
    trace = page.get_by_test_id("factlens-trace")
    expect(trace).to_have_attribute("aria-disabled", "true")
    trace.click(force=True)
    page.get_by_label("Prompt").press("Enter")
    assert page.evaluate("gestures") == []
    change(page, "a", state="js:fakeLocate()")
    expect(trace).to_have_attribute("aria-disabled", "false")
    page.get_by_label("Prompt").press("Enter")
    assert page.evaluate("gestures.map((g) => g.name)") == ["trace"]


@pytest.mark.parametrize(
    ("status", "available"),
    [("idle", False), ("queued", True), ("tracing", True), ("editing", True), ("stopping", False)],
)
def test_stop_is_there_while_something_runs(page, status, available):
    record_gestures(page)
    put(page, "locate", state=f"js:fakeLocate({{status: '{status}', progress: 0.5, message: 'token 3 of 7'}})")
    stop = page.get_by_test_id("factlens-stop")
    assert stop.get_attribute("aria-disabled") == ("false" if available else "true")
    stop.click(force=True)
    assert page.evaluate("gestures.map((g) => g.name)") == (["stop"] if available else [])
    bar = page.get_by_role("progressbar")
    if status == "idle":
        expect(bar).to_be_hidden()
    else:
        expect(bar).to_have_attribute("aria-valuenow", "50")
        expect(page.get_by_test_id("factlens-message")).to_have_text("token 3 of 7")


def test_what_the_panel_says(page):
    put(page, "locate", state="js:fakeLocate({edits: 2})")
    expect(page.get_by_test_id("factlens-model")).to_have_text("atlas · 8 layers · float32 · cpu")
    expect(page.get_by_test_id("factlens-answer")).to_have_text("Clean run: “Seattle” 93 % · corrupted run: 4 %")
    expect(page.get_by_test_id("factlens-edited-badge")).to_have_text("the model’s weights carry 2 edits")
    expect(page.locator(".fl-piece.fl-subject")).to_have_count(3)
    expect(page.get_by_role("alert")).to_be_hidden()
    change(page, "a", state="js:fakeLocate({error: {title: 'No subject', text: 'Write it down.'}})")
    expect(page.get_by_test_id("factlens-edited-badge")).to_be_hidden()
    expect(page.get_by_role("alert")).to_contain_text("No subject")
    expect(page.get_by_role("alert")).to_contain_text("Write it down.")


def test_news_do_not_overwrite_typing(page):
    put(page, "locate", state="js:fakeLocate()")
    prompt = page.get_by_label("Prompt")
    expect(page.locator(".fl-piece").first).to_be_visible()
    prompt.fill("half a sen")
    # What was read off another prompt is not shown below this one.
    expect(page.get_by_test_id("factlens-tokens")).to_contain_text("Press Trace to see the tokens of this prompt.")
    expect(page.locator(".fl-piece:visible")).to_have_count(0)
    expect(page.get_by_test_id("factlens-answer")).to_be_hidden()
    change(page, "a", state="js:fakeLocate({status: 'tracing', progress: 0.3})")
    expect(prompt).to_have_value("half a sen")
    change(page, "a", state="js:fakeLocate({prompt: 'The Eiffel Tower is in'})")
    expect(prompt).to_have_value("The Eiffel Tower is in")


def test_a_trace_is_opened_and_saved(page):
    record_gestures(page)
    put(page, "locate", state="js:fakeLocate()")
    page.get_by_role("button", name="Save trace").click()
    assert page.evaluate("gestures.at(-1)") == {"lens": "lens-1", "name": "save_trace"}
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Open trace").click()
    chooser.value.set_files({"name": "t.safetensors", "mimeType": "application/octet-stream", "buffer": b"abc"})
    page.wait_for_function("gestures.at(-1).name === 'open'")
    assert page.evaluate("[...new Uint8Array(gestures.at(-1).buffers[0])]") == list(b"abc")
    change(page, "a", state="js:fakeLocate({traced: false})")
    expect(page.get_by_test_id("factlens-save-trace")).to_be_disabled()
    expect(page.get_by_test_id("factlens-open-trace")).to_be_enabled()
    change(page, "a", state="js:fakeLocate({status: 'tracing'})")
    expect(page.get_by_test_id("factlens-open-trace")).to_be_disabled()
