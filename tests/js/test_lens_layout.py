"""The parts of a lens on pages of all sizes: the story in one view, nothing too wide, long prompts at their subject."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.js.driving import change, heatmap, put
from tests.js.states import prompt_of, sized, whole_lens
from tests.js.test_screenshots import chromium_args, context_options, show  # noqa: F401  (the same browser, the same page)

STORY = (".fl-panels", ".bars", "[data-testid=factlens-target]", "[data-testid=factlens-apply]")
VERDICT = ("[data-testid=factlens-judged]",)


def test_the_whole_story_is_in_sight(page):
    """30 layers and 12 tokens on a page of 1,280 by 800 pixels: grids, bars, edit and judgement, without scrolling."""
    show(page, whole_lens(30, 12, 1280, 800), "light")
    for part in (*STORY, *VERDICT):
        box = page.locator(part).first.bounding_box()
        assert box["y"] >= 0, part
        assert box["y"] + box["height"] <= 800, part
    expect(page.locator(".fl-panels")).to_have_attribute("data-layout", "side")
    assert float(page.locator("[data-kind=mlp] canvas").get_attribute("data-cell-width")) >= 8
    expect(page.locator(".fl-labels:visible")).to_have_count(1)  # one column of tokens for all panels


TOO_WIDE = """(width) => [...document.querySelectorAll('main, main *')]
    .filter((node) => !node.closest('.fl-panels, .fl-tokens, .fl-sr') && node.checkVisibility()
        && node.getBoundingClientRect().right > width + 0.5)
    .map((node) => node.className || node.localName)"""


@pytest.mark.parametrize(("layers", "tokens"), [(30, 12), (80, 200)])
def test_no_page_is_wider_than_its_window(page, layers, tokens):
    show(page, whole_lens(layers, tokens, 2500, 800), "light")
    for width in (400, 600, 800, 1280, 2500):
        page.set_viewport_size({"width": width, "height": 800})
        page.evaluate("frames(4)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width
        assert page.evaluate(TOO_WIDE, width) == [], width
        # The heatmap is never higher than the window, nor three times as high as one of its panels.
        if width >= 800:
            assert page.locator(".fl-scroll").bounding_box()["height"] < 0.6 * 800, width


def test_a_long_prompt_begins_at_its_subject_with_a_map_of_all(page):
    show(page, whole_lens(30, 60, 1280, 800), "light")
    scroller, labels = page.locator(".fl-scroll"), page.locator("[data-kind=state] .fl-label")
    view = scroller.bounding_box()

    def in_sight(row):
        box = labels.nth(row).bounding_box()
        return view["y"] <= box["y"] and box["y"] + box["height"] <= view["y"] + view["height"]

    assert [in_sight(row) for row in (10, 20, 22, 23, 59)] == [False, True, True, True, False]
    plan = page.get_by_test_id("factlens-map")
    box = plan.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] - 2)
    page.evaluate("frames(3)")
    assert [in_sight(row) for row in (22, 59)] == [False, True]
    framed = page.locator(".fl-map-window").bounding_box()
    assert framed["y"] + framed["height"] == pytest.approx(box["y"] + box["height"], abs=3)
    # A short prompt needs no map.
    change(page, "part-1", frame="js:fakeFrame({run: 2})")
    expect(plan).to_be_hidden()


def test_while_another_prompt_is_written_the_grids_say_whose_they_are(page):
    put(page, "locate", "a", state="js:fakeLocate()")
    heatmap(page, "fakeFrame({prompt: 'The Space Needle is in downtown'})", "b")
    title, box = page.locator(".fl-heading"), page.get_by_label("Prompt")
    expect(title).to_contain_text("Probability of “Seattle”")
    box.fill("The Eiffel Tower is in")
    expect(title).to_contain_text("Still the trace of “The Space Needle is in downtown”.")
    expect(page.get_by_test_id("factlens-heatmap")).to_have_attribute("data-former", "")
    box.fill("The Space Needle is in downtown")
    expect(title).to_contain_text("Probability of “Seattle”")


def test_the_legend_begins_with_the_smaller_number(page):
    heatmap(page, "fakeFrame({low: 0.9993, high: 0.9981})")
    legend = page.get_by_test_id("factlens-legend")
    expect(legend).to_contain_text("clean 99.8 %corrupted 99.9 %")
    expect(legend.get_by_role("img")).to_have_attribute(
        "aria-label", "Colours run from corrupted 99.9 % (pale) to clean 99.8 % (full)."
    )


def test_a_large_grid_streams_within_a_frame(page):
    """80 layers and 200 tokens, all of them estimates or exact: less than 16 ms of the main thread for each update.

    Its own time, not the clock's: other processes of a busy machine do not count.
    """
    name, traits = sized(80, 200, selected=False)
    page.set_viewport_size({"width": 1680, "height": 900})
    put(page, name, "a", **{"frame": f"js:({traits}).frame", "selection": None, "busy": True})
    frames = f"""Array.from({{length: 24}}, (_, i) => fakeFrame({{layers: 80, tokens: {prompt_of(200)}, guess: true,
        sure: true, share: (i + 1) / 26, complete: false}}))"""
    page.evaluate(f"() => {{ window.news = {frames}; }}")
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent():
        return {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}

    def stream():
        before = spent()
        page.evaluate("async () => { for (const frame of news) { models.a.put('frame', frame); await frames(2); } }")
        after = spent()
        return 1000 * (after["ScriptDuration"] - before["ScriptDuration"]) / 24

    took = [stream() for _ in range(3)]
    print(f"an update takes {min(took):.1f} ms of script")
    assert min(took) < 16
