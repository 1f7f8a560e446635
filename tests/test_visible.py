"""What is seen of any text: one table for Python and for the browser (js/test/visible.test.ts)."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from factlens.visible import clipped, clusters, isolated, line, visible, without_isolates

TABLE = Path(__file__).parents[1] / "js" / "test" / "texts" / "visible.json"
CASES: dict[str, list[dict[str, Any]]] = json.loads(TABLE.read_text("utf-8"))


def cases(name: str) -> Any:
    return pytest.mark.parametrize("case", CASES[name], ids=lambda case: case["why"])


@cases("visible")
def test_what_is_seen(case: dict[str, Any]) -> None:
    assert visible(case["text"]) == case["shown"]
    assert visible(case["shown"]) == case["shown"], "what is visible stays as it is"


@cases("isolated")
def test_what_stands_among_others(case: dict[str, Any]) -> None:
    assert isolated(case["text"]) == case["shown"]
    assert line(case["shown"]) == case["shown"]
    assert without_isolates(case["shown"]) == visible(case["text"])


@cases("line")
def test_what_stays_isolated_in_a_line(case: dict[str, Any]) -> None:
    assert line(case["text"]) == case["shown"]


@cases("clipped")
def test_where_a_text_is_cut(case: dict[str, Any]) -> None:
    assert clipped(case["text"], case["most"]) == case["shown"]


def test_every_character_is_seen_or_marked() -> None:
    hidden = ("Cc", "Cs", "Co", "Zl", "Zp")
    # Signs of numbers and of verses are of the category of what has no shape, and have one.
    seen = {chr(code) for code in (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD)}
    for code in range(0x110000):
        shown = visible(chr(code))
        assert not {unicodedata.category(c) for c in shown} & set(hidden), hex(code)
        assert chr(code) in seen or not {unicodedata.category(c) for c in shown} & {"Cf"}, hex(code)


def test_parts_make_up_the_text() -> None:
    text = "".join(case["text"] for cases in CASES.values() for case in cases)
    assert "".join(clusters(text)) == text
