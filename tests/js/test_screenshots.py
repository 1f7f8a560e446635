"""How the widgets look in their main states: pictures in ``screenshots/``, compared with a tolerance.

``FACTLENS_GOLDEN=write pytest tests/js/test_screenshots.py`` takes those anew that no longer look the same, after a
change that is meant. What the comparison allows is in ``likeness.py``. The page's letters come from fonts that
matplotlib brings along, so that no picture depends on the fonts of a machine.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.js import smallpng
from tests.js.likeness import Likeness, compare

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent / "screenshots"
TROUBLE = ROOT / "artifacts" / "screenshots"
RENEW = "Look at it. If this is meant: FACTLENS_GOLDEN=write pytest tests/js/test_screenshots.py"
THEMES = ("light", "dark")

FACES = {
    "UI": (("DejaVuSans", ""), ("DejaVuSans-Bold", "font-weight: 700"), ("DejaVuSans-Oblique", "font-style: italic")),
    "Code": (("DejaVuSansMono", ""), ("DejaVuSansMono-Bold", "font-weight: 700")),
}
STYLE = "".join(
    f"@font-face {{ font-family: 'Test {family}'; src: url(/fonts/{name}.ttf); {which} }}\n"
    for family, faces in FACES.items()
    for name, which in faces
)
STYLE += """
body, body[data-jp-theme-light] { margin: 0; --jp-ui-font-family: 'Test UI'; --jp-code-font-family: 'Test Code' }
* { text-rendering: geometricPrecision !important } /* no hinting, whatever the machine's screen wants */
main { padding: 4px 12px 8px }
/* As the lens has it, factlens/widgets/lens.py. */
.factlens-below { display: flex; flex-flow: row wrap }
.factlens-below > * { flex: 1 1 400px; min-width: 0 }
"""


@pytest.fixture(scope="module")
def chromium_args() -> tuple[str, ...]:
    """No colours at the edges of letters, and those of the page as they are, whatever this machine's screen is."""
    return ("--disable-lcd-text", "--force-color-profile=srgb")


@pytest.fixture(scope="module")
def context_options() -> dict[str, object]:
    """One device pixel for each of the page's, nothing in motion, and no habits of the machine's owner."""
    return {"device_scale_factor": 1, "reduced_motion": "reduce", "color_scheme": "light", "locale": "en-GB"}


# --- the states -------------------------------------------------------------------------------------------------------

#: A widget's name and its traits, as JavaScript that knows what is in js/preview/mock.js.
Part = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class State:
    """What stands on the page, from top to bottom and then in two columns, and what is done to it."""

    parts: tuple[Part, ...] = ()
    left: tuple[Part, ...] = ()
    right: tuple[Part, ...] = ()
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
    page.evaluate("document.activeElement.blur()")
    canvas = page.locator("[data-kind=mlp] canvas")
    box, [width, height] = canvas.bounding_box(), canvas.evaluate("(c) => [c.dataset.cellWidth, c.dataset.cellHeight]")
    page.mouse.move(box["x"] + 2.5 * float(width), box["y"] + 2.5 * float(height))
    expect(page.get_by_test_id("factlens-tooltip")).to_be_visible()


def keep_waiting(page: Page) -> None:
    """The second part's kernel is busy with something else."""
    page.evaluate(
        "document.dispatchEvent(new CustomEvent('factlens:waiting', {detail: {lens: 'part-1', waiting: true}}))"
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
    f"{{frame: fakeFrame({{answer: 'ש', answer_part: '⟨D7⟩', {SUGGESTED}, tokens: {json.dumps(WILD)}.map("
    "(text, i) => ({text, id: 100 + i, subject: i < 3})), sure: true}), "
    "selection: {kind: 'mlp', token: 1, layer: 4}, token_range: [0, 2], pins: [{kind: 'mlp', token: 0, layer: 1}, "
    "{kind: 'attn', token: 7, layer: 5}]}",
)
EDITS = """[{key: 'a', label: 'The Space Needle → Paris', method: 'rome', layers: [1], origin: 'here'},
    {key: 'b', label: 'The Eiffel Tower → Rome', method: 'memit', layers: [3, 4], origin: 'lens'}]"""
FROM_ALL = EDITS[:-1] + ", {key: 'c', label: 'Mount Fuji → Chile', method: 'ft', layers: [2], origin: 'python'}]"
REDO = "{key: 'e', label: 'E → F'}"
CHANGED = (
    "\"'transformer.h.1.mlp.c_proj.weight' was changed outside factlens while an edit lay on it (The Space Needle → "
    'Paris). Either keep the change: model.keep_changes(). Or give it up: model.revert_changes()."'
)
NEURONS = "fakeDetails({kind: 'mlp', token: 2, piece: ' Needle', layer: 4, heads: null, neurons: NEURONS})"
NO_SUBJECT = """{title: 'The subject is not in the prompt.',
    text: 'The prompt is “The Space Needle is in downtown”. Write the subject exactly as it stands there.'}"""

