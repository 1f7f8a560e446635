"""What axe-core finds in the widgets, in both themes and in their main states."""

from __future__ import annotations

import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
AXE = ROOT / "js" / "node_modules" / "axe-core" / "axe.min.js"

STATES = {
    "traced": [
        ("locate", "state", "fakeLocate()"),
        ("heatmap", "frame", "fakeFrame()"),
        ("edit", "state", "fakeEdit()"),
    ],
    "streaming": [
        ("locate", "state", "fakeLocate({status: 'tracing', progress: 0.4, message: 'tracing'})"),
        ("heatmap", "frame", "fakeFrame({share: 3 / 7, guess: true})"),
        ("details", "state", "fakeReader()"),
    ],
    "settings": [
        ("locate", "settings", "fakeSettings({samples: {value: 'x', error: 'Write a number.'}}, {stale: true})"),
    ],
    "in trouble": [
        ("locate", "state", "fakeLocate({error: {title: 'No subject', text: 'Write it down.'}, edits: 2})"),
        ("heatmap", "frame", "({})"),
        (
            "edit",
            "state",
            "fakeEdit({error: {title: 'Too long', text: 'Make it short.'}, foreign: 'It was changed.', "
            "warning: {title: 'The edit did not take.', text: 'Try more steps.'}, "
            "edits: ['here', 'lens', 'python'].map((origin) => ({key: origin, label: 'A → B', layers: [1], origin, "
            "took: origin === 'here', shares: 'took 1 of 2'}))})",
        ),
    ],
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("state", list(STATES))
def test_axe_finds_nothing(page, theme, state):
    page.add_script_tag(path=AXE)
    page.evaluate(
        """async ([theme, parts]) => {
            const dark = theme === 'dark';
            document.documentElement.lang = 'en';
            document.title = 'factlens';
            document.body.style.cssText = dark
                ? 'background: #111; --jp-layout-color0: #111; --jp-content-font-color1: #eee'
                : 'background: #fff; --jp-layout-color0: #fff; --jp-content-font-color1: #222';
            for (const [i, [name, trait, value]] of parts.entries()) {
                await put(name, 'abc'[i], {lens: 'lens-1', [trait]: eval(value)});
            }
            await frames(4);
            for (const fold of document.querySelectorAll('details')) fold.open = true;
            for (const id of ['factlens-view', 'factlens-table-toggle']) {
                document.querySelector(`[data-testid=${id}]`)?.click();
                await frames(2);
            }
        }""",
        [theme, STATES[state]],
    )
    # The page around the widgets is the notebook's: its landmarks and headings are not ours.
    found = page.evaluate("""async () => {
        const theirs = ['region', 'page-has-heading-one', 'landmark-one-main'];
        const rules = Object.fromEntries(theirs.map((rule) => [rule, {enabled: false}]));
        const {violations, passes} = await axe.run(document.body, {rules});
        const said = (rule, {target, failureSummary}) => `${rule}: ${target.join(' ')} ${failureSummary}`;
        const where = violations.flatMap(({id, nodes}) => nodes.map((node) => said(id, node)));
        return {where, passes: passes.length};
    }""")
    assert found["where"] == []
    assert found["passes"] > 10
