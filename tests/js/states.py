"""The widgets' main states: what stands on the page, and what is done to it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

from playwright.sync_api import Page, expect

#: A widget's name and its traits, as JavaScript that knows what is in js/preview/mock.js.
Part = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class State:
    """What stands on the page, from top to bottom, in two columns, and below these; and what is done to it."""

    parts: tuple[Part, ...] = ()
    left: tuple[Part, ...] = ()
    right: tuple[Part, ...] = ()
    below: tuple[Part, ...] = ()
    width: int = 1000
    height: int = 1100  # no less than the parts need: nothing is scrolled
    then: Callable[[Page], None] = lambda page: None


def one(name: str, state: str) -> Part:
    """A panel, which has one trait."""
    return name, f"{{state: {state}}}"


def click(*testids: str) -> Callable[[Page], None]:
    """Clicks one after the other, and takes the pointer and the focus away again."""

    def act(page: Page) -> None:
        for testid in testids:
            page.get_by_test_id(testid).click()
        leave(page)

    return act


def leave(page: Page) -> None:
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")


def safe_palette_and_pointer(page: Page) -> None:
    """Points at a cell in the middle panel: a tooltip, the window, the cross hairs."""
    page.locator("[data-palette=safe]").click()
    page.evaluate("frames(2)")  # a press brings the focus back into the lens
    page.evaluate("document.activeElement.blur()")
    canvas = page.locator("[data-kind=mlp] canvas")
    box, [width, height] = canvas.bounding_box(), canvas.evaluate("(c) => [c.dataset.cellWidth, c.dataset.cellHeight]")
    page.mouse.move(box["x"] + 2.5 * float(width), box["y"] + 2.5 * float(height))
    expect(page.get_by_test_id("factlens-tooltip")).to_be_visible()


def keep_waiting(page: Page) -> None:
    """The second part's kernel is busy with something else."""
    page.evaluate(
        "document.dispatchEvent(new CustomEvent('factlens:waiting', {detail: {lens: 'part-1', kernel: 'busy'}}))"
    )
    expect(page.get_by_test_id("factlens-waiting").nth(1)).to_be_visible()


def unfold(page: Page) -> None:
    """Opens all folds."""
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")


def own_scales_and_the_focus(page: Page) -> None:
    page.get_by_test_id("factlens-view").click()
    page.get_by_test_id("factlens-own-scale").check()
    page.mouse.move(0, 0)
    page.get_by_test_id("factlens-cursor").focus()


SELECTED = "selection: {kind: 'mlp', token: 2, layer: 4}"
MARKED = f"""{SELECTED}, layer_range: [2, 5], token_range: [1, 3], pins: [{{kind: 'state', token: 2, layer: 1}},
    {{kind: 'mlp', token: 2, layer: 2}}, {{kind: 'attn', token: 6, layer: 5}}, {{kind: 'attn', token: 6, layer: 6}}]"""
