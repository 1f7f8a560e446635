"""Effects along the layers, in bqplot: a line for each pinned cell's row, and a brush for a range of layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import bqplot as bq
import ipywidgets as w
import numpy as np

from factlens.escaping import html
from factlens.tracing import Trace
from factlens.tracing.sites import site_of
from factlens.visible import clipped, isolated, trimmed

# Number, colour and dashes of a pin: those of its mark on the heatmap (docs/wire.md).
_LONGEST_PIECE = 40
COLOURS = ("#2f7de1", "#d9730d", "#2e9d5b", "#b0479a")
DASHES = ("solid", "dashed", "dotted", "dash_dotted")
MARKS = ("━━", "╍╍", "┈┈", "━┅")


class LayerProfile(w.VBox):
    """The scores of up to four rows of a trace along its layers.

    Without pins it shows the two sites that the paper speaks of: the MLP at the subject's last token, and attention
    at the last token.

    Parameters
    ----------
    brushed
        Called with ``(first, last)``, or None, when the reader has brushed a range of layers.

    Attributes
    ----------
    pieces
        What it shows once there is a trace.
    """

    def __init__(self, brushed: Callable[[tuple[int, int] | None], None]) -> None:
        self._brushed = brushed
        self._span: tuple[int, int] | None = None
        self._drawn: tuple[Any, ...] = (None,)
        self._x, self._y = bq.LinearScale(min=0, max=1), bq.LinearScale()
        scales = {"x": self._x, "y": self._y}
        self._lines = [
            bq.Lines(x=[], y=[], scales=scales, colors=[colour], line_style=dash, stroke_width=2.5)
            for colour, dash in zip(COLOURS, DASHES, strict=True)
        ]
        self._brush = bq.interacts.BrushIntervalSelector(scale=self._x, color="#7a8699")
        self._brush.observe(self._selected, "selected")
        axes = [
            bq.Axis(scale=self._x, label="layer", label_offset="2.5em", grid_lines="none", tick_format="d"),
            bq.Axis(scale=self._y, side="left"),
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
        self.pieces = (self._legend, self.figure)
        # Its figure is a little wider than it says, which would make a scrollbar.
        super().__init__([], layout=w.Layout(width="100%", overflow="hidden"))
        self.add_class("factlens-profile")

    def show(self, trace: Trace | None, pins: Sequence[Mapping[str, Any]] = (), *, growing: bool = False) -> None:
        """Draw a line for the row of each pin, in the pin's colour; nothing without a trace.

        With `growing` the chart is there, so that nothing jumps when the lines come, but without lines.
        """
        if trace is None:
            self.set_trait("children", ())
            return
        rows = [(str(pin["kind"]), int(pin["token"])) for pin in pins] or _telling(trace)
        # Two pins of one row share the first one's line; the others keep their own number and colour.
        drawn = {i: row for i, row in enumerate(rows) if row not in rows[:i]}
        stamp = (trace, tuple(rows), bool(pins), growing)
        if growing and self._drawn[1:] == stamp[1:] and self._drawn[0] is trace:
            return
        self._drawn = stamp
        layers = np.arange(trace.n_layers)
        scores = None if growing else trace.scores
        with self._x.hold_sync():
            self._x.min, self._x.max = -0.5, trace.n_layers - 0.5
        self.figure.axes[0].tick_values = layers[:: max(1, trace.n_layers // 12)]
        values = [trace.low, trace.high]
        for i, line in enumerate(self._lines):
            x = y = np.array([])
            if scores is not None and i in drawn:
                row = scores.sel(kind=drawn[i][0]).values[drawn[i][1]]
                x, y = layers[np.isfinite(row)], row[np.isfinite(row)]
                values.extend(y)
            with line.hold_sync():
                line.x, line.y = x, y
        self._scale_to(values)
        self._legend.value = _legend(trace, drawn, pinned=bool(pins), growing=growing)
        if not self.children:
            self.set_trait("children", self.pieces)

    def _scale_to(self, values: Sequence[float]) -> None:
        ticks, tick_format = round_ticks(values)
        room = 0.04 * float(ticks[-1] - ticks[0])  # or the axis' own end would strike through its last number
        with self._y.hold_sync():
            self._y.min, self._y.max = float(ticks[0]) - room, float(ticks[-1]) + room
        with self.figure.axes[1].hold_sync():
            self.figure.axes[1].tick_values, self.figure.axes[1].tick_format = ticks, tick_format

    def mark(self, span: tuple[int, int] | None) -> None:
        """Move the brush to a range of layers, or take it away."""
        if span == self._span:
            return
        self._span = span
        self._brush.selected = None if span is None else np.array([span[0] - 0.5, span[1] + 0.5])

    @property
    def values(self) -> dict[int, list[float]]:
        """What the lines show, by the pin's number, from 1."""
        return {i + 1: [float(y) for y in line.y] for i, line in enumerate(self._lines) if len(line.y)}

    def _selected(self, change: Any) -> None:
        """Hear the brush in the browser: a range covers the layers whose middle lies in it."""
        ends = change["new"]
        span = None
        if ends is not None and len(ends) == 2:
            first, last = int(np.ceil(ends[0])), int(np.floor(ends[1]))
            first, last = max(0, first), min(int(self._x.max - 0.5), last)
            span = (first, last) if first <= last else None
        if span != self._span:
            self._span = span
            self._brushed(span)


def _telling(trace: Trace) -> list[tuple[str, int]]:
    sites = [("mlp", trace.subject_range[1] - 1), ("attn", len(trace.tokens) - 1)]
    present = [site for site in sites if site[0] in trace.kinds]
    return present or [(trace.kinds[0], trace.subject_range[1] - 1)]


def round_ticks(values: Sequence[float]) -> tuple[np.ndarray, str]:
    """Return some four to six round numbers that enclose the values, and d3's format for them."""
    finite = [value for value in values if np.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    rough = max((high - low) / 4, 1e-6 * max(1.0, abs(low)))
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    ticks = step * np.arange(np.floor(low / step + 1e-6), np.ceil(high / step - 1e-6) + 1)
    if len(ticks) < 2:
        ticks = np.array([ticks[0], ticks[0] + step])
    decimals = int(max(0.0, -np.floor(np.log10(step) + 1e-9)))
    return ticks, f".{decimals}f" if decimals <= 5 else ".2e"


def _legend(trace: Trace, rows: Mapping[int, tuple[str, int]], *, pinned: bool, growing: bool) -> str:
    # The one place where a widget of ours takes HTML: everything from elsewhere is escaped.
    title = f"{html(trace.measured)} along the layers"
    if growing:
        return f"{title}: drawn when the trace is done"
    parts = []
    for i, (kind, token) in rows.items():
        number = f"{i + 1} " if pinned else ""
        piece = isolated(clipped(trimmed(trace.tokens[token]), _LONGEST_PIECE))
        where = f"{html(site_of(kind).label)} at “{html(piece)}”"
        parts.append(f"<b style='color:{COLOURS[i]}'>{number}{MARKS[i]}</b> {where}")
    hint = "" if pinned else "&emsp;(pin cells to see theirs)"
    return f"{title}: {'&emsp;'.join(parts)}{hint}"
