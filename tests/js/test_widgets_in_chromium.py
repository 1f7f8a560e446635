"""The built bundles in a real browser, with a mock of anywidget's model: what a user sees, does and hears."""

from __future__ import annotations

import pathlib
import re

import pytest
from playwright.sync_api import expect

STATIC = pathlib.Path(__file__).resolve().parents[2] / "factlens" / "static"
EVIL = '<img src=x onerror="window.hacked=1">'


def put(page, name, at="a", **traits):
    """Renders widget ``name`` into ``#at``; JavaScript values come as strings that begin with ``js:``."""
    page.evaluate(
        """async ([name, at, traits]) => {
            const read = (v) => (typeof v === 'string' && v.startsWith('js:') ? eval(`(${v.slice(3)})`) : v);
            await put(name, at, Object.fromEntries(Object.entries(traits).map(([k, v]) => [k, read(v)])));
            await frames();
        }""",
        [name, at, {"lens": "lens-1", **traits}],
    )


def change(page, at, **traits):
    page.evaluate(
        """async ([at, traits]) => {
            const read = (v) => (typeof v === 'string' && v.startsWith('js:') ? eval(`(${v.slice(3)})`) : v);
            for (const [k, v] of Object.entries(traits)) models[at].put(k, read(v));
            await frames();
        }""",
        [at, traits],
    )


def heatmap(page, frame="fakeFrame()", at="a", selection=None, busy=False, lens="lens-1"):
    put(page, "heatmap", at, frame=f"js:{frame}", selection=selection, busy=busy, lens=lens)


def record_gestures(page):
    page.evaluate(
        "() => { window.gestures = []; document.addEventListener('factlens:gesture', (e) => gestures.push(e.detail)); }"
    )


def point(page, kind, token, layer):
    """The middle of a cell on the page, found as docs say: from the canvas's own attributes."""
    return page.locator(f"[data-kind='{kind}'] canvas").evaluate(
        """(canvas, [token, layer]) => {
            const d = canvas.dataset, box = canvas.getBoundingClientRect();
            return [box.left + Number(d.cellLeft) + (layer + 0.5) * Number(d.cellWidth),
                    box.top + Number(d.cellTop) + (token + 0.5) * Number(d.cellHeight)];
        }""",
        [token, layer],
    )


def pixels(page, kind, token, layer):
    """The distinct colours inside a cell, edges left out."""
    return page.locator(f"[data-kind='{kind}'] canvas").evaluate(
        """(canvas, [token, layer]) => {
            const d = canvas.dataset, r = canvas.width / canvas.getBoundingClientRect().width;
            const w = Number(d.cellWidth) * r, h = Number(d.cellHeight) * r;
            const copy = Object.assign(document.createElement('canvas'), {width: w - 5, height: h - 5});
            const pen = copy.getContext('2d', {willReadFrequently: true});
            pen.drawImage(canvas, -Math.round(layer * w + 2), -Math.round(token * h + 2));
            const data = pen.getImageData(0, 0, copy.width, copy.height).data;
            const seen = new Set();
            for (let i = 0; i < data.length; i += 4) seen.add(data.slice(i, i + 3).join());
            return [...seen];
        }""",
        [token, layer],
    )


# --- gestures ---------------------------------------------------------------------------------------------------------


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


# --- the locate panel -------------------------------------------------------------------------------------------------


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
    expect(page.get_by_test_id("factlens-tokens")).to_contain_text("Tokens of the last accepted prompt")
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
    offer = "{prompt: 'It is in', subject: 'It', target: ''}"
    notes = f"[{{text: 'The prompt ends in white space.', offer: {offer}}}, {{text: 'Mind this.', offer: null}}]"
    put(page, "locate", state=f"js:fakeLocate({{prompt: 'It is in ', subject: 'It', notes: {notes}}})")
    said = page.get_by_test_id("factlens-notes")
    expect(said.locator("p")).to_have_count(2)
    expect(said).to_contain_text("The prompt ends in white space.")
    expect(said.get_by_role("button")).to_have_count(1)
    said.get_by_role("button", name="Trace it so").click()
    assert page.evaluate("gestures") == [
        {"lens": "lens-1", "name": "trace", "prompt": "It is in", "subject": "It", "chat": False}
    ]
    change(page, "a", state="js:fakeLocate()")
    expect(said).to_be_hidden()


def test_each_reading_of_a_prompt_has_a_button(page):
    record_gestures(page)
    readings = (
        "[{shown: '⟦Rome⟧ and Rome', prompt: '{} and Rome', slot: '{}'}, "
        "{shown: '{} and ⟦Rome⟧', prompt: '{{}} and {}', slot: null}]"
    )
    error = f"{{title: 'Two ways', text: 'It can be read in two ways.', readings: {readings}}}"
    put(page, "locate", state=f"js:fakeLocate({{subject: 'Rome', error: {error}}})")
    ways = page.get_by_test_id("factlens-readings").get_by_role("button")
    expect(ways).to_have_text(["Read it as ⟦Rome⟧ and Rome", "Read it as {} and ⟦Rome⟧"])
    ways.nth(0).click()
    ways.nth(1).click()
    sent = page.evaluate("gestures.map(({prompt, subject, slot}) => [prompt, subject, slot])")
    assert sent == [["{} and Rome", "Rome", "{}"], ["{{}} and {}", "Rome", None]]
    change(page, "a", state="js:fakeLocate()")
    expect(page.get_by_test_id("factlens-readings")).to_be_hidden()


def test_a_new_object_can_be_meant_exactly(page):
    record_gestures(page)
    put(page, "edit", state="js:fakeEdit({target: 'Paris'})")
    exactly = page.get_by_label("Exactly")
    exactly.check()
    page.get_by_test_id("factlens-apply").click()
    assert page.evaluate("gestures.filter((g) => g.name === 'apply').map((g) => [g.target, g.exactly])") == [
        ["Paris", True]
    ]
    tokens = "{text: 'Paris', exactly: true, pieces: ['Paris'], count: 1, why: ''}"
    change(page, "a", state=f"js:fakeEdit({{target: 'Paris', exactly: true, target_tokens: {tokens}}})")
    expect(exactly).to_be_checked()
    expect(page.get_by_test_id("factlens-target-tokens").locator(".fl-piece")).to_have_text(["Paris"])
    exactly.uncheck()
    expect(page.get_by_test_id("factlens-target-tokens").locator(".fl-piece")).to_have_count(0)
    why = "{text: 'Paris', exactly: false, pieces: [], count: 0, why: 'The tokenizer merges it.'}"
    change(page, "a", state=f"js:fakeEdit({{target: 'Paris', target_tokens: {why}}})")
    expect(page.get_by_test_id("factlens-target-tokens")).to_contain_text("The tokenizer merges it.")
    change(page, "a", state="js:fakeEdit({target: 'Paris', remarks: ['The model would rather say it so.']})")
    expect(page.get_by_test_id("factlens-remarks")).to_have_text("The model would rather say it so.")
    change(page, "a", state="js:fakeEdit({target: 'Paris'})")
    expect(page.get_by_test_id("factlens-remarks")).to_be_hidden()
    # White space is an object only where it is meant.
    page.get_by_test_id("factlens-target").fill(" ")
    expect(page.get_by_test_id("factlens-apply")).to_have_attribute("aria-disabled", "true")
    exactly.check()
    expect(page.get_by_test_id("factlens-apply")).to_have_attribute("aria-disabled", "false")


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
    prompt.fill("half a sen")
    expect(page.get_by_test_id("factlens-tokens")).to_contain_text("Tokens of the last accepted prompt")
    change(page, "a", state="js:fakeLocate({status: 'tracing', progress: 0.3})")
    expect(prompt).to_have_value("half a sen")
    change(page, "a", state="js:fakeLocate({prompt: 'The Eiffel Tower is in'})")
    expect(prompt).to_have_value("The Eiffel Tower is in")


def test_strings_are_never_html(page):
    """Tokens, prompts, answers, errors and labels come from models and from people."""
    evil = EVIL.replace("'", "")
    page.evaluate("(evil) => { window.evil = evil; }", evil)
    put(
        page, "locate", "a",
        state="js:fakeLocate({model: evil, prompt: evil, subject: evil, answer: evil, message: evil, "
        "status: 'tracing', pieces: [{text: evil, subject: true}], error: {title: evil, text: evil}})",
    )  # fmt: skip
    heatmap(
        page,
        "fakeFrame({answer: evil, tokens: [0, 1, 2].map((i) => ({text: evil, id: i, subject: i < 2})), "
        "suggested: {kind: 'mlp', token: 1, layer: 1}})",
        "b",
        {"kind": "mlp", "token": 1, "layer": 2},
    )
    put(
        page, "edit", "c",
        state="js:fakeEdit({subject: evil, answer: evil, target: evil, "
        "edits: [{label: evil, method: evil, layers: [1]}], error: {title: evil, text: evil}})",
    )  # fmt: skip
    page.evaluate("() => { document.body.append(Object.assign(document.createElement('div'), {id: 'd'})); }")
    put(
        page, "details", "d",
        state="js:fakeReader(fakeDetails({answer: evil, piece: evil, lens: {clean: [{text: evil, id: 0, "
        "probability: 1}], corrupted: [], restored: []}}), {contrast: evil, metric: 'logit_difference', "
        "error: {title: evil, text: evil}})",
    )  # fmt: skip
    page.evaluate("() => { document.body.append(Object.assign(document.createElement('div'), {id: 'e'})); }")
    page.evaluate(
        """(evil) => {
        const said = {top: evil, old: 0.5, new: 0.5};
        const after = {...said, top: 'x'};
        const row = {role: 'own', prompt: evil, old: evil, new: evil, before: said, after, held: []};
        const judgement = {rows: [row], texts: [{prompt: evil, before: evil, after: evil}]};
        window.judged = {judgement, own: [evil], roles: [{name: 'own', title: evil}], error: {title: evil, text: evil}};
    }""",
        evil,
    )
    put(page, "judge", "e", state="js:fakeJudge(judged)")
    page.mouse.move(*point(page, "mlp", 1, 3))
    page.get_by_test_id("factlens-table-toggle").click()
    page.wait_for_timeout(100)
    assert page.locator("img").count() == 0
    assert page.evaluate("window.hacked") is None
    for widget in ("locate", "heatmap", "edit", "judge", "details"):
        assert evil in page.get_by_test_id(f"factlens-{widget}").inner_text(), widget


