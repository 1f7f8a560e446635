"""The widgets in marimo: drawn, pointed at, selected, set from Python; and the whole lens; light and dark."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.e2e.harness import Theme
from tests.e2e.marimo_harness import MarimoPage, MarimoServer

HEADER = """\
# /// script
# [tool.marimo.display]
# theme = "{theme}"
# ///
import marimo

app = marimo.App()
"""

MODEL = """
import marimo as mo, factlens as fl
model = fl.load("atlas")
fact = fl.Fact("{} is in downtown", subject="The Space Needle")
"""

#: What a user would write, cell by cell; the cell that reads the value also counts its own runs.
PARTS = [
    MODEL,
    """
trace = fl.trace(model, fact, samples=2)
other = fl.trace(model, fl.Fact("{} is in", subject="The Space Needle"), samples=2)
""",
    """
heatmap = mo.ui.anywidget(fl.Heatmap(trace))
changes, runs = [], []
heatmap.observe(lambda change: changes.append(change.new), "selection")
heatmap
""",
    """
import json
runs.append(1)
said = {name: heatmap.value[name] for name in ("selection", "pins", "layer_range")}
mo.Html(f"<pre data-testid='value'>{json.dumps({**said, 'changes': len(changes), 'runs': len(runs)})}</pre>")
""",
    """
from threading import Thread
from factlens.widgets.wire import frame_of
def set_here(_):
    heatmap.selection = {"kind": "attn", "token": 8, "layer": 6}
def set_from_a_thread(_):
    worker = Thread(target=lambda: setattr(heatmap, "pins", [{"kind": "mlp", "token": 2, "layer": 2}]))
    worker.start()
    worker.join()
def take_the_other(_):
    heatmap.frame = frame_of(other, run=2)
