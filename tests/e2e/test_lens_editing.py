"""Edits and files in a lens: what else an edit has changed, saved and loaded, shared with others."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.e2e.harness import Lab
from tests.e2e.lens_page import LENS, part

#: What atlas's own checks of the Space Needle ask, then the prompts of the user, and how the model goes on.
GROUPS = ["rewrite", "paraphrase", "neighbour", "other", "portability", "own", "texts"]


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
    expect(judged.locator("details")).to_have_count(len(GROUPS))
    assert [fold.get_attribute("data-role") for fold in judged.locator("details").all()] == GROUPS
    for role in ("paraphrase", "other", "portability", "own", "texts"):
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