# A chat; a prompt that may not be what was meant; one that can be read in two ways.
TALKING = """fakeLocate({chat: true, chats: true, prompt: 'Where is Big Ben?', subject: 'Big Ben', answer: 'London',
    pieces: [['<|user|>'], ['\\n'], ['Where'], [' is'], [' Big', true], [' Ben', true], ['?'], ['<|end|>'], ['\\n'],
    ['<|assistant|>'], ['\\n']].map(([text, subject = false]) => ({text, subject, template: /[<\\n]/.test(text)}))})"""
SAID = """fakeLocate({chats: true, prompt: 'Q: where is it?\\nA: ', subject: 'it', pieces: [], answer: null, notes: [{
    text: 'The prompt ends in white space, which the tokenizer makes a token of its own. End the prompt before it.',
    offer: {prompt: 'Q: where is it?\\nA:', subject: 'it'}}]})"""
READ_TWICE = """fakeLocate({prompt: 'x = {}  # The capital of France is', subject: 'France', pieces: [], answer: null,
    error: {title: 'This fact cannot be traced', text: 'The prompt has both {} and France: it can be read in two ways.',
    readings: [{shown: 'x = ⟦France⟧  # The capital of France is', prompt: 'x', slot: '{}'},
    {shown: 'x = {}  # The capital of ⟦France⟧ is', prompt: 'x', slot: null}]}})"""

