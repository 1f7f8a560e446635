"""The one door to matplotlib, and grids drawn with it, in the manner of Meng et al. (2022), Figures 1 and 2."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from factlens.drawing.colours import family
from factlens.drawing.grid import GridPicture
from factlens.escaping import mathless
from factlens.extras import needs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_SHARPER = 2
"""So many pixels of a picture for one of the page, for screens that have them."""


def needs_matplotlib(what: str) -> None:
    """Refuse to do something that draws figures where matplotlib is missing.

    Raises
    ------
    FactlensError
        If it cannot be imported; the message begins with `what`, and names the extra that brings it.
    """
    needs("matplotlib", "plot", what)


def new_figure(what: str, width: float, height: float) -> Figure:
    """Return an empty figure, in inches, which a notebook shows; no backend, no window, no state that others see.

    Raises
    ------
    FactlensError
        As `needs_matplotlib`.
    """
    needs_matplotlib(what)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    # What IPython asks a value for. With pyplot's inline backend at work it asks that instead: shown once in any case.
    vars(figure)["_repr_png_"] = partial(_as_png, figure)
    return figure


def _as_png(figure: Figure) -> tuple[bytes, dict[str, int]]:
    """Return a picture for a notebook, and its size on the page in pixels."""
    file = BytesIO()
    figure.savefig(file, format="png", dpi=_SHARPER * figure.dpi)
    width, height = (round(float(inches) * figure.dpi) for inches in figure.get_size_inches())
    return file.getvalue(), {"width": width, "height": height}


def panels(
    what: str, titles: Sequence[str], width: float, height: float, *, beside: float
) -> tuple[Figure, list[Axes]]:
    """Return a figure with a titled panel by layer for each title, at most three in a row.

    Parameters
    ----------
    what
        As for `new_figure`.
    titles
        What stands above each panel.
    width, height
        Of a panel, in inches.
    beside
        Room beside all panels.
    """
    columns = min(3, len(titles))
    rows = -(-len(titles) // columns)
    figure = new_figure(what, width * columns + beside, height * rows + 0.4)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten().tolist()
    for surplus in axes[len(titles) :]:
        surplus.remove()
    for panel, title in zip(axes, titles, strict=False):
        panel.set_title(title, fontsize=9)
        panel.set_xlabel("layer")
        # Also where another row stands below, which may be shorter.
        panel.xaxis.set_tick_params(labelbottom=True)
        panel.xaxis.get_major_locator().set_params(integer=True)
    return figure, axes[: len(titles)]


def grid_figure(what: str, picture: GridPicture, width: float, height: float, *, beside: float) -> Figure:
    """Return a figure with a heatmap for each panel; the parameters are those of `panels`."""
    figure, axes = panels(what, [panel.title for panel in picture.panels], width, height, beside=beside)
    low, high = sorted((picture.low, picture.high))
    turned, estimates = picture.high < picture.low, picture.shown_estimates
    labels = [mathless(row.label) for row in picture.rows]
    for n, (panel, shown) in enumerate(zip(axes, picture.panels, strict=True)):
        # Pale is the low end and dark the high one, also where the low end is the larger number.
        shades: dict[str, Any] = {
            "cmap": family(shown.family).map + ("_r" if turned else ""),
            "vmin": low,
            "vmax": high,
        }
        image = panel.imshow(picture.drawn[n], aspect="auto", interpolation="nearest", **shades)
        panel.set_facecolor("0.85")
        if estimates is not None:
            row, layer = np.nonzero(np.isfinite(estimates[n]))
            panel.scatter(layer, row, s=30, c=estimates[n, row, layer], marker="s", linewidths=0, **shades)
        panel.set_yticks(range(len(labels)), labels)
        bar = figure.colorbar(image, ax=panel, shrink=0.9)
        bar.set_label(mathless(picture.scale), fontsize=8)
        if turned:
            bar.ax.invert_yaxis()
    if legend := picture.legend("small squares: estimated from gradients"):
        figure.supxlabel(mathless("\n".join(legend)), fontsize=8)
    return figure
