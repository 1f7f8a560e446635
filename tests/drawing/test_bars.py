"""Bars: every label has room."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from factlens.drawing.bars import Duel, duels_svg

LABELS = ("the prompt", "other facts, which should stay", "a role with a very long name, " * 3 + "indeed")


@pytest.mark.parametrize("label", LABELS)
def test_a_label_begins_inside_the_picture(label: str) -> None:
    svg = ElementTree.fromstring(duels_svg("an edit", [Duel(label, "2 prompts", (0.9, 0.1), (0.2, 0.8))]))
    (shown,) = [
        one for one in svg.iter() if "".join(one.itertext()).strip("\u2068\u2069") == label and "x" in one.attrib
    ]
    assert shown.get("text-anchor") == "end"
    # On average a letter is a little more than half as wide as it is high.
    assert float(shown.attrib["x"]) >= 6.5 * len(label)
