"""Probabilities as bars, in SVG: the top answers, and the old object against the new one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from factlens.drawing.colours import FAINT, NEW, OLD
from factlens.drawing.svg import document, rect, text
from factlens.visible import as_label


class Shown(Protocol):
    """An answer: what to show of it, and its probability."""

    @property
    def shown(self) -> str:
        """What to show."""

    @property
    def probability(self) -> float:
        """Its length as a bar, as a share of the longest."""


class Duel(NamedTuple):
    """The probabilities of the old and the new object before and after an edit, and what they are of."""

    label: str
    note: str
    before: tuple[float, float]
    after: tuple[float, float]


def answers_svg(title: str, columns: Sequence[tuple[str, Sequence[Shown]]]) -> str:
    """Draw lists of top answers side by side, such as before and after an edit."""
    label, bar, row, top = 110, 130, 20, 56
    parts = [text(12, 22, title, size=14, weight="600")]
    for n, (name, answers) in enumerate(columns):
        x = 12 + n * (label + bar + 60)
        parts.append(text(x, 44, name, size=11, weight="600"))
        for i, answer in enumerate(answers):
            y = top + i * row
            parts.append(text(x + label - 8, y + 12, as_label(answer.shown), size=12, anchor="end"))
            length = bar * answer.probability
            parts.append(rect(x + label, y + 1, length, 14, NEW))
            parts.append(text(x + label + length + 5, y + 12, f"{answer.probability:.1%}", size=10, fill=FAINT))
    rows = max(len(answers) for _, answers in columns)
    return document(12 + len(columns) * (label + bar + 60), top + rows * row + 8, parts, title)


def duels_svg(title: str, duels: Sequence[Duel]) -> str:
    """Draw the old and the new object's probabilities, before an edit on the left and after it on the right."""
    bar, row, top = 210, 46, 58
    # Seven units for a letter of the labels' size; most labels are shorter than what 190 has room for.
    left = max([190, *(24 + 7 * len(duel.label) for duel in duels)])
    right = left + bar + 70
    parts = [
        text(12, 22, title, size=14, weight="600"),
        text(left, 44, "before", size=11, weight="600"),
        text(right, 44, "after", size=11, weight="600"),
    ]
    for i, duel in enumerate(duels):
        y = top + i * row
        parts.append(text(left - 12, y + 15, duel.label, size=12, anchor="end"))
        parts.append(text(left - 12, y + 29, duel.note, size=10, anchor="end", fill=FAINT))
        for x, (old, new) in ((left, duel.before), (right, duel.after)):
            for down, name, share, colour in ((0, "old", old, OLD), (16, "new", new, NEW)):
                parts += [rect(x, y + down, bar, 13, "#eef1f5"), rect(x, y + down, bar * share, 13, colour)]
                parts.append(text(x + bar + 6, y + down + 11, f"{share:.0%} {name}", size=10, fill=FAINT))
    return document(left + 2 * bar + 140, top + len(duels) * row + 8, parts, f"Before and after {title}")
