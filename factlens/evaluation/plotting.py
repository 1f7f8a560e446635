"""Reports as figures, with matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from factlens.drawing.colours import before_colour, series
from factlens.drawing.figure import drawn_with, finish, new_figure
from factlens.drawing.look import SCREEN, Look
from factlens.errors import FactlensError
from factlens.escaping import mathless

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from factlens.evaluation.report import Report

_USUAL = ("score", "entailed", "independent")


def plot_report(report: Report, metrics: Sequence[str] | None, look: Look = SCREEN) -> Figure:
    """Draw metrics as bars with their intervals: unedited in grey, then one bar for each label.

    Raises
    ------
    FactlensError
        If a metric is unknown or was not asked for, shares and other numbers are mixed, or matplotlib is missing.
    """
    summary = report.summary()
    there = list(dict.fromkeys(summary.index.get_level_values("metric")))
    usual = [name for name in report.columns if name in _USUAL or name.endswith("_success")]
    chosen = [name for name in usual if name in there] if metrics is None else list(metrics)
    for name in chosen:
        if name not in there:
            raise FactlensError(f"There is no metric {name!r} in this report; it has {', '.join(there)}.")
    columns = [report.columns[name] for name in chosen]
    if not chosen or len({column.share for column in columns}) > 1:
        raise FactlensError("Draw shares and other numbers in figures of their own.")
    share, units = columns[0].share, {column.unit for column in columns}
    factor = 100 if share else 1
    bars = [("unedited", report.labels[0], "before"), *((label, label, "after") for label in report.labels)]
    width, places = 0.8 / len(bars), np.arange(len(chosen))
    styles = [series(look.palette, i) for i in range(len(report.labels))]
    size = look.inches(1.6 + 1.1 * len(chosen) * max(1, len(bars) / 4), 3.6, most=3.2)
    with drawn_with("Drawing a report", look):
        figure = new_figure("Drawing a report", *size)
        axes = figure.subplots()
        for i, (title, label, when) in enumerate(bars):
            rows = summary.loc[label].reindex(chosen)
            values = factor * rows[when].to_numpy(dtype=float)
            below = values - factor * rows[f"{when}_low"].to_numpy(dtype=float)
            above = factor * rows[f"{when}_high"].to_numpy(dtype=float) - values
            spread = np.nan_to_num(np.stack([below, above]).clip(min=0))
            axes.bar(
                places + (i - (len(bars) - 1) / 2) * width,
                values,
                width * 0.92,
                yerr=spread,
                # matplotlib leaves out what begins with an underscore.
                label=mathless(f" {title}" if title.startswith("_") else title),
                color=styles[i - 1].colour if i else before_colour(look.palette),
                hatch=styles[i - 1].hatch if i else "",
                edgecolor="#333" if look.palette == "grey" else "none",
                linewidth=0.6 * look.scale,
                error_kw={"lw": look.scale, "ecolor": "#444"},
            )
        less = {-1: "\n(less is better)"}
        names = [
            (column.symbol or mathless(column.name.replace("_", "\n"))) + less.get(column.better, "")
            for column in columns
        ]
        # On paper there may be little room for each name.
        axes.set_xticks(places, [name.replace(" ", "\n") for name in names] if look.for_paper else names)
        axes.set_ylabel(mathless(units.pop()) if len(units) == 1 else "")
        axes.spines[["top", "right"]].set_visible(False)
        if look.for_paper:
            columns_of_keys = min(4, len(bars))
            figure.legend(loc="outside lower center", ncols=columns_of_keys, fontsize="small", frameon=False)
        else:
            axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
        return finish(figure, look, [axes])
