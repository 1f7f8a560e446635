"""The grids of a trace in matplotlib, in the manner of Meng et al. (2022), Figure 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from factlens.tracing.result import KIND_NAMES, Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {"state": "Purples", "mlp": "Greens", "attn": "Reds"}


def plot_trace(trace: Trace, *, effects: bool = False) -> Figure:
    """Return a figure with one panel per kind; see `Trace.plot`."""
    from matplotlib.figure import Figure

    grids = trace.effects if effects else trace.scores
    low, high = (0.0, trace.total_effect) if effects else (trace.low, trace.high)
    rows = len(trace.tokens)
    figure = Figure(figsize=(3.6 * len(trace.kinds) + 1.2, 0.8 + 0.28 * rows), layout="constrained")
    axes = figure.subplots(1, len(trace.kinds), sharey=True, squeeze=False)[0]
    start, stop = trace.subject_range
    for panel, kind in zip(axes, trace.kinds, strict=True):
        image = panel.imshow(
            grids.sel(kind=kind).values,
            aspect="auto",
            cmap=_COLOURS[kind],
            vmin=low,
            vmax=high,
            interpolation="nearest",
        )
        panel.set_facecolor("0.85")
        window = "" if kind == "state" else f", window of {trace.window} layers"
        panel.set_title(f"{KIND_NAMES[kind]}{window}", fontsize=9)
        panel.set_xlabel("layer")
        panel.set_yticks(
            range(rows),
            [
                f"{piece.strip() or repr(piece)}{'*' if start <= i < stop else ''}"
                for i, piece in enumerate(trace.tokens)
            ],
        )
        figure.colorbar(image, ax=panel, shrink=0.9).set_label(
            f"{'effect on ' if effects else ''}p({trace.answer.strip()})", fontsize=8
        )
    return figure
