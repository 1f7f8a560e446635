"""What is drawn of a grid: values, estimates, cells that are not computed, and what the page says of them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.js.driving import change, heatmap, pixels, point


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
        "Suggested: layer 2 · MLP · token “down”, the last layer with much of the MLP’s effect at the subject’s last "
        "token, by this trace and no calibration."
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