LENS = State(
    parts=(one("locate", "fakeLocate({edits: 2})"), COMPLETE),
    left=(
        one("edit", f"fakeEdit({{layer: 4, target: 'Paris', edits: {EDITS}}})"),
        one("judge", "fakeJudge({edits: 2})"),
    ),
    right=(one("details", f"fakeReader({NEURONS})"),),
    height=1600,
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
            one("locate", f"fakeLocate({{error: {NO_SUBJECT}, answer: null, pieces: []}})"),
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
            one("edit", f"fakeEdit({{layer: 4, target: 'Paris', edits: {EDITS}, redo: {REDO}, error: {NO_SUBJECT}}})"),
            one("edit", f"fakeEdit({{status: 'editing', target: 'Paris', edits: {EDITS}}})"),
        ),
        then=unfold,
    ),
    "edit-foreign": State(
        parts=(one("edit", f"fakeEdit({{target: 'Paris', edits: {FROM_ALL}, foreign: {CHANGED}}})"),), width=420
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


# --- taking a picture -------------------------------------------------------------------------------------------------


def show(page: Page, state: State, theme: str) -> None:
    """Puts a state on the page, once its fonts are there: the heatmap measures its labels."""
    page.set_viewport_size({"width": state.width, "height": state.height})
    page.add_style_tag(content=STYLE)
    page.evaluate(
        """async ([theme, parts, left, right]) => {
            document.body.dataset.jpThemeLight = String(theme === 'light');
            await Promise.all([...document.fonts].map((face) => face.load()));
            const box = (name, inside) => inside.appendChild(document.createElement(name));
            const main = box('main', document.body);
            let count = 0;
            const fill = async (parts, inside) => {
                for (const [name, traits] of parts) {
                    const at = `part-${count++}`;
                    box('div', inside).id = at;
                    await put(name, at, {lens: at, ...eval(`(${traits})`)});
                }
            };
            await fill(parts, main);
            if (left.length + right.length > 0) {
                const below = box('div', main);
                below.className = 'factlens-below';
                for (const column of [left, right]) await fill(column, box('div', below));
            }
            await frames(4);
        }""",
        [theme, state.parts, state.left, state.right],
    )
    state.then(page)
    page.evaluate("frames(4)")
    page.wait_for_function("document.fonts.status === 'loaded'")


def picture(page: Page) -> Image.Image:
    main = page.locator("main")
    assert main.bounding_box()["height"] <= page.viewport_size["height"]
    return Image.open(io.BytesIO(main.screenshot(animations="disabled", caret="hide"))).convert("RGB")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", STATES)
def test_it_looks_as_it_did(page, name, theme):
    show(page, STATES[name], theme)
    found, path = picture(page), FOLDER / f"{name}-{theme}.png"
    if os.environ.get("FACTLENS_GOLDEN") == "write":
        # What looks the same stays as it is: another browser's edges are no news.
        if not path.exists() or not compare(Image.open(path), found):
            smallpng.save(found, path)
        return
    assert path.exists(), f"There is no {path.relative_to(ROOT)}. {RENEW}"
    likeness = compare(Image.open(path), found)
    if not likeness:
        pytest.fail(f"{name} in {theme} does not look as it did: {likeness.why}.\n{kept(path, found, likeness)}{RENEW}")


def kept(path: Path, found: Image.Image, likeness: Likeness) -> str:
    """Leaves what was found where CI and people look for it, and says where."""
    TROUBLE.mkdir(parents=True, exist_ok=True)
    files = {
        "as it was": path,
        "as it is now": TROUBLE / path.name,
        "what differs": TROUBLE / f"{path.stem}-differs.png",
    }
    found.save(files["as it is now"])
    likeness.marks().save(files["what differs"])
    return "".join(f"  {what}: {file.relative_to(ROOT)}\n" for what, file in files.items())


def test_there_is_no_picture_without_a_state_and_no_state_without_a_picture():
    assert {path.name for path in FOLDER.glob("*.png")} == {
        f"{name}-{theme}.png" for name in STATES for theme in THEMES
    }


def test_the_pictures_are_small():
    assert sum(path.stat().st_size for path in FOLDER.glob("*.png")) < 1_500_000


# --- whether these tests can fail, and whether they depend on the machine ---------------------------------------------

HIDE = "document.querySelector(`{}`).style.visibility = 'hidden'"
MOVE = "document.querySelector(`{}`).style.transform = 'translateX(4px)'"
PAINT = """const canvas = document.querySelector('[data-kind=mlp] canvas'), pen = canvas.getContext('2d');
    const [width, height] = [canvas.width / 8, canvas.height / 7];
    pen.fillStyle = '{}';
    pen.fillRect(Math.ceil({} * width), Math.ceil({} * height), width - 2, height - 2)"""
BROKEN = {
    "a button": HIDE.format("[data-testid=factlens-undo]"),
    "a word": HIDE.format(".fl-axis-name"),
    "a number on an axis": HIDE.format("[data-kind=state] .fl-tick"),
    "the star of the subject": HIDE.format(".fl-star"),
    "the bracket of the subject": HIDE.format(".fl-bracket"),
    "a pin": HIDE.format(".fl-pin"),
    "the suggestion": HIDE.format("[data-kind=mlp] [data-testid=factlens-suggested]"),
    "the selected cell": HIDE.format("[data-kind=mlp] [data-testid=factlens-selected-cell]"),
    "a panel's place": MOVE.format("[data-kind=mlp] .fl-plot"),
    "a heading's place": MOVE.format(".fl-heading"),
    "an empty cell's colour": PAINT.format("rgb(128 128 128 / 10%)", 6, 0),
    "a full cell's colour": PAINT.format("rgb(128 128 128 / 15%)", 1, 2),
    "all of a canvas": "const canvas = document.querySelector('canvas'); canvas.width = canvas.width",
    "a button's colour": "document.querySelector('[data-testid=factlens-apply]').style.background = '#1259c0'",
    "a button's border": "document.querySelector('[data-testid=factlens-undo]').style.borderColor = 'transparent'",
    "a heading's weight": "document.querySelector('.fl-heading').style.fontWeight = '400'",
}


def test_what_goes_missing_is_noticed(page):
    edit = one("edit", f"fakeEdit({{layer: 4, target: 'Paris', edits: {EDITS}}})")
    show(page, State(parts=(COMPLETE, edit), height=900), "light")
    whole = picture(page)
    overlooked = []
    for what, change in BROKEN.items():
        undo = page.evaluate_handle(
            """async (change) => {
                const nodes = [...document.querySelectorAll('main *')];
                const styles = nodes.map((node) => [node, node.getAttribute('style')]);
                const canvases = nodes.filter((node) => node.localName === 'canvas');
                const keep = async (canvas) => [canvas, await createImageBitmap(canvas)];
                const drawn = await Promise.all(canvases.map(keep));
                eval(change);
                await frames();
                return async () => {
                    for (const [node, style] of styles) {
                        if (style === null) node.removeAttribute('style');
                        else node.setAttribute('style', style);
                    }
                    for (const [canvas, before] of drawn) canvas.getContext('2d').drawImage(before, 0, 0);
                    await frames();
                };
            }""",
            change,
        )
        if compare(whole, picture(page)):
            overlooked.append(what)
        undo.evaluate("async (undo) => undo()")
    assert overlooked == []
    assert compare(whole, picture(page)).why == ""  # it was each change alone that was seen


@pytest.mark.parametrize("name", ["lens-complete", "heatmap-scripts"])
def test_no_letter_comes_from_a_font_of_this_machine(page, name):
    show(page, STATES[name], "light")
    session = page.context.new_cdp_session(page)
    for domain in ("DOM", "CSS"):
        session.send(f"{domain}.enable")
    root = session.send("DOM.getDocument", {"depth": 0})["root"]["nodeId"]
    used = set()
    for node in session.send("DOM.querySelectorAll", {"nodeId": root, "selector": "main *"})["nodeIds"]:
        for font in session.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]:
            used.add((font["familyName"], font["isCustomFont"]))
    assert {family for family, custom in used if not custom} == set()
    assert "DejaVu Sans" in {family for family, _ in used}
