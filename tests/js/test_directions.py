"""Words from right to left turn nothing around beside them: where each part of a line stands, in any font."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

#: The left ends of some words on the page, in the order in which they are asked for.
LEFT_OF = """([selector, words]) => {
    const root = document.querySelector(selector);
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    const nodes = [];
    while (walker.nextNode()) nodes.push(walker.currentNode);
    return words.map((word) => {
        const node = nodes.find((each) => each.data.includes(word));
        const range = document.createRange();
        range.setStart(node, node.data.indexOf(word));
        range.setEnd(node, node.data.indexOf(word) + word.length);
        return range.getBoundingClientRect().left;
    });
}"""
FRAME = """fakeFrame({answer: ' سلام', tokens: ['שלום', ' עולם!', ' سلام', '⟨D7⟩'].map(
    (text, i) => ({text, id: 100 + i, subject: i < 3}))})"""


def in_order(page: Page, selector: str, *words: str) -> bool:
    """Whether some words stand from left to right as they are named."""
    left = page.evaluate(LEFT_OF, [selector, list(words)])
    return left == sorted(left) and len(set(left)) == len(left)


@pytest.fixture(params=["ltr", "rtl"])
def any_page(page: Page, request: pytest.FixtureRequest) -> Page:
    """A page that is written in this direction itself."""
    page.evaluate("(direction) => document.documentElement.setAttribute('dir', direction)", request.param)
    return page


def test_edits_go_from_the_subject_to_the_object(any_page: Page) -> None:
    edits = """[{key: 'a', label: '\\u2068שלום עולם\\u2069 → \\u2068القدس\\u2069', method: 'rome', layers: [1]}]"""
    any_page.evaluate(f"put('edit', 'a', {{state: fakeEdit({{subject: 'שלום', answer: ' القدس', edits: {edits}}})}})")
    assert in_order(any_page, "[data-testid=factlens-edits]", "שלום", "→", "القدس", "(ROME", "Take out")
    assert in_order(any_page, "[data-testid=factlens-undo]", "Undo", "שלום", "→", "القدس")
    assert in_order(any_page, "[data-testid=factlens-edit-sentence]", "about", "שלום", "It now", "القدس", "”.")


def test_names_of_tokens_stay_beside_their_numbers(any_page: Page) -> None:
    any_page.evaluate(f"put('heatmap', 'a', {{frame: {FRAME}, selection: {{kind: 'mlp', token: 1, layer: 2}}}})")
    canvas = any_page.locator("[data-kind=mlp] canvas").bounding_box()
    any_page.mouse.move(canvas["x"] + 5, canvas["y"] + 5)
    expect(any_page.get_by_test_id("factlens-tooltip")).to_be_visible()
    assert in_order(any_page, "[data-testid=factlens-tooltip]", "token", "שלום", "(id 100)")
    assert in_order(any_page, ".fl-heading", "Probability of", "سلام", "after restoring")


def test_a_token_reads_in_its_own_direction(any_page: Page) -> None:
    any_page.evaluate(f"put('heatmap', 'a', {{frame: {FRAME}, selection: null}})")
    row = "[data-testid=factlens-labels] .fl-label:nth-child(3)"
    assert in_order(any_page, row, "!", "עולם", "·", "*")  # its space comes first: on the right
    assert in_order(any_page, "[data-testid=factlens-labels] .fl-label:nth-child(5)", "⟨", "D7", "⟩")


def test_tokens_stand_in_their_order(any_page: Page) -> None:
    pieces = "['שלום', ' עולם!', ' is'].map((text, i) => ({text, subject: i < 2}))"
    any_page.evaluate(
        f"put('locate', 'a', {{state: fakeLocate({{answer: 'ש', answer_part: '⟨D7⟩', pieces: {pieces}}})}})"
    )
    assert in_order(any_page, "[data-testid=factlens-tokens]", "Tokens", "שלום", "!", "עולם", "is")
    assert in_order(any_page, "[data-testid=factlens-answer]", "⟨D7⟩ of", "ש", "93 %")


def test_probabilities_stand_behind_objects(any_page: Page) -> None:
    any_page.evaluate(
        """() => {
            const state = fakeJudge();
            Object.assign(state.judgement.rows[0], {prompt: 'שלום עולם!', old: 'שלום'});
            return put('judge', 'a', {state});
        }"""
    )
    any_page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    assert in_order(any_page, "[data-testid=factlens-judged] td .fl-shares", "שלום", "99", "Paris")
