"""The whole path in JupyterLab: locate, choose, edit, undo, compare; light and dark, wide and narrow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.harness import Lab
from tests.e2e.lens_page import LENS, click_cell, part, wait_for_the_grid

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_locate_and_edit.ipynb"


def test_the_notebook_from_trace_to_undo(lab: Lab, kernel: str) -> None:
    from_trace_to_undo(lab, kernel)


def test_the_same_in_notebook_7(notebook7: Lab) -> None:
    from_trace_to_undo(notebook7, "ipykernel-installed")


def from_trace_to_undo(lab: Lab, kernel: str) -> None:
    lab.open(NOTEBOOK, kernel)
    lab.run_all()
    expect(part(lab, "empty")).to_be_visible()
    lab.shot("empty")

    part(lab, "trace").click()
    wait_for_the_grid(lab)
    expect(part(lab, "answer")).to_contain_text("Seattle")
    canvases = part(lab, "heatmap").locator("[data-kind] canvas")
    assert canvases.count() == 3
    lab.shot("traced-light")

    token = lab.kernel_eval("lens.trace.subject_range[1] - 1")
    click_cell(lab, "mlp", token, 3)
    lab.wait_kernel("lens.selection is not None")
    assert lab.kernel_eval("lens.selection") == {"kind": "mlp", "token": token, "layer": 3}
    expect(part(lab, "selection")).to_contain_text("Layer 3")
    expect(part(lab, "edit-layer")).to_contain_text("layer 3")

    part(lab, "target").fill("Paris")
    part(lab, "apply").click()
    expect(part(lab, "edited-badge")).to_be_visible(timeout=60_000)
    assert lab.kernel_eval("model.answers(fact.prompt)[0].text") == " Paris"
    assert lab.kernel_eval("[[e.label, e.layers[0]] for e in lens.edits]") == [["The Space Needle → Paris", 3]]
    shown = lab.kernel_eval("lens.bars.values")
    assert max(shown, key=lambda label: shown[label][1]) == "Paris"
    assert max(shown, key=lambda label: shown[label][0]) == "Seattle"
    expect(lab.page.locator(".factlens-bars .bargroup, .factlens-bars .bar").first).to_be_visible()
    bars = lab.page.locator(".factlens-bars")
    for label in ("Seattle", "Paris"):
        expect(bars.locator("text", has_text=label).first).to_be_visible()
    lab.shot("edited-light")
    lab.set_theme("dark")
    lab.shot("edited-dark")
    lab.page.set_viewport_size({"width": 760, "height": 1000})
    lab.shot("edited-dark-narrow")
    lab.set_theme("light")
    lab.shot("edited-light-narrow")
    lab.page.set_viewport_size({"width": 1400, "height": 1000})

    part(lab, "undo").click()
    expect(part(lab, "edited-badge")).to_be_hidden(timeout=60_000)
    assert lab.kernel_eval("model.answers(fact.prompt)[0].text") == " Seattle"
    assert lab.kernel_eval("lens.edits") == []
    shown = lab.kernel_eval("lens.bars.values")
    assert all(before == after for before, after in shown.values())
    lab.assert_clean()


# Holds every trace of the kernel after its first update until `go` is set.
HOLD = """
import threading
import factlens.session.locating
go, stream = threading.Event(), factlens.session.locating.stream
def held(*arguments, **options):
    for update in stream(*arguments, **options):
        yield update
        go.wait(60)