# --- the edit panel ---------------------------------------------------------------------------------------------------


def test_apply_and_undo(page):
    record_gestures(page)
    put(page, "edit", state="js:fakeEdit()")
    apply, undo = page.get_by_role("button", name="Apply"), page.get_by_test_id("factlens-undo")
    expect(page.get_by_test_id("factlens-edit-layer")).to_have_text("at layer 1 (the default)")
    expect(apply).to_have_attribute("aria-disabled", "true")
    expect(undo).to_have_attribute("aria-disabled", "true")
    apply.click(force=True)
    undo.click(force=True)
    assert page.evaluate("gestures") == []

    page.get_by_label("New object").fill("Paris")
    apply.click()
    change(page, "a", state="js:fakeEdit({layer: 5, target: 'Paris'})")
    expect(page.get_by_test_id("factlens-edit-layer")).to_have_text("at layer 5")
    page.get_by_label("New object").press("Enter")
    apply_gesture = {"lens": "lens-1", "name": "apply", "target": "Paris", "exactly": False, "settings": {}}
    # On a slow machine Python is asked for the tokens before the first click.
    applied = page.evaluate("gestures.filter(({name}) => name !== 'spell')")
    assert applied == [{**apply_gesture, "layer": None}, {**apply_gesture, "layer": 5}]

    rome, memit = (
        "{key: 'a', label: 'A → B', method: 'rome', layers: [1]}",
        "{key: 'b', label: 'C → D', method: 'memit', layers: [4, 5]}",
    )
    page.evaluate(f"window.edits = [{rome}, {memit}]")
    change(page, "a", state="js:fakeEdit({target: 'Paris', status: 'editing', edits})")
    expect(apply).to_have_attribute("aria-disabled", "true")
    expect(undo).to_have_attribute("aria-disabled", "true")
    expect(page.get_by_test_id("factlens-edit-status")).to_have_text("computing the edit …")
    change(page, "a", state="js:fakeEdit({target: 'Paris', edits, error: {title: 'T', text: 'why'}})")
    listed = page.get_by_test_id("factlens-edits").locator("li")
    expect(listed.locator(".fl-edit-label")).to_have_text(["A → B", "C → D"])
    expect(listed.locator(".fl-edit-method")).to_have_text([" (ROME, layer 1)", " (MEMIT, layers 4 to 5)"])
    expect(page.get_by_role("alert")).to_contain_text("why")
    expect(undo).to_have_accessible_name("Undo C → D")
    undo.click()
    assert page.evaluate("gestures.at(-1)") == {"lens": "lens-1", "name": "undo", "key": "b"}


def test_undo_and_redo_act_on_what_they_name(page):
    record_gestures(page)
    entry = "{{key: '{0}', label: '{1}', method: 'rome', layers: [1]}}".format
    first, second = entry("a", "A → B"), entry("b", f"A very {'very ' * 40}long name")
    put(page, "edit", state=f"js:fakeEdit({{edits: [{first}, {second}]}})")
    undo, redo = page.get_by_test_id("factlens-undo"), page.get_by_test_id("factlens-redo")
    expect(redo).to_have_accessible_name("Redo")
    expect(redo).to_have_attribute("title", "There is no edit to redo.")
    expect(undo).to_have_attribute("title", re.compile("^A very very"))
    assert undo.bounding_box()["width"] < 400, "a long name is cut off"
    undo.focus()
    page.keyboard.press("Enter")
    # Somebody else has undone it before Python has answered: the next press is about what is named now.
    change(page, "a", state=f"js:fakeEdit({{edits: [{first}], redo: {{key: 'b', label: 'C → D'}}}})")
    expect(undo).to_be_focused()
    expect(undo).to_have_accessible_name("Undo A → B")
    expect(redo).to_have_accessible_name("Redo C → D")
    page.keyboard.press("Space")
    redo.click()
    assert page.evaluate("gestures.map(({name, key}) => [name, key])") == [["undo", "b"], ["undo", "a"], ["redo", "b"]]
    change(page, "a", state="js:fakeEdit({edits: []})")
    undo.click(force=True)
    redo.click(force=True)
    assert page.evaluate("gestures.length") == 3


def test_an_edit_that_did_not_take_is_a_notice_and_no_error(page):
    entry = "{{key: '{0}', label: 'A → B', method: 'rome', layers: [1], took: {1}, shares: '{2}'}}".format
    edits = [entry("a", "true", "took 1 of 1: p(B) 0.1 → 0.9"), entry("b", "false", "took 0 of 1: p(B) 0.1 → 0.1")]
    put(page, "edit", "a", state=f"js:fakeEdit({{edits: [{edits[0]}]}})")
    notice = page.get_by_test_id("factlens-edit-warning")
    expect(notice).to_be_hidden()
    warning = "{title: 'The edit did not take.', text: 'A → B: p(B) 0.1. <b>Try</b> more steps (now 1).'}"
    change(page, "a", state=f"js:fakeEdit({{edits: [{', '.join(edits)}], warning: {warning}}})")
    expect(notice).to_be_visible()
    expect(notice).to_have_role("status")
    expect(notice).to_contain_text("The edit did not take.A → B: p(B) 0.1. <b>Try</b> more steps (now 1).")
    expect(page.get_by_test_id("factlens-edit-error")).to_be_hidden()
    rows = page.get_by_test_id("factlens-edits").locator("li")
    expect(rows.nth(0).locator(".fl-edit-took")).to_have_text("took 1 of 1: p(B) 0.1 → 0.9")
    expect(rows.nth(1).locator(".fl-edit-failed")).to_have_text("took 0 of 1: p(B) 0.1 → 0.1")
    change(page, "a", state=f"js:fakeEdit({{edits: [{edits[0]}]}})")
    expect(notice).to_be_hidden()


def test_the_list_says_where_edits_are_from(page):
    origins = {"here": "", "lens": " from another lens", "python": " from Python"}
    entries = ", ".join(f"{{key: '{o}', label: 'A → B', method: 'rome', layers: [1], origin: '{o}'}}" for o in origins)
    put(page, "edit", state=f"js:fakeEdit({{edits: [{entries}]}})")
    rows = page.get_by_test_id("factlens-edits").locator("li")
    for i, words in enumerate(origins.values()):
        expect(rows.nth(i)).to_have_text(f"A → B (ROME, layer 1){words}Take outSave")
        name = ", ".join(filter(None, ["Take out: A → B", words.strip()]))
        expect(rows.nth(i).get_by_role("button", name=name, exact=True)).to_be_visible()


def test_a_foreign_change_has_two_ways_on(page):
    record_gestures(page)
    put(page, "edit", state="js:fakeEdit()")
    notice = page.get_by_test_id("factlens-foreign")
    expect(notice).to_be_hidden()
    change(page, "a", state="js:fakeEdit({foreign: \"'h.1.weight' was changed: model.keep_changes()\"})")
    expect(page.get_by_role("alert")).to_contain_text("model.keep_changes()")
    for name in ("Keep the change", "Go back to the edits"):
        page.get_by_role("button", name=name).click()
    assert page.evaluate("gestures.map(({name}) => name)") == ["keep", "revert"]
    change(page, "a", state="js:fakeEdit({foreign: 'It was changed.', status: 'editing'})")
    page.get_by_role("button", name="Keep the change").click(force=True)
    assert page.evaluate("gestures.length") == 2
    change(page, "a", state="js:fakeEdit()")
    expect(notice).to_be_hidden()


def test_the_tokens_of_a_new_object_are_shown_while_it_is_written(page):
    record_gestures(page)
    put(page, "edit", state="js:fakeEdit({target: 'Rome', target_tokens: {text: 'Rome', pieces: [' Rome'], count: 1}})")
    row = page.get_by_test_id("factlens-target-tokens")
    expect(row).to_have_text("·Romeone token")
    place = page.get_by_role("button", name="Apply").bounding_box()
    box = page.get_by_label("New object")
    box.press("End")
    box.press_sequentially("x")
    expect(row).to_have_text("")  # Python's tokens are those of something else
    page.wait_for_function("gestures.length === 1")
    assert page.evaluate("gestures[0]") == {"lens": "lens-1", "name": "spell", "target": "Romex", "exactly": False}
    spelt = "{text: 'Romex', pieces: [' Rom', 'ex'], count: 2}"
    change(page, "a", state=f"js:fakeEdit({{target: 'Rome', target_tokens: {spelt}}})")
    expect(row).to_have_text("·Romex2 tokens: the bars show the first, the checks score them all")
    expect(box).to_have_value("Romex")
    assert page.get_by_role("button", name="Apply").bounding_box() == place  # nothing has jumped


def test_the_stack_of_edits(page):
    record_gestures(page)
    page.evaluate("window.edits = [{key: 'a', label: 'A → B', layers: [1]}, {key: 'b', label: 'C → D', layers: [2]}]")
    put(page, "edit", state="js:fakeEdit({edits, redo: {key: 'e', label: 'E → F'}})")
    page.get_by_role("button", name="Take out: A → B").click()
    page.get_by_role("button", name="Save: C → D").click()
    page.get_by_role("button", name="Redo").click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Load …").click()
    chooser.value.set_files({"name": "x.safetensors", "mimeType": "application/octet-stream", "buffer": b"abc"})
    page.wait_for_function("gestures.length === 4")
    assert page.evaluate("gestures.map(({name, key}) => [name, key ?? null])") == [
        ["drop", "a"],
        ["save", "b"],
        ["redo", "e"],
        ["load", None],
    ]
    assert page.evaluate("[...new Uint8Array(gestures[3].buffers[0])]") == [97, 98, 99]
    change(page, "a", state="js:fakeEdit({edits, status: 'editing'})")
    page.get_by_role("button", name="Take out: A → B").click(force=True)
    expect(page.get_by_role("button", name="Redo")).to_have_attribute("aria-disabled", "true")
    assert page.evaluate("gestures.length") == 4