SUGGESTED = "suggested: {kind: 'mlp', token: 2, layer: 2}"
CALIBRATED = "'calibrated 2026-11-27 on 24 facts: S 94.1 ± 3.0 on 8 others'"
MEASURED = f"suggested: {{kind: 'mlp', token: 2, layer: 2, source: {CALIBRATED}}}"
COMPLETE: Part = ("heatmap", f"{{frame: fakeFrame({{{SUGGESTED}, sure: true}}), {MARKED}}}")
STREAMING: Part = ("heatmap", "{frame: fakeFrame({share: 4 / 7, guess: true}), selection: null, busy: true}")
COMPARISON: Part = (
    "heatmap",
    "{frame: fakeFrame(), selection: {kind: 'mlp', token: 2, layer: 4}, "
    "comparison: {names: ['before', 'now'], a: fakeFrame({low: 0.2}), b: fakeFrame({answer: ' Paris', high: 0.6})}}",
)
LOGITS: Part = (
    "heatmap",
    "{frame: fakeFrame({kinds: ['state', 'severed_mlp', 'head.3'], metric: 'logit_difference', contrast: ' Paris', "
    "low: -1.5, high: 6.2, share: 3 / 7, guess: true, stopped: true, complete: false}), "
    "selection: {kind: 'head.3', token: 6, layer: 4}}",
)
DEEP: Part = (
    "heatmap",
    "{frame: fakeFrame({layers: 48, window: 10, share: 5 / 7, stopped: true}), "
    "selection: {kind: 'attn', token: 6, layer: 34}}",
)
#: Tokens in letters that the fonts of these tests have: Hebrew, Arabic, marks, bytes, and what has no shape.
WILD = [
    *("שלום", " עולם!", " سلام", "\u0301", " \u0302x", "⟨E6 9D⟩", "⟨B1⟩ is", "\u200d", "\u200f", "a\u00adb"),
    *("می\u200cخواهم", "\u3000", "\n\t", " ١٩٤٨ 12"),
]
SCRIPTS: Part = (
    "heatmap",
    f"{{frame: fakeFrame({{answer: 'ש', answer_part: '⟨D7⟩', {MEASURED}, tokens: {json.dumps(WILD)}.map("
    "(text, i) => ({text, id: 100 + i, subject: i < 3})), sure: true}), "
    "selection: {kind: 'mlp', token: 1, layer: 4}, token_range: [0, 2], pins: [{kind: 'mlp', token: 0, layer: 1}, "
    "{kind: 'attn', token: 7, layer: 5}]}",
)
EDITS = """[{key: 'a', label: 'The Space Needle → Paris', method: 'rome', layers: [1], origin: 'here'},
    {key: 'b', label: 'The Eiffel Tower → Rome', method: 'memit', layers: [3, 4], origin: 'lens'}]"""
ONE_EDIT = EDITS.split(",\n")[0] + "]"
FROM_ALL = EDITS[:-1] + ", {key: 'c', label: 'Mount Fuji → Chile', method: 'ft', layers: [2], origin: 'python'}]"
REDO = "{key: 'e', label: 'E → F'}"
CHANGED = (
    "\"'transformer.h.1.mlp.c_proj.weight' was changed outside factlens while an edit lay on it (The Space Needle → "
    'Paris). Either keep the change: model.keep_changes(). Or give it up: model.revert_changes()."'
)
NEURONS = "fakeDetails({kind: 'mlp', token: 2, piece: ' Needle', layer: 4, heads: null, neurons: NEURONS})"
NO_FILE = "{title: 'The file was not applied', text: 'The file is damaged: its first bytes are those of a picture.'}"
NO_SUBJECT = """{title: 'This fact cannot be traced', text: 'The subject is not in the prompt.', notice: {
    field: 'subject', text: '“Space Nedle” is not in the prompt. Did you mean “Space Needle”?',
    offers: [{label: 'Use “Space Needle”', gesture: 'trace', changes: {subject: 'Space Needle'}}],
    about: {prompt: 'The Space Needle is in downtown', subject: 'Space Nedle'}}}"""
NO_CHANGE = """{title: 'The edit was not applied', text: 'The model already answers with Seattle.', notice: {
    field: 'target', text: 'The model says “Seattle” here already, with p = 0.93: an edit would change nothing.',
    offers: ['Paris', 'Tokyo'].map((target) => ({label: `Use “${target}”`, gesture: 'apply', changes: {target}})),
    about: {target: 'Seattle', layer: 4}}}"""
SEVERAL = """{text: ' Rome, Italy', exactly: false, why: '', pieces: [' Rome', ',', ' Italy'], count: 3, notices: [
    {field: 'target', text: 'A space is put in front of it by itself, where the prompt calls for one.',
    offers: [{label: 'Remove the space', gesture: 'spell', changes: {target: 'Rome, Italy'}}]}]}"""

# A chat; a prompt that may not be what was meant; one that can be read in two ways.
TALKING = """fakeLocate({chat: true, chats: true, prompt: 'Where is Big Ben?', subject: 'Big Ben', answer: 'London',
    pieces: [['<|user|>'], ['\\n'], ['Where'], [' is'], [' Big', true], [' Ben', true], ['?'], ['<|end|>'], ['\\n'],
    ['<|assistant|>'], ['\\n']].map(([text, subject = false]) => ({text, subject, template: /[<\\n]/.test(text)}))})"""
