"""What holds for every widget: no text is HTML, nothing stays behind, all is readable, reachable and small."""

from __future__ import annotations

import pathlib
import re

import pytest

from tests.js.driving import heatmap, point, put

STATIC = pathlib.Path(__file__).resolve().parents[2] / "factlens" / "static"
EVIL = '<img src=x onerror="window.hacked=1">'


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
    assert len(source.encode()) < 70_000
    source = source.replace("http://www.w3.org/2000/svg", "")  # a name that XML wants, not an address to load
    loads = r"https?://|//#\s*sourceMappingURL|@import|\bimport\s*\(|\bfrom\s*[\"']"
    assert not re.search(rf"{loads}|innerHTML|insertAdjacentHTML", source)
    if name.endswith(".js"):
        assert re.search(r"export\s*\{\s*[\w$]+ as default\s*\}", source)
