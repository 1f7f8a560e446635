"""Other views of a grid: a comparison of two, other units and scales, a table, and what can be taken away."""

from __future__ import annotations

import pathlib
import re

from playwright.sync_api import expect

from tests.js.driving import change, heatmap, pixels, point, put, record_gestures, sent

COMPARISON = """js:{names: ['before', 'now'], a: fakeFrame({low: 0.2}), b: fakeFrame({answer: ' Paris'})}"""


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


def test_a_figure_for_a_paper_is_asked_for_as_it_is_chosen(page):
    record_gestures(page)
    heatmap(page, "fakeFrame({caption: 'atlas, seed 1'})")
    page.get_by_test_id("factlens-export").click()
    choices = page.get_by_test_id("factlens-paper-fold")
    expect(choices).to_be_hidden()
    page.get_by_test_id("factlens-paper").click()
    expect(page.get_by_test_id("factlens-paper")).to_have_attribute("aria-expanded", "true")
    page.get_by_test_id("factlens-paper-make").click()
    look = {"width_mm": 88, "font_size": 7, "palette": "kind", "letters": False, "effects": False}
    asked = {"lens": "lens-1", "name": "figure", "what": "trace", "form": "pdf", "look": look}
    assert page.evaluate("gestures") == [asked]
    expect(page.get_by_test_id("factlens-live")).to_contain_text("comes as a download")
    page.get_by_test_id("factlens-paper-width").fill("180.5")
    page.get_by_test_id("factlens-paper-font-size").fill("6")
    page.get_by_test_id("factlens-paper-colours").select_option("grey")
    page.get_by_test_id("factlens-paper-form").select_option("svg")
    page.get_by_test_id("factlens-paper-letters").check()
    change(page, "a", comparison=COMPARISON)
    page.get_by_test_id("factlens-compare").click()
    page.get_by_test_id("factlens-paper-make").click()
    look = {"width_mm": 180.5, "font_size": 6, "palette": "grey", "letters": True, "kind": "mlp"}
    assert page.evaluate("gestures.at(-1)") == {**asked, "what": "comparison", "form": "svg", "look": look}
    page.evaluate("navigator.clipboard.writeText = async (words) => { window.copied = words; }")
    page.get_by_test_id("factlens-compare").click()
    page.get_by_role("button", name="Copy caption").click()
    expect(page.get_by_test_id("factlens-live")).to_contain_text("caption is on the clipboard")
    assert page.evaluate("copied") == "atlas, seed 1"


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