SAID = """fakeLocate({chats: true, prompt: 'Q: where is it?\\nA: ', subject: 'it', pieces: [], answer: null, notes: [{
    field: 'prompt', text: 'The prompt ends in white space, which becomes a token of its own.',
    offers: [{label: 'Remove the space', gesture: 'trace', changes: {prompt: 'Q: where is it?\\nA:', subject: 'it'}}]},
    {field: 'subject', text: '“it” stands in the prompt 2 times.', offers: []}]})"""
READ_TWICE = """fakeLocate({prompt: 'x = {}  # The capital of France is', subject: 'France', pieces: [], answer: null,
    error: {title: 'This fact cannot be traced', text: 'It can be read in two ways.', notice: {field: 'prompt',
    text: 'The prompt can be read in 2 ways: choose where the subject stands.',
    offers: ['x = ⟦France⟧  # The capital of France is', 'x = {}  # The capital of ⟦France⟧ is'].map((way) => (
    {label: `Read it as ${way}`, gesture: 'trace', changes: {prompt: 'x', slot: '{}'}})), about: {}}}})"""

LENS = State(
    parts=(one("locate", "fakeLocate({edits: 2})"), COMPLETE),
    left=(one("edit", f"fakeEdit({{layer: 4, target: 'Paris', edits: {EDITS}}})"),),
    right=(one("judge", "fakeJudge({edits: 2})"),),
    below=(one("details", f"fakeReader({NEURONS})"),),
    height=1600,
)

#: The words of a prompt of any length, of which three, from a third of it on, are the subject.
WORDS = [
    *("The", "key", "to", "every", "house", "in", "this", "town", "is"),
    *("kept", "by", "someone", "who", "once", "lived", "near", "a", "river"),
]