def test_the_method_and_its_knobs(page):
    record_gestures(page)
    put(page, "edit", state="js:fakeEdit({target: 'Paris'})")
    fold = page.get_by_test_id("factlens-method")
    expect(fold.locator("summary")).to_have_text("Method: ROME")
    expect(page.get_by_label("clamp")).to_be_hidden()
    fold.locator("summary").click()
    expect(page.get_by_label("clamp")).to_have_accessible_description("longest change")
    page.get_by_label("clamp").fill("4.5")
    page.get_by_role("button", name="Apply").click()
    assert page.evaluate("gestures.at(-1).settings") == {"clamp": 4.5}
    # What is typed stays while other things change.
    change(page, "a", state="js:fakeEdit({target: 'Paris', status: 'editing'})")
    expect(page.get_by_label("clamp")).to_have_value("4.5")
    page.get_by_label("Method").select_option("memit")
    assert page.evaluate("gestures.at(-1)") == {"lens": "lens-1", "name": "method", "method": "memit"}
    knobs = "knobs: [{name: 'clamp', value: 0.75}]"
    change(page, "a", state=f"js:fakeEdit({{method: 'memit', {knobs}, edit_layers: [0, 1]}})")
    expect(fold.locator("summary")).to_have_text("Method: MEMIT")
    expect(page.get_by_label("clamp")).to_have_value("0.75")
    expect(page.get_by_test_id("factlens-edit-layer")).to_have_text("at layers 0 to 1 (the default)")


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


def test_apply_keeps_the_keyboard_focus_while_it_works(page):
    """A button that drops the focus would give the next key to the notebook as a command."""
    put(page, "edit", state="js:fakeEdit({target: 'Paris'})")
    apply = page.get_by_test_id("factlens-apply")
    apply.focus()
    page.keyboard.press("Space")
    change(page, "a", state="js:fakeEdit({target: 'Paris', status: 'editing'})")
    expect(apply).to_be_focused()


# --- the checks -------------------------------------------------------------------------------------------------------


def test_what_else_changed(page):
    record_gestures(page)
    put(page, "judge", state="js:fakeJudge({judgement: null, edits: 0, own: []})")
    check = page.get_by_role("button", name="Check what else changed")
    expect(check).to_have_attribute("aria-disabled", "true")
    expect(page.get_by_test_id("factlens-judge-status")).to_have_text("Edit a fact, then see here what else changed.")
    check.click(force=True)
    assert page.evaluate("gestures") == []
    change(page, "a", state="js:fakeJudge({judgement: null, own: []})")
    check.click()
    assert page.evaluate("gestures") == [{"lens": "lens-1", "name": "judge"}]
    change(page, "a", state="js:fakeJudge({judgement: null, own: [], status: 'judging'})")
    expect(page.get_by_test_id("factlens-judge-status")).to_have_text("asking, before and after …")

    change(page, "a", state="js:fakeJudge()")
    folds = page.get_by_test_id("factlens-judged").locator("details")
    expect(folds.locator("summary")).to_have_text(
        [
            "the prompt0 → 1 of 1 give the new object",
            "paraphrases0 → 1 of 1 give the new object",
            "neighbours2 → 1 of 2 give the old answer",
            "your prompts1 → 1 of 1 give the old answer",
            "continuations0 of 1 as before",
        ]
    )
    neighbours = folds.nth(2)
    expect(neighbours.get_by_text("Pike Place is in downtown")).to_be_hidden()
    neighbours.locator("summary").click()
    first = neighbours.locator("tbody tr").first
    expect(first.locator("td")).to_have_text(["SeattleSeattle 97 % · Paris 0 %", "ParisSeattle 30 % · Paris 50 %"])
    expect(first.locator(".fl-changed")).to_have_text("Paris")
    # What is open stays open when the checks are asked again.
    change(page, "a", state="js:fakeJudge({own: ['another']})")
    change(page, "a", state="js:fakeJudge({outdated: true, judgement: {...fakeJudge().judgement, texts: []}})")
    expect(neighbours.get_by_text("Pike Place is in downtown")).to_be_visible()
    expect(page.get_by_test_id("factlens-judge-status")).to_have_text(
        "Checked with other weights than the model has now."
    )


def test_prompts_of_ones_own(page):
    record_gestures(page)
    put(page, "judge", state="js:fakeJudge({error: {title: 'T', text: 'why'}})")
    expect(page.get_by_role("alert")).to_contain_text("why")
    add, box = page.get_by_role("button", name="Add"), page.get_by_label("Also ask")
    expect(add).to_have_attribute("aria-disabled", "true")
    box.fill("The capital of France is")
    add.click()
    expect(box).to_have_value("")
    box.fill("Rome is")
    box.press("Enter")
    page.get_by_role("button", name="Take out: Everyone loves").click()
    assert page.evaluate("gestures.map(({name, prompt}) => [name, prompt])") == [
        ["add_prompt", "The capital of France is"],
        ["add_prompt", "Rome is"],
        ["remove_prompt", "Everyone loves"],
    ]


# --- the heatmap ------------------------------------------------------------------------------------------------------


def test_nothing_traced_yet(page):
    heatmap(page, "{}")
    expect(page.get_by_test_id("factlens-empty")).to_have_text("Press Trace to see where the model keeps this fact.")
    expect(page.locator("canvas")).to_have_count(0)
    change(page, "a", frame="js:fakeFrame()")
    expect(page.get_by_test_id("factlens-empty")).to_be_hidden()
    expect(page.locator("canvas")).to_have_count(3)


def test_the_page_says_what_is_drawn(page):
    heatmap(page, "fakeFrame({run: 7, share: 3 / 7, suggested: {kind: 'mlp', token: 5, layer: 2}})", busy=True)
    root = page.get_by_test_id("factlens-heatmap")
    expect(root).to_have_attribute("data-complete", "false")
    expect(root).to_have_attribute("data-run", "7")
    expect(root).to_have_attribute("data-computed", str(3 * 3 * 8))
    expect(root).to_have_attribute("data-lm-suppress-shortcuts", "true")
    expect(page.get_by_test_id("factlens-heatmap-status")).to_have_text("Tracing: 72 of 168 cells.")
    legend = page.get_by_test_id("factlens-legend")
    expect(legend).to_contain_text("corrupted 4 %")
    expect(legend).to_contain_text("clean 93 %")
    expect(legend).to_contain_text("not computed")
    expect(page.get_by_test_id("factlens-suggestion")).to_have_text(
        "Suggested: layer 2 · MLP · token “down”, the largest MLP effect at the subject’s last token."
    )
    expect(root).to_contain_text("it does not prove where to edit (Hase et al. 2023, arXiv:2301.04213)")
    expect(page.locator("[data-kind=state] .fl-label.fl-subject")).to_have_text(["The*", "·Space*", "·Needle*"])
    expect(page.locator("[data-kind=state] .fl-label").last).to_have_text("(last)town")
    expect(page.locator("[data-kind=mlp] .fl-labels")).to_be_hidden()  # side by side, the rows are shared

    change(page, "a", frame="js:fakeFrame({run: 7, share: 3 / 7, stopped: true})", busy=False)
    expect(page.get_by_test_id("factlens-heatmap-status")).to_have_text(
        "Stopped after 72 of 168 cells: hatched cells were not computed."
    )
    change(page, "a", frame="js:fakeFrame({run: 7})")
    expect(root).to_have_attribute("data-complete", "true")
    expect(page.get_by_test_id("factlens-heatmap-status")).to_be_hidden()


def test_cells_have_the_colour_of_their_value_and_nan_is_hatched(page):
    heatmap(page, "fakeFrame({share: 2 / 7})")
    assert len(pixels(page, "state", 6, 7)) == 1  # computed: one flat colour
    assert len(pixels(page, "state", 0, 0)) > 1  # not computed: a texture
    page.evaluate("""() => {
        const frame = fakeFrame({run: 2});
        const grid = new Float32Array(3 * 7 * 8).fill(0.04);
        grid[(1 * 7 + 2) * 8 + 5] = 0.93;      // mlp, token 2, layer 5
        grid[(1 * 7 + 2) * 8 + 6] = 0.999;     // above the clean run: clamped
        grid[(1 * 7 + 2) * 8 + 4] = 0.001;     // below the corrupted run: clamped
        // A manager may hand out a view into a larger buffer.
        const bytes = new Uint8Array(grid.byteLength + 12);
        bytes.set(new Uint8Array(grid.buffer), 6);
        frame.grid = new DataView(bytes.buffer, 6, grid.byteLength);
        models.a.put('frame', frame);
        return frames();
    }""")
    low, high = pixels(page, "mlp", 0, 0), pixels(page, "mlp", 2, 5)
    assert low == ["255,255,255"]  # nothing restored looks like the page
    assert len(high) == 1
    assert high != low
    assert pixels(page, "mlp", 2, 6) == high
    assert pixels(page, "mlp", 2, 4) == low
    assert pixels(page, "mlp", 5, 2) == low  # rows and columns are not swapped


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("palette", ["rome", "safe"])
def test_estimates_are_drawn_as_such_and_vanish(page, theme, palette):
    """Striped in the colours of their values: unlike an exact cell, and unlike one that is not computed."""
    page.evaluate(f"document.body.dataset.jpThemeLight = '{'true' if theme == 'light' else 'false'}'")
    heatmap(page, "fakeFrame({share: 2 / 7, guess: true})", busy=True)
    page.locator(f"[data-palette={palette}]").click()
    page.evaluate("frames()")
    root, note = page.get_by_test_id("factlens-heatmap"), page.get_by_test_id("factlens-estimate-note")
    legend = page.get_by_test_id("factlens-legend")
    expect(root).to_have_attribute("data-computed", "48")
    expect(root).to_have_attribute("data-estimated", "120")
    estimates = {place: pixels(page, "state", *place) for place in [(2, 0), (2, 4), (0, 0)]}  # high, middling, low
    assert all(len(colours) > 1 for colours in estimates.values())
    assert len(pixels(page, "state", 6, 7)) == 1  # exact
    expect(note).to_have_text(
        "Hatched colours: estimated from gradients, replaced by exact values as they come (rank correlation with the "
        "exact grid on 100 atlas facts: hidden state 0.81, MLP 0.77, attention 0.64)."
    )
    expect(legend).to_contain_text("estimate")
    expect(legend.get_by_text("not computed")).to_be_hidden()

    change(page, "a", frame="js:fakeFrame({share: 2 / 7})")
    missing = pixels(page, "state", 2, 0)
    for colours in estimates.values():
        # What is not computed is grey; where an estimate shows a colour, no two of them are alike.
        assert set(colours) != set(missing)
    assert len({frozenset(colours) for colours in estimates.values()}) == 3
    expect(note).to_be_hidden()

    change(page, "a", frame="js:fakeFrame({guess: true})", busy=False)
    assert all(len(pixels(page, "state", *place)) == 1 for place in estimates)
    expect(root).to_have_attribute("data-estimated", "0")
    expect(note).to_be_hidden()
    expect(legend.get_by_text("estimate")).to_be_hidden()


