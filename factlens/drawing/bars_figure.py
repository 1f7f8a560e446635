"""Bars as figures: probabilities and shares, each beside its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from factlens.drawing.colours import before_colour, series
from factlens.drawing.figure import drawn_with, finish, new_figure
from factlens.drawing.look import SCREEN, Fit, Look
from factlens.drawing.svg import length
from factlens.escaping import mathless
from factlens.visible import as_label, clipped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONGEST = 24
"""Characters of a name."""


class BarPanel(NamedTuple):
    """Bars with the same axis.

    Attributes
    ----------
    title, axis
        What stands above, and what the numbers are.
    names
        What each bar, or each group of bars, is of; from the top down.
    values
        By what a bar of each group is called, its numbers. The first of several is what was before, in pale grey.
    share
        Whether the axis runs from 0 to 1.
    """

    title: str
    axis: str
    names: Sequence[str]
    values: Mapping[str, Sequence[float]]
    share: bool = True


def bars_figure(what: str, parts: Sequence[BarPanel], look: Look = SCREEN) -> Figure:
    """Return a figure with a panel of lying bars for each part.

    Parameters
    ----------
    what
        As for `factlens.drawing.figure.new_figure`.
    parts
        What to draw.
    look
        The figure's look.
    """
    labels = [[mathless(clipped(as_label(name), _LONGEST)) for name in part.names] for part in parts]
    em = look.size
    left = em * max(length(label, 1) for part in labels for label in part)
    groups = [len(part.names) * max(1, 0.7 * len(part.values)) for part in parts]
    fit = Fit(len(parts), 0, left + 13 * em, 1.5 * em * max(groups), 6 * em, 2 * em)
    with drawn_with(what, look):
        columns = fit.into(look)[0] if look.for_paper else min(3, len(parts))
        # Rows of panels are as high as their own bars need.
        tall = [max(groups[i : i + columns]) for i in range(0, len(parts), columns)]
        rows = len(tall)
        if look.for_paper:
            _, width, height = replace(fit, high=1.5 * em * sum(tall) / rows).into(look)
        else:
            width, height = 3.6 * columns, 1.2 * rows + 0.3 * sum(tall)
        figure = new_figure(what, width, height)
        grid = figure.subplots(rows, columns, squeeze=False, height_ratios=[6 + 1.5 * one for one in tall])
        axes: list[Any] = grid.flatten().tolist()
        for surplus in axes[len(parts) :]:
            surplus.remove()
        keys = {}
        for panel, part, names in zip(axes, parts, labels, strict=False):
            count = len(part.values)
            thick = 0.8 / count
            for i, (name, values) in enumerate(part.values.items()):
                style = series(look.palette, max(0, i - 1))
                first = count > 1 and i == 0
                bars = panel.barh(
                    np.arange(len(names)) + (i - (count - 1) / 2) * thick,
                    values,
                    thick * 0.94,
                    color=before_colour(look.palette) if first else style.colour,
                    hatch="" if first else style.hatch,
                    edgecolor="0.25" if look.palette == "grey" else "none",
                    linewidth=0.6 * look.scale,
                )
                if count > 1:
                    keys[name] = bars
            panel.set_yticks(range(len(names)), names)
            panel.invert_yaxis()
            panel.set_title(mathless(part.title), fontsize="medium")
            panel.set_xlabel(mathless(part.axis))
            panel.locator_params(axis="x", nbins=4)
            panel.spines[["top", "right"]].set_visible(False)
            if part.share:
                panel.set_xlim(0, 1)
            else:
                panel.axvline(0, color="0.4", linewidth=0.8 * look.scale)
        if keys:
            figure.legend(
                keys.values(),
                map(mathless, keys),
                loc="outside lower center",
                ncols=len(keys),
                fontsize="small",
                frameon=False,
            )
        return finish(figure, look, axes[: len(parts)])
