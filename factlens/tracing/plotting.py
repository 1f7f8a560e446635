"""Traces and averages of traces in matplotlib, in the manner of Meng et al. (2022), Figures 1 and 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from factlens.escaping import mathless
from factlens.tracing.protocol import is_windowed, kind_name
from factlens.tracing.result import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from factlens.tracing.averages import Average

_COLOURS = {"state": "Purples", "mlp": "Greens", "attn": "Reds"}


def plot_trace(trace: Trace, *, effects: bool = False) -> Figure:
    """Return a figure with one panel per kind, at most three in a row; see `Trace.plot`."""
    from matplotlib.figure import Figure

    grids = trace.effects if effects else trace.scores
    low, high = (0.0, trace.total_effect) if effects else (trace.low, trace.high)
    kinds, rows = trace.kinds, len(trace.tokens)
    columns = min(3, len(kinds))
    lines = -(-len(kinds) // columns)
    width = max(3.6, 1.2 + 0.08 * trace.n_layers)
    figure = Figure(figsize=(width * columns + 1.2, (0.8 + 0.28 * rows) * lines + 0.4), layout="constrained")
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flatten()
    for surplus in panels[len(kinds) :]:
        surplus.remove()
    labels = [mathless(trace.label(i)) for i in range(rows)]
    estimated = False
    for panel, kind in zip(panels, kinds, strict=False):
        # Pale is the corrupted run and dark the clean one, also where the answer is less probable in the clean one.
        shades = {
            "cmap": colours_of(kind) + ("_r" if high < low else ""),
            "vmin": min(low, high),
            "vmax": max(low, high),
        }
        values = grids.sel(kind=kind).values
        image = panel.imshow(values, aspect="auto", interpolation="nearest", **shades)
        panel.set_facecolor("0.85")
        if trace.estimate is not None:
            guesses = trace.estimate.sel(kind=kind).values - (trace.low if effects else 0)
            token, layer = np.nonzero(np.isnan(values) & np.isfinite(guesses))
            panel.scatter(layer, token, s=30, c=guesses[token, layer], marker="s", linewidths=0, **shades)
            estimated |= bool(len(token))
        panel.set_title(trace.title(kind), fontsize=9)
        panel.set_xlabel("layer")
        panel.xaxis.set_tick_params(labelbottom=True)
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.set_yticks(range(rows), labels)
        bar = figure.colorbar(image, ax=panel, shrink=0.9)
        label = trace.measure.label
        measured = trace.measured.replace(f"{label}, ", f"{label}\n", 1)
        bar.set_label(mathless(f"{'effect on ' if effects else ''}{measured}"), fontsize=8)
        if high < low:
            bar.ax.invert_yaxis()
    if not trace.complete:
        marks = "; small squares: estimated from gradients" if estimated else ""
        figure.supxlabel(f"incomplete: grey cells were not computed{marks}", fontsize=8)
    return figure


def colours_of(kind: str) -> str:
    """Return a kind's colour map: a severed path has that of what is severed, a head that of attention."""
    family = "mlp" if kind == "severed_mlp" else "attn" if kind.startswith(("severed", "head")) else kind
    return _COLOURS.get(family, "Blues")


def plot_average(average: Average) -> Figure:
    """Return a figure with one heatmap per kind, roles down and layers across; see `Average.plot`."""
    figure, axes = _panels(average, 3.4, 2.3)
    grids = average.effects
    # One scale for all, so that shades compare across kinds; without any effect to the better it is empty.
    better = average.measure.better
    high = better * (max(0.0, float((better * grids).max())) or 1.0)
    for panel, kind in zip(axes, average.kinds, strict=True):
        image = panel.imshow(
            grids.sel(kind=kind).values,
            aspect="auto",
            cmap=colours_of(kind) + ("_r" if high < 0 else ""),
            vmin=min(0.0, high),
            vmax=max(0.0, high),
            interpolation="nearest",
        )
        panel.set_facecolor("0.85")
        panel.set_yticks(range(grids.sizes["role"]), [str(role).capitalize() for role in grids["role"].values])
        figure.colorbar(image, ax=panel, shrink=0.9).set_label(f"AIE on {average.measure.label}", fontsize=8)
    return figure


def plot_average_lines(average: Average, level: float) -> Figure:
    """Return a figure with one panel of lines per kind; see `Average.plot_lines`."""
    figure, axes = _panels(average, 3.4, 3.0)
    grids, bounds, layers = average.effects, average.interval(level), np.arange(average.n_layers)
    for panel, kind in zip(axes, average.kinds, strict=True):
        panel.axhline(0, color="0.7", linewidth=0.8)
        for i, role in enumerate(grids["role"].values):
            if not int(average.count[i]):
                continue
            # Solid for the subject, dashed for what follows it: six colours alone are hard to tell apart.
            style = "-" if i < 3 else "--"
            panel.plot(
                layers, grids.sel(kind=kind, role=role).values, style, color=f"C{i}", label=str(role).capitalize()
            )
            lower, upper = bounds.sel(kind=kind, role=role).values
            panel.fill_between(layers, lower, upper, color=f"C{i}", alpha=0.2, linewidth=0)
    axes[0].set_ylabel(f"AIE on {average.measure.label}, with {level:.0%} intervals", fontsize=8)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return figure


def _panels(average: Average, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with a titled panel per kind, at most three in a row."""
    from matplotlib.figure import Figure

    kinds = average.kinds
    columns = min(3, len(kinds))
    rows = -(-len(kinds) // columns)
    figure = Figure(figsize=(width * columns + 1.6, height * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten().tolist()
    for surplus in axes[len(kinds) :]:
        surplus.remove()
    for panel, kind in zip(axes, kinds, strict=False):
        window = f", window of {average.window} layers" if is_windowed(kind) else ""
        panel.set_title(f"{kind_name(kind)}{window}", fontsize=9)
        panel.set_xlabel("layer")
        # Also where another row stands below, which may be shorter.
        panel.xaxis.set_tick_params(labelbottom=True)
        panel.xaxis.get_major_locator().set_params(integer=True)
    facts = f"{average.n} fact{'' if average.n == 1 else 's'}"
    title = f"Average indirect effects over {facts}\n{average.model}, {average.headline}"
    figure.suptitle(title, fontsize=10, parse_math=False)
    return figure, axes[: len(kinds)]