def test_an_estimate_is_called_one_for_eyes_and_ears(page):
    cell = {"kind": "mlp", "token": 2, "layer": 2}
    heatmap(page, "fakeFrame({share: 2 / 7, guess: true, stopped: true})")
    page.mouse.move(*point(page, "mlp", 2, 2))
    expect(page.get_by_test_id("factlens-tooltip")).to_contain_text(re.compile(r"estimate: probability 0\.\d\d \("))
    page.mouse.move(*point(page, "mlp", 6, 2))
    expect(page.get_by_test_id("factlens-tooltip")).not_to_contain_text("estimate")
    change(page, "a", selection=cell)
    expect(page.get_by_test_id("factlens-selection")).to_contain_text("selected (estimate 0.")
    expect(page.get_by_test_id("factlens-live")).to_contain_text("selected (estimate 0.")
    expect(page.get_by_test_id("factlens-cursor")).to_have_attribute("aria-label", re.compile("MLP, estimate 0"))
    expect(page.get_by_test_id("factlens-heatmap-status")).to_have_text(
        "Stopped after 48 of 168 cells: the others are estimates."
    )
    expect(page.get_by_test_id("factlens-estimate-note")).to_contain_text("the exact values were not computed")
    page.get_by_test_id("factlens-table-toggle").click()
    rows = page.get_by_test_id("factlens-table").locator("table[data-kind=state] tbody tr")
    assert all(re.fullmatch(r"0\.\d+ \(estimate\)", text) for text in rows.nth(0).locator("td").all_inner_texts())
    assert all(re.fullmatch(r"0\.\d+", text) for text in rows.nth(6).locator("td").all_inner_texts())


def test_a_logit_difference_with_severed_paths_and_heads(page):
    heatmap(
        page,
        "fakeFrame({kinds: ['state', 'severed_mlp', 'head.3'], metric: 'logit_difference', contrast: ' Paris', "
        "low: 6.5, high: -1.25, sure: true})",
    )
    expect(page.get_by_test_id("factlens-heatmap")).to_contain_text(
        "Logit difference between “Seattle” and “Paris” after restoring one part of the clean run"
    )
    legend = page.get_by_test_id("factlens-legend")
    expect(legend).to_contain_text("logit difference vs “Paris”:")
    expect(legend).to_contain_text("corrupted +6.50")
    expect(legend).to_contain_text("clean −1.25")
    titles = page.locator(".fl-title-name").all_inner_texts()
    assert titles == ["Hidden state", "Hidden state, MLP severed", "Attention head 3"]
    assert page.locator(".fl-note").all_inner_texts() == ["one layer restored"] * 3
    # The scale runs from the corrupted to the clean run, whichever is larger.
    assert pixels(page, "state", 6, 0) != pixels(page, "state", 6, 7)
    page.mouse.move(*point(page, "head.3", 6, 5))
    lines = page.get_by_test_id("factlens-tooltip").locator("> *").all_inner_texts()
    assert lines[0] == "Layer 5 · attention head 3"
    assert re.fullmatch(r"logit difference vs “Paris” [+−]\d\.\d\d", lines[2])
    assert re.fullmatch(r"effect −\d\.\d\d", lines[4])
    assert re.fullmatch(r"95 % interval −\d\.\d\d to −\d\.\d\d", lines[5])
    assert lines[6] == "restored: layer 5"
    expect(page.locator("[data-kind='head.3']").get_by_test_id("factlens-window")).to_be_hidden()
    # A long title takes a second line; the plots stay in line with the tokens.
    tops = page.locator("canvas").evaluate_all("(all) => all.map((c) => c.getBoundingClientRect().top)")
    assert len(set(tops)) == 1


def test_an_even_window_reaches_further_up_where_the_trace_says_so(page):
    heatmap(page, "fakeFrame({window: 4, window_convention: 'paper'})")
    page.mouse.move(*point(page, "mlp", 2, 4))
    window = page.locator("[data-kind=mlp]").get_by_test_id("factlens-window")
    assert (window.get_attribute("data-first"), window.get_attribute("data-last")) == ("3", "6")
    change(page, "a", frame="js:fakeFrame({run: 2, window: 4})")
    page.mouse.move(*point(page, "mlp", 3, 4))
    assert (window.get_attribute("data-first"), window.get_attribute("data-last")) == ("2", "5")


def test_light_and_dark_and_palettes_are_painted_differently(page):
    heatmap(page)
    light = pixels(page, "mlp", 2, 2), pixels(page, "mlp", 4, 0)
    assert page.get_by_test_id("factlens-heatmap").get_attribute("data-theme") == "light"
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    expect(page.get_by_test_id("factlens-heatmap")).to_have_attribute("data-theme", "dark")
    page.evaluate("frames()")
    dark = pixels(page, "mlp", 2, 2), pixels(page, "mlp", 4, 0)
    assert light[0] != dark[0]
    assert light[1] != dark[1]

    page.get_by_role("button", name="colour-blind safe").click()
    page.evaluate("frames()")
    assert pixels(page, "mlp", 2, 2) != dark[0]
    expect(page.get_by_role("button", name="colour-blind safe")).to_have_attribute("aria-pressed", "true")
    page.evaluate("document.body.dataset.jpThemeLight = 'true'")
    expect(page.get_by_test_id("factlens-heatmap")).to_have_attribute("data-theme", "light")


@pytest.mark.parametrize(("system", "background", "words", "theme"), [
    ("light", "rgb(24, 28, 26)", "rgb(236, 238, 237)", "dark"),
    ("dark", "rgb(250, 249, 245)", "rgb(15, 23, 42)", "light"),
    ("dark", "rgba(0, 0, 0, 0)", "rgb(0, 0, 0)", "dark"),  # nobody painted: as the system has it
    ("light", "rgb(250, 249, 245)", "rgb(200, 200, 200)", "light"),  # not to be read
    ("dark", "rgb(250, 249, 245)", "rgb(200, 200, 200)", "dark"),
])  # fmt: skip
def test_a_host_we_know_nothing_of(page, system, background, words, theme):
    """marimo: in a shadow root, on a page without JupyterLab's variables, whose theme need not be the system's."""
    page.emulate_media(color_scheme=system)
    page.evaluate(
        """async ([background, words]) => {
            document.querySelector('link[href*=themes]').remove();
            document.body.style.cssText = `background: ${background}; color: ${words}`;
            const inside = document.querySelector('#a').attachShadow({mode: 'open'});
            inside.innerHTML = '<link rel="stylesheet" href="/factlens/static/factlens.css">'
                + '<style>ol, ul { list-style: none } svg { display: block }</style><div></div>';
            await new Promise((done) => { inside.querySelector('link').onload = done; });
            const pins = [{kind: 'mlp', token: 2, layer: 2}];
            window.models.a = new MockModel({frame: fakeFrame(), selection: null, pins, lens: ''});
            await mount('heatmap', models.a, inside.querySelector('div'));
            await frames();
        }""",
        [background, words],
    )
    root = page.get_by_test_id("factlens-heatmap")
    expect(root).to_have_attribute("data-theme", theme)
    known = theme != system
    if known:
        expect(root).to_have_css("background-color", background)
        expect(root).to_have_css("color", words)
    else:
        expect(root).not_to_have_css("color", words)

    expect(page.get_by_test_id("factlens-pins")).to_have_css("list-style-type", "decimal")
    expect(page.get_by_test_id("factlens-pins").locator("svg")).to_have_css("display", "inline")

    # A shadow root hides the focus from the document; the keyboard's cursor keeps it.
    page.mouse.click(*point(page, "mlp", 2, 2))
    for _ in range(2):
        page.keyboard.press("ArrowRight")
        expect(page.get_by_test_id("factlens-cursor")).to_be_focused()
    page.keyboard.press("Enter")
    assert [sent["layer"] for sent in page.evaluate("models.a.sent")] == [2, 4]


def test_a_host_that_changes_its_theme(page):
    page.evaluate("document.querySelector('link[href*=themes]').remove()")
    page.evaluate("document.body.style.cssText = 'background: #ffffff; color: #000000'")
    heatmap(page)
    root = page.get_by_test_id("factlens-heatmap")
    expect(root).to_have_attribute("data-theme", "light")
    white = pixels(page, "mlp", 0, 0)
    page.evaluate("document.body.style.cssText = 'background: #181c1a; color: #eceeed'")
    expect(root).to_have_attribute("data-theme", "dark")
    expect(root).to_have_css("background-color", "rgb(24, 28, 26)")
    page.evaluate("frames()")
    assert pixels(page, "mlp", 0, 0) != white
    page.evaluate("document.body.style.cssText = ''")
    expect(root).to_have_attribute("data-theme", "light")


def test_hover_tells_the_cell_without_the_kernel(page):
    record_gestures(page)
    heatmap(page)
    tooltip = page.get_by_test_id("factlens-tooltip")
    expect(tooltip).to_be_hidden()
    page.mouse.move(*point(page, "mlp", 2, 2))
    lines = tooltip.locator("> *").all_inner_texts()
    assert lines[0] == "Layer 2 · MLP"
    assert lines[1] == "token “ Needle” (id 102)"
    assert re.fullmatch(r"probability 0\.\d\d \(\d+ %\)", lines[2])
    assert re.fullmatch(r"\d+ % restored", lines[3])
    assert lines[4] == "restored: layers 1 to 3"
    window = page.locator("[data-kind=mlp]").get_by_test_id("factlens-window")
    assert (window.get_attribute("data-first"), window.get_attribute("data-last")) == ("1", "3")
    page.mouse.move(*point(page, "state", 6, 7))
    expect(tooltip).to_contain_text("restored: layer 7")
    box, root = tooltip.bounding_box(), page.get_by_test_id("factlens-heatmap").bounding_box()
    assert root["x"] <= box["x"]
    assert box["x"] + box["width"] <= root["x"] + root["width"]
    page.mouse.move(0, 0)
    expect(tooltip).to_be_hidden()
    assert page.evaluate("[gestures, models.a.sent]") == [[], []]


