"""The panel of edits: the new object, the method, and the stack."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.js.driving import change, put, record_gestures


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


def test_a_notice_at_the_new_object_has_ways_out(page):
    record_gestures(page)
    offer = "{label: 'Remove the space', gesture: 'spell', changes: {target: 'Rome'}}"
    tokens = f"""{{text: ' Rome', exactly: false, why: '', pieces: [' Rome'], count: 1,
        notices: [{{field: 'target', text: 'A space is put there.', offers: [{offer}]}}]}}"""
    put(page, "edit", state=f"js:fakeEdit({{target: ' Rome', target_tokens: {tokens}, status: 'tracing'}})")
    target, notice = page.get_by_label("New object"), page.get_by_test_id("factlens-notice-target")
    expect(target).to_have_accessible_description("New object A space is put there.")
    # It computes nothing, so it can be done while something else is computed.
    notice.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(target).to_be_focused()
    expect(target).to_have_value("Rome")
    assert page.evaluate("gestures") == [{"lens": "lens-1", "name": "spell", "target": "Rome", "exactly": False}]
    expect(notice).to_be_hidden()

    # What was refused; a way out is applied at once.
    target.fill("Seattle")
    change(page, "a", state="js:fakeEdit()")
    target.fill("Seattle")
    page.get_by_test_id("factlens-apply").click()
    error = """{title: 'T', text: 'why', notice: {field: 'target', text: 'It says that already.',
        offers: [{label: 'Use “Paris”', gesture: 'apply', changes: {target: 'Paris'}}],
        about: {target: 'Seattle', layer: null}}}"""
    change(page, "a", state=f"js:fakeEdit({{error: {error}}})")
    expect(target).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("alert")).to_be_hidden()
    notice.get_by_role("button", name="Use “Paris”").focus()
    page.keyboard.press("Enter")
    applied = {"lens": "lens-1", "name": "apply", "target": "Paris", "exactly": False, "layer": None, "settings": {}}
    assert page.evaluate("gestures.at(-1)") == applied
    expect(target).to_have_value("Paris")


def test_an_unknown_layer_is_said_with_the_one_that_is_meant(page):
    record_gestures(page)
    put(page, "edit", state="js:fakeEdit({target: 'Paris'})")
    page.get_by_test_id("factlens-apply").click()
    error = """{title: 'T', text: 'why', notice: {field: 'layer', text: 'There is no layer 9.',
        offers: [{label: 'Use layer 7', gesture: 'apply', changes: {layer: 7}}],
        about: {target: 'Paris', layer: null}}}"""
    change(page, "a", state=f"js:fakeEdit({{target: 'Paris', error: {error}}})")
    notice = page.get_by_test_id("factlens-notice-layer")
    expect(notice).to_contain_text("Layer There is no layer 9.")
    notice.get_by_role("button", name="Use layer 7").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("[gestures.at(-1).name, gestures.at(-1).layer]") == ["apply", 7]


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


def test_the_fold_says_where_the_defaults_are_from_and_measures_them(page):
    record_gestures(page)
    put(page, "edit", state="js:fakeEdit()")
    page.get_by_test_id("factlens-method").locator("summary").click()
    source, measure = page.get_by_test_id("factlens-source"), page.get_by_test_id("factlens-measure")
    expect(source).to_have_text("Default layer 1: tuned with benchmarks/edit_quality.py (not calibrated).")
    expect(measure).to_have_text("Measure (up to about 10 min)")
    expect(measure).to_have_attribute("title", re.compile("trial edits of facts that the model knows with ROME"))
    measure.click()
    assert page.evaluate("gestures") == [{"lens": "lens-1", "name": "calibrate"}]
    change(page, "a", state="js:fakeEdit({status: 'calibrating'})")
    expect(page.get_by_test_id("factlens-edit-status")).to_have_text("measuring where and how to edit …")
    expect(page.get_by_role("region", name="Edit a fact")).to_have_attribute("aria-busy", "true")
    expect(measure).to_have_attribute("aria-disabled", "true")
    expect(measure).to_have_attribute("title", re.compile("when the running work is finished"))
    measure.click(force=True)
    assert page.evaluate("gestures.length") == 1
    measured = "{layers: [2, 3], source: 'calibrated today: S <b>94</b>', calibrated: true}"
    change(page, "a", state=f"js:fakeEdit({{default: {measured}, edit_layers: [2, 3]}})")
    expect(source).to_have_text("Default layers 2 to 3: calibrated today: S <b>94</b>.")
    expect(measure).to_have_text("Measure again (up to about 10 min)")


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
    page.get_by_label("clamp").press("ArrowUp")
    expect(page.get_by_label("clamp")).to_have_value("6.5")
    assert page.get_by_label("clamp").get_attribute("min") == "0"
    assert page.get_by_label("steps").get_attribute("min") is None
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


def test_apply_keeps_the_keyboard_focus_while_it_works(page):
    """A button that drops the focus would give the next key to the notebook as a command."""
    put(page, "edit", state="js:fakeEdit({target: 'Paris'})")
    apply = page.get_by_test_id("factlens-apply")
    apply.focus()
    page.keyboard.press("Space")
    change(page, "a", state="js:fakeEdit({target: 'Paris', status: 'editing'})")
    expect(apply).to_be_focused()
