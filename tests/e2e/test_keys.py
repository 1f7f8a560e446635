"""Keys belong to what was last pressed: after any gesture in the lens they do nothing to the notebook around it."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Locator

from tests.e2e.harness import Lab
from tests.e2e.lens_page import LENS, click_cell, part, wait_for_the_grid

#: The commands of a notebook's cells, and the keys that the lens has itself.
NOTEBOOK_KEYS = ("a", "b", "x", "c", "v", "m", "y", "r", "z", "d", "d", "o", "l", "j", "k", "1", "0", "0")
LENS_KEYS = ("p", "?", "?", "Escape", "Home", "End", "ArrowUp", "Shift+ArrowRight", "PageDown", "Enter")
#: What a cell is, in the notebook's own words, and which of them is active.
CELLS = """() => {
    const { widgets, activeCellIndex } = window.jupyterapp.shell.currentWidget.content;
    return JSON.stringify([widgets.map(one => [one.model.type, one.model.sharedModel.getSource()]), activeCellIndex]);
}"""


def press_in_the_middle(where: Locator) -> None:
    where.scroll_into_view_if_needed()
    box = where.bounding_box()
    assert box
    where.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def brush(where: Locator) -> None:
    where.scroll_into_view_if_needed()
    box = where.bounding_box()
    assert box
    mouse = where.page.mouse
    mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.4)
    mouse.down()
    mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.6, steps=3)
    mouse.up()


GESTURES: dict[str, Callable[[Lab], None]] = {
    "a cell": lambda lab: click_cell(lab, "mlp", 1, 2),
    "brushed layers": lambda lab: brush(part(lab, "heatmap").locator(".fl-axis").first),
    "brushed tokens": lambda lab: brush(part(lab, "heatmap").locator(".fl-labels").first),
    "the heatmap's title": lambda lab: press_in_the_middle(part(lab, "heatmap").locator(".fl-heading")),
    "the legend": lambda lab: press_in_the_middle(part(lab, "heatmap").locator(".fl-legend").first),
    "a token of the prompt": lambda lab: press_in_the_middle(part(lab, "locate").locator(".fl-tokens-row")),
    "bars of a chart": lambda lab: press_in_the_middle(lab.output(0).locator(".bqplot:visible").first),
    "words of a panel": lambda lab: press_in_the_middle(part(lab, "edit").locator(".fl-panel-name").first),
}


def keys_after_every_gesture(lab: Lab) -> None:
    lab.open([f"import factlens as fl{LENS}", "first = 1", "second = 2"])
    lab.run_all()
    part(lab, "trace").click()
    wait_for_the_grid(lab)
    click_cell(lab, "mlp", 0, 0)
    cells = lab.page.evaluate(CELLS)
    for name, gesture in GESTURES.items():
        gesture(lab)
        lab.page.wait_for_function("() => document.activeElement.closest('.factlens-lens') !== null")
        for key in (*NOTEBOOK_KEYS, *LENS_KEYS):
            lab.page.keyboard.press(key)
        assert lab.page.evaluate(CELLS) == cells, f"keys after a press on {name} have changed the notebook"


def test_keys_after_a_gesture_in_the_lens_are_not_the_notebooks(lab: Lab) -> None:
    keys_after_every_gesture(lab)
    lab.shot("after all keys")
    lab.assert_clean()


def test_nor_are_they_in_notebook_7(notebook7: Lab) -> None:
    keys_after_every_gesture(notebook7)


def test_keys_after_a_press_in_the_notebook_are_not_the_lens_s(lab: Lab) -> None:
    lab.open([f"import factlens as fl{LENS}", "first = 1"])
    lab.run_all()
    part(lab, "trace").click()
    wait_for_the_grid(lab)
    click_cell(lab, "mlp", 1, 2)
    chosen = lab.kernel_eval("lens.selection")
    lab.page.locator(".jp-Notebook .jp-Cell").nth(1).locator(".jp-InputPrompt").click()
    for key in ("b", "z", "p", "ArrowDown"):
        lab.page.keyboard.press(key)
    assert lab.cell_count() == 2, "b inserts a cell, z takes that back"
    assert lab.kernel_eval("(lens.selection, lens.pins)") == [chosen, []]
