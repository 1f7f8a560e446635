"""The heatmap's colours: light and dark, palettes, and hosts other than JupyterLab."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.js.driving import heatmap, pixels, point


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