factlens.session.locating.stream = held
"""


def test_estimates_come_first_and_a_cell_tells_what_it_knows(lab: Lab, kernel: str) -> None:
    lab.open(["import factlens as fl", LENS, HOLD], kernel)
    lab.run_all()
    heatmap, note = part(lab, "heatmap"), part(lab, "estimate-note")
    part(lab, "trace").click()
    expect(heatmap).to_have_attribute("data-estimated", re.compile("[1-9]"))
    cells = lab.kernel_eval("lens.trace.samples.isel(sample=0).size")
    shown = [int(heatmap.get_attribute(f"data-{name}") or "0") for name in ("computed", "estimated")]
    assert sum(shown) == cells
    assert shown[1] > shown[0]
    expect(note).to_be_visible()
    measured = lab.kernel_eval("__import__('factlens.tracing.estimate_quality', fromlist=['x']).RANK_CORRELATION")
    for kind, name in {"state": "hidden state", "mlp": "MLP", "attn": "attention"}.items():
        expect(note).to_contain_text(f"{name} {measured[kind]:.2f}")
    token, last = lab.kernel_eval("[lens.trace.subject_range[1] - 1, len(lens.trace.tokens) - 1]")
    click_cell(lab, "mlp", token, 3)
    expect(part(lab, "tooltip")).to_contain_text("estimate: probability")
    expect(part(lab, "selection")).to_contain_text("(estimate 0.")
    expect(part(lab, "details-status")).to_have_text("The cell is read when the running work is done.")
    expect(part(lab, "trace")).to_have_attribute("aria-disabled", "true")
    lab.shot("estimates")

    lab.kernel_exec("go.set()")
    wait_for_the_grid(lab)
    expect(heatmap).to_have_attribute("data-estimated", "0")
    expect(note).to_be_hidden()
    expect(part(lab, "selection")).not_to_contain_text("estimate")
    expect(part(lab, "details-cell")).to_contain_text("layer 3 · MLP")
    expect(part(lab, "details-neurons").locator("tbody tr")).to_have_count(5)
    expect(part(lab, "trace")).to_have_attribute("aria-disabled", "false")

    click_cell(lab, "attn", last, 5)
    expect(part(lab, "details-heads")).to_be_visible()
    best = lab.kernel_eval("lens.details['lens']['clean'][0]")
    first = part(lab, "details-answers").locator("tbody tr").first.locator("td").first
    expect(first).to_contain_text(best["text"].strip())
    expect(first).to_contain_text(f"{best['probability']:.0%}".replace("%", " %"))
    assert lab.kernel_eval("[lens.details[name] for name in ('kind', 'token', 'layer')]") == ["attn", last, 5]
    lab.shot("details-light")
    lab.set_theme("dark")
    lab.shot("details-dark")
    lab.page.set_viewport_size({"width": 760, "height": 1000})
    part(lab, "details").scroll_into_view_if_needed()
    lab.shot("details-dark-narrow")
    lab.assert_clean()


def test_hovering_is_answered_by_the_page_alone(lab: Lab) -> None:
    lab.open(["import factlens as fl, time", LENS, "time.sleep(600)"])
    lab.run_cell(0)
    lab.run_cell(1)
    part(lab, "trace").click()
    wait_for_the_grid(lab)
    run = lab.start_cell(2)
    canvas = part(lab, "heatmap").locator("[data-kind=attn] canvas")
    canvas.hover()
    expect(part(lab, "tooltip")).to_be_visible(timeout=5000)
    expect(part(lab, "tooltip")).to_contain_text(re.compile(r"[Ll]ayer \d"))
    assert lab.running(run), "the kernel was busy all the time"
    lab.interrupt()
    lab.wait_run(run)
    lab.assert_clean()


def test_marking_comparing_and_taking_away(lab: Lab, tmp_path: Path) -> None:
    """Pins and a brushed range reach Python and the profile; before and after an edit stand side by side."""
    lab.open(["import factlens as fl", LENS])
    lab.run_all()
    part(lab, "trace").click()
    wait_for_the_grid(lab)
    token = lab.kernel_eval("lens.trace.subject_range[1] - 1")
    canvas = part(lab, "heatmap").locator("[data-kind=mlp] canvas")
    width, height = (float(canvas.get_attribute(f"data-cell-{name}") or "nan") for name in ("width", "height"))
    canvas.click(position={"x": 3.5 * width, "y": (token + 0.5) * height}, modifiers=["Shift"])
    lab.wait_kernel("len(lens.pins) == 1")
    assert lab.kernel_eval("lens.pins") == [{"kind": "mlp", "token": token, "layer": 3}]
    row = lab.kernel_eval(f"lens.trace.scores.sel(kind='mlp').values[{token}].tolist()")
    assert lab.kernel_eval("lens.profile.values") == {"1": row}
    assert lab.kernel_eval("lens.selection") is None

    # The axis of the heatmap, the brush of the profile, and the trait are one range.
    axis = part(lab, "heatmap").locator("[data-kind=mlp] [data-testid=factlens-axis]")
    box = axis.bounding_box()
    assert box is not None
    lab.page.mouse.move(box["x"] + 1.5 * width, box["y"] + 10)
    lab.page.mouse.down()
    lab.page.mouse.move(box["x"] + 4.5 * width, box["y"] + 10, steps=4)
    lab.page.mouse.up()
    lab.wait_kernel("lens.layer_range == (1, 4)")
    assert lab.kernel_eval("lens.profile._brush.selected.tolist()") == [0.5, 4.5]
    lab.kernel_exec("lens.layer_range = (2, 3)")
    expect(part(lab, "range")).to_contain_text("Layers 2 to 3")
    brush = lab.page.locator(".factlens-profile rect.selection")
    expect(brush).to_be_visible()
    lab.shot("marked")

    # What a gesture does, code does as well: the same fact again, with an edit in force.
    part(lab, "target").fill("Paris")
    part(lab, "apply").click()
    expect(part(lab, "edited-badge")).to_be_visible(timeout=60_000)
    assert not part(lab, "compare").is_visible()
    lab.wait_kernel("lens.status == 'idle'")  # the badge shows before the edit's last pass is over
    lab.kernel_exec("lens.fact = fl.Fact('{} is in downtown', 'The Space Needle', target='Rome')")
    expect(part(lab, "compare")).to_be_visible(timeout=60_000)
    expect(part(lab, "target")).to_have_value("Rome")
    part(lab, "compare").click()
    expect(part(lab, "heatmap")).to_have_attribute("data-view", "comparison")
    titles = part(lab, "heatmap").locator(".fl-title-name")
    expect(titles).to_have_text(["before: “Seattle”", "now: “Paris”", "now − before"])
    lab.shot("compared")
    with lab.page.expect_download() as waiting:
        part(lab, "export").click()
        part(lab, "export-fold").get_by_role("button", name="SVG").click()
    waiting.value.save_as(tmp_path / "trace.svg")
    assert "now: “Paris”" in (tmp_path / "trace.svg").read_text("utf-8")

    # A trace of elsewhere is shown like one of its own.
    part(lab, "compare").click()
    lab.kernel_exec("other = fl.trace(lens.session.model, fl.Fact('{} is in', 'The Space Needle')); lens.trace = other")
    expect(part(lab, "prompt")).to_have_value("The Space Needle is in")
    assert lab.kernel_eval("lens.session.trace is other")
    lab.assert_clean()


@pytest.mark.parametrize(
    ("prompt", "subject", "words"),
    [
        ("The Space Needle is in downtown", "The Eiffel Tower", "is not in the prompt"),
        ("", "The Space Needle", "Write a prompt"),
        ("The Space Needle is " + "very " * 300, "The Space Needle", "at most"),
        ("<img src=x onerror=alert(1)> is", "<img src=x onerror=alert(2)>", "<img src=x onerror=alert(2)>"),
    ],
)
def test_bad_input_is_said_in_the_widget_and_loses_nothing(lab: Lab, prompt: str, subject: str, words: str) -> None:
    lab.open(["import factlens as fl", LENS])
    lab.run_all()
    part(lab, "trace").click()
    wait_for_the_grid(lab)
    computed = part(lab, "heatmap").get_attribute("data-computed")
    panel = part(lab, "locate")
    panel.get_by_label("Prompt").fill(prompt)
    panel.get_by_label("Subject").fill(subject)
    part(lab, "trace").click()
    expect(part(lab, "locate-notices")).to_contain_text(words)
    lab.shot("error")
    assert part(lab, "heatmap").get_attribute("data-computed") == computed
    part(lab, "target").fill("Seattle")
    part(lab, "apply").click()
    expect(part(lab, "target")).to_have_attribute("aria-invalid", "true")
    expect(part(lab, "notice-target")).to_contain_text("says “Seattle” here already")
    assert lab.kernel_eval("model.edits") == []
    lab.assert_clean()
