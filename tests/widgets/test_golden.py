"""What Python puts on the wire, kept in files that the TypeScript tests read: neither side can change it alone.

``FACTLENS_GOLDEN=write pytest tests/widgets/test_golden.py`` writes the files anew after a change that is meant.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from factlens.tracing import Comparison
from factlens.widgets.wire import comparison_of, frame_of
from tests.tracing.made import made_trace

FOLDER = Path(__file__).parents[2] / "js" / "test" / "golden"

STATES: dict[str, Any] = {
    "complete": lambda: frame_of(made_trace(), run=3),
    "stopped": lambda: frame_of(made_trace(computed=0.5, estimated=True), run=4, stopped=True),
    "paper-window": lambda: frame_of(
        made_trace(kinds=("mlp", "head.2", "severed_attn"), window=2, window_convention="paper")
    ),
    "comparison": lambda: comparison_of(
        Comparison(made_trace(), made_trace(low=0.2, answer=" Paris"), ("before", "now"))
    ),
    "hostile": lambda: frame_of(made_trace(tokens=("<img src=x onerror=1>", "\u202eabc", "\x00\ud800", "x" * 10_000))),
}


def _plain(value: Any) -> Any:
    """Bytes as base64, and what JSON cannot say in its own way."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("name", list(STATES))
def test_the_wire_is_what_the_page_was_tested_with(name: str) -> None:
    found = json.dumps(_plain(STATES[name]()), indent=1, allow_nan=False) + "\n"
    path = FOLDER / f"{name}.json"
    if os.environ.get("FACTLENS_GOLDEN") == "write":
        path.write_text(found, "utf-8")
    assert json.loads(path.read_text("utf-8")) == json.loads(found), "docs/wire.md, the page and this file go together"


def test_there_is_no_file_without_a_state() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {*STATES, "session"}
