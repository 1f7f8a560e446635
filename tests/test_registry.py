"""Names and what stands for them."""

from __future__ import annotations

import sys

import pytest

from factlens.editing import METHODS
from factlens.errors import ArgumentError
from factlens.evaluation import METRICS as EDIT_METRICS
from factlens.registry import Registry
from factlens.tracing import METRICS as TRACE_METRICS
from factlens.tracing import TraceMetric


def test_entries_are_loaded_when_they_are_asked_for() -> None:
    sys.modules.pop("colorsys", None)
    table: Registry[object] = Registry("colour", {"hue": "colorsys:rgb_to_hsv", "red": 3})
    assert (list(table), len(table), "hue" in table, "blue" in table, 3 in table) == (
        ["hue", "red"],
        2,
        True,
        False,
        False,
    )
    assert "colorsys" not in sys.modules
    import colorsys

    assert table["hue"] is colorsys.rgb_to_hsv
    assert table.named("colour", "red") == 3


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("blue", r"There is no colour 'blue': ink must be one of red, green\."),
        (None, r"ink must be one of red, green, not None\."),
        (3, "not 3"),
        (["red"], r"not \['red'\]"),
    ],
)
def test_an_unknown_name_is_refused_with_those_there_are(value: object, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        Registry("colour", {"red": 1, "green": 2}).named("ink", value)


def test_own_entries_come_last_and_replace_none() -> None:
    table: Registry[int] = Registry("colour", {"red": 1})
    assert table.register("blue", 2) == 2
    assert dict(table) == {"red": 1, "blue": 2}
    for name, words in (("red", "The colour 'red' is there already"), (" ", "name must be")):
        with pytest.raises(ArgumentError, match=words):
            table.register(name, 3)


def test_an_entry_of_another_kind_or_name_is_refused() -> None:
    methods = {**METHODS}
    for table, name, entry, words in (
        (METHODS, "bad", len, r"entry must be a factlens\.editing\.methods\.base\.Method"),
        (TRACE_METRICS, "bare", len, "entry must be a .*TraceMetric"),
        (EDIT_METRICS, "bare", len, "entry must be a .*PromptMetric"),
        (TRACE_METRICS, "short", TraceMetric("long", len), "name must be the entry's own: 'long', not 'short'"),
    ):
        with pytest.raises(ArgumentError, match=words):
            table.register(name, entry)
    assert methods == {**METHODS}
    assert "bare" not in EDIT_METRICS
