"""Effects along the layers, in bqplot: a line for each pinned cell's row, and a brush for a range of layers."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import bqplot as bq
import ipywidgets as w
import numpy as np

from factlens.tracing import Trace
from factlens.tracing.protocol import kind_name

# Number, colour and dashes of a pin: those of its mark on the heatmap (docs/wire.md).
COLOURS = ("#2f7de1", "#d9730d", "#2e9d5b", "#b0479a")
DASHES = ("solid", "dashed", "dotted", "dash_dotted")


class LayerProfile(w.VBox):
    """The scores of up to four rows of a trace along its layers.

    Without pins it shows the two sites that the paper speaks of: the MLP at the subject's last token, and attention
    at the last token.

    Parameters
    ----------
    brushed
        Called with ``(first, last)``, or None, when the reader has brushed a range of layers.
    """

    def __init__(self, brushed: Callable[[tuple[int, int] | None], None]) -> None:
        self._brushed = brushed
        self._told: tuple[int, int] | None = None
        self._x, self._y = bq.LinearScale(min=0, max=1), bq.LinearScale()
        scales = {"x": self._x, "y": self._y}
        self._lines = [
            bq.Lines(x=[], y=[], scales=scales, colors=[colour], line_style=dash, stroke_width=2.5)
            for colour, dash in zip(COLOURS, DASHES, strict=True)
        ]
        self._brush = bq.interacts.BrushIntervalSelector(scale=self._x, color="#7a8699")
        self._brush.observe(self._selected, "selected")
        axes = [
            bq.Axis(scale=self._x, label="layer", grid_lines="none", tick_format="d"),
            bq.Axis(scale=self._y, side="left", num_ticks=5),
        ]
        self.figure = bq.Figure(
            marks=self._lines,
            axes=axes,
            interaction=self._brush,
            padding_x=0,
            fig_margin={"top": 8, "bottom": 40, "left": 52, "right": 14},
            layout=w.Layout(width="100%", max_width="720px", height="200px"),
        )
        self._legend = w.HTML()
        super().__init__([], layout=w.Layout(width="100%"))
        self.add_class("factlens-profile")

    def show(self, trace: Trace | None, pins: Sequence[Mapping[str, Any]] = ()) -> None:
        """Draw a line for the row of each pin; nothing without a trace."""
        if trace is None:
            self.set_trait("children", ())
            return
        rows = [(str(pin["kind"]), int(pin["token"])) for pin in pins] or _telling(trace)
        rows = [row for i, row in enumerate(rows) if row not in rows[:i]]
        scores = trace.scores
        layers = np.arange(trace.n_layers)
        with self._x.hold_sync():
            self._x.min, self._x.max = -0.5, trace.n_layers - 0.5
        self.figure.axes[0].tick_values = layers[:: max(1, trace.n_layers // 12)]
        for i, line in enumerate(self._lines):
            row = scores.sel(kind=rows[i][0]).values[rows[i][1]] if i < len(rows) else None
            known = np.array([], bool) if row is None else np.isfinite(row)
            with line.hold_sync():
                line.x, line.y = (layers[known], row[known]) if row is not None else ([], [])
        self._legend.value = _legend(trace, rows)
        if not self.children:
            self.set_trait("children", (self._legend, self.figure))

    def mark(self, span: tuple[int, int] | None) -> None:
        """Move the brush to a range of layers, or take it away."""
        if span == self._told:
            return
        self._told = span
        self._brush.selected = None if span is None else np.array([span[0] - 0.5, span[1] + 0.5])

    @property
    def values(self) -> dict[int, list[float]]:
        """What the lines show, by the pin's number, from 1."""
        return {i + 1: [float(y) for y in line.y] for i, line in enumerate(self._lines) if len(line.y)}

    def close(self) -> None:
        """Close the chart and its pieces as well, which no view would otherwise let go."""
        pieces = (self._legend, self.figure, *self.figure.axes, *self._lines, self._brush, self._x, self._y)
        for piece in pieces:
            piece.close()
        super().close()

    def _selected(self, change: Any) -> None:
        """Hear the brush in the browser: a range covers the layers whose middle lies in it."""
        ends = change["new"]
        span = None
        if ends is not None and len(ends) == 2:
            first, last = int(np.ceil(ends[0])), int(np.floor(ends[1]))
            first, last = max(0, first), min(int(self._x.max - 0.5), last)
            span = (first, last) if first <= last else None
        if span != self._told:
            self._told = span
            self._brushed(span)


def _telling(trace: Trace) -> list[tuple[str, int]]:
    sites = [("mlp", trace.subject_range[1] - 1), ("attn", len(trace.tokens) - 1)]
    found = [site for site in sites if site[0] in trace.kinds]
    return found or [(trace.kinds[0], trace.subject_range[1] - 1)]


def _legend(trace: Trace, rows: Sequence[tuple[str, int]]) -> str:
    # The one place where a widget of ours takes HTML: everything from elsewhere is escaped.
    parts = [
        f"<b style='color:{colour}'>{number} {mark}</b> {html.escape(kind_name(kind))} at "
        f"“{html.escape(trace.label(token)[:40])}”"
        for number, (kind, token), colour, mark in zip(
            range(1, len(rows) + 1), rows, COLOURS, ("━━", "╍╍", "┈┈", "━┅"), strict=False
        )
    ]
    return f"{html.escape(trace.measured)} along the layers: {'&emsp;'.join(parts)}"
