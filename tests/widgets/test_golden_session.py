"""A whole session on the wire: what every panel shows after each gesture of the page, kept in a file.

The gestures of `js/test/golden/session.json` are fed into a real lens here, and its panels must show what the file
says. ``tests/js/test_session_in_chromium.py`` shows the real panels these states and does what a user would: they must
say what is in the states, and send the very gestures. So a change of the wire on either side fails one of the two.

``FACTLENS_GOLDEN=write pytest tests/widgets/test_golden_session.py`` writes the file anew after a change that is meant.
Numbers differ a little from machine to machine, ids with them: the file has short numbers and names for ids.
"""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import factlens as fl
from tests.support import small_model

PATH = Path(__file__).parents[2] / "js" / "test" / "golden" / "session.json"
PROMPT = "In Paris, the Eiffel Tower is near"
CELL = {"kind": "mlp", "token": 4, "layer": 2}
#: What is done, and the gesture that does it; `Keys` names the ids in the order in which they come up.
SESSION: dict[str, dict[str, Any] | None] = {
    "opened": None,
    "traced": {"name": "trace", "prompt": PROMPT, "subject": "Eiffel Tower", "chat": False},
    "refused": {"name": "trace", "prompt": PROMPT, "subject": "Louvre", "chat": False},
    "selected": {"name": "select", **CELL},
    "pinned": {"name": "pins", "cells": [{"kind": "attn", "token": 6, "layer": 3}]},
    "range marked": {"name": "range", "layers": [1, 1], "tokens": None},
    "method chosen": {"name": "method", "method": "ft"},
    "spelt": {"name": "spell", "target": "Rome", "exactly": False},
    "edited": {"name": "apply", "target": "Rome", "exactly": False, "layer": 2, "settings": {"steps": 2}},
    "prompt added": {"name": "add_prompt", "prompt": "Rome is near"},
    "judged": {"name": "judge"},
    "trace saved": {"name": "save_trace"},
    "edit saved": {"name": "save", "key": "key 1"},
    "found changed by others": {"name": "undo", "key": "key 1"},
    "brought back": {"name": "revert"},
    "undone": {"name": "undo", "key": "key 1"},
    "redone": {"name": "redo", "key": "key 1"},
    "taken out": {"name": "drop", "key": "key 1"},
    "prompt taken out": {"name": "remove_prompt", "prompt": "Rome is near"},
    "setting refused": {"name": "setting", "setting": "samples", "value": "many"},
    "setting changed": {"name": "setting", "setting": "samples", "value": "4"},
    "settings reset": {"name": "reset_settings"},
}
NUMBER = r"\d+(\.\d+)?(e[-+]\d+)?"
HEATMAP = ("frame", "selection", "pins", "layer_range", "token_range", "edit", "busy", "refused")


class Keys:
    """Names for the ids of edits, which come from contents that are not quite the same everywhere."""

    def __init__(self) -> None:
        self.known: list[str] = []

    def named(self, text: str) -> str:
        """Return the name of an id; of any other text what is left without fingerprints."""
        if not re.fullmatch(r"[0-9a-f]{16}", text):
            return re.sub(r"\b[0-9a-f]{8,64}\b", "…", text)
        if text not in self.known:
            self.known.append(text)
        return f"key {self.known.index(text) + 1}"

    def meant(self, gesture: dict[str, Any]) -> dict[str, Any]:
        """Return a gesture with the id that its key names."""
        if "key" not in gesture:
            return gesture
        return {**gesture, "key": self.known[int(gesture["key"].removeprefix("key ")) - 1]}


def _plain(value: Any, keys: Keys) -> Any:
    """Return what crosses the comm as JSON has it, as far as it is the same on every machine."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {key: _plain(item, keys) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, keys) for item in value]
    if isinstance(value, str):
        return keys.named(value)
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _shown(lens: fl.Lens, keys: Keys) -> dict[str, Any]:
    parts = {"edit": lens.editor, "locate": lens.locate, "judge": lens.judge, "details": lens.reader}
    shown = {**{name: part.state for name, part in parts.items()}, "settings": lens.locate.settings}
    return dict(_plain({**shown, "heatmap": {name: getattr(lens.heatmap, name) for name in HEATMAP}}, keys))


def _changed(now: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of each panel's state, and the heatmap's traits, that are new or others than before."""
    changed: dict[str, Any] = {}
    for name, part in now.items():
        known = before.get(name, {})
        news = {key: value for key, value in part.items() if key not in known or value != known[key]}
        if news:
            changed[name] = news
    return changed


def _answers(lens: fl.Lens, gesture: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """Deliver a gesture, and return what the gestures' comm answers; of bytes only that there are some."""
    answers: list[dict[str, Any]] = []

    def send(content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        answers.append({**content, "buffers": len(buffers)} if buffers else content)

    lens.gestures.send = send
    lens.gestures._handle_custom_msg({"type": "gesture", "id": number, **gesture}, [])
    assert lens.session.wait(120)
    return answers


def _play(gestures: dict[str, dict[str, Any] | None]) -> list[dict[str, Any]]:
    """Return the session as the file has it: each step with its gesture, and what is shown after it."""
    model = small_model("gpt2")
    lens = fl.Lens(model)
    keys = Keys()
    steps = []
    before: dict[str, Any] = {}
    for number, (step, gesture) in enumerate(gestures.items()):
        if step == "found changed by others":
            model.down_projection(2).weight.data.mul_(1.5)
        answers = [] if gesture is None else _answers(lens, keys.meant(gesture), number)
        shown = _shown(lens, keys)
        steps.append({"step": step, "gesture": gesture, "answers": answers, "shown": _changed(shown, before)})
        before = shown
    lens.close()
    return steps


def _assert_alike(found: Any, kept: Any, where: str) -> None:
    """Numbers may differ a little, in grids and in texts too; nothing else may."""
    assert type(found) is type(kept), where
    if isinstance(kept, dict) and kept.keys() == {"base64"}:
        one, other = (np.frombuffer(base64.b64decode(value["base64"]), "<f4") for value in (found, kept))
        np.testing.assert_allclose(one, other, rtol=0.02, atol=1e-5, err_msg=where)
    elif isinstance(kept, dict):
        assert found.keys() == kept.keys(), where
        for key in kept:
            _assert_alike(found[key], kept[key], f"{where}, {key}")
    elif isinstance(kept, list):
        assert len(found) == len(kept), where
        for number, pair in enumerate(zip(found, kept, strict=True)):
            _assert_alike(*pair, f"{where}, {number}")
    elif isinstance(kept, float):
        assert found == pytest.approx(kept, rel=0.02, abs=1e-5), where
    elif isinstance(kept, str):
        assert re.sub(NUMBER, "#", found) == re.sub(NUMBER, "#", kept), where
    else:
        assert found == kept, where


def test_a_lens_shows_of_a_session_what_the_page_was_tested_with() -> None:
    if os.environ.get("FACTLENS_GOLDEN") == "write":
        PATH.write_text(json.dumps(_play(SESSION), indent=1, allow_nan=False, ensure_ascii=False) + "\n", "utf-8")
    kept = json.loads(PATH.read_text("utf-8"))
    gestures = {step["step"]: step["gesture"] for step in kept}
    assert gestures == SESSION
    for found, expected in zip(_play(gestures), kept, strict=True):
        _assert_alike(found, expected, expected["step"])