here = mo.ui.button(label="set here", on_click=set_here)
thread = mo.ui.button(label="set from a thread", on_click=set_from_a_thread)
take = mo.ui.button(label="take the other", on_click=take_the_other)
mo.hstack([here, thread, take])
""",
    'mo.ui.anywidget(fl.compare(trace, other, names=("one", "other")))',
    "fl.Heatmap(trace)  # without the wrapper: marimo puts it around",
]

LENS = [
    MODEL,
    "lens = fl.Lens(model, fact)\nlens",
    "get_cell, set_cell = mo.state(None)",
    'lens.observe(lambda change: set_cell(change.new), "selection")',
    """mo.Html(f"<pre data-testid='cell'>{get_cell()}</pre>")""",
]


def app(cells: list[str], theme: Theme) -> str:
    """A marimo file of these cells; it finds out by itself which of them uses what."""
    blocks = [f"with app.setup:\n{indented(cells[0])}"]
    blocks += [f"@app.cell\ndef _():\n{indented(cell)}\n    return" for cell in cells[1:]]
    return "\n\n".join([HEADER.replace("{theme}", theme), *blocks, 'if __name__ == "__main__":\n    app.run()\n'])


def indented(cell: str) -> str:
    return "\n".join(f"    {line}" for line in cell.strip().splitlines())


@pytest.fixture(scope="module")
def marimo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MarimoServer]:
    root = tmp_path_factory.mktemp("marimo")
    (root / "parts.py").write_text(app(PARTS, "light"))
    (root / "lens.py").write_text(app(LENS, "dark"))
    with MarimoServer(root) as server:
        yield server


Open = Callable[[str, Theme, int], MarimoPage]


@pytest.fixture
def open_app(
    browser: Browser, marimo_server: MarimoServer, shots: Path, watch: Callable[[MarimoPage], MarimoPage]
) -> Open:
    """Open an app on a system that asks for light or dark colours, and wait for so many heatmaps."""

    def opened(name: str, scheme: Theme, heatmaps: int) -> MarimoPage:
        page = watch(MarimoPage(browser, marimo_server, shots, scheme))
        page.open(name)
        page.page.get_by_test_id("factlens-heatmap").nth(heatmaps - 1).wait_for()
        return page

    return opened


def middle(heatmap: Locator, kind: str, token: int, layer: int) -> tuple[Locator, dict[str, float]]:
    """The canvas of a panel and where on it a cell lies, by what the canvas says of itself."""
    canvas = heatmap.locator(f"[data-kind='{kind}'] canvas")
    canvas.scroll_into_view_if_needed()
    left, top, width, height = (
        float(canvas.get_attribute(f"data-cell-{name}") or "nan") for name in ("left", "top", "width", "height")
    )
    return canvas, {"x": left + (layer + 0.5) * width, "y": top + (token + 0.5) * height}


def colours(canvas: Locator) -> int:
    """How many colours a canvas shows; a blank one has one."""
    return canvas.evaluate(
        """canvas => {
            const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            return new Set(new Uint32Array(data.buffer)).size;
        }"""
    )


def wears(page: MarimoPage, theme: Theme) -> None:
    """Everything of ours has marimo's theme, and stands on the page's own background."""
    background = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
    for part in page.page.locator(".factlens:visible").all():
        expect(part).to_have_attribute("data-theme", theme)
        expect(part).to_have_css("background-color", background)


def value(page: MarimoPage, **expected: object) -> dict:
    """What the cell that reads `heatmap.value` shows, once it shows what is expected."""
    shown = page.page.get_by_test_id("value")
    for name, wanted in expected.items():
        expect(shown).to_contain_text(f'"{name}": {json.dumps(wanted)}')
    return json.loads(shown.inner_text())


def test_the_parts_in_marimo(open_app: Open) -> None:
    page = open_app("parts.py", "dark", 3)  # marimo's theme counts, not the system's
    alone, compared, bare = (page.page.get_by_test_id("factlens-heatmap").nth(i) for i in range(3))
    for heatmap in (alone, bare):
        expect(heatmap).to_have_attribute("data-complete", "true")
        assert [colours(canvas) > 5 for canvas in heatmap.locator("[data-kind] canvas").all()] == [True] * 3
    expect(compared).to_have_attribute("data-view", "comparison")
    assert [colours(canvas) > 5 for canvas in compared.locator("[data-kind] canvas").all()] == [True] * 3
    assert value(page) == {"selection": None, "pins": [], "layer_range": None, "changes": 0, "runs": 1}
    wears(page, "light")
    page.shot("light")

    canvas, at = middle(alone, "mlp", 5, 3)
    canvas.hover(position=at)
    expect(alone.get_by_test_id("factlens-tooltip")).to_contain_text(re.compile("layer 3", re.I))

    # A click reaches Python once, is drawn when Python has taken it, and runs the cell that reads the value, once.
    canvas.click(position=at)
    cell = {"kind": "mlp", "token": 5, "layer": 3}
    assert value(page, selection=cell) == {
        "selection": cell, "pins": [], "layer_range": None, "changes": 1, "runs": 2
    }  # fmt: skip
    expect(alone.get_by_test_id("factlens-selection")).to_contain_text("Layer 3")

    # The click has put the keyboard's cursor there, and no key goes to marimo.
    for key in ("ArrowUp", "ArrowRight", "Enter"):
        page.page.keyboard.press(key)
    value(page, selection={"kind": "mlp", "token": 4, "layer": 4})
    page.page.keyboard.press("Shift+ArrowRight")
    value(page, layer_range=[4, 5])
    canvas, at = middle(alone, "attn", 8, 5)
    canvas.click(position=at, modifiers=["Shift"])
    state = value(page, pins=[{"kind": "attn", "token": 8, "layer": 5}])
    assert (state["changes"], state["runs"]) == (2, 5)

    # The other way: from marimo's kernel, and from a thread, as a lens that traces does.
    page.page.get_by_role("button", name="set here").click()
    expect(alone.get_by_test_id("factlens-selection")).to_contain_text("Layer 6")
    page.page.get_by_role("button", name="set from a thread").click()
    expect(alone.get_by_test_id("factlens-pins").locator("li")).to_contain_text(["Layer 2"])
    page.page.get_by_role("button", name="take the other").click()
    expect(alone).to_have_attribute("data-run", "2")
    assert alone.locator("[data-kind=mlp] .fl-label").count() == 8
    page.assert_clean()


def test_the_whole_lens_in_marimo(open_app: Open) -> None:
    page = open_app("lens.py", "light", 1)
    part = page.page.get_by_test_id
    wears(page, "dark")
    part("factlens-trace").click()
    expect(part("factlens-heatmap")).to_have_attribute("data-complete", "true", timeout=60_000)
    canvas, at = middle(part("factlens-heatmap"), "mlp", 5, 2)
    canvas.click(position=at)
    expect(part("factlens-edit-layer")).to_contain_text("layer 2")
    expect(part("cell")).to_have_text(str({"kind": "mlp", "token": 5, "layer": 2}))
    expect(part("factlens-details")).to_have_attribute("data-ready", "true")
    part("factlens-target").fill("Paris")
    part("factlens-apply").click()
    expect(part("factlens-edits").locator("li")).to_contain_text(["The Space Needle → Paris"], timeout=60_000)
    page.shot("lens")
    part("factlens-undo").click()
    expect(part("factlens-edited-badge")).to_be_hidden()
    page.assert_clean()