def test_click_selects_the_cell_under_the_pointer(page):
    record_gestures(page)
    heatmap(page)
    change(page, "a", edit={"method": "ROME", "layers": [6]})
    page.mouse.click(*point(page, "attn", 5, 6))
    wanted = {"kind": "attn", "token": 5, "layer": 6}
    assert page.evaluate("gestures") == [{"lens": "lens-1", "name": "select", **wanted}]
    assert page.evaluate("models.a.sent") == []  # never on the comm that receives grids
    column = page.locator("[data-kind=attn]").get_by_test_id("factlens-selected-column")
    expect(column).to_have_class(re.compile("fl-tentative"))  # at once, before Python's word
    line, live = page.get_by_test_id("factlens-selection"), page.get_by_test_id("factlens-live")
    expect(line).to_contain_text("Layer 6 · attention · token “down” chosen; waiting for the kernel.")
    assert live.inner_text() == ""

    change(page, "a", selection=wanted)
    expect(column).not_to_have_class(re.compile("fl-tentative"))
    sentence = re.compile(
        r"Layer 6 · attention · token “down” selected \(0\.\d\d, −?\d+ % restored\)\. "
        r"ROME edits MLPs: it will change the MLP of layer 6\."
    )
    expect(line).to_have_text(sentence)
    expect(live).to_have_text(sentence)
    expect(live).to_have_attribute("aria-live", "polite")
    # The column is outlined in every panel, the cell in its own.
    for kind in ("state", "mlp", "attn"):
        panel = page.locator(f"[data-kind={kind}]")
        expect(panel.get_by_test_id("factlens-selected-column")).to_be_visible()
        expect(panel.get_by_test_id("factlens-selected-cell")).to_be_visible(visible=kind == "attn")
    outline = column.bounding_box()
    canvas = page.locator("[data-kind=attn] canvas").bounding_box()
    assert outline["height"] == pytest.approx(canvas["height"])
    assert outline["x"] == pytest.approx(canvas["x"] + 6 * canvas["width"] / 8)

    # What Python refuses leaves nothing behind; the panel above says why.
    page.mouse.click(*point(page, "state", 0, 0))
    expect(column).to_have_class(re.compile("fl-tentative"))
    change(page, "a", refused=1)
    expect(column).not_to_have_class(re.compile("fl-tentative"))
    expect(page.locator("[data-kind=state]").get_by_test_id("factlens-selected-cell")).to_be_hidden()
    expect(line).to_have_text(sentence)

    change(page, "a", edit={"method": "ROME", "layers": [1]}, selection={"kind": "mlp", "token": 2, "layer": 1})
    sentence = r"^Layer 1 · MLP · token “Needle” selected \(.*\)\. An edit with ROME will change the MLP of layer 1\.$"
    expect(line).to_have_text(re.compile(sentence))

    # A method that edits several layers: all of them are outlined, and named.
    change(page, "a", edit={"method": "MEMIT", "layers": [0, 1]})
    expect(line).to_contain_text("An edit with MEMIT will change the MLPs of layers 0 to 1.")
    outline = column.bounding_box()
    assert outline["x"] == pytest.approx(canvas["x"])
    assert outline["width"] == pytest.approx(canvas["width"] / 4)
    change(page, "a", selection=None)
    expect(column).to_be_hidden()


def test_a_heatmap_used_alone_sends_its_own_gesture(page):
    record_gestures(page)
    heatmap(page, lens="")
    page.mouse.click(*point(page, "mlp", 2, 3))
    page.mouse.click(*point(page, "state", 6, 0))
    assert page.evaluate("gestures") == []
    assert page.evaluate("models.a.sent") == [
        {"type": "gesture", "id": 1, "name": "select", "kind": "mlp", "token": 2, "layer": 3},
        {"type": "gesture", "id": 2, "name": "select", "kind": "state", "token": 6, "layer": 0},
    ]


def test_a_heatmap_used_alone_passes_on_what_python_made_of_its_gesture(page):
    heatmap(page, lens="")
    page.evaluate("mount('heatmap', models.a, document.querySelector('#b'))")  # a second view, which did nothing
    cell = {"kind": "mlp", "token": 2, "layer": 3}
    change(page, "a", selection=cell)  # Python's own doing: marimo runs what it has to by itself
    page.evaluate("models.a.reply({type: 'ack', id: 1})")
    assert page.evaluate("models.a.written") == []

    page.locator("#a [data-kind=mlp] canvas").click(position={"x": 5, "y": 5}, modifiers=["Shift"])
    (sent,) = page.evaluate("models.a.sent")
    assert page.evaluate("models.a.written") == []  # Python has not answered yet
    change(page, "a", pins=sent["cells"])
    page.evaluate("id => models.a.reply({type: 'ack', id})", sent["id"])
    assert page.evaluate("models.a.written") == [{"selection": cell, "pins": sent["cells"]}]

    page.mouse.click(*point(page.locator("#a"), "mlp", 2, 3))  # which is selected: nothing new
    page.evaluate("models.a.reply({type: 'ack', id: models.a.sent.at(-1).id})")
    page.mouse.click(*point(page.locator("#a"), "mlp", 4, 4))
    change(page, "a", refused=1)  # and nothing new
    page.evaluate("models.a.reply({type: 'ack', id: models.a.sent.at(-1).id})")
    assert page.evaluate("models.a.sent.length") == 3
    assert page.evaluate("models.a.written.length") == 1


def test_keyboard_and_what_a_screen_reader_is_told(page):
    record_gestures(page)
    heatmap(page, selection={"kind": "mlp", "token": 2, "layer": 2})
    grid, cursor = page.get_by_role("grid"), page.get_by_role("gridcell")
    expect(grid).to_have_attribute("aria-rowcount", "7")
    expect(grid).to_have_attribute("aria-colcount", "24")
    expect(cursor).to_have_count(1)

    def there(label, row, column):
        expect(cursor).to_be_focused()
        expect(cursor).to_have_attribute("aria-label", re.compile(label))
        expect(page.get_by_role("row")).to_have_attribute("aria-rowindex", str(row))
        expect(cursor).to_have_attribute("aria-colindex", str(column))

    # One stop of Tab: two palette buttons, the table button, three that unfold, then the grid, then out.
    for _ in range(7):
        page.keyboard.press("Tab")
    there(r"^token Needle, subject, layer 2, MLP, 0\.\d\d, \d+ percent restored$", 3, 8 + 3)
    expect(cursor).to_have_attribute("aria-selected", "true")
    expect(page.get_by_test_id("factlens-tooltip")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("factlens-tooltip")).to_be_hidden()
    page.keyboard.press("ArrowRight")
    there("layer 3, MLP", 3, 8 + 4)
    expect(cursor).to_have_attribute("aria-selected", "false")
    page.keyboard.press("ArrowDown")
    there("^token is, layer 3, MLP", 4, 8 + 4)
    page.keyboard.press("PageDown")
    there("^token is, layer 3, attention", 4, 16 + 4)
    page.keyboard.press("Control+End")
    there("^token town, last, layer 7, attention", 7, 24)
    page.keyboard.press("Home")
    there("layer 0, attention", 7, 17)
    page.keyboard.press("Enter")
    page.keyboard.press("PageUp")
    page.keyboard.press("Space")
    chosen = [(g["name"], g["kind"], g["token"], g["layer"]) for g in page.evaluate("gestures")]
    assert chosen == [("select", "attn", 6, 0), ("select", "mlp", 6, 0)]
    page.keyboard.press("Tab")
    expect(cursor).not_to_be_focused()


def test_only_handled_keys_are_kept_from_the_notebook(page):
    heatmap(page)
    page.evaluate("() => { window.keys = []; document.addEventListener('keydown', (e) => keys.push(e.key)); }")
    page.get_by_test_id("factlens-cursor").focus()
    for key in ("ArrowDown", "End", "Enter", "b", "Escape", "Escape"):
        page.keyboard.press(key)
    assert page.evaluate("keys") == ["b", "Escape"]  # the first Escape closed the tooltip


def test_the_focus_and_the_cursor_survive_streaming(page):
    heatmap(page, "fakeFrame({share: 2 / 7})", busy=True)
    page.get_by_test_id("factlens-cursor").focus()
    page.keyboard.press("Control+Home")
    cursor = page.get_by_test_id("factlens-cursor")
    expect(cursor).to_have_attribute("aria-label", "token The, subject, layer 0, hidden state, not computed")
    change(page, "a", frame="js:fakeFrame({share: 1})")
    expect(cursor).to_be_focused()
    expect(cursor).to_have_attribute("aria-label", re.compile(r"^token The, subject, layer 0, hidden state, 0\.\d\d"))


# --- what a reader marks and chooses ----------------------------------------------------------------------------------

COMPARISON = """js:{names: ['before', 'now'], a: fakeFrame({low: 0.2}), b: fakeFrame({answer: ' Paris'})}"""


def sent(page):
    return [(g["name"], {k: v for k, v in g.items() if k not in ("name", "lens")}) for g in page.evaluate("gestures")]


def drag(page, start, end, steps=5):
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=steps)
    page.mouse.up()


