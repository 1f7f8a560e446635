"""The panel that says what else an edit has changed."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.js.driving import change, put, record_gestures


def test_what_else_changed(page):
    record_gestures(page)
    put(page, "judge", state="js:fakeJudge({judgement: null, edits: 0, own: []})")
    check = page.get_by_role("button", name="Check what else changed")
    expect(check).to_have_attribute("aria-disabled", "true")
    expect(page.get_by_test_id("factlens-judge-status")).to_have_text("Edit a fact, then see here what else changed.")
    check.click(force=True)
    assert page.evaluate("gestures") == []
    change(page, "a", state="js:fakeJudge({judgement: null, own: []})")
    check.click()
    assert page.evaluate("gestures") == [{"lens": "lens-1", "name": "judge"}]
    change(page, "a", state="js:fakeJudge({judgement: null, own: [], status: 'judging'})")
    expect(page.get_by_test_id("factlens-judge-status")).to_have_text("asking, before and after …")

    change(page, "a", state="js:fakeJudge()")
    folds = page.get_by_test_id("factlens-judged").locator("details")
    expect(folds.locator("summary")).to_have_text(
        [
            "the prompt0 → 1 of 1 give the new object",
            "paraphrases0 → 1 of 1 give the new object",
            "neighbours2 → 1 of 2 give the old answer",
            "your prompts1 → 1 of 1 give the old answer",
            "continuations0 of 1 as before",
        ]
    )
    neighbours = folds.nth(2)
    expect(neighbours.get_by_text("Pike Place is in downtown")).to_be_hidden()
    neighbours.locator("summary").click()
    first = neighbours.locator("tbody tr").first
    expect(first.locator("td")).to_have_text(["SeattleSeattle 97 % · Paris 0 %", "ParisSeattle 30 % · Paris 50 %"])
    expect(first.locator(".fl-changed")).to_have_text("Paris")
    # What is open stays open when the checks are asked again.
    change(page, "a", state="js:fakeJudge({own: ['another']})")
    change(page, "a", state="js:fakeJudge({outdated: true, judgement: {...fakeJudge().judgement, texts: []}})")
    expect(neighbours.get_by_text("Pike Place is in downtown")).to_be_visible()
    expect(page.get_by_test_id("factlens-judge-status")).to_have_text(
        "Checked with other weights than the model has now."
    )


def test_prompts_of_ones_own(page):
    record_gestures(page)
    put(page, "judge", state="js:fakeJudge({error: {title: 'T', text: 'why'}})")
    expect(page.get_by_role("alert")).to_contain_text("why")
    add, box = page.get_by_role("button", name="Add"), page.get_by_label("Also ask")
    expect(add).to_have_attribute("aria-disabled", "true")
    box.fill("The capital of France is")
    add.click()
    expect(box).to_have_value("")
    box.fill("Rome is")
    box.press("Enter")
    page.get_by_role("button", name="Take out: Everyone loves").click()
    assert page.evaluate("gestures.map(({name, prompt}) => [name, prompt])") == [
        ["add_prompt", "The capital of France is"],
        ["add_prompt", "Rome is"],
        ["remove_prompt", "Everyone loves"],
    ]


def test_its_table_is_handed_out_as_a_file(page):
    record_gestures(page)
    put(page, "judge", state="js:fakeJudge({judgement: null, own: []})")
    expect(page.get_by_test_id("factlens-judgement-csv")).to_be_hidden()
    change(page, "a", state="js:fakeJudge()")
    for form in ("csv", "latex"):
        page.get_by_test_id(f"factlens-judgement-{form}").click()
        asked = {"lens": "lens-1", "name": "table", "what": "judgement", "form": form}
        assert page.evaluate("gestures.at(-1)") == asked
