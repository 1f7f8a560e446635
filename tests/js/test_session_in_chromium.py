"""A whole session as Python recorded it, on the real widgets: what they show of it, and what a user's doings send.

The states and gestures are those of ``js/test/golden/session.json``, which ``tests/widgets/test_golden_session.py``
writes from a real lens and holds it to.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

SESSION = json.loads((Path(__file__).parents[2] / "js" / "test" / "golden" / "session.json").read_text("utf-8"))
WIDGETS = ("gestures", "locate", "heatmap", "edit", "details", "judge")

MOUNT = """async (names) => {
    window.view = (value) => JSON.parse(JSON.stringify(value), (_, item) => typeof item?.base64 === 'string'
        ? new DataView(Uint8Array.from(atob(item.base64), (letter) => letter.charCodeAt(0)).buffer) : item);
    for (const name of names) {
        document.body.append(Object.assign(document.createElement('div'), {id: name}));
        await put(name, name, {lens: 'lens-1', state: {}});
    }
}"""
SHOW = """async (shown) => {
    for (const [name, fields] of Object.entries(shown)) {
        const {[name === 'settings' ? 'locate' : name]: model} = models;
        if (name === 'heatmap') for (const [trait, value] of Object.entries(fields)) model.put(trait, view(value));
        else {
            const trait = name === 'settings' ? name : 'state';
            model.put(trait, {...model.get(trait), ...fields});
        }
    }
    await frames();
}"""


class Desk:
    """The page as a user has it before them."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def part(self, testid: str) -> Locator:
        return self.page.get_by_test_id(f"factlens-{testid}")

    def write(self, testid: str, text: str) -> None:
        self.part(testid).fill(text)

    def press(self, testid: str) -> None:
        self.part(testid).click()

    def button(self, testid: str, name: str) -> None:
        self.part(testid).get_by_role("button", name=name).click()

    def cell(self, kind: str, token: int, layer: int, *keys: Any) -> None:
        canvas = self.page.locator(f"[data-kind='{kind}'] canvas")
        width, height = (float(canvas.get_attribute(f"data-cell-{side}") or "nan") for side in ("width", "height"))
        canvas.click(position={"x": (layer + 0.5) * width, "y": (token + 0.5) * height}, modifiers=keys)

    def layer(self, kind: str, layer: int) -> None:
        axis = self.page.locator(f"[data-kind='{kind}'] [data-testid=factlens-axis]")
        width = float(self.page.locator(f"[data-kind='{kind}'] canvas").get_attribute("data-cell-width") or "nan")
        axis.click(position={"x": (layer + 0.5) * width, "y": 12})

    def hear(self, answer: dict[str, Any]) -> None:
        """Answer a gesture as Python does; a file comes as a download."""
        reply = "(answer) => models.gestures.reply(answer, answer.buffers ? [new DataView(new ArrayBuffer(8))] : [])"
        if answer["type"] != "file":
            self.page.evaluate(reply, answer)
            return
        with self.page.expect_download() as download:
            self.page.evaluate(reply, answer)
        assert download.value.suggested_filename == answer["name"]

    def trace(self, prompt: str, subject: str) -> None:
        self.write("prompt", prompt)
        self.write("subject", subject)
        self.press("trace")

    def choose_method(self, method: str) -> None:
        self.part("method").locator("summary").click()
        self.page.get_by_label("Method").select_option(method)

    def apply(self, steps: str) -> None:
        self.page.get_by_label("steps").fill(steps)
        self.press("apply")

    def set(self, setting: str, value: str) -> None:
        if not self.part("settings-fold").evaluate("(fold) => fold.open"):
            self.part("settings-fold").locator("summary").click()
        box = self.page.locator(f"[data-setting='{setting}'] input")
        box.fill(value)
        box.press("Enter")

    def add_prompt(self, prompt: str) -> None:
        self.write("own-prompt", prompt)
        self.press("add-prompt")


DOINGS: dict[str, Callable[[Desk], None]] = {
    "traced": lambda desk: desk.trace("In Paris, the Eiffel Tower is near", "Eiffel Tower"),
    "refused": lambda desk: desk.trace("In Paris, the Eiffel Tower is near", "Louvre"),
    "selected": lambda desk: desk.cell("mlp", 4, 2),
    "pinned": lambda desk: desk.cell("attn", 6, 3, "Shift"),
    "range marked": lambda desk: desk.layer("state", 1),
    "method chosen": lambda desk: desk.choose_method("ft"),
    "spelt": lambda desk: desk.write("target", "Rome"),
    "edited": lambda desk: desk.apply("2"),
    "prompt added": lambda desk: desk.add_prompt("Rome is near"),
    "judged": lambda desk: desk.press("check"),
    "trace saved": lambda desk: desk.press("save-trace"),
    "edit saved": lambda desk: desk.button("edits", "Save"),
    "found changed by others": lambda desk: desk.press("undo"),
    "brought back": lambda desk: desk.press("revert"),
    "undone": lambda desk: desk.press("undo"),
    "redone": lambda desk: desk.press("redo"),
    "taken out": lambda desk: desk.button("edits", "Take out"),
    "prompt taken out": lambda desk: desk.button("own", "Take out"),
    "setting refused": lambda desk: desk.set("samples", "many"),
    "setting changed": lambda desk: desk.set("samples", "4"),
    "settings reset": lambda desk: desk.press("settings-reset"),
}
"""What a user does for each step after the first."""