def prompt_of(tokens: int) -> str:
    """The tokens of such a prompt, as JavaScript."""
    first = max(1, tokens // 3)
    return (
        f"Array.from({{length: {tokens}}}, (_, i) => ({{text: (i ? ' ' : '') + {json.dumps(WORDS)}[(7 * i) % 18], "
        f"id: i, subject: i >= {first} && i < {first + 3}}}))"
    )


def sized(layers: int, tokens: int, selected: bool = True) -> Part:
    """A heatmap with so many layers and tokens."""
    cell = f"{{kind: 'mlp', token: {max(1, tokens // 3) + 2}, layer: {layers // 3}}}"
    frame = (
        f"fakeFrame({{layers: {layers}, window: {max(3, layers // 5)}, tokens: {prompt_of(tokens)}, sure: true, "
        f"suggested: {{...{cell}, layer: {layers // 4}}}}})"
    )
    edit = f"{{method: 'ROME', layers: [{layers // 3}]}}"
    return "heatmap", f"{{frame: {frame}, selection: {cell if selected else 'null'}, edit: {edit}}}"


def bars(page: Page) -> None:
    """A stand-in for the bars of five answers, between an edit and its judgement: as high as factlens/widgets/bars.py
    makes them with their legend."""
    page.evaluate(
        """(height) => {
            const box = Object.assign(document.createElement('div'), {className: 'bars', textContent: 'Bars'});
            box.style = `height: ${height}px; flex-grow: 1; background: #8884; color: #888; font-family: Test UI`;
            document.querySelector('.factlens-below').children[0].after(box);
        }""",
        BARS_HEIGHT,
    )


BARS_HEIGHT = 182 + 20


def whole_lens(layers: int, tokens: int, width: int, height: int) -> State:
    """A lens after an edit and its judgement."""
    pieces = f"{prompt_of(tokens)}.map((piece) => ({{...piece, template: false}}))"
    locate = (
        f"fakeLocate({{edits: 1, prompt: {prompt_of(tokens)}.map(({{text}}) => text).join(''), "
        f"subject: 'by river this', pieces: {pieces}}})"
    )
    edit = f"fakeEdit({{layer: {layers // 3}, target: 'Paris', edits: {ONE_EDIT}}})"
    return State(
        parts=(one("locate", locate), sized(layers, tokens)),
        left=(one("edit", edit),),
        right=(one("judge", "fakeJudge({edits: 1, own: []})"),),
        width=width,
        height=height,
        then=bars,
    )


STATES = {
    "lens-untraced": State(
        parts=(
            one("locate", "fakeLocate({pieces: [], answer: null, high: null, low: null})"),
            ("heatmap", "{frame: {}, selection: null}"),
        ),
        left=(
            one("edit", "fakeEdit({subject: '', answer: null})"),
            one("judge", "fakeJudge({judgement: null, edits: 0, own: []})"),
        ),
        right=(one("details", "fakeReader(null, {traced: false, cell: null})"),),
    ),
    "lens-streaming": State(
        parts=(one("locate", "fakeLocate({status: 'tracing', progress: 0.57, message: 'token 4 of 7'})"), STREAMING),
        left=(one("edit", "fakeEdit({status: 'tracing', target: 'Paris'})"),),
        right=(one("details", "fakeReader(null, {status: 'tracing'})"),),
    ),
    "lens-complete": LENS,
    "lens-narrow": dataclasses.replace(LENS, width=420, height=3200),
    "lens-30x12": whole_lens(30, 12, 1280, 920),
    "heatmap-8x5": State(parts=(sized(8, 5),), width=400, height=1000),
    "heatmap-12x9": State(parts=(sized(12, 9),), width=800, height=800),
    "heatmap-30x60": State(parts=(sized(30, 60),), width=1680, height=900),
    "heatmap-80x200": State(parts=(sized(80, 200),), width=2500, height=1300),
    "heatmap-safe": State(parts=(COMPLETE,), then=safe_palette_and_pointer),
    "heatmap-comparison": State(parts=(COMPARISON,), then=click("factlens-compare")),
    "heatmap-table": State(parts=(STREAMING,), then=click("factlens-table-toggle")),
    "heatmap-logits": State(parts=(LOGITS,), then=own_scales_and_the_focus),
    "heatmap-scripts": State(parts=(SCRIPTS,)),
    "heatmap-deep": State(parts=(DEEP,), then=click("factlens-keys-toggle")),
    "locate": State(
        parts=(
            one("locate", "fakeLocate()"),
            one("locate", "fakeLocate({status: 'tracing', progress: 0.57, message: 'token 4 of 7', answer: null})"),
            one("locate", f"fakeLocate({{error: {NO_SUBJECT}, answer: null, subject: 'Space Nedle'}})"),
            one(
                "locate",
                "fakeLocate({edits: 2, outdated: true, metric: 'logit_difference', contrast: ' Paris', high: 6.2, "
                "low: -1.5})",
            ),
        ),
        then=keep_waiting,
    ),
    "locate-chat": State(parts=(one("locate", TALKING), one("locate", SAID), one("locate", READ_TWICE))),
    "edit": State(
        parts=(
            one("edit", f"fakeEdit({{layer: 4, target: 'Paris', edits: {EDITS}, redo: {REDO}, error: {NO_FILE}}})"),
            one(
                "edit",
                f"fakeEdit({{status: 'calibrating', target: 'Paris', edits: {EDITS}, "
                f"default: {{layers: [3], source: {CALIBRATED}, calibrated: true}}}})",
            ),
        ),
        then=unfold,
    ),
    "edit-notice": State(
        parts=(
            one("edit", f"fakeEdit({{layer: 4, target: 'Seattle', error: {NO_CHANGE}}})"),
            one("edit", f"fakeEdit({{layer: 4, target: ' Rome, Italy', target_tokens: {SEVERAL}}})"),
        ),
        width=420,
    ),
    "edit-foreign": State(
        parts=(one("edit", f"fakeEdit({{target: 'Paris', edits: {FROM_ALL}, foreign: {CHANGED}}})"),),
        then=unfold,
        width=420,
    ),
    "judge": State(
        parts=(one("judge", "fakeJudge({outdated: true, error: {title: 'Too long', text: 'Make it short.'}})"),),
        then=unfold,
        width=700,
    ),
    "details": State(
        left=(one("details", "fakeReader()"),), right=(one("details", f"fakeReader({NEURONS}, {{outdated: true}})"),)
    ),
}
