"""How the widgets look in their main states: pictures in ``screenshots/``, compared with a tolerance.

``FACTLENS_GOLDEN=write pytest tests/js/test_screenshots.py`` takes those anew that no longer look the same, after a
change that is meant. What the comparison allows is in ``likeness.py``. The page's letters come from fonts that
matplotlib brings along, so that no picture depends on the fonts of a machine.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page

from tests.js import smallpng
from tests.js.likeness import Likeness, compare
from tests.js.states import COMPLETE, EDITS, STATES, State, one

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
.factlens-below > * { flex: 3 1 340px; min-width: 0 }
.factlens-below:has(.bars) > :first-child { flex-grow: 12 }
.factlens-below:has(.bars) > :last-child { flex-grow: 2 }
"""


@pytest.fixture(scope="module")
def chromium_args() -> tuple[str, ...]:
    """No colours at the edges of letters, and those of the page as they are, whatever this machine's screen is."""
    return ("--disable-lcd-text", "--force-color-profile=srgb")


@pytest.fixture(scope="module")
def context_options() -> dict[str, object]:
    """One device pixel for each of the page's, nothing in motion, and no habits of the machine's owner."""
    return {"device_scale_factor": 1, "reduced_motion": "reduce", "color_scheme": "light", "locale": "en-GB"}


# --- taking a picture -------------------------------------------------------------------------------------------------


def show(page: Page, state: State, theme: str) -> None:
    """Puts a state on the page, once its fonts are there: the heatmap measures its labels."""
    page.set_viewport_size({"width": state.width, "height": state.height})
    page.add_style_tag(content=STYLE)
    page.evaluate(
        """async ([theme, parts, left, right, below]) => {
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
                const row = box('div', main);
                row.className = 'factlens-below';
                for (const column of [left, right]) await fill(column, box('div', row));
            }
            await fill(below, main);
            await frames(4);
        }""",
        [theme, state.parts, state.left, state.right, state.below],
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
    assert sum(path.stat().st_size for path in FOLDER.glob("*.png")) < 2_000_000


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