def test_pins_are_marked_listed_and_told(page):
    record_gestures(page)
    heatmap(page)
    page.keyboard.down("Shift")
    page.mouse.click(*point(page, "mlp", 2, 3))
    page.keyboard.up("Shift")
    pins = page.get_by_test_id("factlens-pins").locator("li")
    expect(pins).to_have_count(1)
    expect(pins.first).to_contain_text(re.compile("Layer 3 · MLP · token “Needle”: 0\\.\\d\\d, \\d+ % restored"))
    expect(page.locator("[data-kind=mlp] .fl-pin")).to_have_text("1")
    for key in ("ArrowRight", "p") * 4:  # on from the cell that was clicked
        page.keyboard.press(key)
    expect(pins).to_have_count(4)  # the fifth has no place
    expect(page.get_by_test_id("factlens-live")).to_contain_text("No more than 4 pins")
    expect(page.get_by_test_id("factlens-pins-full")).to_be_visible()  # said to eyes, too
    page.get_by_role("button", name="Unpin 1").click()
    expect(pins).to_have_count(3)
    expect(page.get_by_test_id("factlens-pins-full")).to_be_hidden()
    said = sent(page)
    assert [name for name, _ in said] == ["pins"] * 5
    assert said[0][1] == {"cells": [{"kind": "mlp", "token": 2, "layer": 3}]}
    # Python has the last word.
    change(page, "a", pins=[{"kind": "attn", "token": 6, "layer": 1}, {"kind": "attn", "token": 99, "layer": 1}])
    expect(pins).to_have_count(1)
    expect(pins).to_contain_text("Layer 1 · attention · token “town”")
    page.get_by_test_id("factlens-cursor").focus()
    page.keyboard.press("Escape")  # the tooltip
    page.keyboard.press("Escape")
    expect(pins).to_have_count(0)


def test_dragging_along_an_axis_marks_a_range(page):
    record_gestures(page)
    heatmap(page)
    axis = page.locator("[data-kind=mlp] [data-testid=factlens-axis]").bounding_box()
    step = axis["width"] / 8
    at = lambda layer: (axis["x"] + (layer + 0.5) * step, axis["y"] + 12)  # noqa: E731
    line = page.get_by_test_id("factlens-range")
    drag(page, at(5), at(2))
    expect(line).to_contain_text("Layers 2 to 5, mean probability: hidden state 0.")
    labels = page.locator("[data-kind=state] [data-testid=factlens-labels]").bounding_box()
    drag(page, (labels["x"] + 20, labels["y"] + 12), (labels["x"] + 20, labels["y"] + 60))
    expect(line).to_contain_text("Layers 2 to 5, tokens “The” to “Needle”, mean probability: ")
    assert sent(page) == [
        ("range", {"layers": [2, 5], "tokens": None}),
        ("range", {"layers": [2, 5], "tokens": [0, 2]}),
    ]
    band = page.locator("[data-kind=attn] .fl-band:visible")
    expect(band).to_have_count(2)
    on_axis = page.locator("[data-kind=mlp] [data-testid=factlens-axis] .fl-span").bounding_box()
    assert on_axis["x"] == pytest.approx(axis["x"] + 2 * step)
    assert on_axis["width"] == pytest.approx(4 * step)
    page.get_by_test_id("factlens-clear-range").click()
    expect(band).to_have_count(0)
    drag(page, at(4), at(4))
    expect(line).to_contain_text("Layer 4, mean")
    drag(page, at(4), at(4))  # once more takes it away
    expect(line).to_be_hidden()
    change(page, "a", layer_range=[1, 3])
    expect(line).to_contain_text("Layers 1 to 3")
    before = float(page.locator("[data-kind=mlp] canvas").get_attribute("data-cell-width"))
    page.get_by_test_id("factlens-zoom").click()
    expect(page.locator(".fl-panels")).to_have_attribute("data-layout", "stack")
    assert float(page.locator("[data-kind=mlp] canvas").get_attribute("data-cell-width")) > before
    change(page, "a", layer_range="js:null")
    expect(page.locator(".fl-panels")).to_have_attribute("data-layout", "side")


def test_two_traces_side_by_side(page):
    record_gestures(page)
    heatmap(page)
    button, root = page.get_by_test_id("factlens-compare"), page.get_by_test_id("factlens-heatmap")
    expect(button).to_be_hidden()
    change(page, "a", comparison=COMPARISON)
    page.get_by_test_id("factlens-cursor").focus()
    page.keyboard.press("c")
    expect(root).to_have_attribute("data-view", "comparison")
    expect(page.locator(".fl-title-name")).to_have_text(["before: “Seattle”", "now: “Paris”", "now − before"])
    expect(page.locator(".fl-heading")).to_have_text(re.compile("^Indirect effect on each trace’s own answer.*: MLP$"))
    page.get_by_test_id("factlens-compare-kind").select_option("attn")
    expect(page.locator(".fl-panel")).to_have_count(3)
    # A click in any of the panels chooses the cell of the trace, outlined in all three.
    page.mouse.click(*point(page, "difference:attn", 6, 5))
    assert sent(page)[-1] == ("select", {"kind": "attn", "token": 6, "layer": 5})
    pinned = [{"kind": "attn", "token": 6, "layer": 5}, {"kind": "mlp", "token": 2, "layer": 1}]
    change(page, "a", selection=pinned[0], pins=pinned)
    expect(page.locator("[data-testid=factlens-selected-cell]:visible")).to_have_count(3)
    # Each of the three values under its own name; a pin of another kind says that it is not here.
    each = re.compile(r"before: “Seattle” \+0.* · now: “Paris” \+0.* · now − before [+−]?0")
    expect(page.get_by_test_id("factlens-selection")).to_contain_text(each)
    expect(page.get_by_test_id("factlens-pins").locator("li").first).to_contain_text(each)
    expect(page.get_by_test_id("factlens-pins").locator("li").last).to_contain_text(
        "Layer 1 · MLP: not in this comparison"
    )
    below, above = pixels(page, "difference:attn", 6, 5), pixels(page, "b:attn", 6, 5)
    assert below != above
    page.get_by_test_id("factlens-table-toggle").click()
    captions = page.get_by_test_id("factlens-table").locator("caption")
    expect(captions.first).to_contain_text("Corrupted run 0.00")
    expect(captions.last).not_to_contain_text("run")  # a difference has none of its own
    page.get_by_test_id("factlens-table-toggle").click()
    button.click()
    expect(root).to_have_attribute("data-view", "trace")
    expect(page.locator(".fl-heading")).to_contain_text("Probability of “Seattle”")
    change(page, "a", comparison="js:{}")
    expect(button).to_be_hidden()


def test_a_comparison_alone(page):
    put(page, "heatmap", "a", frame={}, comparison=COMPARISON, selection=None, lens="")
    expect(page.get_by_test_id("factlens-heatmap")).to_have_attribute("data-view", "comparison")
    expect(page.get_by_test_id("factlens-compare")).to_be_hidden()  # there is nothing else to see
    expect(page.get_by_test_id("factlens-selection")).to_be_hidden()
    page.mouse.click(*point(page, "b:mlp", 2, 3))
    assert page.evaluate("models.a.sent") == []


def test_units_rows_and_scales(page):
    heatmap(page)
    page.get_by_test_id("factlens-view").click()
    page.get_by_test_id("factlens-reading").select_option("restored")
    expect(page.get_by_test_id("factlens-legend")).to_contain_text("corrupted 0 %")
    page.mouse.move(*point(page, "mlp", 2, 2))
    expect(page.get_by_test_id("factlens-tooltip")).to_contain_text(re.compile("share restored \\d+ %"))
    change(page, "a", frame="js:fakeFrame({metric: 'log_probability', low: -4, high: -0.1})")
    expect(page.get_by_test_id("factlens-reading").locator("option")).to_have_count(3)  # no log-odds of a log
    page.get_by_test_id("factlens-words").check()
    expect(page.locator("[data-kind=mlp] .fl-label")).to_have_count(6)
    pale = pixels(page, "attn", 5, 5)
    page.get_by_test_id("factlens-own-scale").check()
    expect(page.locator("[data-kind=mlp] .fl-note")).to_contain_text(" to ")
    expect(page.get_by_test_id("factlens-legend")).to_contain_text("each panel’s own largest")
    assert pixels(page, "attn", 5, 5) != pale


def test_what_can_be_taken_away(page):
    heatmap(page, "fakeFrame({run: 2, caption: 'atlas, seed 1', code: 'import factlens as fl'})")
    page.get_by_test_id("factlens-export").click()
    fold = page.get_by_test_id("factlens-export-fold")
    for name, begin in (("PNG", b"\x89PNG"), ("SVG", b"<svg"), ("CSV", b"kind,token")):
        with page.expect_download() as waiting:
            fold.get_by_role("button", name=name).click()
        found = pathlib.Path(waiting.value.path()).read_bytes()
        assert found.startswith(begin), name
        assert waiting.value.suggested_filename == f"factlens-trace.{name.lower()}"
        if name == "SVG":
            assert b"atlas, seed 1" in found
    page.evaluate("navigator.clipboard.writeText = async (words) => { window.copied = words; }")
    fold.get_by_role("button", name="Copy code").click()
    expect(page.get_by_test_id("factlens-live")).to_contain_text("on the clipboard")
    assert page.evaluate("copied") == "import factlens as fl"
    change(page, "a", frame="js:fakeFrame({run: 3})")
    expect(fold.get_by_role("button", name="Copy code")).to_have_attribute("aria-disabled", "true")


def test_a_stopped_trace_can_be_resumed(page):
    record_gestures(page)
    heatmap(page, "fakeFrame({share: 2 / 7, complete: false, stopped: true})")
    page.get_by_test_id("factlens-resume").click()
    assert sent(page) == [("resume", {})]
    change(page, "a", busy=True)
    expect(page.get_by_test_id("factlens-resume")).to_be_hidden()


def test_the_keys_are_listed(page):
    heatmap(page)
    page.get_by_test_id("factlens-cursor").focus()
    page.keyboard.press("?")
    expect(page.get_by_test_id("factlens-keys")).to_contain_text("Escape")
    page.keyboard.press("?")
    expect(page.get_by_test_id("factlens-keys")).to_be_hidden()


