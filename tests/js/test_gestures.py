"""The widget that sends gestures to Python and hears whether they have arrived."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.js.driving import put


def test_gestures_say_hello_and_send_what_they_hear_with_ids(page):
    put(page, "gestures")
    page.evaluate("""() => {
        const say = (lens, name, rest) => document.dispatchEvent(
            new CustomEvent('factlens:gesture', {detail: {lens, name, ...rest}}));
        say('lens-1', 'trace', {prompt: 'p', subject: 's'});
        say('another', 'stop');
        say('lens-1', 'stop');
    }""")
    assert page.evaluate("models.a.sent") == [
        {"type": "hello"},
        {"type": "gesture", "id": 1, "name": "trace", "prompt": "p", "subject": "s"},
        {"type": "gesture", "id": 2, "name": "stop"},
    ]
    assert page.locator("#a").inner_text() == ""


def test_two_views_of_the_gestures_widget_send_each_gesture_once(page):
    page.evaluate("""async () => {
        const widget = (await import('/factlens/static/gestures.js')).default;
        window.model = new MockModel({lens: 'lens-1'});
        widget.initialize({model});
        for (const id of ['a', 'b']) widget.render({model, el: document.querySelector('#' + id)});
        document.dispatchEvent(new CustomEvent('factlens:gesture', {detail: {lens: 'lens-1', name: 'undo'}}));
    }""")
    assert page.evaluate("model.sent.map((m) => m.type)") == ["hello", "hello", "gesture"]


def test_a_missing_answer_is_said_after_a_second_and_unsaid_when_all_answers_are_there(clock_page):
    page = clock_page
    page.clock.install(time=0)
    put(page, "locate", "b", state="js:fakeLocate()")
    put(page, "gestures", "a")
    page.clock.pause_at(600_000)  # from here on, time passes only when the test says so
    waiting = page.get_by_test_id("factlens-waiting")
    page.get_by_test_id("factlens-trace").click()
    page.evaluate("models.a.reply({type: 'ack', id: 1})")
    page.clock.run_for(3000)
    expect(waiting).to_be_hidden()  # it was answered

    page.get_by_test_id("factlens-trace").click()
    page.get_by_test_id("factlens-trace").click()
    page.clock.run_for(900)
    expect(waiting).to_be_hidden()
    page.clock.run_for(200)
    expect(waiting).to_have_text("The kernel is busy with another cell: your click waits for it.")
    page.evaluate("models.a.reply({type: 'ack', id: 2})")
    expect(waiting).to_be_visible()
    page.evaluate("models.a.reply({type: 'ack', id: 99})")
    expect(waiting).to_be_visible()
    page.evaluate("models.a.reply({type: 'ack', id: 3})")
    expect(waiting).to_be_hidden()


def test_files_go_through_the_gestures_comm(page):
    put(page, "gestures")
    page.evaluate(
        "document.dispatchEvent(new CustomEvent('factlens:gesture', "
        "{detail: {lens: 'lens-1', name: 'load', buffers: [new Uint8Array([1, 2]).buffer]}}))"
    )
    assert page.evaluate("models.a.sent.at(-1)") == {"type": "gesture", "id": 1, "name": "load"}
    assert page.evaluate("[...new Uint8Array(models.a.buffers.at(-1)[0])]") == [1, 2]
    with page.expect_download() as download:
        page.evaluate(
            "models.a.reply({type: 'file', name: 'e.safetensors'}, [new DataView(new Uint8Array([7]).buffer)])"
        )
    assert download.value.suggested_filename == "e.safetensors"
    assert download.value.path().read_bytes() == bytes([7])


def test_after_cleanup_gestures_are_not_sent(page):
    put(page, "gestures")
    page.evaluate("""() => {
        ends.a();
        document.dispatchEvent(new CustomEvent('factlens:gesture', {detail: {lens: 'lens-1', name: 'undo'}}));
    }""")
    assert page.evaluate("models.a.sent") == [{"type": "hello"}]
