"""Cells are pointed at, chosen and marked, with the pointer and with the keyboard."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.js.driving import change, drag, heatmap, point, record_gestures, sent


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


def test_plain_keys_are_kept_from_the_notebook_and_those_of_the_browser_are_not(page):
    heatmap(page)
    page.evaluate("() => { window.keys = []; document.addEventListener('keydown', (e) => keys.push(e.key)); }")
    page.get_by_test_id("factlens-cursor").focus()
    for key in ("ArrowDown", "End", "Enter", "b", "Escape", "Escape", "Control+b"):
        page.keyboard.press(key)
    assert page.evaluate("keys") == ["Control", "b"]


def test_the_focus_and_the_cursor_survive_streaming(page):
    heatmap(page, "fakeFrame({share: 2 / 7})", busy=True)
    page.get_by_test_id("factlens-cursor").focus()
    page.keyboard.press("Control+Home")
    cursor = page.get_by_test_id("factlens-cursor")
    expect(cursor).to_have_attribute("aria-label", "token The, subject, layer 0, hidden state, not computed")
    change(page, "a", frame="js:fakeFrame({share: 1})")
    expect(cursor).to_be_focused()
    expect(cursor).to_have_attribute("aria-label", re.compile(r"^token The, subject, layer 0, hidden state, 0\.\d\d"))


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
    canvas = page.locator("[data-kind=mlp] canvas")
    expect(page.locator("[data-part]")).to_have_count(3)
    wide = float(canvas.get_attribute("data-cell-width"))
    assert wide > before
    assert canvas.bounding_box()["width"] == 3 * wide  # these layers, and no others
    expect(page.locator(".fl-panels")).to_have_attribute("data-layout", "side")
    # What lies beside them comes into sight with the cursor.
    page.mouse.click(*point(page, "mlp", 2, 3))
    page.keyboard.press("ArrowRight")
    page.evaluate("frames(3)")
    expect(page.get_by_test_id("factlens-cursor")).to_have_attribute("data-cell", "mlp 2 4")
    assert float(canvas.get_attribute("data-cell-left")) == -2 * wide
    cursor, plot = (page.locator(of).bounding_box() for of in (".fl-grid [role=gridcell]", "[data-kind=mlp] .fl-plot"))
    assert cursor["x"] + cursor["width"] == pytest.approx(plot["x"] + plot["width"])
    change(page, "a", layer_range="js:null")
    expect(page.locator("[data-part]")).to_have_count(0)


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