EDIT = "Eiffel Tower → Rome"
WORDS: dict[str, dict[str, str]] = {
    "opened": {
        "model": "small gpt2 · 5 layers · float32 · cpu",
        "empty": "Press Trace to see where the model keeps this fact.",
        "edit-sentence": "Trace a fact first, then change it here.",
        "edit-layer": "at a layer that is looked for first",
        "details-status": "Trace a fact, then select or pin a cell to read it.",
        "judge-status": "Edit a fact, then see here what else changed.",
    },
    "traced": {
        "tokens": "Tokens",
        "answer": "Clean run: “eat” 0.9 % · corrupted run: 0.8 %",
        "edit-sentence": "Change what the model says about Eiffel Tower. It now completes the prompt with “eat”.",
        "selection": "Nothing selected. Click a cell, or press Enter on it, to choose the layer to edit.",
        "details-status": "Select or pin a cell of the heatmap to read it.",
    },
    "refused": {
        "notice-subject": "“Louvre” is not in the prompt.",
        "tokens": "Press Trace to see the tokens of this prompt.",
    },
    "selected": {
        "selection": "An edit with ROME will change the MLP of layer 2.",
        "edit-layer": "at layer 2",
        "details-cell": "layer 2 · MLP · token “Eiffel”",
        "details-neurons": "Neurons of layer 2 that bring most",
    },
    "pinned": {
        "pins": "Layer 3 · attention · token “is”",
        "details-cell": "layer 3 · attention · token “is”",
        "details-heads": "What the attention heads of layer 3 bring",
    },
    "range marked": {"range": "Layer 1, mean probability"},
    "method chosen": {"method": "Method: fine-tuning", "selection": "An edit with fine-tuning will change the MLP"},
    "spelt": {"target-tokens": "5 tokens: the bars show the first, the checks score them all"},
    "edited": {
        "edited-badge": "the model’s weights carry 1 edit",
        "outdated": "Traced with other weights than the model has now.",
        "undo": f"Undo {EDIT}",
        "edits": f"{EDIT} (fine-tuning, layer 2) took 0 of 1",
        "edit-warning": "The edit did not take.",
        "details-status": "Read with other weights than the model has now.",
    },
    "prompt added": {"own": "Rome is near"},
    "judged": {"judged": "0 → 0 of 1 give the new object"},
    "trace saved": {},
    "edit saved": {},
    "found changed by others": {"foreign": "'transformer.h.2.mlp.c_proj.weight' was changed outside factlens"},
    "brought back": {"edits": EDIT},
    "undone": {
        "redo": f"Redo {EDIT}",
        "edit": "No edit in force.",
        "judge-status": "Checked with other weights than the model has now.",
    },
    "redone": {"undo": f"Undo {EDIT}", "edits": f"{EDIT} (fine-tuning, layer 2)"},
    "taken out": {"redo": f"Redo {EDIT}", "edit": "No edit in force."},
    "prompt taken out": {},
    "setting refused": {"settings": "samples must be a whole number or 'auto', not 'many'."},
    "setting changed": {"settings-changed": "samples: 4", "settings-stale": "was made with other settings"},
    "settings reset": {"settings": "Settings"},
}
"""What stands where after each step, or a part of it."""
GONE: dict[str, tuple[str, ...]] = {
    "opened": (
        *("locate-error", "locate-notices", "edit-notices", "tokens", "judged", "own", "edits", "foreign"),
        *("edit-warning", "edited-badge"),
    ),
    "traced": ("empty", "locate-error", "locate-notices"),
    "refused": ("locate-error",),
    "selected": ("details-status",),
    "edited": ("locate-error", "judge-status"),
    "brought back": ("foreign", "edit-error"),
    "undone": ("edits", "edit-warning", "edited-badge", "outdated"),
    "prompt taken out": ("own",),
    "settings reset": ("settings-stale",),
}
"""What is not to be seen after a step."""


def test_the_widgets_show_a_session_and_send_its_gestures(page: Page) -> None:
    page.evaluate(MOUNT, list(WIDGETS))
    desk = Desk(page)
    gestures: list[dict[str, Any]] = []
    for step in SESSION:
        name = step["step"]
        if step["gesture"] is not None:
            gestures.append({"type": "gesture", "id": len(gestures) + 1, **step["gesture"]})
            DOINGS[name](desk)
            page.wait_for_function("(count) => models.gestures.sent.length > count", arg=len(gestures))
            for answer in step["answers"]:
                desk.hear(answer)
        assert page.evaluate("models.gestures.sent") == [{"type": "hello"}, *gestures], name
        page.evaluate(SHOW, step["shown"])
        for testid, words in WORDS[name].items():
            expect(desk.part(testid), name).to_contain_text(words)
        for testid in GONE.get(name, ()):
            expect(desk.part(testid), name).to_be_hidden()
