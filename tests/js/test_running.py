"""Progress and Stop beside the button that has started something long."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.js.driving import change, put, record_gestures

BUTTONS = {"edit": "apply", "judge": "check"}
FAKES = {"edit": "fakeEdit", "judge": "fakeJudge"}


def state(name: str, rest: str = "") -> str:
    own = "target: 'Paris'," if name == "edit" else ""
    return f"js:{FAKES[name]}({{{own} {rest}}})"


def at_work(name: str, status: str) -> str:
    return state(name, f"status: '{status}', place: '{name}'")


@pytest.mark.parametrize("name", BUTTONS)
def test_a_click_is_answered_at_once_and_stop_stands_beside_it(page, name):
    record_gestures(page)
    put(page, name, state=state(name), running={})
    message, stop = page.get_by_test_id(f"factlens-{name}-message"), page.get_by_test_id(f"factlens-{name}-stop")
    expect(message).to_be_hidden()
    # In the very task of the click: no answer of Python's is waited for.
    said = page.evaluate(f"""() => {{
        document.querySelector('[data-testid=factlens-{BUTTONS[name]}]').focus();
        document.activeElement.click();
        const message = document.querySelector('[data-testid=factlens-{name}-message]');
        return [message.textContent, message.checkVisibility()];
    }}""")
    assert said == ["Starting …", True]

    change(page, "a", state=at_work(name, "editing"))
    change(page, "a", running={"progress": 0.4, "message": "optimising v*, about 5 s left"})
    expect(message).to_have_text("optimising v*, about 5 s left")
    expect(page.get_by_test_id(f"factlens-{name}-progress")).to_have_attribute("aria-valuenow", "40")
    stop.focus()
    stop.press("Enter")
    assert page.evaluate("gestures.at(-1).name") == "stop"
    change(page, "a", state=at_work(name, "stopping"))
    expect(stop).to_have_text("Stopping …")
    expect(stop).to_have_attribute("aria-disabled", "true")
    change(page, "a", running={}, state=state(name))
    expect(message).to_be_hidden()
    expect(page.get_by_test_id(f"factlens-{BUTTONS[name]}")).to_be_focused()


def test_what_is_refused_leaves_no_progress(page):
    put(page, "edit", state=state("edit"), running={})
    message = page.get_by_test_id("factlens-edit-message")
    page.get_by_test_id("factlens-apply").click()
    expect(message).to_have_text("Starting …")
    change(page, "a", state=state("edit", "error: {title: 'T', text: 'why'}"))
    expect(message).to_be_hidden()
    # The same once more: Python has nothing new to say, and has answered.
    page.get_by_test_id("factlens-apply").click()
    expect(message).to_be_visible()
    page.evaluate(
        "document.dispatchEvent(new CustomEvent('factlens:waiting', "
        "{detail: {lens: 'lens-1', waiting: false, kernel: 'answered'}}))"
    )
    expect(message).to_be_hidden()


def test_work_of_another_panel_is_not_shown_in_the_panel_of_the_trace_but_can_be_stopped_there(page):
    put(page, "locate", state="js:fakeLocate({status: 'editing', place: 'edit', progress: 0.5, message: 'x'})")
    expect(page.get_by_test_id("factlens-message")).to_be_hidden()
    expect(page.get_by_test_id("factlens-stop")).to_have_attribute("aria-disabled", "false")
    change(page, "a", state="js:fakeLocate({status: 'tracing', place: 'locate', progress: 0.5, message: 'tracing'})")
    expect(page.get_by_test_id("factlens-message")).to_have_text("tracing")


def test_a_restarted_kernel_is_not_called_busy(page):
    put(page, "locate", "b", state="js:fakeLocate()")
    put(page, "edit", "c", state=state("edit"), running={})
    put(page, "gestures", "a")
    waiting = page.get_by_test_id("factlens-waiting")
    page.evaluate("models.a.emit('comm_live_update')")
    expect(waiting).to_be_hidden()  # the comm lives
    page.evaluate("""() => {
        document.querySelector('#a').classList.add('jupyter-widgets-disconnected');
        models.a.emit('comm_live_update');
    }""")
    words = "The kernel was restarted. Run this cell again."
    expect(waiting).to_have_text(words)
    sent = page.evaluate("models.a.sent.length")
    page.get_by_test_id("factlens-apply").click()
    expect(page.get_by_test_id("factlens-edit-message")).to_have_text(words)
    expect(page.get_by_test_id("factlens-edit-stop")).to_have_attribute("aria-disabled", "true")
    assert page.evaluate("models.a.sent.length") == sent, "there is nobody to send it to"
    page.evaluate("""() => {
        document.querySelector('#a').classList.remove('jupyter-widgets-disconnected');
        models.a.emit('comm_live_update');
    }""")
    expect(waiting).to_be_hidden()
