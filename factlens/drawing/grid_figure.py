"""Grids as figures, in the manner of Meng et al. (2022), Figures 1 and 2."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from factlens.drawing.figure import colour_map, drawn_with, finish, panels
from factlens.drawing.grid import GridPicture
from factlens.drawing.look import SCREEN, Fit, Look
from factlens.drawing.svg import length
from factlens.escaping import mathless

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BAR = 6.0
"""Width of a colour bar with its numbers and its name, in letters."""


def grid_figure(
    what: str, picture: GridPicture, width: float, height: float, *, beside: float, look: Look = SCREEN
) -> Figure:
    """Return a figure with a heatmap for each panel; the parameters are those of `factlens.drawing.figure.panels`."""
    estimates = picture.shown_estimates
    low, high = sorted((picture.low, picture.high))
    turned = picture.high < picture.low
    labels = [mathless(row.label) for row in picture.rows]
    missing = "grey" if look.palette == "kind" else "hatched"
    legend = picture.legend("small squares: estimated from gradients", missing)
    if look.for_paper and picture.complete:
        legend = ()  # what there is to say stands in the caption
    with drawn_with(what, look):
        names = [panel.title for panel in picture.panels]
        fit = room_for(look, labels, picture.layers, names, 2 * len(legend))
        figure, axes = panels(what, names, width, height, beside=beside, look=look, fit=fit)
        for n, (panel, shown) in enumerate(zip(axes, picture.panels, strict=True)):
            colours = colour_map(shown.family, look.palette)
            if turned:
                # Pale is the low end and dark the high one, also where the low end is the larger number.
                colours = f"{colours}_r" if isinstance(colours, str) else colours.reversed()
            shades: dict[str, Any] = {"cmap": colours, "vmin": low, "vmax": high}
            image = heatmap(panel, picture.drawn[n], labels, look, **shades)
            if estimates is not None:
                row, layer = np.nonzero(np.isfinite(estimates[n]))
                side = 30 * look.scale**2
                panel.scatter(layer, row, s=side, c=estimates[n, row, layer], marker="s", linewidths=0, **shades)
            colour_bar(figure, image, panel, picture.scale, turned=turned)
        if legend:
            letters = int(figure.get_figwidth() * 72 / (0.5 * look.size)) if look.for_paper else 1000
            lines = [part for words in legend for part in wrap(words, letters)]
            figure.supxlabel(mathless("\n".join(lines)), fontsize="small")
        return finish(figure, look, axes)


def room_for(look: Look, labels: Sequence[str], layers: int, names: Sequence[str], below: int = 0) -> Fit:
    """Return what grids need on paper: rows that letters fit into, and cells that the eye tells apart."""
    em = look.size
    left = max(length(label, 1) for label in labels) * em + 2 * em
    wide = max(8 * em, 2.4 * layers, *(length(part, 1) * em for name in names for part in name.split(", ", 1)))
    return Fit(len(names), left, wide + (_BAR + 1) * em, 1.3 * em * len(labels), 6.5 * em, 1.3 * em * below)


def heatmap(panel: Axes, values: np.ndarray, labels: Sequence[str], look: Look, **shades: Any) -> Any:
    """Draw one grid into a panel; where there is no number, the panel itself is seen."""
    image = panel.imshow(values, aspect="auto", interpolation="nearest", **shades)
    if look.palette == "kind":
        panel.set_facecolor("0.85")
    else:
        # A grey of its own would be a value here.
        panel.patch.set(facecolor="white", hatch="//////", edgecolor="0.7", linewidth=0)
    panel.set_yticks(range(len(labels)), labels)
    return image


def colour_bar(figure: Figure, image: Any, panel: Axes | Sequence[Axes], name: str, *, turned: bool = False) -> None:
    """Put a colour bar beside a panel."""
    bar = figure.colorbar(image, ax=panel, shrink=0.9)
    bar.set_label(mathless(name), fontsize="small")
    if turned:
        bar.ax.invert_yaxis()
