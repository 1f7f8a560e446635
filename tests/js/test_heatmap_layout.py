"""Where the heatmap's parts stand: wide and narrow pages, long prompts, large grids, dense screens."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.js.driving import change, heatmap, pixels, point


def test_a_very_large_grid_is_painted_and_read_at_once(page):
    """500 tokens by 128 layers by three kinds: 192,000 cells."""
    tokens = "Array.from({length: 500}, (_, i) => ({text: ' t' + i, id: i, subject: i > 5 && i < 9}))"
    heatmap(page, f"fakeFrame({{layers: 128, tokens: {tokens}}})")
    expect(page.get_by_test_id("factlens-heatmap")).to_have_attribute("data-computed", str(3 * 500 * 128))
    early = pixels(page, "state", 8, 10)
    assert len(early) == 1
    # Only what is in sight is painted.
    assert page.locator("[data-kind=state] canvas").evaluate("(c) => c.height") < 100 * 14
    # The titles, the labels and the axis stay in sight while the grid scrolls in both directions.
    scroller = page.locator(".fl-scroll")
    scroller.evaluate("(node) => node.scrollTo(200, 2000)")
    page.evaluate("frames(3)")
    assert pixels(page, "state", 150, 100) not in ([], early)
    view = scroller.bounding_box()
    label = page.locator("[data-kind=state] .fl-label").nth(150).bounding_box()
    assert view["x"] <= label["x"] < view["x"] + 200
    axis = page.locator("[data-kind=state] .fl-axis").bounding_box()
    assert axis["y"] + axis["height"] <= view["y"] + view["height"] + 1
    page.get_by_test_id("factlens-table-toggle").click()
    table = page.locator("table[data-kind=state]")
    expect(table.locator("tbody tr")).to_have_count(100)
    expect(table.locator("caption")).to_contain_text("the 100 cells farthest from the corrupted run, of 64000")


def test_it_follows_the_width_and_scrolls_by_itself(page):
    heatmap(page, "fakeFrame({layers: 80})")
    panels = page.locator(".fl-panels")
    expect(panels).to_have_attribute("data-layout", "side")
    expect(page.get_by_test_id("factlens-narrow")).to_be_visible()
    page.set_viewport_size({"width": 420, "height": 800})
    expect(panels).to_have_attribute("data-layout", "stack")
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
    page.set_viewport_size({"width": 700, "height": 900})
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
