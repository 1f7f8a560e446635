"""The whole path in JupyterLab: locate, choose, edit, undo, stop; light and dark, wide and narrow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.harness import Lab

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_locate_and_edit.ipynb"

# A random model that is slow to trace (some ten seconds on two cores), in many short steps.
SLOW = """
import time, torch, factlens as fl
from transformers import GPT2Config, GPT2LMHeadModel
tokenizer = fl.load("atlas").tokenizer
torch.manual_seed(0)
config = GPT2Config(vocab_size=len(tokenizer), n_layer=16, n_embd=320, n_head=8, n_positions=128)
slow = fl.wrap(GPT2LMHeadModel(config).eval(), tokenizer, name="slow")
words = "In fact, as everyone knows, it is said that {} is located in the country of that name, and also in downtown"
lens = fl.Lens(slow, fl.Fact(words, subject="The Space Needle"))
lens
"""


def part(lab: Lab, name: str) -> Locator:
    return lab.page.get_by_test_id(f"factlens-{name}")


def click_cell(lab: Lab, kind: str, token: int, layer: int) -> None:
    """Click the middle of a heatmap cell, by where the canvas says that its cells are."""
    canvas = part(lab, "heatmap").locator(f"[data-kind={kind}] canvas")
    canvas.scroll_into_view_if_needed()
    left, top, width, height = (
        float(canvas.get_attribute(f"data-cell-{name}") or "nan") for name in ("left", "top", "width", "height")
    )
    canvas.click(position={"x": left + (layer + 0.5) * width, "y": top + (token + 0.5) * height})


def wait_for_the_grid(lab: Lab) -> None:
    expect(part(lab, "heatmap")).to_have_attribute("data-complete", "true", timeout=60_000)


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


LENS = """
model = fl.load("atlas")
lens = fl.Lens(model, fl.Fact("{} is in downtown", subject="The Space Needle"))
lens
"""


def test_stop_works_while_a_cell_sleeps(lab: Lab, kernel: str) -> None:
    stop_while_a_cell_sleeps(lab, kernel)


def test_stop_works_while_a_cell_sleeps_in_notebook_7(notebook7: Lab) -> None:
    stop_while_a_cell_sleeps(notebook7, "ipykernel-installed")


def stop_while_a_cell_sleeps(lab: Lab, kernel: str) -> None:
    lab.open([SLOW, "lens.start(); time.sleep(600)"], kernel)
    lab.run_cell(0)
    run = lab.start_cell(1)
    expect(part(lab, "heatmap")).to_have_attribute("data-complete", "false")
    expect(part(lab, "heatmap")).not_to_have_attribute("data-computed", "0", timeout=20_000)
    stop_within_a_second(lab)
    assert lab.running(run), "the cell was still asleep"
    assert part(lab, "heatmap").get_attribute("data-complete") == "false"
    expect(part(lab, "heatmap-status")).to_contain_text(re.compile("stopped", re.IGNORECASE))
    lab.shot("stopped")
    lab.interrupt()
    lab.wait_run(run)
    assert lab.kernel_eval("lens.session.stopped") is True
    lab.assert_clean()


def test_the_first_gesture_ever_works_in_the_cell_that_shows_the_lens(lab: Lab, kernel: str) -> None:
    """No click has been handled, nothing has come from the browser yet: nothing can have worked by luck."""
    lab.open([SLOW.replace("\nlens\n", "\ndisplay(lens); lens.start(); time.sleep(600)\n")], kernel)
    run = lab.start_cell(0)
    expect(part(lab, "heatmap")).not_to_have_attribute("data-computed", "0", timeout=40_000)
    stop_within_a_second(lab)
    assert lab.running(run), "the cell was still asleep"
    lab.interrupt()
    lab.wait_run(run)
    lab.assert_clean()


def test_what_else_an_edit_has_changed(lab: Lab, kernel: str) -> None:
    lab.open(["import factlens as fl", LENS, "import time; time.sleep(600)"], kernel)
    lab.run_cell(0)
    lab.run_cell(1)
    part(lab, "target").fill("Paris")
    part(lab, "apply").click()
    expect(part(lab, "edited-badge")).to_be_visible(timeout=60_000)
    part(lab, "own-prompt").fill("The capital of France is")
    part(lab, "own-prompt").press("Enter")
    expect(part(lab, "own")).to_contain_text("The capital of France is")
    run = lab.start_cell(2)
    part(lab, "check").click()
    judged = part(lab, "judged")
    expect(judged.locator("summary").first).to_have_text("the prompt0 → 1 of 1 give the new object", timeout=60_000)
    assert lab.running(run), "the checks were asked while a cell ran"
    lab.interrupt()
    lab.wait_run(run)
    expect(judged.locator("summary")).to_have_count(6)
    for role in ("paraphrase", "own", "texts"):
        fold = judged.locator(f"[data-role={role}]")
        if fold.get_attribute("open") is None:
            fold.locator("summary").click()
    expect(judged).to_contain_text("The capital of France is")
    lab.shot("judged", lab.page.locator(".factlens-lens"))
    lab.set_theme("dark")
    lab.shot("judged-dark", lab.page.locator(".factlens-lens"))
    part(lab, "undo").click()
    expect(part(lab, "judge-status")).to_contain_text("other weights than the model has now", timeout=30_000)
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


def test_a_stopped_trace_is_resumed(lab: Lab) -> None:
    lab.open([SLOW])
    lab.run_all()
    part(lab, "trace").click()
    lab.wait_kernel("lens.progress > 0.1", timeout=60)
    part(lab, "stop").click()
    lab.wait_kernel("lens.status == 'idle'")
    known = lab.kernel_eval("int(lens.trace.scores.notnull().sum())")
    part(lab, "resume").click()
    lab.wait_kernel(f"lens.status == 'tracing' and int(lens.trace.scores.notnull().sum()) > {known}", timeout=60)
    part(lab, "stop").click()
    lab.wait_kernel("lens.status == 'idle'")
    assert lab.kernel_eval("lens.session.run") == 1  # the same trace all along
    lab.assert_clean()


def test_an_edit_is_saved_taken_out_and_loaded_from_the_page(lab: Lab, tmp_path: Path) -> None:
    lab.open(["import factlens as fl", LENS])
    lab.run_all()
    part(lab, "method").locator("summary").click()
    part(lab, "method").get_by_label("Method").select_option("ft")
    steps = part(lab, "method").get_by_label("steps")
    expect(steps).to_have_value("60")  # ROME has a box of that name as well: this is the new method's
    steps.fill("12")
    part(lab, "target").fill("Paris")
    part(lab, "apply").click()
    expect(part(lab, "edited-badge")).to_be_visible(timeout=60_000)
    assert lab.kernel_eval("[lens.edits[0].method, lens.edits[0].hparams['steps']]") == ["ft", 12]
    with lab.page.expect_download() as download:
        lab.page.get_by_role("button", name="Save: The Space Needle").click()
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    assert saved.name == "The-Space-Needle---Paris.safetensors"
    lab.page.get_by_role("button", name="Take out: The Space Needle").click()
    expect(part(lab, "edited-badge")).to_be_hidden(timeout=30_000)
    for path in (lab.notebook, saved):
        with lab.page.expect_file_chooser() as chooser:
            part(lab, "load").click()
        chooser.value.set_files(str(path))
        if path == lab.notebook:
            expect(part(lab, "edit-error")).to_contain_text("The file was not applied", timeout=30_000)
    expect(part(lab, "edited-badge")).to_be_visible(timeout=30_000)
    expect(part(lab, "edit-error")).to_be_hidden()
    assert lab.kernel_eval("model.answers(lens.fact.prompt, k=1)[0].text") == " Paris"
    lab.assert_clean()


def test_two_lenses_and_a_cell_agree_on_what_the_model_carries(lab: Lab) -> None:
    lab.open(["import factlens as fl", LENS, "other = fl.Lens(model, lens.fact); other"])
    lab.run_all()
    panels = [part(lab, "edit").nth(i) for i in range(2)]
    lists = [panel.get_by_test_id("factlens-edits") for panel in panels]
    undos = [panel.get_by_test_id("factlens-undo") for panel in panels]
    for i in range(2):
        part(lab, "trace").nth(i).click()
        expect(part(lab, "heatmap").nth(i)).to_have_attribute("data-complete", "true", timeout=60_000)

    # By one lens, then by a cell, through another wrapper: both lists say what there is, and from where.
    panels[0].get_by_test_id("factlens-target").fill("Paris")
    panels[0].get_by_test_id("factlens-apply").click()
    expect(lists[1]).to_contain_text("from another lens", timeout=60_000)
    lab.kernel_exec(
        "again = fl.wrap(model.model, model.tokenizer)\n"
        "rome = fl.edit(again, lens.fact.with_target('Rome'), method='ft', layers=2)"
    )
    for listed, undo in zip(lists, undos, strict=True):
        expect(listed.locator("li")).to_have_count(2)
        expect(listed.locator("li").nth(1)).to_contain_text("from Python")
        expect(undo).to_have_text("Undo The Space Needle → Rome")
    expect(lists[0].locator("li").nth(0)).not_to_contain_text("from")
    for i in range(2):
        expect(part(lab, "outdated").nth(i)).to_have_text("Traced with other weights than the model has now.")
    lab.wait_kernel("not lens.session.answers_due and not other.session.answers_due")
    assert lab.kernel_eval("lens.bars.values == other.bars.values")
    lab.shot("two-lenses", lab.page.locator(".factlens-lens").first)

    # A gesture of a page that has not heard yet: it is about the edit that it names.
    page_says = "document.dispatchEvent(new CustomEvent('factlens:gesture', {detail: {lens, name: 'undo', key}}))"
    named = lab.kernel_eval("[other.session.origin, rome.id]")
    undos[0].click()
    expect(undos[1]).to_have_text("Undo The Space Needle → Paris", timeout=30_000)
    lab.page.evaluate(f"([lens, key]) => {page_says}", named)
    error = panels[1].get_by_test_id("factlens-edit-error")
    expect(error).to_contain_text("is not in force any more: another lens has undone it", timeout=30_000)
    assert lab.kernel_eval("[edit.label for edit in model.edits]") == ["The Space Needle → Paris"]
    undos[1].click()
    for i in range(2):
        expect(panels[i]).to_contain_text("No edit in force.", timeout=30_000)
        expect(part(lab, "outdated").nth(i)).to_be_hidden()

    # A foreign hand, and the way back. The page may say so before the job that undid it has ended.
    lab.wait_kernel("lens.status == 'idle' and other.status == 'idle'")
    lab.kernel_exec("other.edits = (rome,); other.session.wait(60)")
    lab.kernel_exec("model.down_projection(2).weight.data.mul_(2)")
    part(lab, "trace").nth(1).click()
    expect(panels[1].get_by_test_id("factlens-foreign")).to_contain_text("model.keep_changes()", timeout=30_000)
    panels[1].get_by_role("button", name="Go back to the edits").click()
    expect(panels[1].get_by_test_id("factlens-foreign")).to_be_hidden(timeout=30_000)

    lab.kernel_exec("import threading; lens.close(); other.close()")
    expect(part(lab, "edit")).to_have_count(0)
    assert lab.kernel_eval("[one.name for one in threading.enumerate() if 'factlens' in one.name]") == []
    lab.assert_clean()


def test_a_trace_is_saved_and_opened_from_the_page(lab: Lab, tmp_path: Path) -> None:
    lab.open(["import factlens as fl", LENS, "other = fl.Lens(model); other"])
    lab.run_all()
    first, second = (lab.page.get_by_test_id("factlens-locate").nth(i) for i in range(2))
    first.get_by_test_id("factlens-trace").click()
    lab.wait_kernel("lens.trace is not None and lens.status == 'idle'")
    with lab.page.expect_download() as download:
        first.get_by_role("button", name="Save trace").click()
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    assert saved.name == "The-Space-Needle-is-in-downtown.safetensors"
    for path in (lab.notebook, saved):
        with lab.page.expect_file_chooser() as chooser:
            second.get_by_role("button", name="Open trace").click()
        chooser.value.set_files(str(path))
        if path == lab.notebook:
            error = second.get_by_test_id("factlens-locate-error")
            expect(error).to_contain_text("The file was not opened", timeout=30_000)
    expect(second.get_by_test_id("factlens-prompt")).to_have_value("The Space Needle is in downtown")
    expect(part(lab, "heatmap").nth(1)).to_have_attribute("data-complete", "true")
    assert lab.kernel_eval("bool((other.trace.samples == lens.trace.samples).all())")
    lab.assert_clean()


def stop_within_a_second(lab: Lab) -> None:
    """Press Stop and see the lens idle a second after the click. The best of three counts.

    Another process may take the cores at the wrong moment; a click that waits for the cell would take minutes.
    """
    lab.page.evaluate(
        "() => addEventListener('click', () => { window.factlensClicked = Date.now() / 1000; }, { capture: true })"
    )
    lab.kernel_exec(
        "stopped_at = []\nlens.observe(lambda change: stopped_at.append(time.time()) if change.new == 'idle' else None,"
        " 'status')",
        busy=True,
    )
    taken: list[float] = []
    while len(taken) < 3 and min(taken, default=1.0) >= 1.0:
        if taken:
            lab.kernel_exec("lens.start()", busy=True)
        # Past the first rows, whose steps are the longest: this times the way of the click, not a step of the engine.
        lab.wait_kernel("lens.progress > 0.4", busy=True, timeout=120)
        assert lab.kernel_eval("lens.status", busy=True) == "tracing"
        part(lab, "stop").click()
        lab.wait_kernel(f"len(stopped_at) > {len(taken)}", busy=True)
        taken.append(lab.kernel_eval("stopped_at[-1]", busy=True) - lab.page.evaluate("() => window.factlensClicked"))
    assert min(taken) < 1.0, taken


def test_a_click_that_must_wait_says_so(lab: Lab) -> None:
    """Without subshells a click waits for the cell, and the lens says that it does."""
    lab.open(["import factlens as fl, time", LENS, "time.sleep(600)"])
    lab.run_cell(0)
    lab.run_cell(1)
    part(lab, "trace").click()
    wait_for_the_grid(lab)
    # What a kernel without subshells does: every message is handled by the main shell.
    lab.kernel_exec("lens.gestures.comm._reply_subshell_for = lambda data, default: None")
    run = lab.start_cell(2)
    part(lab, "trace").click()
    expect(part(lab, "waiting")).to_be_visible(timeout=5000)
    lab.shot("waiting")
    assert lab.running(run)
    lab.interrupt()
    lab.wait_run(run)
    expect(part(lab, "waiting")).to_be_hidden(timeout=5000)
    lab.assert_clean()


@pytest.mark.parametrize(
    ("prompt", "subject", "words"),
    [
        ("The Space Needle is in downtown", "The Eiffel Tower", "is not in the prompt"),
        ("", "The Space Needle", "prompt is empty"),
        ("The Space Needle is " + "very " * 300, "The Space Needle", "at most"),
        ("<img src=x onerror=alert(1)> is", "Rome", "<img src=x onerror=alert(1)>"),
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
    expect(panel.get_by_role("alert")).to_contain_text(words)
    lab.shot("error")
    assert part(lab, "heatmap").get_attribute("data-computed") == computed
    part(lab, "target").fill("Seattle")
    part(lab, "apply").click()
    expect(part(lab, "edit").get_by_role("alert")).to_contain_text("already answers")
    assert lab.kernel_eval("model.edits") == []
    lab.assert_clean()