def test_a_very_large_grid_is_painted_and_read_at_once(page):
    """500 tokens by 128 layers by three kinds: 192,000 cells."""
    tokens = "Array.from({length: 500}, (_, i) => ({text: ' t' + i, id: i, subject: i > 5 && i < 9}))"
    heatmap(page, f"fakeFrame({{layers: 128, tokens: {tokens}}})")
    expect(page.get_by_test_id("factlens-heatmap")).to_have_attribute("data-computed", str(3 * 500 * 128))
    assert len(pixels(page, "state", 8, 10)) == 1
    assert pixels(page, "state", 8, 10) != pixels(page, "state", 300, 100)
    # The titles, the labels and the axis stay in sight while the grid scrolls in both directions.
    scroller = page.locator(".fl-scroll")
    scroller.evaluate("(node) => node.scrollTo(200, 2000)")
    view = scroller.bounding_box()
    label = page.locator("[data-kind=state] .fl-label").nth(150).bounding_box()
    assert view["x"] <= label["x"] < view["x"] + 200
    axis = page.locator("[data-kind=state] .fl-axis").bounding_box()
    assert axis["y"] + axis["height"] <= view["y"] + view["height"] + 1
    page.get_by_test_id("factlens-table-toggle").click()
    table = page.locator("table[data-kind=state]")
    expect(table.locator("tbody tr")).to_have_count(100)
    expect(table.locator("caption")).to_contain_text("the 100 cells farthest from the corrupted run, of 64000")


def test_late_frames_of_a_replaced_run_are_dropped(page):
    heatmap(page, "fakeFrame({run: 5})")
    root = page.get_by_test_id("factlens-heatmap")
    change(page, "a", frame="js:fakeFrame({run: 4, share: 1 / 7})")
    expect(root).to_have_attribute("data-run", "5")
    expect(root).to_have_attribute("data-computed", "168")
    change(page, "a", frame="js:fakeFrame({run: 6, share: 1 / 7})")
    expect(root).to_have_attribute("data-run", "6")
    expect(root).to_have_attribute("data-computed", "24")


def test_many_frames_between_two_refreshes_are_drawn_once(page):
    heatmap(page)
    drawn = page.evaluate("""async () => {
        let count = 0;
        const proto = CanvasRenderingContext2D.prototype, original = proto.putImageData;
        proto.putImageData = function (...args) { count += 1; return original.apply(this, args); };
        for (let run = 2; run < 52; run += 1) models.a.put('frame', fakeFrame({run}));
        await frames(3);
        return count;
    }""")
    assert 3 <= drawn <= 6  # once, or twice, for three panels
    expect(page.get_by_test_id("factlens-heatmap")).to_have_attribute("data-run", "51")


def test_the_table_holds_every_number(page):
    heatmap(page, "fakeFrame({share: 2 / 7})")
    table = page.get_by_test_id("factlens-table")
    expect(table).to_be_hidden()
    toggle = page.get_by_test_id("factlens-table-toggle")
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "true")
    expect(table.locator("table")).to_have_count(3)
    rows = table.locator("table[data-kind=state] tbody tr")
    expect(rows).to_have_count(7)
    assert rows.nth(0).locator("td").all_inner_texts() == ["–"] * 8
    assert all(re.fullmatch(r"0\.\d+", value) for value in rows.nth(6).locator("td").all_inner_texts())
    expect(rows.nth(6).locator("th")).to_have_attribute("scope", "row")
    change(page, "a", frame="js:fakeFrame()")
    assert "–" not in rows.nth(0).locator("td").all_inner_texts()
    toggle.click()
    expect(page.locator("[data-kind=mlp] canvas")).to_be_visible()


def test_it_follows_the_width_and_scrolls_by_itself(page):
    heatmap(page, "fakeFrame({layers: 48})")
    panels = page.locator(".fl-panels")
    expect(panels).to_have_attribute("data-layout", "stack")
    page.set_viewport_size({"width": 420, "height": 800})
    page.evaluate("frames(3)")
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider <= 0  # the page does not scroll sideways
    inside = page.locator(".fl-scroll").evaluate("(n) => [n.clientWidth, n.scrollWidth]")
    assert inside[1] > inside[0]
    page.get_by_test_id("factlens-cursor").focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    cell = page.get_by_test_id("factlens-cursor").bounding_box()
    assert cell["x"] >= 0  # scrolled into view
    assert cell["x"] + cell["width"] <= 420
    change(page, "a", frame="js:fakeFrame({run: 2})")
    page.set_viewport_size({"width": 1200, "height": 800})
    expect(panels).to_have_attribute("data-layout", "side")


def test_the_tooltip_is_as_wide_as_its_words_where_the_page_became_narrow(page):
    heatmap(page, "fakeFrame({sure: true})")
    tooltip = page.get_by_test_id("factlens-tooltip")
    page.mouse.move(*point(page, "attn", 2, 4))  # far to the right
    wide = tooltip.bounding_box()["width"]
    page.set_viewport_size({"width": 360, "height": 800})
    expect(page.locator(".fl-panels")).to_have_attribute("data-layout", "stack")
    page.mouse.move(*point(page, "mlp", 2, 4))
    expect(tooltip).to_contain_text("Layer 4 · MLP")
    box = tooltip.bounding_box()
    assert box["width"] > 0.8 * wide
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360


def test_a_long_prompt_keeps_its_panels_side_by_side(page):
    many = "Array.from({length: 60}, (_, i) => ({text: ` w${i}`, id: i, subject: i === 3}))"
    heatmap(page, f"fakeFrame({{layers: 48, tokens: {many}}})")
    expect(page.locator(".fl-panels")).to_have_attribute("data-layout", "side")
    scroller = page.locator(".fl-scroll")
    assert scroller.evaluate("(n) => n.scrollWidth > n.clientWidth && n.scrollHeight > n.clientHeight")
    # Scrolled down, no label shows beside the titles, which stay in sight.
    scroller.evaluate("(n) => { n.scrollTop = 100; }")
    corner = page.locator("[data-kind=state] .fl-corner").bounding_box()
    at = [corner["x"] + corner["width"] - 20, corner["y"] + corner["height"] / 2]
    assert page.evaluate("([x, y]) => document.elementFromPoint(x, y).className", at) == "fl-corner"


def test_the_cursors_ring_is_not_cut_off_at_the_edges(page):
    heatmap(page)
    page.get_by_test_id("factlens-cursor").focus()
    for key in ("Control+Home", "Control+End"):
        page.keyboard.press(key)
        style = page.get_by_test_id("factlens-cursor").evaluate(
            "(n) => { const s = getComputedStyle(n); return [s.outlineWidth, s.outlineOffset, s.outlineStyle]; }"
        )
        assert style == ["2px", "-2px", "solid"]  # all of it lies inside the cell


def test_it_waits_for_a_width(page):
    page.evaluate("document.querySelector('#a').style.display = 'none'")
    heatmap(page)
    assert page.locator("[data-kind=mlp] canvas").get_attribute("data-cell-width") is None
    page.evaluate("document.querySelector('#a').style.display = ''")
    page.evaluate("frames(3)")
    assert float(page.locator("[data-kind=mlp] canvas").get_attribute("data-cell-width")) > 20


def test_a_theme_change_is_painted_even_when_the_page_is_hidden_for_that_moment(page):
    """As JupyterLab does it: hidden when the repaint is due, visible again before the frame ends."""
    heatmap(page)
    light = pixels(page, "mlp", 2, 2)
    page.evaluate("""async () => {
        const box = document.querySelector('#a');
        requestAnimationFrame(() => { box.style.display = 'none'; });
        document.body.dataset.jpThemeLight = 'false';
        await Promise.resolve();
        requestAnimationFrame(() => { box.style.display = ''; });
        await frames(4);
    }""")
    assert pixels(page, "mlp", 2, 2) != light


def test_crisp_on_a_dense_screen(browser, server):
    context = browser.new_context(viewport={"width": 1200, "height": 900}, device_scale_factor=2)
    page = context.new_page()
    page.goto(f"{server}/blank")
    page.evaluate("""async () => {
        const { MockModel, fakeFrame, mount } = await import('/js/preview/mock.js');
        const model = new MockModel({lens: '', frame: fakeFrame(), selection: null, busy: false});
        await mount('heatmap', model, document.querySelector('#a'));
    }""")
    width, css = page.locator("[data-kind=mlp] canvas").evaluate("(c) => [c.width, c.getBoundingClientRect().width]")
    assert width == pytest.approx(2 * css)
    context.close()


# --- what a cell knows ------------------------------------------------------------------------------------------------


def test_a_cell_that_was_read(page):
    put(page, "details", state="js:fakeReader()")
    root = page.get_by_role("region", name="What the selected cell knows")
    expect(root).to_have_attribute("data-ready", "true")
    expect(page.get_by_test_id("factlens-details-cell")).to_have_text("layer 5 · attention · token “town”")
    expect(page.get_by_test_id("factlens-details-score")).to_have_text(
        "With this cell restored: probability 0.80, effect +0.76 (95 % interval +0.61 to +0.91)."
    )
    expect(page.get_by_test_id("factlens-details-read")).to_contain_text(
        "Reads the residual stream leaving layer 5 at token “town”"
    )
    answers = page.get_by_role("table", name="Next tokens read from there, by run")
    assert answers.get_by_role("columnheader").all_inner_texts() == ["clean", "corrupted", "restored"]
    rows = answers.locator("tbody tr")
    expect(rows).to_have_count(7)
    assert rows.nth(0).locator("td").all_inner_texts() == ["·Seattle\n94 %", "·Seattle\n35 %", "·Seattle\n92 %"]
    expect(rows.nth(0).locator("td.fl-own")).to_have_count(3)  # the answer stands out
    expect(rows.nth(1).locator("td.fl-own")).to_have_count(0)
    widths = rows.nth(0).locator(".fl-share").evaluate_all("(all) => all.map((n) => n.getBoundingClientRect().width)")
    assert widths[1] / widths[0] == pytest.approx(0.35 / 0.94, rel=0.02)
    expect(answers.get_by_role("row", name="cosine to “Seattle” +0.47 +0.37 +0.47")).to_be_visible()
    heads = page.get_by_role(
        "table", name="What the attention heads of layer 5 bring directly to the logit of “Seattle”"
    )
    assert heads.locator("tbody th").all_inner_texts() == [
        *(f"head {head}" for head in (1, 5, 3, 0, 4, 2)),
        "all of attention",
    ]
    expect(heads.get_by_role("row", name="head 3 −0.28 −0.09")).to_be_visible()


