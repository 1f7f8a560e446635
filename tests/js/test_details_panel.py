"""The panel that says what the selected cell knows."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.js.driving import change, put, record_gestures


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


def test_its_tables_are_handed_out_as_files(page):
    record_gestures(page)
    put(page, "details", state="js:fakeReader()")
    for form in ("csv", "latex"):
        page.get_by_test_id(f"factlens-details-{form}").click()
        asked = {"lens": "lens-1", "name": "table", "what": "details", "form": form}
        assert page.evaluate("gestures.at(-1)") == asked
