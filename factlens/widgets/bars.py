"""Bars of the top answers before and after the edits, in bqplot."""

from __future__ import annotations

from collections.abc import Sequence

import bqplot as bq
import ipywidgets as w

from factlens.drawing.colours import OLD
from factlens.visible import clipped, isolated, trimmed

BEFORE, AFTER = OLD, "#2f7de1"
LONGEST_LABEL = 16
"""Characters of an answer; as many as there is room for to the left of the bars."""


class AnswerBars(w.VBox):
    """Two bars per candidate answer: its probability with the original weights, and with the present ones.

    Attributes
    ----------
    pieces
        What it shows once there are answers.
    """

    def __init__(self) -> None:
        # The bars lie, so that their names stand below each other and never run together, however narrow the cell.
        self._x, self._y = bq.OrdinalScale(reverse=True), bq.LinearScale(min=0, max=1)
        self._bars = bq.Bars(
            x=[],
            y=[[], []],
            scales={"x": self._x, "y": self._y},
            type="grouped",
            orientation="horizontal",
            colors=[BEFORE, AFTER],
            padding=0.25,
        )
        axes = [
            bq.Axis(scale=self._x, side="left", grid_lines="none"),
            bq.Axis(scale=self._y, tick_format=".0%", tick_values=[0, 0.25, 0.5, 0.75, 1]),
        ]
        self.figure = bq.Figure(
            marks=[self._bars],
            axes=axes,
            padding_y=0,
            fig_margin={"top": 8, "bottom": 34, "left": 112, "right": 22},
            layout=w.Layout(width="100%", max_width="720px", height=f"{_height(0)}px"),
        )
        # bqplot's own legend lies over the bars, and follows no theme.
        self._legend = w.HTML(_legend(current=True))
        self.pieces = (self._legend, self.figure)
        # Its figure is a little wider than it says, which would make a scrollbar.
        super().__init__([], layout=w.Layout(width="100%", overflow="hidden"))
        self.add_class("factlens-bars")

    def show(self, comparison: Sequence[tuple[str, float, float]], *, current: bool = True) -> None:
        """Show candidates as ``(text, probability before, probability now)``; nothing is drawn without any.

        Without `current` the legend says that the weights have changed since.
        """
        self._legend.value = _legend(current=current)
        if not comparison:
            self.set_trait("children", ())
            return
        labels = _unique([_label(text) for text, _, _ in comparison])
        with self._bars.hold_sync():
            self._bars.x = labels
            self._bars.y = [[before for _, before, _ in comparison], [after for _, _, after in comparison]]
        self.figure.layout.height = f"{_height(len(labels))}px"
        if not self.children:
            self.set_trait("children", self.pieces)

    @property
    def values(self) -> dict[str, tuple[float, float]]:
        """What the bars show: label to the probabilities before and now."""
        if not self.children:
            return {}
        before, after = self._bars.y
        return {str(x): (float(b), float(a)) for x, b, a in zip(self._bars.x, before, after, strict=True)}


def _height(answers: int) -> int:
    """Return the height of a figure with so many answers, its axis included: no lower than bqplot draws one."""
    return max(140, 42 + 28 * answers)


def _legend(*, current: bool) -> str:
    now = "weights now" if current else "weights before the last change, to be read again"
    return (
        f"Probability of the next token: <b style='color:{BEFORE}'>■</b> original weights "
        f"<b style='color:{AFTER}'>■</b> {now}"
    )


def _label(text: str) -> str:
    """Return a token's text for an axis: its space trimmed, everything else to be seen, a number behind it apart."""
    return isolated(clipped(trimmed(text), LONGEST_LABEL))


def _unique(labels: list[str]) -> list[str]:
    # “Paris” with and without its space read the same, and an ordinal axis would join their bars.
    return [
        label if labels.count(label) == 1 else f"{label} ({labels[:i].count(label) + 1})"
        for i, label in enumerate(labels)
    ]