def test_neurons_of_an_mlp(page):
    put(page, "details", state="js:fakeReader(fakeDetails({kind: 'mlp', token: 2, heads: null, neurons: NEURONS}))")
    expect(page.get_by_test_id("factlens-details-heads")).to_have_count(0)
    neurons = page.get_by_test_id("factlens-details-neurons")
    expect(neurons.get_by_role("row", name="neuron 160 +3.60 +0.70 −0.24")).to_be_visible()
    expect(neurons.locator("caption")).to_contain_text("were it read at this token")
    expect(page.get_by_test_id("factlens-details")).to_contain_text("All of this MLP brings +2.57 in the clean run")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("null, {traced: false, cell: null}", "Trace a fact, then select or pin a cell to read it."),
        ("null, {cell: null}", "Select or pin a cell of the heatmap to read it."),
        ("null, {reading: true}", "Reading the cell…"),
        ("null, {status: 'tracing'}", "The cell is read when the running work is done."),
        (
            "null, {outdated: true}",
            "The model has other weights now than when this was traced. Trace again, or bring them back, to read its "
            "cells.",
        ),
        ("fakeDetails(), {outdated: true}", "Read with other weights than the model has now."),
    ],
)
def test_why_there_is_nothing_to_see_or_how_old_it_is(page, state, words):
    put(page, "details", state=f"js:fakeReader({state})")
    expect(page.get_by_role("status")).to_have_text(words)
    expect(page.get_by_test_id("factlens-details-answers")).to_have_count(1 if "fakeDetails" in state else 0)


def test_an_error_while_reading_is_said_there(page):
    put(page, "details", state="js:fakeReader(null, {error: {title: 'T', text: 'why'}})")
    expect(page.get_by_role("alert")).to_contain_text("why")
    expect(page.get_by_role("status")).to_be_hidden()


def test_the_page_does_not_jump_between_two_cells(page):
    put(page, "details", state="js:fakeReader()")
    root = page.get_by_test_id("factlens-details")
    height = root.bounding_box()["height"]
    change(page, "a", state="js:fakeReader(null, {reading: true})")
    expect(page.get_by_test_id("factlens-details-answers")).to_be_hidden()
    assert root.bounding_box()["height"] == pytest.approx(height, abs=1)
    change(page, "a", state="js:fakeReader(fakeDetails({heads: null}))")
    assert root.bounding_box()["height"] < height - 50


def test_the_panel_folds_and_stays_folded(page):
    put(page, "details", state="js:fakeReader()")
    summary = page.get_by_text("What the cell knows")
    table = page.get_by_test_id("factlens-details-answers")
    expect(table).to_be_visible()
    summary.click()
    expect(table).to_be_hidden()
    change(page, "a", state="js:fakeReader(fakeDetails({layer: 3}))")
    expect(table).to_be_hidden()
    expect(page.get_by_test_id("factlens-details-cell")).to_contain_text("layer 3")
    page.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(table).to_be_visible()


def test_progress_elsewhere_leaves_the_tables_alone(page):
    """Somebody may be copying from them."""
    put(page, "details", state="js:fakeReader()")
    page.evaluate("() => { window.before = document.querySelector('table'); }")
    change(page, "a", state="js:fakeReader(fakeDetails(), {status: 'editing'})")
    assert page.evaluate("document.querySelector('table') === before")
    change(page, "a", state="js:fakeReader(fakeDetails({score: 0.5}))")
    assert page.evaluate("document.querySelector('table') !== before")


def test_a_narrow_panel_stays_within_the_page(page):
    page.set_viewport_size({"width": 360, "height": 800})
    put(page, "details", state="js:fakeReader()")
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider <= 0
    for name in page.locator(".fl-lens .fl-token").all():
        box = name.evaluate("(n) => [n.scrollWidth, n.clientWidth]")
        assert box[0] <= box[1] + 1, "no token is cut off"


# --- all of them ------------------------------------------------------------------------------------------------------

WIDGETS = {
    "gestures": {},
    "locate": {"state": "js:fakeLocate()"},
    "heatmap": {"frame": "js:fakeFrame()", "selection": None, "busy": False},
    "edit": {"state": "js:fakeEdit()"},
    "details": {"state": "js:fakeReader()"},
    "judge": {"state": "js:fakeJudge()"},
}


@pytest.mark.parametrize("name", WIDGETS)
def test_cleanup_leaves_nothing(page, name):
    session = page.context.new_cdp_session(page)

    def listeners():
        counts = {}
        for target in ("document", "document.body"):
            handle = session.send("Runtime.evaluate", {"expression": target})["result"]["objectId"]
            counts[target] = len(session.send("DOMDebugger.getEventListeners", {"objectId": handle})["listeners"])
        return counts

    before = listeners()
    for _ in range(3):
        put(page, name, "a", **WIDGETS[name])
        assert page.evaluate("models.a.listenerCount") > 0
        page.evaluate("() => { window.root = new WeakRef(document.querySelector('#a').firstElementChild); ends.a(); }")
        assert page.evaluate("models.a.listenerCount") == 0
        assert page.locator("#a").evaluate("(n) => n.childNodes.length") == 0
    assert listeners() == before
    # Once the test itself forgets the widget, nothing in the page holds its nodes: no observer, timer or listener.
    page.evaluate("""() => {
        document.querySelector('#a').replaceWith(document.createElement('div'));
        ends = {};
        models = {};
    }""")
    page.wait_for_timeout(350)  # the second look at the theme
    session.send("HeapProfiler.collectGarbage")
    assert page.evaluate("root.deref() === undefined")


def test_after_cleanup_gestures_are_not_sent(page):
    put(page, "gestures")
    page.evaluate("""() => {
        ends.a();
        document.dispatchEvent(new CustomEvent('factlens:gesture', {detail: {lens: 'lens-1', name: 'undo'}}));
    }""")
    assert page.evaluate("models.a.sent") == [{"type": "hello"}]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_readable_in_both_themes(page, theme):
    """WCAG AA, measured on what the browser resolves: every text against the background it stands on."""
    page.evaluate(f"document.body.dataset.jpThemeLight = '{'true' if theme == 'light' else 'false'}'")
    error = "{title: 'T', text: 'x'}"
    put(page, "locate", "a", state=f"js:fakeLocate({{edits: 1, status: 'tracing', message: 'm', error: {error}}})")
    heatmap(page, "fakeFrame({share: 0.5, guess: true, suggested: {kind: 'mlp', token: 2, layer: 2}})", "b")
    put(page, "edit", "c", state="js:fakeEdit({edits: [{label: 'a', method: 'rome', layer: 1}]})")
    page.evaluate("() => { document.body.append(Object.assign(document.createElement('div'), {id: 'd'})); }")
    put(page, "details", "d", state="js:fakeReader(fakeDetails(), {outdated: true})")
    page.evaluate("frames()")
    poor = page.evaluate("""() => {
        const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
        const over = (css, under) => {
            canvas.fillStyle = `rgb(${under.join()})`; canvas.fillRect(0, 0, 1, 1);
            canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 1, 1).data.slice(0, 3)];
        };
        const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        const light = (c) => {
            const [r, g, b] = c.map((v) => linear(v / 255));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const ground = (node) =>
            node ? over(getComputedStyle(node).backgroundColor, ground(node.parentElement)) : [255, 255, 255];
        const poor = [];
        for (const node of document.querySelectorAll('.factlens *')) {
            const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
            // The dots that stand for spaces are dim on purpose: they are marks, not text.
            if (!own || !node.checkVisibility() || node.closest('.fl-sr, .fl-dim')) continue;
            const under = ground(node), text = over(getComputedStyle(node).color, under);
            const [a, b] = [light(text), light(under)].sort((x, y) => y - x);
            const ratio = (a + 0.05) / (b + 0.05);
            if (ratio < 4.5) poor.push([node.className, node.textContent.slice(0, 30), ratio.toFixed(2)]);
        }
        return poor;
    }""")
    assert poor == []


def test_whatever_can_have_the_focus_keeps_the_notebooks_shortcuts_away(page):
    """On the focused element itself: JupyterLab's "a", "b" and "d d" match on ":focus" before they look further up."""
    put(page, "locate", "a", state="js:fakeLocate()")
    heatmap(page, at="b")
    put(page, "edit", "c", state="js:fakeEdit()")
    page.evaluate("() => { document.body.append(Object.assign(document.createElement('div'), {id: 'd'})); }")
    put(page, "details", "d", state="js:fakeReader()")
    page.get_by_test_id("factlens-table-toggle").focus()
    seen = set()
    for _ in range(25):
        page.keyboard.press("Tab")
        inside, kept, name = page.evaluate("""() => {
            const n = document.activeElement;
            const name = n.dataset.testid ?? n.textContent;
            return [!!n.closest('.factlens'), n.hasAttribute('data-lm-suppress-shortcuts'), name];
        }""")
        assert kept or not inside, name
        seen.add(name)
    assert {"factlens-cursor", "factlens-trace", "factlens-prompt", "factlens-apply", "by kind"} <= seen
    assert any(name.startswith("What the cell knows") for name in seen)


def test_buttons_are_large_enough(page):
    put(page, "locate", "a", state="js:fakeLocate()")
    heatmap(page, at="b")
    put(page, "edit", "c", state="js:fakeEdit({edits: [{key: 'a', label: 'A → B', method: 'rome', layers: [1]}]})")
    page.get_by_test_id("factlens-method").locator("summary").click()
    page.get_by_test_id("factlens-view").click()
    # A check box is as large as its label, which takes the click as well.
    controls = ".factlens :is(button, input:not([type=file], [type=checkbox]), select, summary, .fl-check):visible"
    for control in page.locator(controls).all():
        box = control.bounding_box()
        assert box["height"] >= 24
        assert box["width"] >= 24


@pytest.mark.parametrize("name", sorted(path.name for path in STATIC.iterdir()))
def test_bundles_are_small_and_load_nothing(name):
    source = (STATIC / name).read_text(encoding="utf-8")
    assert len(source.encode()) < 60_000
    source = source.replace("http://www.w3.org/2000/svg", "")  # a name that XML wants, not an address to load
    loads = r"https?://|//#\s*sourceMappingURL|@import|\bimport\s*\(|\bfrom\s*[\"']"
    assert not re.search(rf"{loads}|innerHTML|insertAdjacentHTML", source)
    if name.endswith(".js"):
        assert re.search(r"export\s*\{\s*[\w$]+ as default\s*\}", source)
